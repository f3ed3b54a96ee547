//! Consent records and what they come to, as tables and as comma-separated values.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::{
    cli::table::{table, visible},
    consent::{Consent, ConsentType, Record, Statement},
};

/// What somebody consents to, for people.
pub(super) fn write_status(out: &mut dyn Write, consents: &[Consent]) -> io::Result<()> {
    if consents.is_empty() {
        return writeln!(out, "no consent");
    }
    let rows: Vec<_> = consents
        .iter()
        .map(|it| cells(it).map(|cell| visible(&cell).into()))
        .collect();
    let head = STATUS.map(str::to_uppercase);
    table(out, head.each_ref().map(String::as_str), &rows)
}

/// The same, for machines.
pub(super) fn write_status_csv(out: &mut dyn Write, consents: &[Consent]) -> io::Result<()> {
    write_csv(out, &STATUS, consents.iter().map(cells))
}

/// Records, for machines.
pub(super) fn write_records_csv(out: &mut dyn Write, records: &[Record]) -> io::Result<()> {
    write_csv(out, &COLUMNS, records.iter().map(columns))
}

const STATUS: [&str; 6] = [
    "purpose",
    "status",
    "since",
    "type",
    "notice_version",
    "record_id",
];

fn cells(consent: &Consent) -> [String; 6] {
    [
        consent.purpose.clone(),
        consent.status.name().to_owned(),
        consent.since.to_string(),
        how(consent.consent_type).to_owned(),
        consent.notice_version.clone().unwrap_or_default(),
        consent.record_id.clone(),
    ]
}

fn how(consent_type: Option<ConsentType>) -> &'static str {
    match consent_type {
        Some(ConsentType::Explicit) => "explicit",
        Some(ConsentType::Implied) => "implied",
        None => "",
    }
}

/// Records, for people.
pub(super) fn write_records(out: &mut dyn Write, records: &[Record]) -> io::Result<()> {
    if records.is_empty() {
        return writeln!(out, "no records");
    }
    let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let statement = &record.statement;
            let purposes = match statement.purposes.is_empty() {
                true => "everything".to_owned(),
                false => statement.purposes.join(", "),
            };
            [
                record.note.sequence.to_string().into(),
                time(record.at()).into(),
                whom(statement).into(),
                statement.status.name().into(),
                purposes.into(),
                statement.notice_version.as_deref().unwrap_or("-").into(),
                statement.channel.as_deref().unwrap_or("-").into(),
            ]
        })
        .collect();
    let head = [
        "NUMBER", "TIME", "WHO", "SAYS", "PURPOSES", "NOTICE", "CHANNEL",
    ];
    table(out, head, &rows)
}

fn whom(statement: &Statement) -> String {
    let user = statement.user_id.map(|user| format!("user {user}"));
    let name = statement
        .email
        .clone()
        .or_else(|| statement.subject.clone());
    user.or(name).unwrap_or_default()
}

const COLUMNS: [&str; 19] = [
    "sequence",
    "record_id",
    "organization_id",
    "user_id",
    "email",
    "subject",
    "status",
    "consent_type",
    "purposes",
    "privacy_notice",
    "notice_version",
    "channel",
    "evidence",
    "time",
    "recorded_at",
    "recorded_by",
    "without_grant",
    "entry_hash",
    "hmac_signature",
];

fn columns(record: &Record) -> [String; 19] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let Record {
        statement, note, ..
    } = record;
    [
        note.sequence.to_string(),
        statement.record_id.clone(),
        statement.organization_id.to_string(),
        statement
            .user_id
            .map_or_else(String::new, |user| user.to_string()),
        text(&statement.email),
        text(&statement.subject),
        statement.status.name().to_owned(),
        how(statement.consent_type).to_owned(),
        statement.purposes.join("; "),
        text(&statement.privacy_notice),
        text(&statement.notice_version),
        text(&statement.channel),
        text(&statement.evidence),
        record.at().to_string(),
        record.recorded_at.to_string(),
        note.recorded_by.clone(),
        note.without_grant.to_string(),
        record.entry_hash.clone(),
        record.hmac_signature.clone(),
    ]
}

fn write_csv<const N: usize>(
    out: &mut dyn Write,
    head: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    writer.flush()
}
