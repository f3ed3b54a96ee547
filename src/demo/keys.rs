//! The sample's API keys: the same for each organisation, relative to the time at which the sample is made.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use crate::trail::time::stored_text;

/// What the sample's keys are, for each of its organisations.
pub const KEYS: [&str; 7] = [
    "one made 5 days ago, in use",
    "one made 20 days ago and never used",
    "one made 80 days ago: due for rotation within 10 days",
    "one made 120 days ago, still in use: overdue",
    "one made 400 days ago that never expires: overdue, and not used for 200 days",
    "one made 40 days ago that expired yesterday and is still marked active",
    "one made 200 days ago and revoked 100 days ago",
];

/// Days before the sample is made, or after it where negative.
struct Sample {
    name: &'static str,
    created: i64,
    last_used: Option<i64>,
    revoked: Option<i64>,
    expires: Option<i64>,
}

/// In the order of [`KEYS`].
const SAMPLES: [Sample; KEYS.len()] = [
    Sample {
        name: "fresh",
        created: 5,
        last_used: Some(0),
        revoked: None,
        expires: Some(-85),
    },
    Sample {
        name: "never used",
        created: 20,
        last_used: None,
        revoked: None,
        expires: Some(-70),
    },
    Sample {
        name: "reporting",
        created: 80,
        last_used: Some(1),
        revoked: None,
        expires: Some(-10),
    },
    Sample {
        name: "billing",
        created: 120,
        last_used: Some(2),
        revoked: None,
        expires: Some(-245),
    },
    Sample {
        name: "legacy import",
        created: 400,
        last_used: Some(200),
        revoked: None,
        expires: None,
    },
    Sample {
        name: "trial",
        created: 40,
        last_used: Some(3),
        revoked: None,
        expires: Some(1),
    },
    Sample {
        name: "old laptop",
        created: 200,
        last_used: Some(101),
        revoked: Some(100),
        expires: Some(110),
    },
];

/// Adds the keys of `organizations`, made out to users whom the generator has made.
///
/// # Errors
/// If SQLite refuses.
pub(super) fn add(
    connection: &Connection,
    organizations: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    // No key has such a hash: a sample must hold nothing that could be used.
    let mut random = fastrand::Rng::with_seed(0x6b65_7973);
    let mut hex = |digits: usize| -> String {
        (0..digits)
            .map(|_| char::from(b"0123456789abcdef"[random.usize(..16)]))
            .collect()
    };
    let text = |days: i64| {
        let at = now.as_microsecond() - SignedDuration::from_hours(24 * days).as_micros() as i64;
        stored_text(at)
    };
    let mut insert = connection.prepare(
        "INSERT INTO apikey (key_hash, key_preview, organization_id, user_id, name, is_active, created_at, last_used_at, \
         revoked_at, expires_at, rotation_required) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0)",
    )?;
    for organization in 1..=organizations {
        for (number, sample) in (0..).zip(&SAMPLES) {
            insert.execute((
                hex(64),
                format!("qwed_live_****{}", hex(4)),
                organization,
                organization * 100 + number,
                sample.name,
                sample.revoked.is_none(),
                text(sample.created),
                sample.last_used.map(text),
                sample.revoked.map(text),
                sample.expires.map(text),
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::make_sample,
        keys::{Policy, check, report::Status},
        qwed::url::DatabaseUrl,
    };

    #[test]
    fn are_what_the_text_says() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("sample.db");
        let now: Timestamp = "2026-11-23T02:00:00Z".parse().expect("a time");
        make_sample(&path, now).expect("make the sample");
        let url = DatabaseUrl::Sqlite(path);
        let report = check(&url, None, Policy::default(), &[], now).expect("check");
        assert_eq!(report.organizations.len(), 3);
        for organization in &report.organizations {
            let counts = organization.counts;
            assert_eq!((counts.active, counts.revoked, counts.inactive), (6, 1, 0));
            assert_eq!((counts.overdue, counts.expired_but_active), (2, 1));
            assert_eq!((counts.due_soon, counts.ok), (1, 2));
            assert_eq!((counts.never_used, counts.dormant), (1, 1));
        }
        let ages: Vec<_> = report
            .findings
            .iter()
            .map(|f| (f.status, f.age_days))
            .collect();
        assert_eq!(ages[0], (Status::Overdue, Some(400)));
        assert_eq!(ages[3], (Status::Overdue, Some(120)));
        assert!(report.findings.iter().all(|f| f.preview.len() == 18));
        // Everyone whom a key was made out to exists.
        let connection = Connection::open(directory.path().join("sample.db")).expect("open");
        let broken: i64 = connection
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", (), |row| {
                row.get(0)
            })
            .expect("check");
        assert_eq!(broken, 0);
    }
}
