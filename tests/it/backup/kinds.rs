//! PostgreSQL, on either side.

use std::fmt::Write;

use trailkeeper::{
    backup::Wanted,
    progress::Progress,
    qwed::{Database, url::DatabaseUrl},
    verify::{self, Options, Scope, report::OrganizationReport},
};

use super::{AGENTS, Site, dump};
use crate::support::{
    loaded::{TIME_TYPES, load_fixture, make_key_tables},
    postgres::Postgres,
    store::{TestStore, block_on},
    trails::{FIXTURE_KEY, ring},
};

fn judged(url: &DatabaseUrl) -> Vec<OrganizationReport> {
    let url = url.clone();
    std::thread::spawn(move || {
        let database = Database::open(&url).expect("open");
        let (scope, options) = (Scope::default(), Options::default());
        let progress = Progress::default();
        let report = verify::verify(&database, &ring(FIXTURE_KEY), &scope, &options, &progress);
        report.expect("verify").organizations
    })
    .join()
    .expect("verify")
}

/// Every row of every table, as text, and what the tables are made of.
fn dump_postgres(server: &Postgres, database: &str) -> String {
    let tables = server.psql(
        database,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
    );
    let mut all = String::new();
    for table in tables.lines() {
        let rows = server.psql(
            database,
            &format!("COPY (SELECT * FROM \"{table}\" ORDER BY id) TO STDOUT"),
        );
        let _ = writeln!(all, "{table}\n{rows}");
        all += &server.psql(
            database,
            &format!(
                "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped \
                 AND attrelid = '\"{table}\"'::regclass ORDER BY attnum"
            ),
        );
        all += &server.psql(
            database,
            &format!("SELECT indexdef FROM pg_indexes WHERE tablename = '{table}' ORDER BY 1"),
        );
        all += &server.psql(
            database,
            &format!(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '\"{table}\"'::regclass ORDER BY 1"
            ),
        );
    }
    all
}

#[test]
fn postgres_comes_back_on_postgres_and_on_sqlite() {
    let server = Postgres::start();
    server.create_database("qwed");
    block_on(async {
        for (number, time_type) in TIME_TYPES.into_iter().enumerate() {
            for name in [
                "g4_two_orgs",
                "g1_two_orgs",
                "weird_results",
                "upgraded",
                "t_query_edited",
            ] {
                let test = TestStore::sqlite().await;
                load_fixture(&server, "qwed", name, time_type);
                let mut site = Site::of_fixture(name);
                site.url = server.url("qwed").parse().expect("a URL");
                site.backup(&test.store).await;
                let target = format!("restored_{number}_{name}");
                server.create_database(&target);
                let to: DatabaseUrl = server.url(&target).parse().expect("a URL");
                let restored = site.try_restore(&test.store, &to, Wanted::default()).await;
                restored.expect("restore");
                assert_eq!(
                    dump_postgres(&server, &target),
                    dump_postgres(&server, "qwed"),
                    "{name}"
                );
                assert_eq!(judged(&to), judged(&site.url), "{name}");
                // Ids go on where they were.
                let next = "INSERT INTO organization (name, display_name, tier, is_active, created_at) \
                            VALUES ('new', 'New', 'free', true, now()) RETURNING id > 0";
                assert!(server.psql(&target, next).contains('t'));
                // Not again: it is not empty any more.
                let error = site.try_restore(&test.store, &to, Wanted::default()).await;
                let error = error.expect_err("it is not empty").to_string();
                assert!(error.contains("is not empty"), "{error}");

                let (_, path) = site.restore(&test.store, Wanted::default()).await;
                let file = DatabaseUrl::Sqlite(path);
                assert_eq!(judged(&file), judged(&site.url), "{name}");
            }
        }
    });
}

#[test]
fn sqlite_comes_back_on_postgres() {
    let server = Postgres::start();
    block_on(async {
        for name in [
            "g4_two_orgs",
            "g2_two_orgs",
            "weird_results",
            "upgraded_chain",
            "t_hash_blanked",
        ] {
            let test = TestStore::sqlite().await;
            let site = Site::of_fixture(name);
            site.trail().run(AGENTS);
            site.backup(&test.store).await;
            server.create_database(name);
            let to: DatabaseUrl = server.url(name).parse().expect("a URL");
            let restored = site.try_restore(&test.store, &to, Wanted::default()).await;
            let restored = restored.expect("restore");
            assert_eq!(restored.tables["toolcall"], 3);
            assert_eq!(judged(&to), judged(&site.url), "{name}");
            // And back again: nothing was lost on the way.
            let there = TestStore::sqlite().await;
            let mut back = Site::empty();
            back.url = to;
            back.backup(&there.store).await;
            let (_, path) = back.restore(&there.store, Wanted::default()).await;
            let rows = |path: &std::path::Path| {
                let mut rows = dump(path);
                rows.retain(|row| row.starts_with("verificationlog: "));
                rows
            };
            assert_eq!(rows(&path), rows(&site.path()), "{name}");
        }
        // Into tables that there are.
        let test = TestStore::sqlite().await;
        let site = Site::of_fixture("g4_two_orgs");
        site.backup(&test.store).await;
        server.create_database("made");
        make_key_tables(&server, "made", TIME_TYPES[0]);
        let to: DatabaseUrl = server.url("made").parse().expect("a URL");
        let restored = site.try_restore(&test.store, &to, Wanted::default()).await;
        restored.expect("restore");
        assert_eq!(judged(&to), judged(&site.url));
    });
}
