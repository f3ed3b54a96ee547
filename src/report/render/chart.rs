//! Charts: laid out by plotters, recorded as shapes, and drawn of these by each rendering in its own colours.

use std::convert::Infallible;
use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind,
    text_anchor::{HPos, VPos},
};

use super::text::Shown;
use crate::report::model::{Chart, ChartKind};

/// As many series have a colour of their own; after that they come again.
pub(super) const COLOURS: usize = 6;
/// The drawing's size, in its own units.
const WIDTH: f32 = 720.0;
const HEIGHT: f32 = 200.0;
const FONT_SIZE: f32 = 11.0;
/// plotters counts in whole pixels; a unit has this many.
const FINE: f32 = 10.0;
/// How wide a character is, as a share of the size of letters: rather too wide.
const CHARACTER: f32 = 0.55;
/// How much of a label's share of the axis its bars take.
const BARS: f64 = 0.72;
/// Longer labels are cut; the table has them whole.
const LABEL_CHARACTERS: usize = 24;

/// Shapes, in units of which the drawing has `width` by `height`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawing {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) shapes: Vec<Shape>,
}

/// A shape. Coordinates grow to the right and downwards.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A line of the axis or, fainter, of the grid.
    Line {
        from: (f32, f32),
        to: (f32, f32),
        is_axis: bool,
    },
    /// A bar in the colour of a series.
    Bar {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        colour: usize,
        /// What it stands for.
        title: Shown,
    },
    /// A text on its baseline.
    Label {
        x: f32,
        y: f32,
        anchor: Anchor,
        text: Shown,
    },
}

/// Which part of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

const AXIS: RGBColor = RGBColor(0, 0, 1);
const GRID: RGBColor = RGBColor(0, 0, 2);
const TEXT: RGBColor = RGBColor(0, 0, 3);

/// plotters knows colours only; the renderings give them their meaning.
fn of_series(index: usize) -> RGBColor {
    RGBColor(1, u8::try_from(index % COLOURS).unwrap_or(0), 0)
}

/// Draws a chart; `None` where nothing is above zero.
pub(super) fn draw(chart: &Chart) -> Option<Drawing> {
    let bars = bars(chart);
    let top = bars.iter().map(|it| it.top).fold(0.0, f64::max);
    if top <= 0.0 || !top.is_finite() {
        return None;
    }
    let mut shapes = Vec::new();
    let recorder = Recorder {
        shapes: &mut shapes,
    };
    // Nothing that is recorded can fail.
    plot(recorder, chart, &bars, top).ok()?;
    let mut titles = bars.into_iter().map(|it| it.title);
    for shape in &mut shapes {
        if let Shape::Bar { title, .. } = shape {
            *title = titles.next()?;
        }
    }
    Some(Drawing {
        width: WIDTH,
        height: HEIGHT,
        shapes,
    })
}

/// What is seen, in words.
pub(super) fn description(chart: &Chart) -> Shown {
    let kind = match chart.kind {
        ChartKind::StackedBars => "Stacked bars",
        ChartKind::Bars => "Bars",
    };
    let span = match chart.labels.as_slice() {
        [] => "without labels".to_owned(),
        [only] => format!("for {only}"),
        [first, .., last] => format!("from {first} to {last}"),
    };
    let series: Vec<_> = chart
        .series
        .iter()
        .map(|series| {
            let highest = series.values.iter().zip(&chart.labels);
            match highest.max_by(|a, b| a.0.total_cmp(b.0)) {
                Some((value, label)) if *value > 0.0 => {
                    format!("{}, at most {} ({label})", series.name, shown(*value))
                }
                _ => format!("{}, none", series.name),
            }
        })
        .collect();
    let unit = &chart.unit;
    Shown::text(&format!(
        "{kind} of {unit} {span}. {}. The table below has the values.",
        series.join("; ")
    ))
}

struct Bar {
    left: f64,
    right: f64,
    bottom: f64,
    top: f64,
    series: usize,
    title: Shown,
}

/// Each value above zero, where a label's place begins at its index and is one wide.
fn bars(chart: &Chart) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (index, label) in chart.labels.iter().enumerate() {
        let left = index as f64 + (1.0 - BARS) / 2.0;
        let mut bottom = 0.0;
        for (series, it) in chart.series.iter().enumerate() {
            let value = it.values.get(index).copied().unwrap_or(0.0);
            if !value.is_finite() || value <= 0.0 {
                continue;
            }
            let bar = |left, right, bottom| Bar {
                left,
                right,
                bottom,
                top: bottom + value,
                series,
                title: Shown::text(&format!("{label}, {}: {}", it.name, shown(value))),
            };
            match chart.kind {
                ChartKind::StackedBars => {
                    bars.push(bar(left, left + BARS, bottom));
                    bottom += value;
                }
                ChartKind::Bars => {
                    let width = BARS / chart.series.len() as f64;
                    let left = left + width * series as f64;
                    bars.push(bar(left, left + width, 0.0));
                }
            }
        }
    }
    bars
}

