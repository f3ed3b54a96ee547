//! The same verdicts on PostgreSQL.

use serde_json::Value;
use trailkeeper::{
    progress::Progress,
    qwed::Database,
    trail::finding::Verdict,
    verify::{self, Options, Scope},
};

use crate::support::{
    loaded::{TIME_TYPES, add_organizations, copy_entries, load_fixture, make_tables},
    postgres::Postgres,
    trails::{
        self, FIXTURE_KEY, KEY, fixture, fixtures, generator, program, report, ring, run,
        sqlite_url,
    },
};

const DATABASE: &str = "qwed";

fn server() -> Postgres {
    let server = Postgres::start();
    server.create_database(DATABASE);
    server
}

/// A server with a small valid trail of three organisations, signed with [`KEY`].
fn server_with_trail() -> Postgres {
    let server = server();
    make_tables(&server, DATABASE, TIME_TYPES[0]);
    add_organizations(&server, DATABASE, 3);
    let rows = copy_entries(&mut generator(3, 1), 300, |entry| Some(entry.id));
    server.psql(DATABASE, &rows);
    server
}

/// A report without what tells SQLite from PostgreSQL.
fn told(url: &str, arguments: &[&str]) -> Value {
    let mut document = report(url, FIXTURE_KEY, arguments);
    let database = document.as_object_mut().and_then(|d| d.remove("database"));
    let expected = url.split("://").next().expect("a scheme");
    assert_eq!(database, Some(Value::from(expected)));
    document
}

#[test]
fn every_fixture_is_told_as_on_sqlite() {
    let server = server();
    for name in fixtures() {
        let sqlite = sqlite_url(&fixture(&name));
        let [from, to] = thirds(&name);
        for time_type in TIME_TYPES {
            load_fixture(&server, DATABASE, &name, time_type);
            for arguments in [
                &[][..],
                &["--threads", "1"],
                &["--threads", "8"],
                &["--max-findings", "2", "--threads", "1"],
                &["--org", "1"],
                &["--from", &from, "--to", &to],
                &["--to", &from, "--org", "2"],
                &["--from", "2100-01-01"],
            ] {
                let mut expected = program(&sqlite, FIXTURE_KEY);
                expected.args(["--format", "json"]).args(arguments);
                let expected = run(expected);
                if expected.code == Some(3) {
                    // No such organisation: a refusal is the same on both.
                    let mut found = program(&server.url(DATABASE), FIXTURE_KEY);
                    found.args(["--format", "json"]).args(arguments);
                    assert_eq!(run(found).stderr, expected.stderr, "{name} {arguments:?}");
                    continue;
                }
                assert_eq!(
                    told(&server.url(DATABASE), arguments),
                    told(&sqlite, arguments),
                    "{name} with {time_type}, {arguments:?}"
                );
            }
        }
    }
}

/// Two times that cut a fixture's entries into three parts, to the microsecond.
fn thirds(name: &str) -> [String; 2] {
    let connection = trails::open(&fixture(name));
    let times: Vec<String> = connection
        .prepare("SELECT timestamp FROM verificationlog ORDER BY timestamp")
        .expect("prepare")
        .query_map((), |row| row.get(0))
        .expect("query")
        .collect::<Result<_, _>>()
        .expect("read times");
    [times.len() / 3, times.len() * 2 / 3].map(|index| times[index].replace(' ', "T") + "Z")
}

#[test]
fn every_entry_of_every_fixture_is_told_as_on_sqlite() {
    let server = server();
    for name in fixtures() {
        let sqlite = sqlite_url(&fixture(&name));
        let connection = trails::open(&fixture(&name));
        let ids: Vec<String> = connection
            .prepare("SELECT id FROM verificationlog ORDER BY id")
            .expect("prepare")
            .query_map((), |row| row.get::<_, i64>(0))
            .expect("query")
            .map(|id| id.expect("an id").to_string())
            .collect();
        let entries = |url: &str| {
            let mut command = program(url, FIXTURE_KEY);
            command.args(["--format", "json"]);
            for id in &ids {
                command.args(["--entry", id]);
            }
            let answer = run(command);
            assert!(matches!(answer.code, Some(0 | 1)), "{answer:?}");
            (answer.code, answer.json())
        };
        for time_type in TIME_TYPES {
            load_fixture(&server, DATABASE, &name, time_type);
            let (found, expected) = (entries(&server.url(DATABASE)), entries(&sqlite));
            assert_eq!(found, expected, "{name} with {time_type}");
        }
    }
}

