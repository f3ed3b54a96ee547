//! What is over is removed by order, and nothing else ever.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use trailkeeper::{
    backup::{self, BackupError, Plan, Pruned, Reason, Wanted},
    clock::Clock,
    ledger::{self, Scribe},
    qwed::url::DatabaseUrl,
    state::{Store, fault},
};

use super::{AGENTS, ORIGIN, Site, keys, renewed::short_lived};
use crate::support::{
    ceph::Ceph,
    program::Program,
    s3::Server,
    store::{TestStore, block_on},
};

crate::on_both![
    what_is_over_is_removed_by_order_only,
    each_write_of_a_removal_may_break,
];

impl Site {
    async fn plan(&self, store: &Store, limit: usize) -> Result<Plan, BackupError> {
        let keys = keys().verifiers;
        backup::plan_prune(store, &self.vault, ORIGIN, &keys, self.now, limit).await
    }

    async fn prune(
        &self,
        store: &Store,
        limit: usize,
        digest: &str,
    ) -> Result<Pruned, BackupError> {
        let keys = keys();
        let scribe = Scribe {
            origin: ORIGIN,
            key: &keys.signer,
            actor: "a test",
            now: self.now,
        };
        backup::prune(store, &self.vault, &keys.verifiers, &scribe, limit, digest).await
    }

    async fn names(&self) -> BTreeSet<String> {
        let listed = self.vault.list("").map_ok(|listed| listed.name);
        listed.try_collect().await.expect("list")
    }

    fn days(&mut self, days: i64) {
        self.now += (days * 24).hours();
    }
}

const ALL: usize = 1000;

async fn what_is_over_is_removed_by_order_only(test: TestStore) {
    let store = &test.store;
    let (mut site, generator) = Site::generated(2, 60);
    site.anchor(store).await;
    site.backup(store).await;
    site.days(1);
    // Cut short: its segments of whole tables are superseded.
    fault::set("archive manifest", fault::Way::Failed, 1);
    site.try_backup(store).await.expect_err("a write broke");
    let second = site.backup(store).await;
    assert!(second.superseded > 0);
    let young = site.plan(store, ALL).await.expect("plan");
    assert_eq!((&young.objects, young.gone), (&vec![], 0));
    assert!(young.retained > 0 && young.needed > 0, "{young:?}");

    site.days(300);
    site.append(generator, 20);
    site.backup(store).await;
    site.days(150);
    let before = site.names().await;
    let plan = site.plan(store, ALL).await.expect("plan");
    assert_eq!(site.names().await, before, "a list changes nothing");
    assert_eq!((plan.newest, plan.unfinished), (3, 0));
    assert_eq!((&plan.kept, plan.is_more), (&vec![], false));
    let over: BTreeSet<String> = plan.objects.iter().map(|it| it.name.clone()).collect();
    let is_of_table = |name: &&String| {
        let rest = name.strip_prefix("segments/");
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
    };
    let tables = before.iter().filter(is_of_table).count();
    let newest = super::renewed::newest(&site).await;
    let newest = newest.objects.iter().filter(|it| is_of_table(&&it.name));
    assert_eq!(over.len(), tables - newest.count());
    assert!(over.iter().all(|name| is_of_table(&name)), "{over:?}");
    assert!(plan.objects.iter().all(|it| it.manifest < 3));

    // A part of it, and a list that is not the one that was looked at.
    let part = site.plan(store, 2).await.expect("plan");
    assert_eq!(
        (part.objects.as_slice(), part.is_more),
        (&plan.objects[..2], true)
    );
    assert_ne!(part.digest, plan.digest);
    let error = site.prune(store, ALL, &part.digest).await;
    let error = error.expect_err("another list").to_string();
    assert!(error.contains("look at the list again"), "{error}");
    assert_eq!(site.names().await, before);

    let pruned = site.prune(store, 2, &part.digest).await.expect("prune");
    assert_eq!((pruned.removed, &pruned.refused), (2, &vec![]));
    let error = site.prune(store, ALL, &plan.digest).await;
    error.expect_err("the list is shorter now");
    let rest = site.plan(store, ALL).await.expect("plan");
    assert_eq!(
        (rest.objects.as_slice(), rest.gone),
        (&plan.objects[2..], 2)
    );
    let pruned = site.prune(store, ALL, &rest.digest).await.expect("prune");
    assert_eq!(pruned.removed, rest.objects.len() as u64);
    assert_eq!(pruned.size_bytes, rest.size_bytes);
    let left = &before - &over;
    assert_eq!(site.names().await, left);

    // What is left is sound, and says what it cannot do any more.
    let report = site.verify(store).await;
    assert_eq!(report.expired, over.len() as u64);
    site.assert_sound(store).await;
    let to = DatabaseUrl::Sqlite(site.directory.path().join("never.db"));
    let wanted = Wanted {
        manifest: Some(1),
        ..Wanted::default()
    };
    let error = site.try_restore(store, &to, wanted).await;
    let error = error.expect_err("it was pruned").to_string();
    assert!(error.contains("backup 1 cannot be restored"), "{error}");
    assert!(error.contains("Restore a later backup"), "{error}");
    let none = site.plan(store, ALL).await.expect("plan");
    assert_eq!((&none.objects, none.gone), (&vec![], over.len() as u64));
    let told = ledger::verify(store, ORIGIN, &keys().verifiers).await;
    let told = told.expect("verify the ledger");
    assert_eq!((told.entries, &told.findings), (over.len() as u64, &vec![]));

    // Without our database the store tells what is gone.
    test.execute("DELETE FROM archive_removal").await;
    let none = site.plan(store, ALL).await.expect("plan");
    assert_eq!((&none.objects, none.gone), (&vec![], over.len() as u64));
    let told = ledger::verify(store, ORIGIN, &keys().verifiers).await;
    let told = told.expect("verify the ledger");
    assert_eq!((told.entries, &told.findings), (over.len() as u64, &vec![]));
}