fn plot(
    recorder: Recorder<'_>,
    chart: &Chart,
    bars: &[Bar],
    top: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let step = step(top);
    // Bounded also where the smallest of numbers makes the step nothing.
    let count = (top / step).ceil().clamp(1.0, 10.0);
    let ticks: Vec<f64> = (0..=count as usize).map(|it| it as f64 * step).collect();
    let widest = ticks.iter().map(|it| shown(*it).chars().count()).max();
    let margin = (widest.unwrap_or(1) as f32 * CHARACTER * FONT_SIZE) + 8.0;

    // Dates may be left out, names may not: they are cut until they fit, as long as something is left of them.
    let room = (WIDTH - margin) / chart.labels.len() as f32;
    let fitting = ((room - 6.0) / (CHARACTER * FONT_SIZE)) as usize;
    let most = match chart.labels.iter().all(|it| is_date(it)) {
        false if fitting >= 5 => fitting.min(LABEL_CHARACTERS),
        _ => LABEL_CHARACTERS,
    };
    let labels: Vec<_> = chart.labels.iter().map(|it| short(it, most)).collect();
    let longest = labels.iter().map(|it| it.chars().count()).max();
    let needed = longest.unwrap_or(1) as f32 * CHARACTER * FONT_SIZE + 6.0;
    // Every so many labels fit beside each other.
    let every = (needed / room).ceil().max(1.0) as usize;
    let places: Vec<f64> = (0..labels.len())
        .step_by(every)
        .map(|it| it as f64 + 0.5)
        .collect();
    // The last one is wider than its bar.
    let overhang = ((needed - room) / 2.0).max(2.0);

    let area = recorder.into_drawing_area();
    let x = Axis {
        end: labels.len() as f64,
        points: places,
    };
    let y = Axis {
        end: count * step,
        points: ticks,
    };
    let mut context = ChartBuilder::on(&area)
        .margin_top(fine(8.0))
        .margin_right(fine(overhang))
        .set_label_area_size(LabelAreaPosition::Left, fine(margin))
        .set_label_area_size(LabelAreaPosition::Bottom, fine(20.0))
        .build_cartesian_2d(x, y)?;
    context
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(AXIS)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", FONT_SIZE * FINE, &TEXT))
        .set_all_tick_mark_size(fine(3.0))
        .x_label_formatter(&|at| labels.get(*at as usize).cloned().unwrap_or_default())
        .y_label_formatter(&|at| shown(*at))
        .draw()?;
    context.draw_series(bars.iter().map(|bar| {
        Rectangle::new(
            [(bar.left, bar.top), (bar.right, bar.bottom)],
            of_series(bar.series).filled(),
        )
    }))?;
    area.present()?;
    Ok(())
}

fn fine(units: f32) -> u32 {
    (units * FINE) as u32
}

fn is_date(label: &str) -> bool {
    label.parse::<jiff::civil::Date>().is_ok()
}

/// A label that leaves room to others.
fn short(label: &str, most: usize) -> String {
    let label = Shown::text(label).as_str().replace('\n', " ");
    if label.chars().count() <= most {
        return label;
    }
    let mut cut: String = label.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

/// The distance of grid lines: 1, 2 or 5 times a power of ten, such that there are at most five; at least 1 where whole things are counted.
fn step(top: f64) -> f64 {
    let rough = top / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    let step = steps.into_iter().find(|it| *it >= rough).unwrap_or(rough);
    if top >= 1.0 { step.max(1.0) } else { step }
}

fn shown(value: f64) -> String {
    // 0.1 + 0.2 is not what a label shows.
    let rounded = (value * 1e6).round() / 1e6;
    serde_json::Number::from_f64(rounded).map_or_else(String::new, |it| super::text::number(&it))
}

/// An axis from zero on, with labels at just these points.
struct Axis {
    end: f64,
    points: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (value / self.end * f64::from(to - from)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.points.clone()
    }

    fn range(&self) -> Range<f64> {
        0.0..self.end
    }
}

/// plotters' backend that keeps what it is told.
struct Recorder<'a> {
    shapes: &'a mut Vec<Shape>,
}

type Recorded = Result<(), DrawingErrorKind<Infallible>>;

fn place((x, y): BackendCoord) -> (f32, f32) {
    (x as f32 / FINE, y as f32 / FINE)
}