#[test]
fn every_spelling_of_the_url_reaches_it() {
    let server = server_with_trail();
    let password = "p@ss/w#rd:?é%41";
    server.psql(
        DATABASE,
        &format!(
            "CREATE ROLE \"re ader\" LOGIN PASSWORD '{password}'; \
             GRANT SELECT ON verificationlog, organization TO \"re ader\";"
        ),
    );
    ask_for_password(&server, "re ader");
    let plain = server.url(DATABASE);
    let (_, location) = plain.split_once('@').expect("a URL with a user");
    let (host, _) = location.split_once('/').expect("a URL with a database");
    let (address, port) = host.split_once(':').expect("a URL with a port");
    let encoded = "re%20ader:p%40ss%2Fw%23rd%3A%3F%C3%A9%2541";
    let mut urls: Vec<String> = [
        "postgresql",
        "postgresql+psycopg2",
        "postgresql+psycopg",
        "postgresql+asyncpg",
        "postgres",
        "PostgreSQL",
    ]
    .iter()
    .map(|scheme| format!("{scheme}://{encoded}@{location}"))
    .collect();
    urls.push(format!("postgresql://{encoded}@{location}?sslmode=prefer"));
    urls.push(format!(
        "postgresql+asyncpg://{encoded}@{location}?ssl=disable"
    ));
    urls.push(format!("  postgresql://{encoded}@{location}\n"));
    urls.push(format!(
        "postgresql://{encoded}@/{DATABASE}?host={address}&port={port}&connect_timeout=5"
    ));
    for url in urls {
        let document = report(&url, KEY, &[]);
        assert_eq!(document["entries"], 300, "{url}");
        assert_eq!(document["verdict"], "intact", "{url}");
        // The variable, as QWED has it.
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        command
            .args(["verify", "--no-progress"])
            .env("DATABASE_URL", &url)
            .env("QWED_AUDIT_SECRET_KEY", KEY);
        let answer = run(command);
        assert_eq!(answer.code, Some(0), "{url}: {answer:?}");
    }
    let answer = run(program(
        &format!("postgresql://re%20ader:secret-guess@{location}"),
        KEY,
    ));
    answer.assert_could_not_check(&["re ader", "password", "check user and password"]);
    assert!(!answer.stderr.contains("secret-guess"), "{answer:?}");
}

/// Makes the server ask this role, and no other, for its password.
fn ask_for_password(server: &Postgres, role: &str) {
    let file = server.psql("postgres", "SHOW hba_file");
    server.psql(
        "postgres",
        &format!(
            "COPY (SELECT unnest(ARRAY['host all \"{role}\" 127.0.0.1/32 scram-sha-256', \
             'host all all 127.0.0.1/32 trust'])) TO '{file}' (FORMAT csv, QUOTE E'\\x01'); \
             SELECT pg_reload_conf();"
        ),
    );
    // The server takes note of it in its own time.
    let url = server
        .url(DATABASE)
        .replace("postgres@", &format!("{}:wrong@", role.replace(' ', "%20")));
    for _ in 0..500 {
        if run(program(&url, KEY)).code != Some(0) {
            return;
        }
    }
    panic!("the server does not ask {role:?} for a password");
}

