//! What a subject consents to now, by their records.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    row::Record,
    statement::{ConsentType, Status},
};

/// Whether somebody consents to a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consent {
    /// What for.
    pub purpose: String,
    /// Whether they do.
    pub status: Status,
    /// Since when.
    pub since: Timestamp,
    /// The record that says so.
    pub record_id: String,
    /// How it was said.
    pub consent_type: Option<ConsentType>,
    /// The version of the notice that they were shown.
    pub notice_version: Option<String>,
    /// Where it was said.
    pub channel: Option<String>,
}

/// What `records`, all of one person's, come to: the newest word on each purpose, by when it was said and not by when it arrived. Of
/// words of the same moment a withdrawal counts. One without a purpose is about all that were ever named.
#[must_use]
pub fn standing(records: &[Record]) -> Vec<Consent> {
    let mut newest: Vec<&Record> = records.iter().collect();
    newest.sort_by_key(|record| {
        let is_withdrawn = record.statement.status == Status::Withdrawn;
        (record.at(), is_withdrawn, record.note.sequence)
    });
    let named = newest.iter().flat_map(|it| &it.statement.purposes);
    let mut consents: BTreeMap<&str, Option<Consent>> =
        named.map(|purpose| (purpose.as_str(), None)).collect();
    for record in newest {
        let statement = &record.statement;
        for (purpose, consent) in &mut consents {
            let is_meant = statement.purposes.is_empty()
                || statement.purposes.iter().any(|named| named == purpose);
            // Who takes back everything takes back what was granted; of what comes to be named later they said nothing.
            let is_known = !statement.purposes.is_empty() || consent.is_some();
            if !is_meant || !is_known {
                continue;
            }
            let since = match consent {
                Some(before) if before.status == statement.status => before.since,
                _ => record.at(),
            };
            *consent = Some(Consent {
                purpose: (*purpose).to_owned(),
                status: statement.status,
                since,
                record_id: statement.record_id.clone(),
                consent_type: statement.consent_type,
                notice_version: statement.notice_version.clone(),
                channel: statement.channel.clone(),
            });
        }
    }
    consents.into_values().flatten().collect()
}

/// Whether a withdrawal takes back something that was granted.
pub(super) fn takes_back(records: &[Record], purposes: &[String]) -> bool {
    standing(records).iter().any(|consent| {
        let is_meant = purposes.is_empty() || purposes.contains(&consent.purpose);
        is_meant && consent.status == Status::Granted
    })
}

#[cfg(test)]
mod tests {
    use super::super::{row::Note, statement::Statement};
    use super::*;

    fn record(sequence: i64, status: Status, purposes: &[&str], at: i64) -> Record {
        let at = Timestamp::from_second(at).expect("a time");
        Record {
            statement: Statement {
                record_id: format!("r-{sequence}"),
                organization_id: 1,
                user_id: Some(5),
                email: None,
                subject: None,
                status,
                consent_type: None,
                purposes: purposes.iter().map(ToString::to_string).collect(),
                privacy_notice: None,
                notice_version: None,
                channel: None,
                evidence: None,
                time: Some(at.to_string()),
            },
            note: Note {
                recorded_by: "a test".to_owned(),
                sequence,
                without_grant: false,
            },
            recorded_at: Timestamp::from_second(1_000_000 + sequence).expect("a time"),
            entry_hash: String::new(),
            previous_hash: None,
            hmac_signature: String::new(),
        }
    }

    fn summary(records: &[Record]) -> Vec<(String, &'static str, i64)> {
        let consents = standing(records).into_iter();
        consents
            .map(|it| (it.purpose, it.status.name(), it.since.as_second()))
            .collect()
    }

    #[test]
    fn the_newest_word_counts_whenever_it_arrives() {
        use Status::{Granted, Withdrawn};
        let granted = record(1, Granted, &["ads", "news"], 100);
        let withdrawn = record(2, Withdrawn, &["ads"], 300);
        let late = record(3, Granted, &["ads"], 200);
        let (ads, news) = ("ads".to_owned(), "news".to_owned());
        assert_eq!(
            summary(&[granted.clone(), withdrawn.clone(), late]),
            [(ads.clone(), "withdrawn", 300), (news, "granted", 100)]
        );
        let same_moment = record(4, Granted, &["ads"], 300);
        assert_eq!(
            summary(&[withdrawn, same_moment]),
            [(ads.clone(), "withdrawn", 300)]
        );
        let again = record(5, Granted, &["ads"], 400);
        assert_eq!(summary(&[granted, again])[0], (ads, "granted", 100));
    }

    #[test]
    fn who_takes_back_everything_takes_back_what_there_is() {
        use Status::{Granted, Withdrawn};
        let granted = record(1, Granted, &["ads"], 100);
        let everything = record(2, Withdrawn, &[], 200);
        let anew = record(3, Granted, &["news"], 300);
        assert!(takes_back(std::slice::from_ref(&granted), &[]));
        assert!(!takes_back(
            std::slice::from_ref(&granted),
            &["news".to_owned()]
        ));
        assert_eq!(
            summary(&[granted, everything.clone(), anew]),
            [
                ("ads".to_owned(), "withdrawn", 200),
                ("news".to_owned(), "granted", 300)
            ]
        );
        assert_eq!(summary(&[everything]), []);
    }
}
