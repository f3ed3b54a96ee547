//! What vouches for the trails: anchors, backups, and drills that show that backups are worth something.

use askama::Template;
use axum::{body::Body, http::StatusCode, response::Response};
use indicatif::DecimalBytes;
use serde_json::Value;

use super::shell::{Badge, Moment, Shell, Tone, grouped, page};
use crate::{
    anchor,
    http::{Call, Fault, body::typed},
    ledger::{self, Act},
    state::{archive::ArchiveManifest, ledger::LedgerRow},
};

const HERE: &str = "/status/archive";
/// Anchors and drills that are listed.
const LISTED: u32 = 20;

#[derive(Template)]
#[template(path = "http/pages/archive.html")]
struct Page {
    shell: Shell,
    backup: Option<Backup>,
    totals: Vec<(String, String, String)>,
    /// Why, how many objects, and one of them.
    not_locked: Vec<(String, i64, String)>,
    drills: Vec<Drill>,
    anchors: Vec<Anchor>,
}

struct Backup {
    number: i64,
    made_at: Moment,
    kept_until: Moment,
    stored: Badge<'static>,
}

struct Drill {
    at: Moment,
    outcome: Badge<'static>,
    manifest: String,
    seconds: String,
}

struct Anchor {
    number: i64,
    made_at: Moment,
    organizations: i64,
    entries: String,
}

pub(super) async fn show(call: Call) -> Result<Response, Fault> {
    let store = &call.api.store;
    let now = call.api.now();
    let newest = store.newest_archive_manifest().await?;
    let not_locked = store.unlocked_archive_reasons().await?;
    let mut backup = None;
    if let Some(newest) = newest {
        let unlocked = not_locked.iter().map(|(_, objects, _)| objects).sum();
        let (tone, word) = standing(&newest, unlocked);
        backup = Some(Backup {
            number: newest.number,
            made_at: Moment::micros(newest.made_at, now),
            kept_until: Moment::micros(newest.retain_until, now),
            stored: Badge { tone, word },
        });
    }
    let totals = store.archive_totals().await?.into_iter();
    let totals = totals.map(|(kind, objects, bytes)| {
        (
            kind,
            grouped(objects),
            DecimalBytes(bytes.unsigned_abs()).to_string(),
        )
    });
    let drills = store.newest_ledger(Some(Act::Drill.name()), LISTED).await?;
    let anchors = store.anchors_before(i64::MAX, LISTED).await?.into_iter();
    let anchors = anchors.map(|run| Anchor {
        number: run.number,
        made_at: Moment::micros(run.made_at, now),
        organizations: run.organizations,
        entries: grouped(run.entries),
    });
    let shown = Page {
        shell: Shell::new(&call, HERE, "Anchors and archive"),
        backup,
        totals: totals.collect(),
        not_locked,
        drills: drills.iter().map(|row| drill(row, now)).collect(),
        anchors: anchors.collect(),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// How the newest backup stands, with `unlocked` objects of any backup that are not locked as configured. Some stores do not say
/// whether they lock; what is known is that no problem was noted.
pub(super) fn standing(newest: &ArchiveManifest, unlocked: i64) -> (Tone, &'static str) {
    match (newest.stored_at, unlocked) {
        (None, _) => (Tone::Bad, "not stored"),
        (_, 0) => (Tone::Good, "stored; no problem with locks is known"),
        _ => (
            Tone::Doubtful,
            "stored; objects are not locked as configured",
        ),
    }
}

fn drill(row: &LedgerRow, now: jiff::Timestamp) -> Drill {
    let detail = ledger::detail(row);
    let (tone, word) = match detail["passed"] == true {
        true => (Tone::Good, "passed"),
        false => (Tone::Bad, "did not pass"),
    };
    let text = |value: &Value| {
        value
            .as_i64()
            .map_or_else(|| "none".to_owned(), |it| it.to_string())
    };
    Drill {
        at: Moment::micros(row.at, now),
        outcome: Badge { tone, word },
        manifest: text(&detail["manifest"]),
        seconds: detail["recovery_seconds"]
            .as_f64()
            .map_or_else(String::new, |it| format!("{it:.1} s")),
    }
}

fn text(body: String) -> Response {
    typed(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        Body::from(body),
    )
}

/// The signed inventory of an anchor, as it has to be kept elsewhere.
pub(super) async fn anchor(call: Call) -> Result<Response, Fault> {
    let number = call.placeholder("number").parse::<i64>().ok();
    let unknown = || Fault::not_found("there is no such anchor");
    let number = number
        .filter(|number| *number < i64::MAX)
        .ok_or_else(unknown)?;
    let mut runs = call.api.store.anchors_before(number + 1, 1).await?;
    let run = runs
        .pop()
        .filter(|run| run.number == number)
        .ok_or_else(unknown)?;
    Ok(text(run.note))
}

/// The keys that anchors are verified with, one a line.
pub(super) async fn public_keys(call: Call) -> Result<Response, Fault> {
    let config = &call.api.services.config;
    let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys);
    let keys =
        keys.map_err(|error| Fault::failed("the anchor keys cannot be read", &error.into()))?;
    Ok(text(keys.iter().map(|key| format!("{key}\n")).collect()))
}
