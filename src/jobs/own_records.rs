//! What this program itself holds about the subject of an export: consents, requests for erasure, legal holds.
//!
//! They are read in pages, as QWED's tables are. Left out: who worked on a request or placed a hold, since that is about other
//! people; and consents that name their subject otherwise than by a user's id or e-mail address, as nobody can tell whose they
//! are. An export of the whole organisation has them.

use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::{
    consent::{Record, Subject},
    export::{ExportError, OwnRecords, Target, Words},
    holds::{self, Hold},
    qwed::tables::Cell,
    state::{Store, consents::ConsentRow, erasures::ErasureRow},
};

/// Records that are read at a time.
const PAGE: u32 = 200;

/// All lists about the target, as of `now`. `handle` is of a runtime that goes on while the thread that reads them waits.
pub(crate) fn about(
    target: &Target,
    store: &Store,
    handle: &Handle,
    now: Timestamp,
) -> Vec<Box<dyn OwnRecords>> {
    let desk = Desk {
        store: store.clone(),
        handle: handle.clone(),
        organization_id: target.organization_id(),
        user_id: target.user_id(),
    };
    vec![
        Box::new(Consents {
            subjects: subjects(target),
            after: 0,
            desk: desk.clone(),
        }),
        Box::new(Erasures {
            after: String::new(),
            desk: desk.clone(),
        }),
        Box::new(Holds {
            now,
            is_read: false,
            desk,
        }),
    ]
}

/// Where the records of a target are looked for.
#[derive(Clone)]
struct Desk {
    store: Store,
    handle: Handle,
    organization_id: i64,
    /// None: everybody of the organisation.
    user_id: Option<i64>,
}

/// What records may call the target; none if it is the whole organisation.
fn subjects(target: &Target) -> Option<Vec<(&'static str, String)>> {
    match target {
        Target::Organization(_) => None,
        Target::User(user) => {
            let email = user.email.clone().map(Subject::Email);
            let names = [Some(Subject::User(user.user_id)), email];
            Some(names.iter().flatten().map(Subject::key).collect())
        }
    }
}

struct Consents {
    desk: Desk,
    subjects: Option<Vec<(&'static str, String)>>,
    /// The place of the record that was read last.
    after: i64,
}

impl OwnRecords for Consents {
    fn name(&self) -> &'static str {
        "consents"
    }

    fn words(&self) -> Words {
        Words {
            title: "Consents",
            what: "What was agreed to and what was taken back, for which purpose, and when. Hashes and signatures show that a record was \
                   not changed later.",
            why: "To be able to show that there was consent, and to heed its withdrawal.",
            how_long: "As long as it may have to be shown that there was consent, or that it was withdrawn.",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "organization_id",
            "sequence",
            "record_id",
            "subject",
            "status",
            "consent_type",
            "purposes",
            "privacy_notice",
            "notice_version",
            "channel",
            "evidence",
            "said_at",
            "recorded_at",
            "statement",
            "entry_hash",
            "previous_hash",
            "hmac_signature",
        ]
    }

    fn time_field(&self) -> Option<&'static str> {
        Some("recorded_at")
    }

    fn next_page(&mut self) -> Result<Vec<Vec<Cell>>, ExportError> {
        let Desk {
            store,
            handle,
            organization_id,
            ..
        } = &self.desk;
        let subjects = self.subjects.as_deref();
        let reading = store.consents_about(*organization_id, subjects, self.after, PAGE);
        let rows = handle.block_on(reading)?;
        if let Some(last) = rows.last() {
            self.after = last.sequence;
        }
        Ok(rows.into_iter().map(consent).collect())
    }
}

/// A record that is not what was signed is exported all the same: `statement` has what is stored.
fn consent(row: ConsentRow) -> Vec<Cell> {
    let said = Record::read(&row).ok().map(|record| record.statement);
    let said = said.as_ref();
    let consent_type = said.and_then(|it| serde_json::to_value(it.consent_type?).ok());
    let purposes = said.map(|it| it.purposes.join("; "));
    vec![
        Cell::Integer(row.organization_id),
        Cell::Integer(row.sequence),
        text(row.record_id),
        text(row.subject),
        text(row.status),
        maybe(consent_type.as_ref().and_then(|it| it.as_str())),
        maybe(purposes.as_deref().filter(|it| !it.is_empty())),
        maybe(said.and_then(|it| it.privacy_notice.as_deref())),
        maybe(said.and_then(|it| it.notice_version.as_deref())),
        maybe(said.and_then(|it| it.channel.as_deref())),
        maybe(said.and_then(|it| it.evidence.as_deref())),
        maybe(said.and_then(|it| it.time.as_deref())),
        time(Some(row.recorded_at)),
        text(row.query),
        text(row.entry_hash),
        maybe(row.previous_hash.as_deref()),
        text(row.hmac_signature),
    ]
}

