use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn sizes(sizes: &[u64]) -> Sizes {
    (1..).zip(sizes.iter().copied()).collect()
}

fn run(at: i64, sizes: &Sizes, slice: Option<Vec<Reach>>) -> Checked {
    Checked {
        began_at: at,
        ended_at: at,
        anchor: 1,
        sizes: sizes.clone(),
        slice,
    }
}

fn whole(at: i64, sizes: &Sizes) -> Coverage {
    Coverage::after(None, &run(at, sizes, None)).expect("everything was checked")
}

/// A night's slice, and its tiles.
fn night(coverage: &mut Coverage, sizes: &Sizes, now: i64, days: u32) -> Vec<Tiles> {
    let slice = coverage.slice(sizes, now, days);
    let tiles = slice.iter().flat_map(|reach| reach.tiles(sizes)).collect();
    let after = Coverage::after(Some(coverage.clone()), &run(now, sizes, Some(slice)));
    *coverage = after.expect("something was known");
    tiles
}

fn places(tiles: &[Tiles]) -> Vec<(i64, u64)> {
    let places = tiles
        .iter()
        .flat_map(|tiles| (tiles.first..tiles.end).map(|tile| (tiles.organization_id, tile)));
    places.collect()
}

#[test]
fn seven_nights_cover_everything_in_equal_slices() {
    let sizes = sizes(&[100, 70_000, 0, 256, 513, 20_000]);
    let total: u64 = sizes.values().sum();
    let mut coverage = whole(0, &sizes);
    let mut seen = BTreeSet::new();
    let mut read = 0;
    for day in 1..=7 {
        let tiles = night(&mut coverage, &sizes, day * DAY, 7);
        let entries: u64 = tiles.iter().map(|tiles| tiles.entries(&sizes)).sum();
        assert!(
            (total / 7..=total / 7 + 2 * WIDTH).contains(&entries),
            "night {day}: {entries}"
        );
        read += entries;
        let places = places(&tiles);
        if day < 7 {
            assert!(places.iter().all(|place| seen.insert(*place)), "twice");
        } else {
            seen.extend(places);
        }
        assert_eq!(coverage.entries(day * DAY, 7), (total, total));
    }
    let all: u64 = sizes.values().map(|size| size.div_ceil(WIDTH)).sum();
    assert_eq!(seen.len() as u64, all);
    assert!(read <= total + 7 * WIDTH);
    assert_eq!(coverage.oldest().map(|span| span.checked_at), Some(DAY));
    // The last slice begins the next round, since slices are rounded up to tiles.
    assert_eq!(coverage.last_round, (0, 7 * DAY));
    assert_eq!(coverage.round_began_at, 7 * DAY);
    assert!(coverage.spans.len() <= 9, "{:?}", coverage.spans);
}

#[test]
fn what_was_missed_is_made_up_for() {
    let sizes = sizes(&[100_000, 100_000]);
    let mut coverage = whole(0, &sizes);
    let entries = |tiles: &[Tiles]| -> u64 { tiles.iter().map(|it| it.entries(&sizes)).sum() };
    let one = entries(&night(&mut coverage, &sizes, DAY, 7));
    let three = entries(&night(&mut coverage, &sizes, 4 * DAY, 7));
    assert!(three.abs_diff(3 * one) <= 3 * WIDTH, "{one} {three}");
    assert_eq!(entries(&night(&mut coverage, &sizes, 40 * DAY, 7)), 200_000);
}

#[test]
fn a_clock_that_ran_ahead_has_everything_checked_again() {
    let sizes = sizes(&[10_000]);
    let mut coverage = whole(400 * DAY, &sizes);
    assert_eq!(coverage.entries(DAY, 7), (10_000, 0));
    let tiles = night(&mut coverage, &sizes, DAY, 7);
    assert_eq!(places(&tiles).len(), 40);
    assert_eq!(coverage.entries(DAY, 7), (10_000, 10_000));
    assert_eq!(coverage.ran_at, DAY);
}

#[test]
fn a_slice_of_what_is_no_longer_known_is_nothing() {
    let sizes = sizes(&[10]);
    assert_eq!(Coverage::after(None, &run(5, &sizes, Some(vec![]))), None);
}

#[test]
fn ranges_of_tiles_are_joined_and_cut() {
    let of = |organization_id, first, end| Tiles {
        organization_id,
        first,
        end,
    };
    let joined = union(vec![
        of(2, 0, 3),
        of(1, 4, 9),
        of(1, 0, 4),
        of(2, 7, 8),
        of(2, 2, 5),
    ]);
    assert_eq!(joined, [of(1, 0, 9), of(2, 0, 5), of(2, 7, 8)]);
    let parts: Vec<_> = of(1, 3, 8).parts(2).collect();
    assert_eq!(parts, [of(1, 3, 5), of(1, 5, 7), of(1, 7, 8)]);
    let former = sizes(&[100, 512, 600]);
    let now = sizes(&[100, 513, 1000, 1]);
    assert_eq!(
        grown(&former, &now),
        [of(2, 2, 3), of(3, 2, 4), of(4, 0, 1)]
    );
}

proptest! {
    /// However trails grow and whenever runs come, after each of them nothing is left that was not checked for days.
    #[test]
    fn nothing_is_left_unchecked(
        start in prop::collection::vec(0..3000_u64, 1..5),
        runs in prop::collection::vec((1..3 * DAY, 0..6_usize, 0..4000_u64), 1..40),
        days in 1..10_u32,
    ) {
        let mut sizes = sizes(&start);
        let mut coverage = whole(0, &sizes);
        // Of each tile, when it was really checked; of a new one, when it came.
        let mut checked: BTreeMap<(i64, u64), i64> = BTreeMap::new();
        let mut now = 0;
        let mut former = sizes.clone();
        for (pause, organization, more) in runs {
            now += pause;
            *sizes.entry(organization as i64).or_default() += more;
            for (&id, &size) in &sizes {
                for tile in 0..size.div_ceil(WIDTH) {
                    let was = former.get(&id).is_some_and(|&size| tile < size.div_ceil(WIDTH));
                    checked.entry((id, tile)).or_insert(if was { 0 } else { now });
                }
            }
            former = sizes.clone();
            for place in places(&night(&mut coverage, &sizes, now, days)) {
                checked.insert(place, now);
            }
            for (place, &at) in &checked {
                prop_assert!(at > now - i64::from(days) * DAY, "{place:?} at {at}, now {now}");
                let known = coverage.spans.iter().rfind(|span| (span.from.organization_id, span.from.tile) <= *place);
                prop_assert!(known.expect("a span").checked_at <= at, "it passes for checked later than it was");
            }
            let (total, covered) = coverage.entries(now, days);
            prop_assert_eq!((total, covered), (sizes.values().sum(), total));
            prop_assert_eq!(coverage.spans[0].from, Place::FIRST);
            prop_assert!(coverage.spans.is_sorted_by(|a, b| a.from < b.from && a.checked_at != b.checked_at));
        }
    }
}