#[test]
fn an_archive_in_doubt_is_left_alone() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let (mut site, _) = Site::generated(1, 20);
        let refuses = async |site: &Site, why: &str| {
            let error = site.plan(store, ALL).await.expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        };
        refuses(&site, "has no manifest").await;
        site.backup(store).await;
        site.days(450);
        refuses(&site, "longer ago than objects are kept").await;
        let second = site.backup(store).await;
        let third = site.backup(store).await;
        assert!(
            !site
                .plan(store, ALL)
                .await
                .expect("plan")
                .objects
                .is_empty()
        );
        let directory = site.directory.path().join("objects");
        let aside = directory.join("aside");
        for (name, why) in [
            (third.manifest, "its newest manifest should be"),
            (second.manifest, "manifest 2 is not there"),
        ] {
            std::fs::rename(directory.join(&name), &aside).expect("move");
            refuses(&site, why).await;
            std::fs::rename(&aside, directory.join(&name)).expect("move");
        }
        let newest = super::renewed::newest(&site).await;
        let table = newest.objects.iter().find(|it| it.table == "user");
        let name = &table.expect("a table").name;
        std::fs::rename(directory.join(name), &aside).expect("move");
        refuses(&site, "cannot be restored").await;
    });
}

async fn each_write_of_a_removal_may_break(test: TestStore) {
    let store = &test.store;
    let (mut site, _) = Site::generated(1, 20);
    for write in ["removal intent", "removal", "removal forget"] {
        for way in [fault::Way::Failed, fault::Way::FailedButPersisted] {
            site.backup(store).await;
            site.days(450);
            site.backup(store).await;
            let plan = site.plan(store, ALL).await.expect("plan");
            assert!(!plan.objects.is_empty());
            if write == "removal forget" {
                // There is something to forget after a note that nothing came of.
                fault::set("removal intent", fault::Way::FailedButPersisted, 1);
                let pruned = site.prune(store, ALL, &plan.digest).await;
                pruned.expect_err("a write broke");
                let plan = site.plan(store, ALL).await.expect("plan");
                assert_eq!(plan.unfinished, plan.objects.len() as u64);
            }
            fault::set(write, way, 1);
            let pruned = site.prune(store, ALL, &plan.digest).await;
            pruned.expect_err(&format!("{write} {way:?}"));
            assert_eq!(fault::left(write), 0, "{write}");
            let rest = site.plan(store, ALL).await.expect("plan");
            let pruned = site.prune(store, ALL, &rest.digest).await.expect("prune");
            assert_eq!(pruned.removed, rest.objects.len() as u64);
            let lost = write == "removal" && way == fault::Way::Failed;
            assert_eq!(pruned.settled, u64::from(lost), "{write} {way:?}");
            let none = site.plan(store, ALL).await.expect("plan");
            assert_eq!((&none.objects, none.unfinished), (&vec![], 0));
            let removed = "SELECT count(*) FROM archive_removal WHERE removed_at IS NOT NULL";
            assert_eq!(test.number(removed).await.cast_unsigned(), none.gone);
            let all = test.number("SELECT count(*) FROM archive_removal").await;
            assert_eq!(all.cast_unsigned(), none.gone);
            let told = "SELECT count(*) FROM ledger WHERE act = 'archive.prune'";
            assert_eq!(test.number(told).await.cast_unsigned(), none.gone);
            site.assert_sound(store).await;
        }
    }
}