#[test]
fn what_keeps_it_from_checking_is_said_in_one_line() {
    let mut server = server_with_trail();
    let url = server.url(DATABASE);

    let missing = run(program(&server.url("no_such_database"), KEY));
    missing.assert_could_not_check(&["no_such_database", "does not exist", "check the database"]);

    server.create_database("empty");
    let empty = run(program(&server.url("empty"), KEY));
    empty.assert_could_not_check(&["is not a QWED database", "verificationlog"]);

    server.psql(DATABASE, "CREATE ROLE nobody LOGIN");
    let nobody = url.replace("postgres@", "nobody@");
    run(program(&nobody, KEY)).assert_could_not_check(&["permission denied", "SELECT"]);
    server.psql(DATABASE, "GRANT SELECT ON organization TO nobody");
    run(program(&nobody, KEY)).assert_could_not_check(&["permission denied", "verificationlog"]);
    server.psql(
        DATABASE,
        "GRANT SELECT ON verificationlog TO nobody; REVOKE SELECT ON organization FROM nobody",
    );
    run(program(&nobody, KEY)).assert_could_not_check(&["permission denied", "organization"]);

    let stranger = url.replace("postgres@", "stranger@");
    run(program(&stranger, KEY)).assert_could_not_check(&["stranger", "does not exist"]);

    let mut no_such_organisation = program(&url, KEY);
    no_such_organisation.args(["--org", "77"]);
    run(no_such_organisation).assert_could_not_check(&["77", "1, 2, 3"]);
    let mut no_such_entry = program(&url, KEY);
    no_such_entry.args(["--entry", "9000000000"]);
    run(no_such_entry).assert_could_not_check(&["9000000000"]);

    for (change, parts) in [
        (
            "ALTER TABLE verificationlog ALTER result TYPE jsonb USING '{}'",
            ["\"result\"", "jsonb"],
        ),
        (
            "ALTER TABLE verificationlog ALTER is_verified TYPE integer USING 1",
            ["\"is_verified\"", "integer"],
        ),
        (
            "ALTER TABLE verificationlog ALTER id DROP DEFAULT, ALTER id TYPE numeric",
            ["\"id\"", "numeric"],
        ),
        (
            "ALTER TABLE verificationlog DROP COLUMN hmac_signature",
            ["hmac_signature", "verificationlog"],
        ),
        ("DROP TABLE organization", ["no table", "organization"]),
        (
            "DROP TABLE verificationlog",
            ["no table", "verificationlog"],
        ),
    ] {
        server.create_database("changed");
        make_tables(&server, "changed", TIME_TYPES[1]);
        server.psql("changed", change);
        let answer = run(program(&server.url("changed"), KEY));
        answer.assert_could_not_check(&parts);
        answer.assert_could_not_check(&["is not a QWED database"]);
        server.psql("postgres", "DROP DATABASE changed");
    }

    server.stop();
    run(program(&url, KEY)).assert_could_not_check(&["127.0.0.1", "is the server running"]);
}

