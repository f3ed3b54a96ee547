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
    archived::{Archived, load},
    envelope::Place,
    keyring::Keyring,
    manifest::{Kind, Object},
    owner::{Agents, Owners},
    personal::{TABLES, TRAIL, Table},
    prune,
    run::count,
    segment::{Field, Reader, from_json},
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
    let (mut manifests, findings) = load(vault, origin, keys).await?;
    if let Some(finding) = findings.first() {
        return Err(BackupError::broken(&finding.object, &finding.detail));
    }
    if let Some(number) = wanted.manifest {
        manifests.retain(|archived| archived.manifest.number <= number);
    }
    let last = manifests.last().map(|archived| archived.manifest.number);
    if last.is_none() || wanted.manifest.is_some_and(|number| last != Some(number)) {
        return Err(BackupError::Refused(match wanted.manifest {
            Some(number) => format!("the archive {} has no manifest {number}", vault.location()),
            None => format!("the archive {} has no manifest", vault.location()),
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
                let mut rest = Rows {
                    table,
                    schema,
                    columns: schema.columns.iter().map(|it| it.name.clone()).collect(),
                    reader: Reader::new(&object.name, &bytes)?,
                    object,
                    keys: &mut keys,
                    agents: &mut agents,
                    organization: self.organization,
                    erased: &mut erased,
                    erased_rows: 0,
                    read: 0,
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
    columns: Vec<String>,
    reader: Reader<'a>,
    object: &'a Object,
    keys: &'a mut Keyring<'k>,
    agents: &'a mut Agents,
    organization: Option<i64>,
    erased: &'a mut HashSet<String>,
    erased_rows: u64,
    read: i64,
    progress: &'a Progress,
}

impl Rows<'_, '_> {
    /// The next row that is wanted.
    fn next(&mut self) -> Result<Option<Vec<Cell>>, BackupError> {
        loop {
            let Some(fields) = self.reader.next(&self.columns)? else {
                if self.read != self.object.rows {
                    let problem = format!("it holds {} rows of {}", self.read, self.object.rows);
                    return Err(BackupError::broken(&self.object.name, problem));
                }
                return Ok(None);
            };
            self.read += 1;
            count(self.progress, 1)?;
            if let Some(cells) = self.row(fields)? {
                return Ok(Some(cells));
            }
        }
    }

    fn row(&mut self, fields: Vec<Field>) -> Result<Option<Vec<Cell>>, BackupError> {
        // What says whose a row is, is never encrypted.
        let plain = |field: &Field| match field {
            Field::Plain(cell) => cell.clone(),
            Field::Encrypted { .. } => Cell::Null,
        };
        let known: Vec<Cell> = fields.iter().map(plain).collect();
        let id = self.columns.iter().position(|column| column == "id");
        let id = id.and_then(|index| known[index].integer());
        let id = id.ok_or_else(|| BackupError::broken(&self.object.name, "a row has no id"))?;
        let owners = Owners::new(self.table, self.schema, self.agents);
        let place_organization = owners.organization(id, &known);
        let owner = owners.of(id, &known);
        if self.organization.is_some() && owner.0 != self.organization {
            return Ok(None);
        }
        if self.table.name == "agent" {
            self.agents.insert(id, owner);
        }
        let mut is_erased = false;
        let mut cells = Vec::with_capacity(fields.len());
        for (column, field) in self.columns.iter().zip(fields) {
            let (key, sealed) = match field {
                Field::Plain(cell) => {
                    cells.push(cell);
                    continue;
                }
                Field::Encrypted { key, sealed } => (key, sealed),
            };
            let Some(data_key) = self.keys.by_id(&key)? else {
                is_erased = true;
                self.erased.insert(key);
                let marker = self.table.marker(column, id);
                cells.push(Cell::Text(marker.into_bytes()));
                continue;
            };
            let place = Place {
                table: self.table.name,
                column,
                id,
                organization: place_organization,
            };
            let opened = data_key.open(&sealed, &place);
            let cell = opened.and_then(|plain| from_json(serde_json::from_slice(&plain).ok()?));
            cells.push(cell.ok_or_else(|| {
                let problem = format!("the column {column} of row {id} cannot be decrypted");
                BackupError::broken(&self.object.name, problem)
            })?);
        }
        self.erased_rows += u64::from(is_erased);
        Ok(Some(cells))
    }
}
