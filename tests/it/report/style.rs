//! The stylesheet: whether what it colours can be read.

use std::collections::BTreeMap;

const STYLE: &str = include_str!("../../../src/report/render/style.css");

/// Colours by name: the light ones, and those that the dark scheme has instead.
fn schemes() -> [BTreeMap<&'static str, [u8; 3]>; 2] {
    let (light, dark) = STYLE
        .split_once("@media screen and (prefers-color-scheme: dark)")
        .expect("a dark scheme");
    let dark = &dark[..dark.find("\n}").expect("its end")];
    let light = variables(light);
    let mut both = light.clone();
    both.extend(variables(dark));
    [light, both]
}

fn variables(css: &'static str) -> BTreeMap<&'static str, [u8; 3]> {
    let variable = |line: &'static str| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
        let number = u32::from_str_radix(value.strip_suffix(';')?, 16).ok()?;
        let [_, red, green, blue] = number.to_be_bytes();
        Some((name, [red, green, blue]))
    };
    css.lines().filter_map(variable).collect()
}

/// <https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let luminance = |colour: [u8; 3]| {
        let [red, green, blue] = colour.map(|it| {
            let share = f64::from(it) / 255.0;
            match share <= 0.04045 {
                true => share / 12.92,
                false => ((share + 0.055) / 1.055).powf(2.4),
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_and_charts_stand_out_in_both_schemes() {
    assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
    for (scheme, colours) in ["light", "dark"].into_iter().zip(schemes()) {
        let colour = |name: &str| *colours.get(name).unwrap_or_else(|| panic!("--{name}"));
        for (text, ground) in [
            ("ink", "paper"),
            ("ink", "wash"),
            ("soft", "paper"),
            ("soft", "wash"),
            ("link", "paper"),
            ("pass", "pass-wash"),
            ("fail", "fail-wash"),
            ("unknown", "unknown-wash"),
            ("none", "none-wash"),
        ] {
            let contrast = contrast(colour(text), colour(ground));
            assert!(
                contrast >= 4.5,
                "{scheme}: {text} on {ground}: {contrast:.2}"
            );
        }
        // Text is the stronger of what WCAG asks; bars are graphics.
        for series in ["s0", "s1", "s2", "s3", "s4", "s5"] {
            let contrast = contrast(colour(series), colour("paper"));
            assert!(contrast >= 3.0, "{scheme}: {series}: {contrast:.2}");
        }
    }
}

#[test]
fn the_dark_scheme_leaves_no_colour_light() {
    let [light, both] = schemes();
    for (name, colour) in light {
        assert_ne!(both[name], colour, "--{name} is the same in both");
    }
}

#[test]
fn the_stylesheet_fetches_nothing() {
    for fetching in [
        "url(",
        "@import",
        "http:",
        "https:",
        "//",
        "@font-face",
        "image-set",
    ] {
        assert!(!STYLE.contains(fetching), "{fetching}");
    }
    // It stands within an element.
    assert!(!STYLE.contains('<'));
}