#[test]
fn a_role_that_may_only_read_suffices_and_nothing_is_written() {
    let server = server_with_trail();
    // Something to diagnose: every way of looking at the table is used.
    server.psql(
        DATABASE,
        "CREATE ROLE reader LOGIN; GRANT SELECT ON verificationlog, organization TO reader; \
         REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO reader; \
         REVOKE TEMPORARY ON DATABASE qwed FROM PUBLIC; \
         UPDATE verificationlog SET query = 'x' WHERE id = 20; \
         DELETE FROM verificationlog WHERE id BETWEEN 50 AND 60; \
         UPDATE verificationlog SET id = -1 WHERE id = 100; UPDATE verificationlog SET id = 100 WHERE id = 101; \
         UPDATE verificationlog SET id = 101 WHERE id = -1;",
    );
    let state = || {
        server.psql(
            DATABASE,
            "SELECT md5(string_agg(log::text || log.xmin || log.ctid, '|' ORDER BY id)) FROM verificationlog AS log; \
             SELECT string_agg(organization::text || xmin, '|' ORDER BY id) FROM organization; \
             SELECT count(*), string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        )
    };
    let before = state();
    let reader = server.url(DATABASE).replace("postgres@", "reader@");
    let told = report(&reader, KEY, &[]);
    assert_eq!(told["verdict"], "tampered");
    report(&reader, KEY, &["--org", "2", "--threads", "3"]);
    report(
        &reader,
        KEY,
        &["--from", "2026-01-01", "--to", "2026-01-02"],
    );
    let mut entry = program(&reader, KEY);
    entry.args(["--entry", "20", "--format", "json"]);
    assert_eq!(run(entry).code, Some(1));
    assert_eq!(state(), before);
    assert_eq!(told, report(&server.url(DATABASE), KEY, &[]));
}

#[test]
fn what_is_committed_after_the_start_is_left_to_the_next_time() {
    let server = server();
    make_tables(&server, DATABASE, TIME_TYPES[0]);
    add_organizations(&server, DATABASE, 3);
    let mut generator = generator(3, 7);
    server.psql(
        DATABASE,
        &copy_entries(&mut generator, 500, |entry| Some(entry.id)),
    );
    let url = server.url(DATABASE).parse().expect("a URL");
    let options = Options {
        threads: 4,
        range_ids: 32,
        ..Options::default()
    };
    let verify = |database: &Database| {
        verify::verify(
            database,
            &ring(KEY),
            &Scope::default(),
            &options,
            &Progress::default(),
        )
        .expect("verify")
    };

    let early = Database::open(&url).expect("open");
    // A writer appends, a forger edits, removes and inserts: none of it is part of what `early` verifies.
    server.psql(
        DATABASE,
        &format!(
            "{}UPDATE verificationlog SET query = 'x' WHERE id = 10; DELETE FROM verificationlog WHERE id = 30; \
             INSERT INTO verificationlog SELECT -5, organization_id, user_id, query, result, is_verified, domain, \
             timestamp FROM verificationlog WHERE id = 40; INSERT INTO organization VALUES \
             (9, 'org9', 'Organisation 9', 'pro', true, now())",
            copy_entries(&mut generator, 100, |entry| Some(entry.id))
        ),
    );
    let report = verify(&early);
    assert_eq!(report.verdict, Verdict::Intact, "{report:?}");
    assert_eq!(report.entries, 500);
    assert_eq!(report.organizations.len(), 3);
    let late = verify(&Database::open(&url).expect("open"));
    assert_eq!(late.verdict, Verdict::Tampered);
    assert_eq!((late.entries, late.organizations.len()), (600, 4));
}

#[test]
fn any_number_of_readers_tells_the_same_of_sparse_and_negative_ids() {
    let server = server();
    make_tables(&server, DATABASE, TIME_TYPES[0]);
    server.psql(DATABASE, "ALTER TABLE verificationlog ALTER id TYPE bigint");
    add_organizations(&server, DATABASE, 3);
    // Ids are not hashed: those before 11 are negative, those from 200 on far away, the last is the highest there is.
    let rows = copy_entries(&mut generator(3, 3), 1000, |entry| {
        Some(match entry.id {
            ..=10 => entry.id - 20,
            1000 => i64::MAX,
            200.. => entry.id * 1_000_000_007 + 1_000_000_000_000,
            id => id,
        })
    });
    server.psql(DATABASE, &rows);
    let url = server.url(DATABASE);
    let single = report(&url, KEY, &["--threads", "1"]);
    assert_eq!(single["verdict"], "intact");
    assert_eq!(single["entries"], 1000);
    let first = &single["organizations"][0]["qwed"];
    assert!(first["first_entry_id"].as_i64() < Some(0), "{first}");
    assert_eq!(report(&url, KEY, &["--threads", "8"]), single);

    let mut entry = program(&url, KEY);
    entry.args(["--entry=-19", "--entry", "9223372036854775807"]);
    let answer = run(entry);
    assert_eq!(answer.code, Some(0), "{answer:?}");

    server.psql(
        DATABASE,
        "DELETE FROM verificationlog WHERE id IN (-15, 50, 1300000002100); \
         UPDATE verificationlog SET is_verified = false WHERE id IN (-12, 60, 1400000002800)",
    );
    let single = report(&url, KEY, &["--threads", "1"]);
    assert_eq!(single["verdict"], "tampered");
    let found: u64 = single["organizations"]
        .as_array()
        .expect("organisations")
        .iter()
        .filter_map(|o| o["findings_total"].as_u64())
        .sum();
    assert_eq!(found, 6, "{single:#}");
    for threads in ["2", "3", "8"] {
        assert_eq!(report(&url, KEY, &["--threads", threads]), single);
    }
}

/// From 100,000 entries on, an organisation is read by key ranges and no longer by its index.
#[test]
fn a_large_and_a_small_organisation_are_told_the_same_alone_and_with_others() {
    const LARGE: usize = 100_500;
    let server = server();
    make_tables(&server, DATABASE, TIME_TYPES[1]);
    add_organizations(&server, DATABASE, 2);
    server.psql(
        DATABASE,
        &copy_entries(&mut generator(1, 5), LARGE, |entry| Some(entry.id * 2)),
    );
    // The small one's entries lie between the large one's.
    let mut count = 0;
    let rows = copy_entries(&mut generator(2, 6), 200, |entry| {
        (entry.organization_id == 2).then(|| {
            count += 1;
            entry.id * 501 * 2 + 1
        })
    });
    server.psql(DATABASE, &rows);
    server.psql(
        DATABASE,
        "UPDATE verificationlog SET domain = 'LOGIC' WHERE id = 150000",
    );
    let url = server.url(DATABASE);
    let all = report(&url, KEY, &[]);
    assert_eq!(all["entries"], LARGE + count);
    assert_eq!(all["organizations"][0]["verdict"], "tampered");
    assert_eq!(all["organizations"][1]["verdict"], "intact");
    for (index, organization) in [(0, "1"), (1, "2")] {
        for threads in ["1", "8"] {
            let alone = report(&url, KEY, &["--org", organization, "--threads", threads]);
            assert_eq!(
                alone["organizations"].as_array().map(Vec::len),
                Some(1),
                "{alone}"
            );
            assert_eq!(alone["organizations"][0], all["organizations"][index]);
        }
    }
    let both = report(&url, KEY, &["--org", "1", "--org", "2", "--threads", "3"]);
    assert_eq!(both, all);
}
