//! Putting exported keys back.

use std::collections::{BTreeMap, BTreeSet};

use age::x25519::Identity;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::Serialize;

use super::{super::BackupError, PREFIX, file::Opened, parse_name};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Vault},
    state::{Store, data_keys::DataKeyRow},
};

/// Keys that one transaction puts back.
const PAGE: usize = 500;

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// The backup after which the export was made.
    pub export: i64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Keys that were missing and are there now.
    pub keys: u64,
    /// Keys that are destroyed now and were not known to be.
    pub destroyed: u64,
    /// Whether all files of the export were there.
    pub is_complete: bool,
    /// Files of later exports that could not be opened, or that somebody else wrote: keys may have come back that only these
    /// know as destroyed.
    pub unread: Vec<String>,
}

/// Puts the keys of an export into our database that it lacks, by default those of the newest. What is known as destroyed
/// stays so, whether our database knows it, or this export, or a later one.
///
/// # Errors
/// If there is no such export, the keys given cannot open it, it is not signed, or the store or database fails. What was put
/// back until then stays, and the same call goes on.
pub async fn recover_keys(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
    identities: &[Identity],
    export: Option<&str>,
) -> Result<Recovered, BackupError> {
    let exports = exports(vault).await?;
    let number = match export {
        Some(name) => parse_name(name)
            .map(|(number, _)| number)
            .filter(|number| exports.contains_key(number)),
        None => exports.last_key_value().map(|(number, _)| *number),
    };
    let Some(number) = number else {
        let location = vault.location();
        return Err(BackupError::Refused(match export {
            Some(name) => format!("there is no export {name} in {location}"),
            None => format!("there is no export of data keys in {location}"),
        }));
    };
    let mut recovered = Recovered {
        export: number,
        made_at: Timestamp::UNIX_EPOCH,
        keys: 0,
        destroyed: 0,
        is_complete: false,
        unread: Vec::new(),
    };
    // The newest first: what it knows as destroyed is in our database before an older one could bring it back.
    for (later, names) in exports.range(number..).rev() {
        let (mut parts, mut last) = (BTreeSet::new(), None);
        for name in names {
            let opened = match open(vault, name, *later, identities, origin, keys).await {
                Ok(opened) => opened,
                Err(BackupError::Broken { .. } | BackupError::Refused(_)) if *later != number => {
                    recovered.unread.push(name.clone());
                    continue;
                }
                Err(error) => return Err(error),
            };
            parts.insert(opened.head.part);
            last = last.or(opened.head.is_last.then_some(opened.head.part));
            recovered.made_at = opened.head.made_at;
            put_back(store, name, &opened, *later == number, &mut recovered).await?;
        }
        recovered.is_complete = last == u32::try_from(parts.len()).ok();
    }
    Ok(recovered)
}

async fn open(
    vault: &Vault,
    name: &str,
    number: i64,
    identities: &[Identity],
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Opened, BackupError> {
    let bytes = vault.get(name, None).await?;
    if parse_name(name).is_none_or(|(_, digest)| digest != Digest::of(&bytes).to_string()) {
        return Err(BackupError::broken(name, "its SHA-256 is another"));
    }
    let opened = Opened::open(name, &bytes, identities, origin, keys)?;
    if opened.head.manifest != number {
        let problem = format!("it is of backup {}", opened.head.manifest);
        return Err(BackupError::broken(name, problem));
    }
    Ok(opened)
}

/// The names of all exports, by number.
async fn exports(vault: &Vault) -> Result<BTreeMap<i64, Vec<String>>, BackupError> {
    let listed: Vec<_> = vault.list(PREFIX).try_collect().await?;
    let mut exports: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for listed in listed {
        if let Some((number, _)) = parse_name(&listed.name) {
            exports.entry(number).or_default().push(listed.name);
        }
    }
    Ok(exports)
}

async fn put_back(
    store: &Store,
    name: &str,
    opened: &Opened,
    is_wanted: bool,
    recovered: &mut Recovered,
) -> Result<(), BackupError> {
    let mut rows: Vec<DataKeyRow> = Vec::with_capacity(PAGE);
    let mut all = opened.rows().peekable();
    while let Some(row) = all.next() {
        let row = row.ok_or_else(|| BackupError::broken(name, "a line of it is no key"))?;
        if is_wanted || row.wrapped.is_none() {
            rows.push(row);
        }
        if rows.len() == PAGE || all.peek().is_none() {
            let (keys, destroyed) = store.recover_data_keys(&rows).await?;
            recovered.keys += keys;
            recovered.destroyed += destroyed;
            rows.clear();
        }
    }
    Ok(())
}
