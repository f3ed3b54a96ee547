//! The timeline of a trail: a mark a day for what verifications said, and one for anchors.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::shell::{Tone, tone_of_verdict};

/// Days that are shown, today included.
pub(super) const DAYS: usize = 90;
const STEP: usize = 8;

/// What happened, as [`Strip`] is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happened {
    /// A verification ended with this verdict.
    Verified(String),
    /// An anchor was signed.
    Anchored,
}

/// A day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) x: usize,
    /// The worst verdict; none where nothing was verified.
    pub(super) verified: Option<Tone>,
    pub(super) is_anchored: bool,
    /// What is shown to whoever points at it.
    pub(super) title: String,
}

impl Day {
    pub(super) fn class(&self) -> &'static str {
        self.verified.map_or("gap", Tone::class)
    }
}

/// The timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) days: Vec<Day>,
    pub(super) width: usize,
    pub(super) first: String,
    pub(super) last: String,
    /// The same in a sentence.
    pub(super) description: String,
}

/// When the first of the days began whose last one is that of `now`.
pub(super) fn start(now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400;
    let today = now.as_second().div_euclid(DAY) * DAY;
    let today = Timestamp::from_second(today).unwrap_or(now);
    today - SignedDuration::from_hours(24 * (DAYS as i64 - 1))
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

impl Strip {
    /// Makes it of what happened.
    pub(super) fn of(happened: &[(Timestamp, Happened)], now: Timestamp) -> Self {
        let mut days: BTreeMap<String, (usize, usize, Option<Tone>)> = BTreeMap::new();
        for (at, what) in happened {
            let (verified, anchored, worst) = days.entry(date(*at)).or_default();
            match what {
                Happened::Verified(verdict) => {
                    *verified += 1;
                    *worst = (*worst).max(Some(tone_of_verdict(verdict)));
                }
                Happened::Anchored => *anchored += 1,
            }
        }
        let day = |index: usize| {
            let at = start(now) + SignedDuration::from_hours(24 * index as i64);
            let date = date(at);
            let (verified, anchored, worst) = days.get(&date).copied().unwrap_or_default();
            let word = match worst {
                None => "not verified".to_owned(),
                Some(tone) => {
                    let verdict = match tone {
                        Tone::Good => "intact",
                        Tone::Doubtful => "incomplete",
                        _ => "tampered",
                    };
                    format!("{verdict} ({verified} verifications)")
                }
            };
            Day {
                x: index * STEP,
                verified: worst,
                is_anchored: anchored > 0,
                title: format!("{date}: {word}, {anchored} anchors"),
            }
        };
        let days: Vec<Day> = (0..DAYS).map(day).collect();
        let count = |tone| days.iter().filter(|it| it.verified == tone).count();
        let description = format!(
            "Of the last {DAYS} days, the trail was verified on {}: intact on {}, incomplete on {}, tampered on {}. Anchors were signed \
             on {}.",
            DAYS - count(None),
            count(Some(Tone::Good)),
            count(Some(Tone::Doubtful)),
            count(Some(Tone::Bad)),
            days.iter().filter(|it| it.is_anchored).count(),
        );
        Self {
            width: DAYS * STEP,
            first: date(start(now)),
            last: date(now),
            days,
            description,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_shows_its_worst_verdict() {
        let now: Timestamp = "2026-11-23T00:30:00Z".parse().expect("a time");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let verified = |verdict: &str| Happened::Verified(verdict.to_owned());
        let strip = Strip::of(
            &[
                (at("2026-11-23T00:10:00Z"), verified("intact")),
                (at("2026-11-22T23:59:59Z"), verified("tampered")),
                (at("2026-11-22T01:00:00Z"), verified("intact")),
                (at("2026-11-21T01:00:00Z"), Happened::Anchored),
                (at("2026-08-26T00:00:00Z"), verified("incomplete")),
                (at("2020-01-01T00:00:00Z"), verified("tampered")),
            ],
            now,
        );
        let [.., two_ago, yesterday, today] = strip.days.as_slice() else {
            panic!("days");
        };
        assert_eq!((today.class(), today.is_anchored), ("pass", false));
        assert_eq!((yesterday.class(), two_ago.class()), ("fail", "gap"));
        assert!(two_ago.is_anchored);
        assert_eq!(
            yesterday.title,
            "2026-11-22: tampered (2 verifications), 0 anchors"
        );
        assert_eq!(
            (strip.first.as_str(), strip.last.as_str()),
            ("2026-08-26", "2026-11-23")
        );
        assert_eq!(
            strip.description,
            "Of the last 90 days, the trail was verified on 3: intact on 1, incomplete on 1, tampered on 1. Anchors were signed on 1."
        );
    }
}