impl DrawingBackend for Recorder<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (fine(WIDTH), fine(HEIGHT))
    }

    fn ensure_prepared(&mut self) -> Recorded {
        Ok(())
    }

    fn present(&mut self) -> Recorded {
        Ok(())
    }

    fn draw_pixel(&mut self, _: BackendCoord, _: BackendColor) -> Recorded {
        // Nothing that is used here is made of pixels.
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Recorded {
        let color = style.color();
        if color.alpha > 0.0 {
            self.shapes.push(Shape::Line {
                from: place(from),
                to: place(to),
                is_axis: color.rgb != (GRID.0, GRID.1, GRID.2),
            });
        }
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        _: bool,
    ) -> Recorded {
        let ((x, y), (right, bottom)) = (place(upper_left), place(bottom_right));
        self.shapes.push(Shape::Bar {
            x,
            y,
            width: right - x,
            height: bottom - y,
            colour: usize::from(style.color().rgb.1),
            title: Shown::text(""),
        });
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Recorded {
        let (x, y) = place(at);
        let anchor = style.anchor();
        // From where the text stands to its baseline.
        let down = match anchor.v_pos {
            VPos::Top => 0.8,
            VPos::Center => 0.35,
            VPos::Bottom => -0.2,
        };
        self.shapes.push(Shape::Label {
            x,
            y: y + down * FONT_SIZE,
            anchor: match anchor.h_pos {
                HPos::Left => Anchor::Start,
                HPos::Center => Anchor::Middle,
                HPos::Right => Anchor::End,
            },
            text: Shown::text(text),
        });
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let width = text.chars().count() as f32 * CHARACTER * FONT_SIZE;
        Ok((fine(width), fine(FONT_SIZE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Series;

    fn chart(kind: ChartKind, values: &[&[f64]]) -> Chart {
        let series = values.iter().enumerate().map(|(index, values)| Series {
            name: format!("s{index}"),
            values: values.to_vec(),
        });
        Chart {
            name: "c".into(),
            title: "C".into(),
            kind,
            unit: "events".into(),
            labels: (1..=values[0].len()).map(|it| format!("l{it}")).collect(),
            series: series.collect(),
        }
    }

    fn bars_of(drawing: &Drawing) -> Vec<(f32, f32, f32, f32, &str)> {
        let bar = |shape| match shape {
            &Shape::Bar {
                x,
                y,
                width,
                height,
                ref title,
                ..
            } => Some((x, y, width, height, title.as_str())),
            _ => None,
        };
        drawing.shapes.iter().filter_map(bar).collect()
    }

    #[test]
    fn heights_are_in_proportion_and_stacks_stand_on_each_other() {
        let chart = chart(ChartKind::StackedBars, &[&[1.0, 0.0], &[2.0, 4.0]]);
        let drawing = draw(&chart).expect("something to draw");
        let bars = bars_of(&drawing);
        let titles: Vec<_> = bars.iter().map(|it| it.4).collect();
        assert_eq!(titles, ["l1, s0: 1", "l1, s1: 2", "l2, s1: 4"]);
        let unit = bars[0].3;
        assert!((bars[1].3 - 2.0 * unit).abs() < 0.3, "{bars:?}");
        assert!((bars[2].3 - 4.0 * unit).abs() < 0.3, "{bars:?}");
        assert!((bars[1].1 + bars[1].3 - bars[0].1).abs() < 0.2, "{bars:?}");
        assert!(bars.iter().all(|it| it.2 > 100.0), "{bars:?}");
    }

    #[test]
    fn bars_beside_each_other_do_not_touch_the_next_label() {
        let chart = chart(ChartKind::Bars, &[&[1.0, 1.0], &[2.0, 2.0], &[3.0, 3.0]]);
        let drawing = draw(&chart).expect("something to draw");
        let bars = bars_of(&drawing);
        for pair in bars.windows(2) {
            assert!(pair[0].0 + pair[0].2 <= pair[1].0 + 0.2, "{bars:?}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_not() {
        for values in [&[&[0.0, 0.0][..]][..], &[&[]], &[&[-1.0, f64::NAN]]] {
            assert_eq!(draw(&chart(ChartKind::Bars, values)), None, "{values:?}");
        }
    }

    #[test]
    fn everything_stays_on_the_canvas() {
        let many = [1e9; 400];
        for values in [
            &[&many[..]][..],
            &[&[0.004, 0.001]],
            &[&[7.0]],
            &[&many, &many],
        ] {
            let drawing = draw(&chart(ChartKind::StackedBars, values)).expect("something");
            for shape in &drawing.shapes {
                let (x, y) = match *shape {
                    Shape::Line { to, .. } => to,
                    Shape::Bar {
                        x,
                        y,
                        width,
                        height,
                        ..
                    } => (x + width, y + height),
                    Shape::Label { x, y, .. } => (x, y),
                };
                assert!((0.0..=WIDTH).contains(&x), "{shape:?}");
                assert!((0.0..=HEIGHT).contains(&y), "{shape:?}");
            }
        }
    }

    #[test]
    fn grid_lines_are_at_round_numbers() {
        for (top, expected) in [(1.0, 1.0), (4.0, 1.0), (7.0, 2.0), (99.0, 20.0), (0.3, 0.1)] {
            assert!((step(top) - expected).abs() < 1e-9, "{top}: {}", step(top));
        }
    }
}
