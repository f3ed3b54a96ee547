//! Results as people read them.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use indicatif::HumanCount;

use crate::{
    keys::report::{KeyReport, Status},
    trail::finding::{Finding, Severity, Verdict},
    verify::{
        CoverageReport,
        entry::EntryReport,
        report::{Coverage, ErasedEntries, OrganizationReport, Report},
    },
};

pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const FAINT: Style = Style::new().dimmed();

fn colour(severity: Severity) -> Style {
    match severity {
        Severity::Tampered => BAD,
        Severity::Incomplete | Severity::Warning => DOUBTFUL,
        Severity::Info => FAINT,
    }
}

fn verdict_colour(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Intact => GOOD,
        Verdict::Incomplete => DOUBTFUL,
        Verdict::Tampered => BAD,
    }
}

/// The report: a line an organisation, then what was found, then the verdict.
pub(super) fn report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for organization in &report.organizations {
        organization_line(out, organization, report)?;
        for finding in &organization.findings {
            finding_line(out, finding)?;
        }
        let hidden = organization
            .findings_total
            .saturating_sub(organization.findings.len() as u64);
        if hidden > 0 {
            writeln!(
                out,
                "    and {} more findings (--max-findings)",
                HumanCount(hidden)
            )?;
        }
    }
    for finding in &report.tombstones {
        let style = colour(finding.severity);
        writeln!(
            out,
            "erasure {style}{}{style:#}: {}",
            finding.kind, finding.detail
        )?;
    }
    anchors(out, report)?;
    for finding in &report.findings {
        let style = colour(finding.severity);
        writeln!(
            out,
            "key {:<12} {style}{}{style:#}: {}",
            finding.key_id, finding.kind, finding.detail
        )?;
    }
    if report.keys.len() > 1 {
        for key in &report.keys {
            writeln!(
                out,
                "key {:<12} signed {} entries",
                key.id,
                HumanCount(key.entries)
            )?;
        }
    }
    let style = verdict_colour(report.verdict);
    writeln!(
        out,
        "{style}{}{style:#}: {} of {}, {} in {:.2} s ({}/s)",
        report.verdict,
        count(report.organizations.len() as u64, "organisation"),
        match report.database {
            crate::qwed::Dialect::Sqlite => "a SQLite database",
            crate::qwed::Dialect::Postgresql => "a PostgreSQL database",
        },
        count(report.entries, "entry"),
        report.duration_seconds,
        HumanCount(report.entries_per_second),
    )
}

/// What vouches for the trails' ends, or that nothing does.
fn anchors(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if let Some(anchors) = &report.anchors {
        for finding in &anchors.findings {
            let style = colour(finding.severity);
            writeln!(
                out,
                "anchors {style}{}{style:#}: {}",
                finding.kind, finding.detail
            )?;
        }
        if let (Some(number), Some(time)) = (anchors.number, &anchors.time) {
            if let Some(unread) = anchors.unread_entries {
                let coverage = report.coverage.as_ref();
                if let Some(checked) = coverage.and_then(|coverage| coverage.checked_entries) {
                    writeln!(
                        out,
                        "anchor {number} of {time} covers {}: {} checked in full, {} {FAINT}not read{FAINT:#}",
                        count(unread + checked, "entry"),
                        HumanCount(checked),
                        HumanCount(unread),
                    )?;
                } else {
                    writeln!(
                        out,
                        "anchor {number} of {time} covers {}, which {FAINT}were not read{FAINT:#}",
                        count(unread, "entry")
                    )?;
                }
                return coverage.map_or(Ok(()), |coverage| coverage_line(out, coverage));
            }
            let organizations = report.organizations.iter();
            let unanchored: u64 = organizations
                .map(|trail| match &trail.anchor {
                    Some(anchor) => anchor.unanchored_entries,
                    None => trail.qwed.total_entries,
                })
                .sum();
            let mut compared = report
                .organizations
                .iter()
                .filter_map(|trail| trail.anchor.as_ref());
            if compared.any(|anchor| !anchor.is_extended) {
                return writeln!(
                    out,
                    "{BAD}what anchor {number} of {time} covers is not what is there{BAD:#}"
                );
            }
            let tail = match unanchored {
                0 => "covers every entry".to_owned(),
                entries => format!("does not cover the newest {} yet", count(entries, "entry")),
            };
            return writeln!(out, "anchor {number} of {time} {tail}");
        }
        if !anchors.findings.is_empty() {
            return Ok(());
        }
    }
    writeln!(
        out,
        "{FAINT}no anchor vouches for the newest entries: had they been removed, nothing would show it{FAINT:#}"
    )
}

fn coverage_line(out: &mut dyn Write, coverage: &CoverageReport) -> io::Result<()> {
    let style = match coverage.covered_entries < coverage.entries {
        true => DOUBTFUL,
        false => FAINT,
    };
    write!(
        out,
        "{style}{} %{style:#} of what was anchored was checked in full within {}",
        coverage.percent,
        count(coverage.days.into(), "day"),
    )?;
    match &coverage.oldest_check {
        Some(oldest) => writeln!(out, ", the oldest part on {oldest}"),
        None => writeln!(out),
    }
}

