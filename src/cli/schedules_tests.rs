//! What people read, at a time that does not pass. `tests/it/schedules.rs` runs the commands.

use std::path::Path;

use super::*;

fn schedule(name: &str, cron: &str, timezone: &str, rest: &str) -> Schedule {
    let text = format!(
        "name = {name:?}\ndescription = \"d\"\nkind = \"verify_trail\"\ncron = {cron:?}\ntimezone = {timezone:?}\n{rest}"
    );
    Schedule::parse(Path::new(&format!("{name}.toml")), &text).expect("a schedule")
}

fn told(tell: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    tell(&mut out).expect("write to memory");
    String::from_utf8(out.into_inner()).expect("UTF-8")
}

#[test]
fn the_list_says_what_fires_next_and_what_became_of_the_last() {
    let schedules = [
        schedule("gap", "30 2 * * *", "Europe/Berlin", ""),
        schedule("paused_by_file", "@hourly", "UTC", "paused = true"),
        schedule(
            "paused_by_operator",
            "*/20 * * * * *",
            "Africa/Casablanca",
            "",
        ),
        schedule("resumed", "@weekly", "America/Nuuk", "paused = true"),
    ];
    let said = [("paused_by_operator", true), ("resumed", false)];
    let said = said.map(|(name, paused)| (name.to_owned(), paused)).into();
    let last = |name: &str, decision: &str, job_id: Option<&str>| {
        let fire = LastFire {
            fire_time: 1_774_659_600_000_000,
            decision: decision.to_owned(),
            job_id: job_id.map(str::to_owned),
            decided_at: 0,
        };
        (name.to_owned(), fire)
    };
    let last = [
        last("gap", "fired", Some("0197-id")),
        last("paused_by_operator", "skipped_overlap", None),
        last("resumed", "skipped_late", None),
    ];
    let last = last.into();
    let now = "2026-03-28T12:00:00Z".parse().expect("a time");
    let list = List::of(&schedules, &said, &last, now);
    insta::assert_snapshot!(told(|out| list.tell(out)), @r"
    gap  verify_trail
      cron  30 2 * * *  Europe/Berlin
      next  2026-03-29T01:00:00Z  Sun 2026-03-29 03:00:00 CEST
      last  2026-03-28T01:00:00Z  fired job 0197-id
    paused_by_file  verify_trail
      cron  @hourly  UTC
      next  paused by its file
      last  never
    paused_by_operator  verify_trail
      cron  */20 * * * * *  Africa/Casablanca
      next  paused by an operator
      last  2026-03-28T01:00:00Z  passed over: the job before had not ended
    resumed  verify_trail
      cron  @weekly  America/Nuuk
      next  2026-03-29T01:00:00Z  Sun 2026-03-29 00:00:00 -01
      last  2026-03-28T01:00:00Z  passed over: it came too late
    ");
    let document = serde_json::to_value(&list).expect("JSON");
    let entry = serde_json::json!({
        "name": "resumed",
        "kind": "verify_trail",
        "cron": "@weekly",
        "timezone": "America/Nuuk",
        "paused": false,
        "decided_by": "operator",
        "next": {"utc": "2026-03-29T01:00:00Z", "local": "Sun 2026-03-29 00:00:00 -01"},
        "last": {"utc": "2026-03-28T01:00:00Z", "decision": "skipped_late", "job_id": null},
    });
    assert_eq!(document["schedules"][3], entry);
    let none = List::of(&[], &said, &last, now);
    assert_eq!(told(|out| none.tell(out)), "no schedules\n");
}

#[test]
fn a_preview_shows_both_clocks() {
    let schedule = schedule("gap", "30 2 * * *", "Europe/Berlin", "");
    let now = "2026-03-27T12:00:00Z".parse().expect("a time");
    let preview = Preview::of(&schedule, now, 3);
    insta::assert_snapshot!(told(|out| preview.tell(out)), @r"
    gap  30 2 * * *  Europe/Berlin
      2026-03-28T01:30:00Z  Sat 2026-03-28 02:30:00 CET
      2026-03-29T01:00:00Z  Sun 2026-03-29 03:00:00 CEST
      2026-03-30T00:30:00Z  Mon 2026-03-30 02:30:00 CEST
    ");
}
