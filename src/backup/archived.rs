//! The manifests of an archive, authenticated and in order.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    BackupError,
    manifest::{self, Kind, Manifest, Object},
    verify::{Finding, FindingKind},
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Vault, VaultError},
};

/// Backups that are looked through for the newest of a kind: not each has an anchor where anchors are made by hand.
const LOOKED_THROUGH: usize = 30;
/// Manifests that are fetched side by side.
const SIDE_BY_SIDE: usize = 16;

/// A manifest that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its name.
    pub name: String,
    /// The SHA-256 of the note, in hexadecimal.
    pub sha256: String,
    /// What it says.
    pub manifest: Manifest,
}

/// The manifests of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifests {
    /// Those that are authentic, in order of number.
    pub all: Vec<Archived>,
    /// Where their chain is broken: before which number, and how.
    pub breaks: Vec<(i64, Finding)>,
    /// What else stands where manifests do, and nobody known signed: of no consequence to what is authentic.
    pub strangers: Vec<Finding>,
}

impl Manifests {
    /// What is wrong with the chain up to this number.
    #[must_use]
    pub fn broken_before(&self, number: i64) -> Option<&Finding> {
        let found = self.breaks.iter().find(|(at, _)| *at <= number);
        found.map(|(_, finding)| finding)
    }

    /// All that speaks against them.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let breaks = self.breaks.iter().map(|(_, finding)| finding);
        breaks.chain(&self.strangers)
    }

    /// The newest.
    #[must_use]
    pub fn newest(&self) -> Option<&Archived> {
        self.all.last()
    }
}

/// All manifests that one of `keys` signed, in order, and what is wrong with the others or with their chain.
///
/// # Errors
/// If the store cannot be read.
pub async fn load(
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Manifests, BackupError> {
    let names = names(vault).await?;
    let fetched = stream::iter(names).map(|name| async move {
        match vault.get(&name, None).await {
            Ok(bytes) => Ok((name, Some(bytes))),
            // A name that no vault takes is no manifest's either.
            Err(VaultError::NotFound { .. } | VaultError::Name { .. }) => Ok((name, None)),
            Err(error) => Err(BackupError::from(error)),
        }
    });
    let fetched: Vec<_> = fetched.buffered(SIDE_BY_SIDE).try_collect().await?;
    let mut manifests: BTreeMap<i64, Archived> = BTreeMap::new();
    let mut loaded = Manifests::default();
    for (name, bytes) in fetched {
        let opened = bytes.ok_or_else(|| "it is listed and cannot be had".to_owned());
        match opened.and_then(|bytes| open(&name, &bytes, origin, keys)) {
            Err(problem) => {
                let broken = FindingKind::ManifestBroken;
                loaded.strangers.push(finding(broken, &name, problem));
            }
            Ok(archived) => {
                let number = archived.manifest.number;
                if let Some(other) = manifests.insert(number, archived) {
                    let detail = format!("there is another manifest {number}, signed as well");
                    let broken = finding(FindingKind::ChainBroken, &other.name, detail);
                    loaded.breaks.push((number, broken));
                }
            }
        }
    }
    let mut previous: Option<&Archived> = None;
    for (&number, archived) in &manifests {
        let expected = previous.map_or(0, |previous| previous.manifest.number) + 1;
        let name = &archived.name;
        if number != expected {
            let missing = match number - 1 {
                last if last == expected => format!("manifest {expected} is"),
                last => format!("manifests {expected} to {last} are"),
            };
            let detail = format!("{missing} not there");
            let missing = finding(FindingKind::ManifestMissing, name, detail);
            loaded.breaks.push((number, missing));
        } else if archived.manifest.previous_sha256.as_ref() != previous.map(|it| &it.sha256) {
            let detail = "it does not follow the manifest before".to_owned();
            let broken = finding(FindingKind::ChainBroken, name, detail);
            loaded.breaks.push((number, broken));
        }
        previous = Some(archived);
    }
    loaded.all = manifests.into_values().collect();
    Ok(loaded)
}

fn finding(kind: FindingKind, object: &str, detail: String) -> Finding {
    Finding {
        kind,
        object: object.to_owned(),
        detail,
    }
}

/// What stands under a manifest's name, if it is what its name says and one of `keys` signed it.
fn open(name: &str, bytes: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Archived, String> {
    let (number, digest) = manifest::parse_name(name).ok_or("its name is no manifest's")?;
    let sha256 = Digest::of(bytes).to_string();
    if sha256 != digest {
        return Err(format!("its SHA-256 is {sha256}"));
    }
    let manifest = Manifest::open(bytes, origin, keys)?;
    if manifest.number != number {
        return Err(format!("it says that it is number {}", manifest.number));
    }
    Ok(Archived {
        name: name.to_owned(),
        sha256,
        manifest,
    })
}

/// The names of manifests, in order of number; of whatever else stands there, too.
pub(super) async fn names(vault: &Vault) -> Result<Vec<String>, BackupError> {
    let listed = vault.list("manifests/").map_ok(|listed| listed.name);
    let mut names: Vec<String> = listed.try_collect().await?;
    names.sort_unstable();
    Ok(names)
}

/// The end of an archive.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// The newest manifest.
    pub(super) manifest: Option<Archived>,
    /// The newest anchor that a manifest names.
    pub(super) anchor: Option<Object>,
    /// The newest entries of the ledger that one names.
    pub(super) ledger: Option<Object>,
}

/// Reads an archive from its end on, as far as it takes to find the newest of each.
pub(super) async fn newest(
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Newest, BackupError> {
    let mut newest = Newest::default();
    for name in names(vault).await?.iter().rev().take(LOOKED_THROUGH) {
        let Some(archived) = read(vault, name, origin, keys).await? else {
            continue;
        };
        let objects = &archived.manifest.objects;
        let last = |kind| {
            let all = objects.iter().filter(move |it| it.kind == kind);
            all.max_by_key(|it| it.last_id).cloned()
        };
        newest.anchor = newest.anchor.or_else(|| last(Kind::Anchor));
        newest.ledger = newest.ledger.or_else(|| last(Kind::Ledger));
        newest.manifest.get_or_insert(archived);
        if newest.anchor.is_some() && newest.ledger.is_some() {
            break;
        }
    }
    Ok(newest)
}

/// The manifest of this name, if it is authentic.
pub(super) async fn read(
    vault: &Vault,
    name: &str,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Option<Archived>, BackupError> {
    match vault.get(name, None).await {
        Ok(bytes) => Ok(open(name, &bytes, origin, keys).ok()),
        Err(VaultError::NotFound { .. } | VaultError::Name { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
