//! Restoring: the archive into an empty database, of either kind.
//!
//! All of it is one transaction: a restore that was cut short leaves the target as empty as it was.

mod postgres;
mod sqlite;
mod types;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    BackupError, Kek,
    archived::{Archived, Manifests, load},
    keyring::Keyring,
    manifest::{Kind, Object},
    owner::{Agents, Owners},
    personal::{TABLES, TRAIL, Table},
    prune,
    run::count,
    segment::{Line, Reader},
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Vault},
    progress::Progress,
    qwed::{
        Dialect,
        tables::{Cell, TableSchema},
        url::DatabaseUrl,
    },
    state::Store,
};

/// What is to be restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only what belongs to this organisation.
    pub organization: Option<i64>,
    /// The state as of this manifest; the newest if none is named.
    pub manifest: Option<i64>,
    /// The newest state that was archived up to this time.
    pub at: Option<Timestamp>,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// As of which manifest.
    pub manifest: i64,
    /// When that was made.
    pub made_at: Timestamp,
    /// Rows, by table.
    pub tables: BTreeMap<String, u64>,
    /// Rows of all tables.
    pub rows: u64,
    /// Rows with a marker in the place of what was erased.
    pub erased_rows: u64,
    /// Data keys that are gone: at least one for each subject that was erased.
    pub erased_keys: u64,
    /// Of them, keys that our database does not even know as destroyed: it is not the one that the archive was made with, or
    /// has lost keys.
    pub unknown_keys: u64,
}

/// A database that rows are restored into. What is done is seen by others after [`Self::finish`] only.
trait Target {
    /// Makes a table, or makes sure that it is there and empty.
    fn make(&mut self, schema: &TableSchema, from: Dialect) -> Result<(), BackupError>;

    /// Writes rows until `next` has none, and answers how many.
    fn write(
        &mut self,
        schema: &TableSchema,
        from: Dialect,
        next: &mut dyn FnMut() -> Result<Option<Vec<Cell>>, BackupError>,
    ) -> Result<u64, BackupError>;

    /// Adds what is faster added to full tables, and commits.
    fn finish(&mut self, schemas: &[TableSchema], from: Dialect) -> Result<(), BackupError>;
}

/// Restores an archive into an empty database.
///
/// # Errors
/// If the database is not empty, there is no such manifest, or the archive is not what was written.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a part of its own, given once"
)]
pub async fn restore(
    store: &Store,
    vault: &Vault,
    origin: &str,
    keys: &[VerifierKey],
    kek: &Kek,
    to: &DatabaseUrl,
    wanted: Wanted,
    progress: &Arc<Progress>,
) -> Result<Restored, BackupError> {
    let loaded = load(vault, origin, keys).await?;
    restore_loaded(store, vault, loaded, kek, to, wanted, progress).await
}

/// Restores from manifests that were read before.
pub(super) async fn restore_loaded(
    store: &Store,
    vault: &Vault,
    loaded: Manifests,
    kek: &Kek,
    to: &DatabaseUrl,
    wanted: Wanted,
    progress: &Arc<Progress>,
) -> Result<Restored, BackupError> {
    let numbers = loaded.all.iter().map(|it| &it.manifest);
    let up_to = match (wanted.manifest, wanted.at) {
        (Some(number), _) => Some(number),
        // All of them up to the last that is old enough, however the clock was set in between.
        (None, Some(at)) => {
            let old = numbers.filter(|manifest| manifest.made_at <= at);
            Some(old.map(|manifest| manifest.number).max().unwrap_or(0))
        }
        (None, None) => None,
    };
    let up_to = up_to.unwrap_or(i64::MAX);
    if let Some(finding) = loaded.broken_before(up_to) {
        return Err(BackupError::broken(&finding.object, &finding.detail));
    }
    let mut manifests = loaded.all;
    manifests.retain(|archived| archived.manifest.number <= up_to);
    let last = manifests.last().map(|archived| archived.manifest.number);
    if last.is_none() || wanted.manifest.is_some_and(|number| last != Some(number)) {
        let location = vault.location();
        return Err(BackupError::Refused(match (wanted.manifest, wanted.at) {
            (Some(number), _) => format!("the archive {location} has no manifest {number}"),
            (_, Some(at)) => format!("the archive {location} has no manifest as old as {at}"),
            _ => format!("the archive {location} has no manifest"),
        }));
    }
    if let Some(archived) = manifests.last()
        && let Some(object) = prune::missing(vault, &archived.manifest).await?
    {
        return Err(BackupError::Refused(format!(
            "backup {} cannot be restored: {} is not there any more; it had to be kept until {}, and \"archive prune\" removes \
             what is over. Restore a later backup: the trail is whole in each, and other tables are as of its day",
            archived.manifest.number, object.name, object.retain_until
        )));
    }
    let work = Work {
        handle: Handle::current(),
        store: store.clone(),
        vault: vault.clone(),
        kek: kek.clone(),
        manifests,
        organization: wanted.organization,
        progress: Arc::clone(progress),
    };
    let to = to.clone();
    let restored = tokio::task::spawn_blocking(move || match &to {
        DatabaseUrl::Sqlite(path) => sqlite::into_file(path, |target| work.run(target)),
        DatabaseUrl::Postgres(url) => work.run(&mut postgres::Database::open(url)?),
    });
    restored
        .await
        .map_err(|error| BackupError::Refused(error.to_string()))?
}

