//! What `archive verify` finds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use trailkeeper::backup::{FindingKind, Wanted};

use super::{Site, kinds_of};
use crate::support::store::{TestStore, block_on};

/// The files of the archive under a directory, in order.
fn files(site: &Site, directory: &str) -> Vec<PathBuf> {
    let mut pending = vec![site.directory.path().join("objects").join(directory)];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("list");
            pending.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn replace(path: &PathBuf, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("make writable");
    fs::write(path, bytes).expect("write");
}

#[test]
fn whatever_is_done_to_the_archive_is_found() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let (site, generator) = Site::generated(2, 100);
        site.backup(store).await;
        site.anchor(store).await;
        let generator = site.append(generator, 20);
        site.backup(store).await;
        site.append(generator, 20);
        site.backup(store).await;
        site.assert_sound(store).await;
        let manifests = files(&site, "manifests");
        assert_eq!(manifests.len(), 3);
        let segment = files(&site, "segments/1")[0].clone();
        let anchor = files(&site, "anchors")[0].clone();
        let cases: [(_, Option<Vec<u8>>, FindingKind, bool); 7] = [
            (segment.clone(), None, FindingKind::ObjectMissing, true),
            (anchor.clone(), None, FindingKind::ObjectMissing, false),
            (
                segment,
                Some(b"other".to_vec()),
                FindingKind::ObjectChanged,
                true,
            ),
            (
                manifests[0].clone(),
                None,
                FindingKind::ManifestMissing,
                true,
            ),
            (
                manifests[1].clone(),
                None,
                FindingKind::ManifestMissing,
                true,
            ),
            // Only our own database knows of the newest.
            (
                manifests[2].clone(),
                None,
                FindingKind::ManifestMissing,
                false,
            ),
            (
                manifests[1].clone(),
                Some(b"other\n\n".to_vec()),
                FindingKind::ManifestBroken,
                true,
            ),
        ];
        for (path, content, kind, stops_restore) in cases {
            let before = fs::read(&path).expect("read");
            match content {
                Some(content) => replace(&path, &content),
                None => fs::remove_file(&path).expect("remove"),
            }
            let report = site.verify(store).await;
            let found = kinds_of(&report.findings);
            assert!(found.contains(&kind), "{}: {found:?}", path.display());
            let to = site.directory.path().join("never.db");
            let to_url = trailkeeper::qwed::url::DatabaseUrl::Sqlite(to.clone());
            let restored = site.try_restore(store, &to_url, Wanted::default()).await;
            assert_eq!(restored.is_err(), stops_restore, "{}", path.display());
            assert_eq!(to.exists(), !stops_restore);
            let _ = fs::remove_file(to);
            if path.exists() {
                replace(&path, &before);
            } else {
                fs::write(&path, &before).expect("write");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("as it was");
        }
        // What nobody named is listed, and is no finding.
        let stranger = site.directory.path().join("objects/segments/1/stranger");
        fs::write(stranger, "x").expect("write");
        let report = site.verify(store).await;
        assert_eq!(report.findings, []);
        assert_eq!(report.orphans, ["segments/1/stranger"]);
    });
}