fn organization_line(
    out: &mut dyn Write,
    organization: &OrganizationReport,
    report: &Report,
) -> io::Result<()> {
    let style = verdict_colour(organization.verdict);
    let name = match organization.organization_id {
        Some(id) => format!("organisation {id}"),
        None => "no organisation".to_owned(),
    };
    write!(
        out,
        "{name:<18} {style}{:<10}{style:#} ",
        organization.verdict
    )?;
    let answer = &organization.qwed;
    if answer.total_entries == 0 {
        let anchors = report.anchors.as_ref();
        let is_partial = anchors.is_some_and(|anchors| anchors.unread_entries.is_some());
        let none = if is_partial {
            "no new entries"
        } else {
            "no entries"
        };
        return writeln!(out, "{none}");
    }
    let head = match (answer.last_entry_id, &answer.head_hash) {
        (Some(id), Some(hash)) => format!("{id} {}", hash.chars().take(12).collect::<String>()),
        (Some(id), None) => format!("{id} without hash"),
        (None, _) => "none".to_owned(),
    };
    let erased = match organization.erased {
        ErasedEntries {
            anonymised: 0,
            deleted: 0,
        } => String::new(),
        ErasedEntries {
            anonymised,
            deleted: 0,
        } => format!(" ({} erased)", HumanCount(anonymised)),
        ErasedEntries {
            anonymised,
            deleted,
        } => format!(
            " ({} erased, and {} deleted)",
            HumanCount(anonymised),
            HumanCount(deleted)
        ),
    };
    writeln!(
        out,
        "{}: {} verified{erased}, {} legacy, {} failed, head {head}, {}/s",
        count(answer.total_entries, "entry"),
        HumanCount(organization.verified_count()),
        HumanCount(organization.legacy_count),
        HumanCount(organization.failed_count - organization.excused_count),
        HumanCount((answer.total_entries as f64 / report.duration_seconds.max(1e-6)) as u64),
    )
}

fn finding_line(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let style = colour(finding.severity);
    let place = match finding.last_entry_id {
        Some(last) => format!("entries {} to {last}", finding.entry_id),
        None => format!("entry {}", finding.entry_id),
    };
    writeln!(
        out,
        "    {place}: {style}{}{style:#}: {}",
        finding.kind, finding.detail
    )
}

/// What had been covered when the verification was stopped.
pub(super) fn interrupted(out: &mut dyn Write, covered: Coverage) -> io::Result<()> {
    writeln!(
        out,
        "interrupted: no verdict; {} were checked, {:.0} % of the trail",
        count(covered.entries, "entry"),
        covered.fraction * 100.0
    )
}

/// A line for each entry that was asked for.
pub(super) fn entries(out: &mut dyn Write, entries: &[EntryReport]) -> io::Result<()> {
    for entry in entries {
        let (style, word) = match (entry.valid, entry.legacy) {
            (true, _) => (GOOD, "valid"),
            (_, true) => (DOUBTFUL, "legacy"),
            _ => (BAD, "not valid"),
        };
        let organization = entry
            .organization_id
            .map_or("none".to_owned(), |organization| organization.to_string());
        writeln!(
            out,
            "entry {} {style}{word}{style:#} (organisation {organization}, {})",
            entry.log_id,
            entry.timestamp.as_deref().unwrap_or("no time"),
        )?;
        for error in &entry.errors {
            writeln!(out, "    {error}")?;
        }
    }
    Ok(())
}

pub(super) fn count(number: u64, noun: &str) -> String {
    let number_text = HumanCount(number);
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "entry") => format!("{number_text} entries"),
        _ => format!("{number_text} {noun}s"),
    }
}

/// How old API keys are: what needs somebody's attention, then the counts.
pub(super) fn keys(out: &mut dyn Write, report: &KeyReport) -> io::Result<()> {
    for key in &report.findings {
        let style = match key.status {
            Status::Ok => continue,
            Status::Overdue | Status::ExpiredButActive => BAD,
            Status::NeverRotatedUnknownAge | Status::DueSoon => DOUBTFUL,
        };
        let organization = key
            .organization_id
            .map_or_else(|| "none".to_owned(), |id| id.to_string());
        writeln!(
            out,
            "organisation {organization:<5} key {:<5} {:<22} {style}{}{style:#}: {}",
            key.key_id, key.preview, key.status, key.reason
        )?;
    }
    if report.findings_left_out > 0 {
        writeln!(
            out,
            "and {} more keys",
            HumanCount(report.findings_left_out)
        )?;
    }
    if let Some(problem) = &report.flagging.problem {
        writeln!(
            out,
            "{DOUBTFUL}not flagged in QWED's database{DOUBTFUL:#}: {problem}"
        )?;
    }
    let totals = &report.totals;
    writeln!(
        out,
        "{}: {} overdue ({} flagged for rotation now, {} before), {} expired but active, {} due soon, {} ok; {} never used, \
         {} dormant, {} revoked",
        count(totals.active, "active key"),
        totals.overdue,
        report.flagging.flagged_now,
        report.flagging.already_flagged,
        totals.expired_but_active,
        totals.due_soon,
        totals.ok,
        totals.never_used,
        totals.dormant,
        totals.revoked,
    )
}
