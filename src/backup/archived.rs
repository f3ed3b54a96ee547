//! The manifests of an archive, authenticated and in order.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::{
    BackupError,
    manifest::{self, Manifest},
    verify::{Finding, FindingKind},
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Vault, VaultError},
};

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

/// All manifests that one of `keys` signed, in order, and what is wrong with the others or with their chain.
///
/// # Errors
/// If the store cannot be read.
pub async fn load(
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<(Vec<Archived>, Vec<Finding>), BackupError> {
    let names = names(vault).await?;
    let mut manifests: BTreeMap<i64, Archived> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut finding = |kind, object: &str, detail: String| {
        findings.push(Finding {
            kind,
            object: object.to_owned(),
            detail,
        });
    };
    for name in names {
        let broken = FindingKind::ManifestBroken;
        let Some((number, digest)) = manifest::parse_name(&name) else {
            finding(broken, &name, "its name is no manifest's".to_owned());
            continue;
        };
        let bytes = match vault.get(&name, None).await {
            Ok(bytes) => bytes,
            Err(VaultError::NotFound { .. }) => {
                finding(broken, &name, "it is listed and not there".to_owned());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let sha256 = Digest::of(&bytes).to_string();
        if sha256 != digest {
            finding(broken, &name, format!("its SHA-256 is {sha256}"));
            continue;
        }
        match Manifest::open(&bytes, origin, keys) {
            Ok(manifest) if manifest.number != number => {
                let detail = format!("it says that it is number {}", manifest.number);
                finding(broken, &name, detail);
            }
            Ok(_) if manifests.contains_key(&number) => {
                let detail = format!("there is another manifest {number}, signed as well");
                finding(FindingKind::ChainBroken, &name, detail);
            }
            Ok(manifest) => {
                let archived = Archived {
                    name,
                    sha256,
                    manifest,
                };
                manifests.insert(number, archived);
            }
            Err(problem) => finding(broken, &name, problem),
        }
    }
    let mut previous: Option<&Archived> = None;
    for (&number, archived) in &manifests {
        let expected = previous.map_or(0, |previous| previous.manifest.number) + 1;
        if number != expected {
            let missing = match number - 1 {
                last if last == expected => format!("manifest {expected} is"),
                last => format!("manifests {expected} to {last} are"),
            };
            let detail = format!("{missing} not there");
            finding(FindingKind::ManifestMissing, &archived.name, detail);
        } else if archived.manifest.previous_sha256.as_ref() != previous.map(|it| &it.sha256) {
            let detail = "it does not follow the manifest before".to_owned();
            finding(FindingKind::ChainBroken, &archived.name, detail);
        }
        previous = Some(archived);
    }
    Ok((manifests.into_values().collect(), findings))
}

/// The names of manifests, in order of number; of whatever else stands there, too.
pub(super) async fn names(vault: &Vault) -> Result<Vec<String>, BackupError> {
    let listed = vault.list("manifests/").map_ok(|listed| listed.name);
    let mut names: Vec<String> = listed.try_collect().await?;
    names.sort_unstable();
    Ok(names)
}

/// What stands under a manifest's name, if one of `keys` signed it.
pub(super) async fn read(
    vault: &Vault,
    name: &str,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Option<Manifest>, BackupError> {
    match vault.get(name, None).await {
        Ok(bytes) => Ok(Manifest::open(&bytes, origin, keys).ok()),
        Err(VaultError::NotFound { .. } | VaultError::Name { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
