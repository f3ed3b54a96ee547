//! The command line: what people type, see and mistype.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trailkeeper::{
    demo::generator::{Generator, SqliteWriter},
    trail::keys::Key,
};

use crate::support::{
    program::{Copy, FIXTURE_KEY, Program, Run, url},
    tamper::Trail,
};

const TRAIL: &str = "g4_two_orgs";

/// `text` without what differs from run to run: the directory, the time taken and the rate.
/// The text with a word for each time in it.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let bytes = word.as_bytes();
        bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[bytes.len() - 1] == b'Z'
    };
    let words = text.split(' ').map(|word| {
        let end = word.trim_end_matches([';', ':', ',']);
        if is_time(end) {
            word.replace(end, "[TIME]")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn redacted(text: &str, directory: &Path) -> String {
    let text = text.replace(&directory.display().to_string(), "[DIRECTORY]");
    let text = without_times(&text);
    let lines = text.lines().map(|line| match line.rsplit_once(" in ") {
        Some((before, after)) if after.ends_with("/s)") => format!("{before} in [TIME]\n"),
        _ => match line.rsplit_once(", ") {
            Some((before, rate)) if rate.ends_with("/s") => format!("{before}, [RATE]\n"),
            _ => format!("{line}\n"),
        },
    });
    lines.collect()
}

/// The exit code and the line of a failure, without the directory.
#[track_caller]
fn failure(run: &Run, directory: &Path) -> (Option<i32>, String) {
    let (code, line) = run.failure();
    (
        code,
        line.replace(&directory.display().to_string(), "[DIRECTORY]"),
    )
}

#[track_caller]
fn snapshot_failure(name: &str, run: &Run, directory: &Path) {
    let (code, line) = failure(run, directory);
    insta::assert_snapshot!(name, format!("exit {}\n{line}", code.unwrap_or(-1)));
}

mod text {
    use super::*;

    #[track_caller]
    fn snapshot(name: &str, options: &[&str]) -> Run {
        let copy = Copy::of(name);
        let run = Program::verify(&copy.path).args(options).run();
        assert_eq!(run.stderr, "", "{run:?}");
        let suffix: String = options.concat().replace("--", "_");
        insta::assert_snapshot!(
            format!("text_{name}{suffix}"),
            redacted(&run.stdout, copy.directory.path())
        );
        run
    }

    #[test]
    fn of_an_intact_trail() {
        assert_eq!(snapshot(TRAIL, &[]).code, Some(0));
    }

    #[test]
    fn of_a_tampered_trail() {
        assert_eq!(snapshot("t_query_edited", &[]).code, Some(1));
        assert_eq!(snapshot("t_ids_swapped", &[]).code, Some(1));
        assert_eq!(snapshot("t_middle_row_deleted", &[]).code, Some(1));
    }

    #[test]
    fn of_old_trails() {
        assert_eq!(snapshot("upgraded", &[]).code, Some(4));
        assert_eq!(snapshot("g1_restarted", &[]).code, Some(4));
        assert_eq!(snapshot("g1_two_orgs", &[]).code, Some(0));
    }

    #[test]
    fn of_single_entries() {
        assert_eq!(
            snapshot("t_query_edited", &["--entry", "7", "--entry", "9"]).code,
            Some(1)
        );
        assert_eq!(snapshot("upgraded", &["--entry", "1"]).code, Some(1));
    }

    #[test]
    fn of_the_help() {
        let run = Program::bare().args(["verify", "--help"]).run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        insta::assert_snapshot!("help", run.stdout);
    }

    #[test]
    fn has_colours_only_where_they_are_wanted() {
        let copy = Copy::of("t_query_edited");
        let piped = Program::verify(&copy.path).run();
        assert!(!piped.stdout.contains('\u{1b}'), "{piped:?}");
        let forced = Program::verify(&copy.path).env("CLICOLOR_FORCE", "1").run();
        assert!(forced.stdout.contains("\u{1b}["), "{forced:?}");
        let json = Program::verify(&copy.path)
            .env("CLICOLOR_FORCE", "1")
            .args(["--format", "json"])
            .run();
        assert!(!json.stdout.contains('\u{1b}'), "{json:?}");
    }

    #[test]
    fn names_keys_where_there_are_several() {
        let copy = Copy::of(TRAIL);
        let config = copy.directory.path().join("trailkeeper.toml");
        fs::write(&config, "[[qwed.keys]]\nid = \"2025\"\nenv = \"OLD\"\n").expect("write");
        let run = Program::verify(&copy.path)
            .env("OLD", "short")
            .args(["--config".as_ref(), config.as_os_str()])
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        insta::assert_snapshot!("text_keys", redacted(&run.stdout, copy.directory.path()));
    }
}

mod options {
    use super::*;

    fn flipped() -> Copy {
        let copy = Copy::of(TRAIL);
        Trail::open(&copy.path).change(
            10,
            "UPDATE verificationlog SET query = 'x' WHERE organization_id = 1 AND id < 20",
        );
        copy
    }

    #[test]
    fn max_findings_cuts_lists_and_counts_the_rest() {
        let copy = flipped();
        let (run, document) = Program::verify(&copy.path)
            .args(["--max-findings", "1"])
            .json();
        assert_eq!(run.code, Some(1));
        let organization = &document["organizations"][0];
        assert_eq!(
            organization["findings"].as_array().map(Vec::len),
            Some(1),
            "{document}"
        );
        assert_eq!(organization["findings"][0]["entry_id"], 1);
        assert_eq!(organization["findings_total"], 10, "{document}");
        assert_eq!(organization["qwed"]["failed_entries"], json!([1]));
        assert_eq!(organization["failed_count"], 10);
        assert_eq!(organization["qwed"]["verified_entries"], 10);
        let text = Program::verify(&copy.path)
            .args(["--max-findings", "1"])
            .run();
        assert!(text.stdout.contains("and 9 more findings"), "{text:?}");
        let (_, whole) = Program::verify(&copy.path)
            .args(["--max-findings", "10"])
            .json();
        assert_eq!(
            whole["organizations"][0]["findings"]
                .as_array()
                .map(Vec::len),
            Some(10)
        );
    }

    #[test]
    fn max_findings_cuts_legacy_entries() {
        let copy = Copy::of("upgraded");
        let (_, document) = Program::verify(&copy.path)
            .args(["--max-findings", "2"])
            .json();
        let organization = &document["organizations"][0];
        assert_eq!(organization["qwed"]["legacy_entries"], json!([1, 3]));
        assert_eq!(organization["legacy_count"], 6);
        assert_eq!(organization["findings"][0]["entries"], 6);
    }

    #[test]
    fn org_selects_and_repeats() {
        let copy = flipped();
        let ids = |options: &[&str]| {
            let (run, document) = Program::verify(&copy.path).args(options).json();
            let organizations = document["organizations"].as_array().expect("a list");
            let ids: Vec<Value> = organizations
                .iter()
                .map(|o| o["organization_id"].clone())
                .collect();
            (run.code, ids)
        };
        assert_eq!(ids(&["--org", "2"]), (Some(0), vec![json!(2)]));
        assert_eq!(ids(&["--org", "3"]), (Some(0), vec![json!(3)]));
        assert_eq!(
            ids(&["--org", "2", "--org", "1"]),
            (Some(1), vec![json!(1), json!(2)])
        );
        assert_eq!(
            ids(&["--org", "2", "--org", "2"]),
            (Some(0), vec![json!(2)])
        );
        assert_eq!(ids(&[]), (Some(1), vec![json!(1), json!(2), json!(3)]));
    }

    #[test]
    fn threads_do_not_change_what_is_found() {
        let copy = flipped();
        let organizations = |threads: &str| {
            let (_, document) = Program::verify(&copy.path)
                .args(["--threads", threads])
                .json();
            document["organizations"].clone()
        };
        assert_eq!(organizations("1"), organizations("7"));
    }

    #[test]
    fn a_period_without_entries_is_intact() {
        let copy = flipped();
        let (run, document) = Program::verify(&copy.path)
            .args(["--to", "2020-01-01"])
            .json();
        assert_eq!(
            (run.code, &document["entries"]),
            (Some(0), &json!(0)),
            "{document}"
        );
        assert_eq!(document["organizations"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn times_have_offsets_or_are_in_utc() {
        let copy = Copy::of(TRAIL);
        let time =
            Trail::open(&copy.path).text("SELECT timestamp FROM verificationlog WHERE id = 9");
        let entries = |from: &str| {
            let (_, document) = Program::verify(&copy.path)
                .args(["--org", "1", "--from", from])
                .json();
            document["entries"].clone()
        };
        // Both ends are included: entry 9 is the fifth of twenty.
        assert_eq!(entries(&time), 16);
        assert_eq!(entries(&time.replace(' ', "T")), 16);
        assert_eq!(entries(&format!("{}Z", time.replace(' ', "T"))), 16);
        assert_eq!(entries(&format!("{}-01:00", time.replace(' ', "T"))), 0);
        assert_eq!(entries("2026-11-22"), 20);
        assert_eq!(entries("2026-11-23"), 0);
    }

    #[test]
    fn the_database_can_come_from_the_environment() {
        let copy = Copy::of(TRAIL);
        let run = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .env("DATABASE_URL", url(&copy.path))
            .arg("verify")
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        // The option is nearer than the environment.
        let run = Program::verify(&copy.path)
            .env("DATABASE_URL", "sqlite:////no/such.db")
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    #[test]
    fn the_database_can_come_from_the_configuration() {
        let copy = Copy::of(TRAIL);
        let config = copy.directory.path().join("trailkeeper.toml");
        fs::write(
            &config,
            format!("[qwed]\ndatabase_url = {:?}\n", url(&copy.path)),
        )
        .expect("write");
        let run = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .env("TRAILKEEPER_CONFIG", &config)
            .arg("verify")
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    #[test]
    fn every_form_of_a_sqlite_url_works() {
        let copy = Copy::of(TRAIL);
        let absolute = copy.path.display().to_string();
        for url in [
            "sqlite:///g4_two_orgs.db".to_owned(),
            "sqlite:///./g4_two_orgs.db".to_owned(),
            format!("sqlite:///{absolute}"),
            format!("sqlite+pysqlite:///{absolute}"),
            format!(" sqlite:///{absolute}\n"),
        ] {
            let run = Program::bare()
                .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
                .directory(copy.directory.path())
                .args(["verify", "--database", &url])
                .run();
            assert_eq!(run.code, Some(0), "{url}: {run:?}");
        }
    }

    #[test]
    fn a_database_without_any_entry_is_intact() {
        let copy = Copy::of(TRAIL);
        Trail::open(&copy.path).change(40, "DELETE FROM verificationlog");
        let (run, document) = Program::verify(&copy.path).json();
        assert_eq!(run.code, Some(0));
        assert_eq!(document["organizations"].as_array().map(Vec::len), Some(3));
        let text = Program::verify(&copy.path).run();
        assert_eq!(text.stdout.matches("no entries").count(), 3, "{text:?}");
    }
}

mod bad_input {
    use super::*;

    fn with_url(url: &str) -> Run {
        Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .args(["verify", "--database", url])
            .run()
    }

    #[test]
    fn wrong_urls() {
        let mut lines = String::new();
        for url in [
            "",
            "qwed.db",
            "/var/lib/qwed.db",
            "mysql://qwed:hunter2@db/qwed",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "sqlite://qwed.db",
            "postgresql://qwed:hunter2@db:99999/qwed",
            "postgresql://qwed:hunter2@[::1/qwed",
        ] {
            let run = with_url(url);
            let (code, line) = run.failure();
            assert_eq!(code, Some(2), "{url}: {line}");
            assert!(!line.contains("hunter2"), "{line}");
            lines += &format!("{url}\n    {line}\n");
        }
        insta::assert_snapshot!("wrong_urls", lines);
    }

    #[test]
    fn no_database() {
        let run = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .env("DATABASE_URL", "")
            .arg("verify")
            .run();
        snapshot_failure("no_database", &run, Path::new("/nowhere"));
    }

    #[test]
    fn a_server_that_is_not_there() {
        // Closed again at once: nobody listens there.
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("find a port");
            listener.local_addr().expect("its address").port()
        };
        let started = Instant::now();
        let run = with_url(&format!("postgresql://qwed:hunter2@127.0.0.1:{port}/qwed"));
        let (code, line) = run.failure();
        assert_eq!(code, Some(3), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
        assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it does not wait for long"
        );
        insta::assert_snapshot!("closed_port", line.replace(&port.to_string(), "[PORT]"));
    }

    #[test]
    fn files_that_are_no_database_of_qweds() {
        let directory = tempfile::tempdir().expect("make a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("empty.db"), "").expect("write");
        fs::write(
            at("notes.db"),
            "Dear diary, no database today.\n".repeat(99),
        )
        .expect("write");
        fs::write(at("short.db"), "abc").expect("write");
        fs::create_dir(at("directory.db")).expect("make a directory");
        Trail::open(&at("foreign.db")).run("CREATE TABLE invoices (id INTEGER PRIMARY KEY)");
        Trail::open(&at("bare.db")).run("CREATE TABLE x (id INTEGER); DROP TABLE x");
        let mut lines = String::new();
        for name in [
            "missing.db",
            "empty.db",
            "notes.db",
            "short.db",
            "directory.db",
            "foreign.db",
            "bare.db",
            "no/such/directory.db",
        ] {
            let run = Program::verify(&at(name)).run();
            let (code, line) = failure(&run, directory.path());
            assert_eq!(code, Some(3), "{name}: {line}");
            assert!(line.contains(name), "it says where: {line}");
            lines += &format!("{name}\n    {line}\n");
        }
        assert!(!at("missing.db").exists() && !at("no").exists());
        insta::assert_snapshot!("no_databases", lines);
    }

    #[test]
    fn a_file_that_is_cut_off() {
        let copy = Copy::of(TRAIL);
        let whole = fs::read(&copy.path).expect("read").len();
        // In the header, in the schema, in the rows, and a page short.
        for length in [50, 1000, whole / 2, whole - 4096] {
            let copy = Copy::of(TRAIL);
            let file = File::options().write(true).open(&copy.path).expect("open");
            file.set_len(length as u64).expect("cut off");
            let run = Program::verify(&copy.path).run();
            let (code, line) = failure(&run, copy.directory.path());
            assert_eq!(code, Some(3), "{length} of {whole} bytes: {line}");
            assert!(line.contains("[DIRECTORY]/g4_two_orgs.db"), "{line}");
        }
        let file = File::options().write(true).open(&copy.path).expect("open");
        file.set_len(whole as u64 / 2).expect("cut off");
        let run = Program::verify(&copy.path).run();
        snapshot_failure("cut_off", &run, copy.directory.path());
    }

    #[test]
    fn tables_that_lack_something() {
        let copy = Copy::of(TRAIL);
        let trail = Trail::open(&copy.path);
        trail.run("ALTER TABLE verificationlog RENAME COLUMN previous_hash TO previous");
        let run = Program::verify(&copy.path).run();
        snapshot_failure("no_column", &run, copy.directory.path());
        trail.run("DROP TABLE verificationlog");
        let run = Program::verify(&copy.path).run();
        snapshot_failure("no_table", &run, copy.directory.path());
        let copy = Copy::of(TRAIL);
        Trail::open(&copy.path).run("DROP TABLE organization");
        let run = Program::verify(&copy.path).run();
        snapshot_failure("no_organizations", &run, copy.directory.path());
    }

    #[test]
    fn no_key() {
        let copy = Copy::of(TRAIL);
        let run = Program::bare()
            .args(["verify", "--database", &url(&copy.path)])
            .run();
        snapshot_failure("no_key", &run, copy.directory.path());
        let empty = Program::verify(&copy.path)
            .env("QWED_AUDIT_SECRET_KEY", "")
            .run();
        assert_eq!(empty.failure(), run.failure());
    }

    #[test]
    fn a_key_that_is_not_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let copy = Copy::of(TRAIL);
        let key = std::ffi::OsStr::from_bytes(b"\xff\xfe-no-key-of-qweds");
        let run = Program::verify(&copy.path)
            .env("QWED_AUDIT_SECRET_KEY", key)
            .run();
        snapshot_failure("key_not_utf_8", &run, copy.directory.path());
    }

    #[test]
    fn organisations_and_entries_that_do_not_exist() {
        let copy = Copy::of(TRAIL);
        for (name, options) in [
            ("unknown_org", ["--org", "9"]),
            ("unknown_entry", ["--entry", "41"]),
        ] {
            let run = Program::verify(&copy.path).args(options).run();
            snapshot_failure(name, &run, copy.directory.path());
            assert_eq!(run.code, Some(3));
        }
        let run = Program::verify(&copy.path)
            .args(["--org", "1", "--org", "9"])
            .run();
        assert_eq!(
            run.failure().0,
            Some(3),
            "one that exists does not make up for it"
        );
        Trail::open(&copy.path).change(40, "DELETE FROM verificationlog");
        let run = Program::verify(&copy.path).args(["--org", "9"]).run();
        assert_eq!(run.failure().0, Some(3), "nor does a trail without entries");
    }

    #[test]
    fn times() {
        let copy = Copy::of(TRAIL);
        let with = |options: &[&str]| Program::verify(&copy.path).args(options).run();
        let run = with(&["--from", "2026-02-01", "--to", "2026-01-01"]);
        snapshot_failure("from_after_to", &run, copy.directory.path());
        assert_eq!(run.code, Some(2));
        for time in [
            "yesterday",
            "",
            "2026-13-01",
            "2026-02-30",
            "12:30",
            "1767225600",
            "2026-01-01T25:00:00",
        ] {
            for option in ["--from", "--to"] {
                let run = with(&[option, time]);
                let (code, line) = run.failure();
                assert_eq!(code, Some(2), "{option} {time}: {line}");
                assert!(line.contains(option) && line.contains(time), "{line}");
            }
        }
        snapshot_failure(
            "no_time",
            &with(&["--to", "yesterday"]),
            copy.directory.path(),
        );
    }

    #[test]
    fn wrong_options() {
        let copy = Copy::of(TRAIL);
        for (options, part) in [
            (&["--orgs", "1"][..], "--orgs"),
            (&["--org", "one"], "one"),
            (&["--org", "99999999999999999999"], "99999999999999999999"),
            (&["--entry", "1.5"], "1.5"),
            (&["--format", "xml"], "xml"),
            (&["--threads", "0"], "0"),
            (&["--max-findings", "0"], "0"),
            (&["--entry", "1", "--org", "1"], "--entry"),
            (&["--from"], "--from"),
        ] {
            let run = Program::verify(&copy.path).args(options).run();
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (Some(2), ""),
                "{options:?}: {run:?}"
            );
            let first = run.stderr.lines().next().expect("a line");
            assert!(
                first.starts_with("error: ") && first.contains(part),
                "{options:?}: {first}"
            );
        }
        for arguments in [&[][..], &["verfy"]] {
            let run = Program::bare().args(arguments).run();
            assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
        }
    }

    /// What can hide rows or columns from the walk is no table of QWED's.
    #[test]
    fn a_table_that_was_rebuilt() {
        for (id, row) in [
            ("id INTEGER", "'x'"),
            ("id TEXT PRIMARY KEY", "'x'"),
            ("id INT PRIMARY KEY", "5.5"),
        ] {
            let copy = Copy::of(TRAIL);
            let trail = Trail::open(&copy.path);
            let columns = trail.text(
                "SELECT group_concat('\"' || name || '\" ' || type) FROM pragma_table_info('verificationlog') \
                 WHERE name <> 'id'",
            );
            trail.rebuild(&format!("{id}, {columns}"));
            trail.run(&format!(
                "CREATE TEMP TABLE one AS SELECT * FROM verificationlog WHERE id = 5; UPDATE one SET id = {row}; \
                 INSERT INTO verificationlog SELECT * FROM one"
            ));
            drop(trail);
            let run = Program::verify(&copy.path).run();
            let (code, line) = failure(&run, copy.directory.path());
            assert_eq!(code, Some(3), "{id}: {line}");
            assert!(line.contains("primary key"), "{id}: {line}");
        }
    }

    /// SQLite's names have no case, and a generated column is one: neither may make a value be read as NULL.
    #[test]
    fn columns_in_disguise() {
        for sql in [
            "ALTER TABLE verificationlog RENAME COLUMN admission TO Admission; \
             UPDATE verificationlog SET Admission = 'allowed' WHERE id = 5",
            "ALTER TABLE verificationlog DROP COLUMN admission; \
             ALTER TABLE verificationlog ADD COLUMN admission VARCHAR GENERATED ALWAYS AS ('denied') VIRTUAL",
        ] {
            let copy = Copy::of(TRAIL);
            Trail::open(&copy.path).run(sql);
            let (run, document) = Program::verify(&copy.path).json();
            assert_eq!(
                (run.code, &document["verdict"]),
                (Some(1), &Value::from("tampered")),
                "{sql}"
            );
        }
    }

    #[test]
    fn wrong_configurations() {
        let copy = Copy::of(TRAIL);
        let path = copy.directory.path().join("trailkeeper.toml");
        for (config, part) in [
            ("[qwed]\ndatabase = \"sqlite:///qwed.db\"\n", "database"),
            ("[[qwed.keys]]\nid = \"a\"\nvariable = \"K\"\n", "variable"),
            ("[qwde]\n", "qwde"),
            ("[qwed\n", "trailkeeper.toml"),
            ("[qwed]\nkeys = 5\n", "keys"),
            ("[[qwed.keys]]\nid = \"a\"\n", "\"a\""),
            ("[[qwed.keys]]\nid = \"a\"\nenv = \"NOT_SET\"\n", "NOT_SET"),
            (
                "[[qwed.keys]]\nid = \"a\"\nfile = \"/no/such/key\"\n",
                "/no/such/key",
            ),
            (
                "[[qwed.keys]]\nid = \"a\"\nenv = \"QWED_AUDIT_SECRET_KEY\"\nnot_after = \"soon\"\n",
                "soon",
            ),
            (
                "[[qwed.keys]]\nid = \"default\"\nenv = \"OTHER\"\n",
                "same id",
            ),
        ] {
            fs::write(&path, config).expect("write");
            let run = Program::verify(&copy.path)
                .env("OTHER", "another-audit-key")
                .args(["--config".as_ref(), path.as_os_str()])
                .run();
            let (code, line) = failure(&run, copy.directory.path());
            assert_eq!(code, Some(2), "{config}: {line}");
            assert!(line.contains(part), "{config}: {line}");
        }
    }

    #[test]
    fn no_configuration() {
        let copy = Copy::of(TRAIL);
        let run = Program::verify(&copy.path)
            .arg("--config")
            .arg(copy.directory.path().join("none.toml"))
            .run();
        snapshot_failure("no_configuration", &run, copy.directory.path());
        assert_eq!(run.code, Some(2));
    }

    /// One line stays one line, whatever the database holds.
    #[test]
    fn foreign_values_end_nothing() {
        let copy = Copy::of(TRAIL);
        let trail = Trail::open(&copy.path);
        trail.loosen().change(
            1,
            "UPDATE verificationlog SET id = id, organization_id = X'00', user_id = 1e300, query = X'ff', result = 7, \
             is_verified = 'x', domain = NULL, timestamp = X'ff', entry_hash = 1, hmac_signature = 2.5, \
             previous_hash = X'', raw_llm_output = 0 WHERE id = 9",
        );
        let (run, document) = Program::verify(&copy.path).json();
        assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{document}");
        let run = Program::verify(&copy.path).args(["--entry", "9"]).run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{run:?}");
    }
}

mod output {
    use super::*;

    fn finish(child: Child) -> Run {
        child
            .wait_with_output()
            .expect("wait for the program")
            .into()
    }

    fn verify(copy: &Copy, format: &str) -> Command {
        let mut command = Program::verify(&copy.path)
            .args(["--format", format])
            .into_command();
        command.stderr(Stdio::piped());
        command
    }

    /// A full disk loses the report, so the exit code must not call the trail intact.
    #[test]
    fn to_a_full_disk() {
        let copy = Copy::of(TRAIL);
        for format in ["text", "json"] {
            let full = File::options()
                .write(true)
                .open("/dev/full")
                .expect("open /dev/full");
            let child = verify(&copy, format).stdout(full).spawn().expect("start");
            let run = finish(child);
            let (code, line) = run.failure();
            assert_eq!(code, Some(3), "{line}");
            assert!(line.contains("cannot print the result"), "{line}");
        }
    }

    /// As with `| head`: the reader has what it wanted.
    #[test]
    fn to_a_reader_that_went_away() {
        for (name, code) in [(TRAIL, 0), ("t_query_edited", 1)] {
            let copy = Copy::of(name);
            let (reader, writer) = std::io::pipe().expect("make a pipe");
            drop(reader);
            let child = verify(&copy, "text").stdout(writer).spawn().expect("start");
            let run = finish(child);
            assert_eq!((run.code, run.stderr.as_str()), (Some(code), ""), "{name}");
        }
    }

    #[test]
    fn to_nowhere() {
        let copy = Copy::of(TRAIL);
        let program = env!("CARGO_BIN_EXE_trailkeeper");
        for redirection in [">&-", ">&- 2>&-"] {
            let status = Command::new("/bin/sh")
                .arg("-c")
                .arg(format!(
                    "exec {program:?} verify --database {:?} {redirection}",
                    url(&copy.path)
                ))
                .env_clear()
                .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
                .status()
                .expect("start a shell");
            assert_eq!(status.code(), Some(0), "{redirection}");
        }
    }

    /// The error cannot be told; the exit code still can.
    #[test]
    fn of_an_error_to_a_full_disk() {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("open /dev/full");
        let mut command = Program::bare()
            .args(["verify", "--database", "qwed.db"])
            .into_command();
        let status = command.stderr(full).status().expect("start");
        assert_eq!(status.code(), Some(2));
    }
}

mod demo {
    use super::*;

    /// The text with words for what is random, or of today.
    fn without_random(text: &str) -> String {
        let behind = |start: &str| {
            let (_, rest) = text.split_once(start).expect("it is shown");
            rest.split([' ', ':', ',', '\n']).next().expect("a word")
        };
        let (id, plan) = (behind("\nrequest "), behind("\n  plan "));
        let report = behind("\nreport ");
        let text = text.replace(id, "[REQUEST]").replace(plan, "[PLAN]");
        let text = text.replace(report, "[REPORT]");
        let text = text.replace(&plan[..12], "[PLAN]");
        let (before, rest) = text.split_once("\"subject\": \"").expect("a certificate");
        let (subject, after) = rest.split_once('"').expect("a text");
        assert_eq!(subject.len(), 64);
        let text = format!("{before}\"subject\": \"[SUBJECT]\"{after}");
        let is_date = |word: &str| {
            let bytes = word.as_bytes();
            bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-' && word.starts_with("20")
        };
        let is_time = |word: &str| word.len() > 20 && is_date(&word[..10]) && word.ends_with('Z');
        // Hashes of entries, which are of other times at each run.
        let is_head = |word: &str| word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let is_clock = |word: &str| word.len() == 5 && word.as_bytes()[2] == b':';
        let words = text
            .split_inclusive([' ', '\n', ',', ';', '"'])
            .map(|word| {
                let bare = word.trim_end_matches([' ', '\n', ',', ';', '"']);
                match bare {
                    _ if is_date(bare) => word.replace(bare, "[DATE]"),
                    _ if is_head(bare) => word.replace(bare, "[HASH]"),
                    _ if is_time(bare) => word.replace(bare, "[TIME]"),
                    _ if is_clock(bare) => word.replace(bare, "[CLOCK]"),
                    _ => word.to_owned(),
                }
            });
        words.collect()
    }

    /// QWED's own databases are called anything; only what the demo made is ever replaced.
    #[test]
    fn replaces_nothing_but_its_own() {
        let copy = Copy::of(TRAIL);
        let directory = copy.directory.path();
        let occupied = directory.join("trailkeeper-demo.db");
        fs::copy(&copy.path, &occupied).expect("copy");
        let run = Program::bare()
            .args([
                "demo".as_ref(),
                "--directory".as_ref(),
                directory.as_os_str(),
            ])
            .run();
        let (code, line) = failure(&run, directory);
        assert_eq!(code, Some(3), "{line}");
        assert!(line.contains("not a sample"), "{line}");
        assert!(fs::read(&occupied).expect("read") == fs::read(&copy.path).expect("read"));
    }

    #[test]
    fn shows_what_it_did_and_found() {
        let directory = tempfile::tempdir().expect("make a directory");
        let sample = directory.path().join("sample");
        let demo = || {
            Program::bare()
                .args(["demo", "--once", "--directory"])
                .arg(&sample)
                .run()
        };
        let run = demo();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let shown = |run: &Run| without_random(&redacted(&run.stdout, directory.path()));
        insta::assert_snapshot!("demo", shown(&run));
        // A second time makes it anew.
        assert_eq!(shown(&demo()), shown(&run));
        let (verified, document) = Program::verify(&sample.join("trailkeeper-demo.db"))
            .env("QWED_AUDIT_SECRET_KEY", trailkeeper::demo::KEY)
            .json();
        assert_eq!(verified.code, Some(1));
        assert_eq!(document["entries"], 2997);
        // Without tombstones, which are in the demo's own database, the erasure is what QWED takes it for.
        assert_eq!(document["organizations"][0]["failed_count"], 33);
        let kinds: Vec<&Value> = document["organizations"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|organization| &organization["findings"][0]["kind"])
            .collect();
        assert_eq!(
            kinds,
            [&json!("legacy"), &json!("content_changed"), &Value::Null]
        );
    }

    #[test]
    fn where_nothing_can_be_written() {
        let directory = tempfile::tempdir().expect("make a directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("write");
        let run = Program::bare()
            .args(["demo".as_ref(), "--directory".as_ref(), file.as_os_str()])
            .run();
        let (code, line) = failure(&run, directory.path());
        assert_eq!(code, Some(3), "{line}");
        assert!(line.contains("[DIRECTORY]/file"), "{line}");
        assert_eq!(
            line.matches("os error").count(),
            1,
            "the cause is told once: {line}"
        );
    }
}

mod interruption {
    use super::*;

    /// Long enough that a signal sent when the verification begins mostly comes before its end. On a
    /// machine that lets the sender wait it may not: [`caught_in_the_middle`] tries again then.
    const ENTRIES: u64 = 300_000;

    /// A trail of small entries, all of them broken, which takes as long to verify as an intact one.
    fn long_trail(path: &Path) {
        let mut generator = Generator::new(Key::new("long", FIXTURE_KEY.as_bytes()), 1, 3);
        let mut writer = SqliteWriter::create(path).expect("make the database");
        writer.write(&mut generator, 1).expect("write an entry");
        drop(writer);
        Trail::open(path).run(&format!(
            "WITH RECURSIVE more(id) AS (SELECT 2 UNION ALL SELECT id + 1 FROM more WHERE id < {ENTRIES}) \
             INSERT INTO verificationlog SELECT more.id, organization_id, user_id, query, '{{}}', is_verified, domain, \
             timestamp, entry_hash, hmac_signature, previous_hash, NULL, api_key_id, verifier_version, admission \
             FROM more, verificationlog WHERE verificationlog.id = 1"
        ));
    }

    /// Whether the process handles SIGINT by now, by the kernel's own account.
    fn handles_interrupts(process: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // Bit 1 is SIGINT, bit 14 SIGTERM.
        caught.is_some_and(|mask| mask & 0b10 != 0 && mask & (1 << 14) != 0)
    }

    fn interrupted(database: &Path, format: &str, signal: &str) -> Run {
        let mut command = Program::verify(database)
            .args(["--threads", "1", "--format", format])
            .into_command();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        let started = Instant::now();
        while !handles_interrupts(child.id()) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "it never listened for signals"
            );
            std::thread::yield_now();
        }
        let sent = Command::new("/bin/sh")
            .args(["-c", &format!("kill -{signal} {}", child.id())])
            .status()
            .expect("start a shell");
        assert!(sent.success());
        let mut text = [String::new(), String::new()];
        let mut stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        stdout.read_to_string(&mut text[0]).expect("read");
        stderr.read_to_string(&mut text[1]).expect("read");
        let [stdout, stderr] = text;
        let code = child.wait().expect("wait").code();
        Run {
            code,
            stdout,
            stderr,
        }
    }

    /// A run that the signal reached before its end: one that had ended by then, which says so by its
    /// verdict's exit code, tells nothing about interruptions and is repeated.
    fn caught_in_the_middle(database: &Path, format: &str, signal: &str) -> Run {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            let run = interrupted(database, format, signal);
            if run.code != Some(1) {
                return run;
            }
        }
        panic!("none of {TRIES} verifications of {ENTRIES} entries was interrupted by SIG{signal}");
    }

    #[test]
    fn says_what_was_covered() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("long.db");
        long_trail(&path);
        for signal in ["INT", "TERM"] {
            let run = caught_in_the_middle(&path, "json", signal);
            assert_eq!(
                (run.code, run.stderr.as_str()),
                (Some(130), ""),
                "{signal}: {run:?}"
            );
            let document = run.json();
            assert_eq!(document["verdict"], Value::Null, "{document}");
            assert_eq!(document["interrupted"], true, "{document}");
            let entries = document["covered"]["entries"].as_u64().expect("a count");
            let fraction = document["covered"]["fraction"]
                .as_f64()
                .expect("a fraction");
            assert!(
                entries < ENTRIES && (0.0..1.0).contains(&fraction),
                "{document}"
            );
        }
        let run = caught_in_the_middle(&path, "text", "INT");
        assert_eq!(run.code, Some(130), "{run:?}");
        assert!(
            run.stdout.starts_with("interrupted: no verdict; ")
                && run.stdout.contains(" % of the trail"),
            "{run:?}"
        );
        assert_eq!(run.stdout.lines().count(), 1, "{run:?}");
    }
}