#[test]
fn ceph_gives_up_what_is_over_and_keeps_what_is_held() {
    let ceph = Ceph::start();
    let server = &ceph.server;
    block_on(async {
        server.make_bucket("locked", true).await;
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let (mut site, _) = Site::generated(1, 20);
        site.vault = short_lived(server);
        site.trail().run(AGENTS);
        // Locks for a day, of which a quarter of a minute is left.
        let begun = Clock.now();
        site.now = begun - 24.hours() + 15.seconds();
        site.backup(store).await;
        let first = super::renewed::newest(&site).await;
        site.now = begun;
        site.backup(store).await;
        let mut of_tables = first
            .objects
            .iter()
            .filter(|it| it.table != "verificationlog");
        let (held, longer) = (
            of_tables.next().expect("one"),
            of_tables.next().expect("two"),
        );
        let rest = of_tables.count();
        assert!(rest > 0);
        hold(server, &held.name, "ON").await;
        let version = longer.version.as_deref();
        let until = begun + 2.hours();
        let extended = site.vault.extend(&longer.name, version, until).await;
        extended.expect("prolong");

        // A clock that is ahead thinks that locks have ended: the store knows better.
        site.now = begun + 1.hour();
        let plan = site.plan(store, ALL).await.expect("plan");
        assert_eq!(plan.objects.len(), rest);
        let pruned = site.prune(store, ALL, &plan.digest).await.expect("prune");
        assert_eq!((pruned.removed, pruned.refused.len()), (0, rest));
        assert!(pruned.refused[0].why.contains("403"), "{pruned:?}");
        let refused =
            "SELECT count(*) FROM archive_removal WHERE refused IS NOT NULL AND removed_at IS NULL";
        assert_eq!(test.number(refused).await, rest as i64);

        let left = begun + 17.seconds();
        let wait = left.duration_since(Clock.now()).unsigned_abs();
        if left > Clock.now() {
            tokio::time::sleep(wait).await;
        }
        site.now = Clock.now();
        let plan = site.plan(store, ALL).await.expect("plan");
        assert_eq!(plan.objects.len(), rest);
        let reasons: Vec<_> = plan
            .kept
            .iter()
            .map(|it| (it.name.as_str(), it.reason))
            .collect();
        let expected = [
            (held.name.as_str(), Reason::LegalHold),
            (longer.name.as_str(), Reason::Locked),
        ];
        assert!(
            expected.iter().all(|it| reasons.contains(it)),
            "{reasons:?}"
        );
        assert_eq!(reasons.len(), 2);
        let pruned = site.prune(store, ALL, &plan.digest).await.expect("prune");
        assert_eq!((pruned.removed as usize, pruned.refused), (rest, vec![]));
        let of_first = |name: &str| {
            first
                .objects
                .iter()
                .any(|it| it.name == name && it.table != "verificationlog")
        };
        let versions: Vec<_> = site
            .vault
            .versions("segments/")
            .try_collect()
            .await
            .expect("list");
        let left: Vec<_> = versions.iter().filter(|it| of_first(&it.name)).collect();
        assert_eq!(left.len(), 2, "no version and no marker is left: {left:?}");
        site.assert_sound(store).await;

        hold(server, &held.name, "OFF").await;
        let plan = site.plan(store, ALL).await.expect("plan");
        assert_eq!((plan.objects.len(), plan.kept.len()), (1, 1));
        let pruned = site.prune(store, ALL, &plan.digest).await.expect("prune");
        assert_eq!(pruned.removed, 1);
        site.assert_sound(store).await;
    });
}

