//! Data keys while they are used: made for new subjects, unwrapped once, and forgotten with this.

use std::collections::{HashMap, HashSet};

use tokio::runtime::Handle;

use super::{
    BackupError,
    envelope::{DataKey, Kek, hex, random},
};
use crate::state::{Store, data_keys::DataKeyRow};

/// Keys that are kept at hand; with more than these it starts anew.
const AT_HAND: usize = 100_000;
/// Keys that one transaction wraps anew.
const REWRAPPED: u32 = 500;

/// Whose key it is.
#[must_use]
pub fn subject(organization: Option<i64>, user: Option<i64>) -> String {
    let organization = organization.map_or_else(|| "none".to_owned(), |id| id.to_string());
    match user {
        Some(user) => format!("organization/{organization}/user/{user}"),
        None => format!("organization/{organization}"),
    }
}

/// The keys of a run, which belongs to a thread that may wait.
pub(super) struct Keyring<'a> {
    handle: &'a Handle,
    store: &'a Store,
    kek: &'a Kek,
    by_subject: HashMap<String, (String, DataKey)>,
    /// `None`: destroyed, or unknown.
    by_id: HashMap<String, Option<DataKey>>,
    unknown: HashSet<String>,
}

impl<'a> Keyring<'a> {
    pub(super) fn new(handle: &'a Handle, store: &'a Store, kek: &'a Kek) -> Self {
        Self {
            handle,
            store,
            kek,
            by_subject: HashMap::new(),
            by_id: HashMap::new(),
            unknown: HashSet::new(),
        }
    }

    /// Has a key at hand for each of these subjects.
    pub(super) fn prepare(&mut self, subjects: &HashSet<String>) -> Result<(), BackupError> {
        if self.by_subject.len() > AT_HAND {
            self.by_subject.clear();
        }
        let unknown = subjects
            .iter()
            .filter(|subject| !self.by_subject.contains_key(*subject));
        let unknown: Vec<String> = unknown.cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for row in self.handle.block_on(self.store.subject_keys(&unknown))? {
            let key = unwrap(self.kek, &row)?;
            if let Some(key) = key {
                self.by_subject.insert(row.subject, (row.id, key));
            }
        }
        let mut rows = Vec::new();
        let mut made = Vec::new();
        for subject in unknown {
            if self.by_subject.contains_key(&subject) {
                continue;
            }
            let (id, key) = (hex(&*random::<16>()?), DataKey::generate()?);
            rows.push(DataKeyRow {
                wrapped: Some(self.kek.wrap(&id, &subject, &key)?),
                id: id.clone(),
                subject: subject.clone(),
                kek_id: self.kek.id(),
            });
            made.push((subject, (id, key)));
        }
        // Kept before anything is encrypted with them.
        if !rows.is_empty() {
            self.handle.block_on(self.store.insert_data_keys(&rows))?;
        }
        self.by_subject.extend(made);
        Ok(())
    }

    /// The key of a subject that was prepared, and its id.
    pub(super) fn of(&self, subject: &str) -> Option<(&str, &DataKey)> {
        let (id, key) = self.by_subject.get(subject)?;
        Some((id, key))
    }

    /// How many keys were asked for that our database has never had, or does not have any more.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown.len() as u64
    }

    /// Has the keys with these ids at hand.
    pub(super) fn fetch<'i>(
        &mut self,
        ids: impl Iterator<Item = &'i str>,
    ) -> Result<(), BackupError> {
        if self.by_id.len() > AT_HAND {
            self.by_id.clear();
        }
        let missing = ids.filter(|id| !self.by_id.contains_key(*id));
        let missing: Vec<String> = missing.map(str::to_owned).collect();
        for row in self.handle.block_on(self.store.data_keys(&missing))? {
            let key = unwrap(self.kek, &row)?;
            self.by_id.insert(row.id, key);
        }
        for id in missing {
            self.by_id.entry(id).or_insert_with_key(|id| {
                self.unknown.insert(id.clone());
                None
            });
        }
        Ok(())
    }

    /// A key that was fetched; `None` if it was destroyed.
    pub(super) fn by_id(&self, id: &str) -> Option<&DataKey> {
        self.by_id.get(id).and_then(Option::as_ref)
    }
}

fn unwrap(kek: &Kek, row: &DataKeyRow) -> Result<Option<DataKey>, BackupError> {
    let Some(wrapped) = &row.wrapped else {
        return Ok(None);
    };
    let key = kek.unwrap(&row.id, &row.subject, wrapped);
    key.map(Some).ok_or_else(|| BackupError::OtherKek {
        subject: row.subject.clone(),
        wanted: row.kek_id.clone(),
        given: kek.id(),
    })
}

/// Wraps all data keys with `kek` that one of `former` wrapped, and answers how many. The archive is not touched, and a run
/// that is cut short leaves keys of either kind, with which the next goes on.
///
/// # Errors
/// If the database fails, or a key was wrapped with neither.
pub async fn rewrap(store: &Store, kek: &Kek, former: &[Kek]) -> Result<u64, BackupError> {
    let (mut after, mut rewrapped) = (String::new(), 0);
    loop {
        let rows = store.data_keys_after(&after, REWRAPPED).await?;
        let Some(last) = rows.last() else {
            return Ok(rewrapped);
        };
        after.clone_from(&last.id);
        let mut changed = Vec::new();
        for row in rows.into_iter().filter(|row| row.kek_id != kek.id()) {
            let by = former.iter().find(|former| former.id() == row.kek_id);
            let Some(key) = unwrap(by.unwrap_or(kek), &row)? else {
                continue;
            };
            changed.push(DataKeyRow {
                wrapped: Some(kek.wrap(&row.id, &row.subject, &key)?),
                kek_id: kek.id(),
                ..row
            });
        }
        if !changed.is_empty() {
            store.rewrap_data_keys(&changed).await?;
            rewrapped += changed.len() as u64;
        }
    }
}
