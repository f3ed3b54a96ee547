//! Requests as people read them.

use std::io::{self, Write};

use indicatif::HumanCount;

use crate::{
    cli::{
        table::{table, visible},
        text::{BAD, DOUBTFUL, FAINT, GOOD, count},
    },
    erasure::{Plan, Replayed, Request, State},
};

/// Names that are printed of a list.
const LISTED: usize = 5;

pub(super) fn request(out: &mut dyn Write, request: &Request) -> io::Result<()> {
    let style = match request.state {
        State::Completed => GOOD,
        State::Rejected | State::Cancelled => FAINT,
        State::OnHold | State::AwaitingApproval | State::WaitingForHead => DOUBTFUL,
        _ => FAINT,
    };
    let (id, state) = (&request.id, request.state);
    writeln!(out, "request {id}: {style}{state}{style:#}")?;
    if let Some(note) = &request.note {
        writeln!(out, "  {}", visible(note))?;
    }
    let (user, organization) = (request.user_id, request.organization_id);
    writeln!(
        out,
        "  user {user} of organisation {organization}, asked for by {}",
        visible(&request.requester)
    )?;
    writeln!(
        out,
        "  made {}, to be done by {}{}",
        day(request.requested_at),
        day(request.due_at),
        match &request.extension {
            Some(why) => format!(" (prolonged: {})", visible(why)),
            None => String::new(),
        }
    )?;
    if let (Some(by), Some(at)) = (&request.approved_by, request.approved_at) {
        writeln!(out, "  approved {} by {}", day(at), visible(by))?;
    }
    if request.state.has_begun() {
        for (name, done) in &request.progress.tables {
            for done in done {
                writeln!(out, "  {name}: {} {}", rows(done.rows), done.manner)?;
            }
        }
        if request.progress.destroyed_keys > 0 {
            writeln!(
                out,
                "  archive: {} destroyed",
                count(request.progress.destroyed_keys, "key")
            )?;
        }
    } else if let Some(found) = &request.plan {
        plan(out, found)?;
    }
    next(out, request)
}

fn plan(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let entries = &plan.entries;
    let how = match plan.policy.entries {
        crate::config::EraseEntries::Anonymise => "anonymised",
        crate::config::EraseEntries::Delete => "deleted",
    };
    writeln!(
        out,
        "  verificationlog: {} {how}, of the organisation's {}",
        rows(entries.rows),
        HumanCount(entries.of)
    )?;
    if let Some(newest) = entries.newest {
        writeln!(
            out,
            "    entry {newest} is the organisation's newest and waits until another follows"
        )?;
    }
    if entries.faulty > 0 {
        writeln!(
            out,
            "    {DOUBTFUL}{} of them fail their checks{DOUBTFUL:#}: they go on being reported, but what they hold is gone",
            HumanCount(entries.faulty)
        )?;
    }
    for it in &plan.tables {
        if it.rows > 0 {
            writeln!(out, "  {}: {} {}", it.table, rows(it.rows), it.manner)?;
        }
    }
    for hold in &plan.holds {
        writeln!(
            out,
            "  {DOUBTFUL}held{DOUBTFUL:#}: {}: {}",
            hold.id,
            visible(&hold.reason)
        )?;
    }
    let archive = &plan.archive;
    if archive.segments > 0 {
        let until = archive.locked_until.map_or_else(String::new, |until| {
            format!(", locked until {}", day(until))
        });
        writeln!(
            out,
            "  archive: {} can hold the subject's fields{until}; {} to them destroyed",
            count(archive.segments, "segment"),
            match archive.keys {
                1 => "the key".to_owned(),
                keys => format!("{keys} keys"),
            }
        )?;
    }
    let mentions = &plan.mentions;
    if mentions.entries > 0 {
        let list: Vec<String> = mentions
            .ids
            .iter()
            .take(LISTED)
            .map(i64::to_string)
            .collect();
        writeln!(
            out,
            "  {DOUBTFUL}mentioned{DOUBTFUL:#} in {} of others, which are not touched: {}{}",
            count(mentions.entries, "entry"),
            list.join(", "),
            if mentions.entries as usize > list.len() {
                ", …"
            } else {
                ""
            }
        )?;
    }
    writeln!(out, "  about {} s", plan.estimate_seconds)
}

/// What to do next.
fn next(out: &mut dyn Write, request: &Request) -> io::Result<()> {
    let id = &request.id;
    match (request.state, &request.plan_digest) {
        (State::AwaitingApproval, Some(digest)) => {
            let short = digest.get(..12).unwrap_or(digest);
            writeln!(out, "  plan {digest}")?;
            writeln!(out, "  next: trailkeeper erase approve {id} --plan {short}")
        }
        (State::Received | State::Planned, _) => {
            writeln!(out, "  next: trailkeeper erase plan {id}")
        }
        (State::Approved | State::Executing, _) => {
            writeln!(
                out,
                "  next: trailkeeper erase execute {id}, or the worker within ten minutes"
            )
        }
        (State::WaitingForHead, _) => {
            writeln!(out, "  next: nothing; the worker goes on by itself")
        }
        (State::Completed, _) => writeln!(out, "  next: trailkeeper erase certificate {id}"),
        _ => Ok(()),
    }
}

pub(super) fn list(out: &mut dyn Write, requests: &[Request]) -> io::Result<()> {
    if requests.is_empty() {
        return writeln!(out, "no requests");
    }
    let row = |request: &Request| {
        [
            request.id.as_str().into(),
            request.state.name().into(),
            request.organization_id.to_string().into(),
            request.user_id.to_string().into(),
            day(request.requested_at).into(),
            day(request.due_at).into(),
            request.reference.clone().unwrap_or_default().into(),
        ]
    };
    let rows: Vec<_> = requests.iter().map(row).collect();
    let head = [
        "REQUEST",
        "STATE",
        "ORGANISATION",
        "USER",
        "MADE",
        "DUE",
        "REFERENCE",
    ];
    table(out, head, &rows)
}

pub(super) fn replayed(out: &mut dyn Write, replayed: &Replayed) -> io::Result<()> {
    for problem in &replayed.problems {
        writeln!(out, "{BAD}tombstone_invalid{BAD:#}: {}", visible(problem))?;
    }
    if replayed.left > 0 {
        writeln!(
            out,
            "{BAD}{} not erased again yet{BAD:#}: the newest of an organisation has to wait; replay once more when another follows",
            count(replayed.left, "entry")
        )?;
    }
    writeln!(
        out,
        "{} replayed: {}, {} and {} of other tables erased again",
        count(replayed.erasures, "erasure"),
        count(replayed.entries, "entry"),
        count(replayed.users, "user"),
        rows(replayed.rows)
    )
}

fn rows(rows: u64) -> String {
    count(rows, "row")
}

fn day(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}