/// As an administrator does.
async fn hold(server: &Server, name: &str, status: &str) {
    let target = format!("locked/trail/a/{name}?legal-hold=");
    let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
    let answer = server
        .send(http::Method::PUT, &target, &[], body.as_bytes())
        .await;
    assert!(answer.status.is_success(), "{answer:?}");
}

#[test]
fn an_operator_looks_before_removing() {
    let site = block_on(async {
        let test = TestStore::sqlite().await;
        let (mut site, _) = Site::generated(1, 20);
        let now: Timestamp = site.now;
        site.now = now - (500 * 24).hours();
        site.backup(&test.store).await;
        site.now = now;
        site.backup(&test.store).await;
        (site, test)
    });
    let (site, test) = site;
    let key_file = site.directory.path().join("anchor.key");
    let run = |arguments: &[&str]| {
        let objects = site.directory.path().join("objects");
        Program::bare()
            .env(
                "TRAILKEEPER__OBJECTS__URL",
                format!("file://{}", objects.display()),
            )
            .env("TRAILKEEPER__OBJECTS__LOCK_MODE", "none")
            .env("TRAILKEEPER__STATE__URL", &test.url)
            .env("TRAILKEEPER__ANCHORS__ORIGIN", ORIGIN)
            .env(
                "TRAILKEEPER__ANCHORS__PUBLIC_KEYS",
                keys().signer.verifier().to_string(),
            )
            .env("TRAILKEEPER__ANCHORS__KEY_FILE", &key_file)
            .args(["archive", "prune"])
            .args(arguments)
    };
    let failed = run(&[]).run();
    assert_eq!(failed.code, Some(2), "{failed:?}");
    let (listed, plan) = run(&["--expired"]).json();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let objects = plan["objects"].as_array().expect("a list").len();
    assert!(objects > 0);
    let digest = plan["digest"].as_str().expect("a digest");
    let text = run(&["--expired"]).run().stdout;
    assert!(text.contains(&format!("--apply {digest}")), "{text}");
    assert!(
        text.contains("objects are kept as the newest backup, 2, needs them"),
        "{text}"
    );
    let other = "0".repeat(64);
    let failed = run(&["--expired", "--apply", &other]).run();
    assert!(failed.failure().1.contains("anchor key"), "{failed:?}");
    std::fs::write(&key_file, keys().signer.to_text().as_bytes()).expect("write the key");
    let failed = run(&["--expired", "--apply", &other]).run();
    assert_eq!(failed.code, Some(3), "{failed:?}");
    assert!(
        failed.failure().1.contains("nothing was removed"),
        "{failed:?}"
    );
    let (removed, pruned) = run(&["--expired", "--apply", digest]).json();
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(pruned["removed"], json!(objects));
    let text = run(&["--expired"]).run().stdout;
    assert!(text.contains("nothing is over"), "{text}");
}