struct Erasures {
    desk: Desk,
    /// The id of the request that was read last.
    after: String,
}

impl OwnRecords for Erasures {
    fn name(&self) -> &'static str {
        "erasure_requests"
    }

    fn words(&self) -> Words {
        Words {
            title: "Requests for erasure",
            what: "Requests to erase these data, when they were made, and how far they are.",
            why: "To carry them out in time and to be able to show it.",
            how_long: "As long as it may have to be shown that they were carried out. Neither name nor address is in them.",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "id",
            "organization_id",
            "user_id",
            "reference",
            "reason",
            "state",
            "note",
            "requested_at",
            "received_at",
            "due_at",
            "extension",
            "approved_at",
            "completed_at",
            "certificate",
        ]
    }

    fn time_field(&self) -> Option<&'static str> {
        Some("received_at")
    }

    fn next_page(&mut self) -> Result<Vec<Vec<Cell>>, ExportError> {
        let Desk {
            store,
            handle,
            organization_id,
            user_id,
        } = &self.desk;
        let reading = store.erasures_about(*organization_id, *user_id, &self.after, PAGE);
        let rows = handle.block_on(reading)?;
        if let Some(last) = rows.last() {
            self.after.clone_from(&last.id);
        }
        Ok(rows.into_iter().map(erasure).collect())
    }
}

fn erasure(row: ErasureRow) -> Vec<Cell> {
    vec![
        text(row.id),
        Cell::Integer(row.organization_id),
        Cell::Integer(row.user_id),
        maybe(row.reference.as_deref()),
        maybe(row.reason.as_deref()),
        text(row.state),
        maybe(row.note.as_deref()),
        time(Some(row.requested_at)),
        time(Some(row.received_at)),
        time(Some(row.due_at)),
        maybe(row.extension.as_deref()),
        time(row.approved_at),
        time(row.completed_at),
        maybe(row.certificate.as_deref()),
    ]
}

struct Holds {
    desk: Desk,
    now: Timestamp,
    is_read: bool,
}

impl OwnRecords for Holds {
    fn name(&self) -> &'static str {
        "legal_holds"
    }

    fn words(&self) -> Words {
        Words {
            title: "Legal holds",
            what: "That data must not be erased for the time being, why, and until when.",
            why: "To keep what a law or a legal claim requires.",
            how_long: "For good: it may have to be shown later why something was not erased.",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "id",
            "organization_id",
            "user_id",
            "standing",
            "reason",
            "placed_at",
            "until",
            "released_at",
            "release_reason",
        ]
    }

    fn time_field(&self) -> Option<&'static str> {
        Some("placed_at")
    }

    /// All at once: there are few, and those of others are among what is read.
    fn next_page(&mut self) -> Result<Vec<Vec<Cell>>, ExportError> {
        if std::mem::replace(&mut self.is_read, true) {
            return Ok(Vec::new());
        }
        let Desk {
            store,
            handle,
            organization_id,
            user_id,
        } = &self.desk;
        let holds = handle.block_on(holds::all(store, Some(*organization_id), self.now))?;
        let of_target = holds
            .into_iter()
            .filter(|hold| user_id.is_none() || hold.user_id == *user_id);
        Ok(of_target.map(hold).collect())
    }
}

fn hold(hold: Hold) -> Vec<Cell> {
    let micros = |time: Timestamp| time.as_microsecond();
    let release = hold.release.as_ref();
    vec![
        text(hold.id),
        Cell::Integer(hold.organization_id),
        hold.user_id.map_or(Cell::Null, Cell::Integer),
        text(hold.standing.name().to_owned()),
        text(hold.reason),
        time(Some(micros(hold.placed_at))),
        time(hold.until.map(micros)),
        time(release.map(|release| micros(release.at))),
        maybe(release.map(|release| release.reason.as_str())),
    ]
}

fn text(text: String) -> Cell {
    Cell::Text(text.into_bytes())
}

fn maybe(text: Option<&str>) -> Cell {
    text.map_or(Cell::Null, |text| Cell::Text(text.into()))
}

/// Such that the texts sort as the times do.
fn time(micros: Option<i64>) -> Cell {
    let time = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    time.map_or(Cell::Null, |time| text(format!("{time:.6}")))
}