struct Work {
    handle: Handle,
    store: Store,
    vault: Vault,
    kek: Kek,
    manifests: Vec<Archived>,
    organization: Option<i64>,
    progress: Arc<Progress>,
}

impl Work {
    fn run(&self, target: &mut dyn Target) -> Result<Restored, BackupError> {
        let newest = &self.manifests.last().expect("there is one").manifest;
        let from = newest.dialect;
        let mut restored = Restored {
            manifest: newest.number,
            made_at: newest.made_at,
            tables: BTreeMap::new(),
            rows: 0,
            erased_rows: 0,
            erased_keys: 0,
            unknown_keys: 0,
        };
        let schema = |name: &str| newest.schema.iter().find(|schema| schema.name == name);
        for schema in TABLES.iter().filter_map(|table| schema(table.name)) {
            target.make(schema, from)?;
        }
        let mut keys = Keyring::new(&self.handle, &self.store, &self.kek);
        let mut agents = Agents::new();
        let mut erased = HashSet::new();
        for table in &TABLES {
            let Some(schema) = schema(table.name) else {
                continue;
            };
            let mut rows = 0;
            for object in self.segments(table) {
                let bytes = self.fetch(object)?;
                let reader = Reader::new(object, &bytes, schema)?;
                keys.fetch(reader.keys())?;
                let mut rest = Rows {
                    table,
                    schema,
                    reader,
                    keys: &keys,
                    agents: &mut agents,
                    organization: self.organization,
                    erased: &mut erased,
                    erased_rows: 0,
                    progress: &self.progress,
                };
                rows += target.write(schema, from, &mut || rest.next())?;
                restored.erased_rows += rest.erased_rows;
            }
            restored.tables.insert(table.name.to_owned(), rows);
            restored.rows += rows;
        }
        restored.erased_keys = erased.len() as u64;
        restored.unknown_keys = keys.unknown();
        target.finish(&newest.schema, from)?;
        Ok(restored)
    }

    /// A table's segments: the trail's of all manifests, those of other tables of the newest.
    fn segments(&self, table: &Table) -> impl Iterator<Item = &Object> {
        let is_trail = table.name == TRAIL;
        let skipped = if is_trail {
            0
        } else {
            self.manifests.len() - 1
        };
        let name = table.name;
        let organization = self.organization.map(|id| id.to_string());
        let objects = self.manifests[skipped..]
            .iter()
            .flat_map(|it| &it.manifest.objects);
        objects.filter(move |object| {
            let is_wanted = organization
                .as_ref()
                .is_none_or(|id| *id == object.organization);
            object.kind == Kind::Segment && object.table == name && (!is_trail || is_wanted)
        })
    }

    fn fetch(&self, object: &Object) -> Result<bytes::Bytes, BackupError> {
        let get = self.vault.get(&object.name, object.version.as_deref());
        let bytes = self.handle.block_on(get)?;
        let found = Digest::of(&bytes).to_string();
        if found != object.sha256 {
            let problem = format!("its SHA-256 is {found} and was {}", object.sha256);
            return Err(BackupError::broken(&object.name, problem));
        }
        Ok(bytes)
    }
}

/// The rows of a segment, decrypted.
struct Rows<'a, 'k> {
    table: &'a Table,
    schema: &'a TableSchema,
    reader: Reader<'a>,
    keys: &'a Keyring<'k>,
    agents: &'a mut Agents,
    organization: Option<i64>,
    erased: &'a mut HashSet<String>,
    erased_rows: u64,
    progress: &'a Progress,
}

impl Rows<'_, '_> {
    /// The next row that is wanted.
    fn next(&mut self) -> Result<Option<Vec<Cell>>, BackupError> {
        while let Some(line) = self.reader.next()? {
            count(self.progress, 1)?;
            if let Some(cells) = self.row(line)? {
                return Ok(Some(cells));
            }
        }
        Ok(None)
    }

    fn row(&mut self, mut line: Line) -> Result<Option<Vec<Cell>>, BackupError> {
        // What says whose a row is, is never encrypted.
        let owners = Owners::new(self.table, self.schema, self.agents);
        let organization = owners.organization(line.id, &line.cells);
        let owner = owners.of(line.id, &line.cells);
        if self.organization.is_some() && owner.0 != self.organization {
            return Ok(None);
        }
        if self.table.name == "agent" {
            self.agents.insert(line.id, owner);
        }
        let Some(key_id) = self.reader.key(&line) else {
            return Ok(Some(line.cells));
        };
        if let Some(key) = self.keys.by_id(key_id) {
            self.reader.reveal(&mut line, organization, key)?;
        } else {
            self.erased.insert(key_id.to_owned());
            self.erased_rows += 1;
            line.mark(self.schema, |column, id| self.table.marker(column, id));
        }
        Ok(Some(line.cells))
    }
}
