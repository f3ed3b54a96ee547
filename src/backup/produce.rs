//! Reads QWED's tables and puts them as segments, on a thread that may wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{
    BackupError, Kek,
    keyring::Keyring,
    manifest::Kind,
    owner::{Agents, Owners},
    personal::{self, TABLES, TRAIL, Table},
    put::Putter,
    run::{Options, count},
    segment::{Segment, Writer},
};
use crate::{
    objects::Digest,
    progress::Progress,
    qwed::{
        Dialect,
        tables::{Part, TableSchema, Tables},
        url::DatabaseUrl,
    },
    state::archive::ArchiveObject,
};

/// What there is to read, and where it goes.
pub(super) struct Source {
    pub(super) handle: Handle,
    pub(super) putter: Putter,
    pub(super) url: DatabaseUrl,
    /// Up to which entry each organisation's trail is archived.
    pub(super) reach: HashMap<String, i64>,
    pub(super) kek: Kek,
    pub(super) options: Options,
    pub(super) progress: Arc<Progress>,
}

/// Puts all that is new, and answers how the tables were made.
pub(super) fn all(source: &Source) -> Result<(Dialect, Vec<TableSchema>), BackupError> {
    let names = TABLES.map(|table| table.name);
    let mut tables = Tables::open(&source.url, &names)?;
    let schemas = tables.schemas().to_vec();
    let agents = agents(&mut tables, &schemas)?;
    let mut keys = Keyring::new(&source.handle, &source.putter.store, &source.kek);
    let mut producer = Producer {
        source,
        agents: &agents,
        tables: &mut tables,
        keys: &mut keys,
    };
    // The trail first: on SQLite, whom its entries refer to is then in the tables that are read after it.
    let trail = schemas.iter().find(|schema| schema.name == TRAIL);
    if let Some(schema) = trail {
        for organization in producer.tables.organizations(TRAIL)? {
            let name = organization.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let after = source.reach.get(&name).copied();
            producer.put(schema, Part::Organization(organization), &name, after)?;
        }
    }
    for schema in schemas.iter().filter(|schema| schema.name != TRAIL) {
        producer.put(schema, Part::All, "", None)?;
    }
    Ok((tables.dialect(), schemas))
}

/// Whose each agent is, since what agents did names only them.
fn agents(tables: &mut Tables, schemas: &[TableSchema]) -> Result<Agents, BackupError> {
    let mut agents = Agents::new();
    let Some(schema) = schemas.iter().find(|schema| schema.name == "agent") else {
        return Ok(agents);
    };
    let table = personal::table("agent").expect("it is listed");
    let none = Agents::new();
    let owners = Owners::new(table, schema, &none);
    tables.begin(schema, Part::All, None)?;
    loop {
        let page = tables.next_page()?;
        if page.is_empty() {
            return Ok(agents);
        }
        for record in page {
            agents.insert(record.id, owners.of(record.id, &record.cells));
        }
    }
}

struct Producer<'a, 'k> {
    source: &'a Source,
    agents: &'a Agents,
    tables: &'a mut Tables,
    keys: &'a mut Keyring<'k>,
}

impl Producer<'_, '_> {
    fn put(
        &mut self,
        schema: &TableSchema,
        part: Part,
        organization: &str,
        after: Option<i64>,
    ) -> Result<(), BackupError> {
        let table = personal::table(&schema.name).expect("only listed tables are read");
        let owners = Owners::new(table, schema, self.agents);
        self.tables.begin(schema, part, after)?;
        let max_bytes = self.source.options.max_segment_bytes;
        let mut writer = Writer::new(table, schema);
        loop {
            let page = self.tables.next_page()?;
            count(&self.source.progress, page.len())?;
            if page.is_empty() {
                break;
            }
            if !table.personal.is_empty() {
                let subjects = page
                    .iter()
                    .map(|record| owners.subject(record.id, &record.cells));
                self.keys.prepare(&subjects.collect::<HashSet<_>>())?;
            }
            for record in page {
                // A row that is large has a segment of its own.
                if !writer.is_empty() && writer.size_bytes() + record.size_bytes() > max_bytes {
                    let full = std::mem::replace(&mut writer, Writer::new(table, schema));
                    self.finish(table, organization, full)?;
                }
                writer.push(&record, &owners, |subject| self.keys.of(subject))?;
            }
        }
        self.finish(table, organization, writer)
    }

    fn finish(
        &self,
        table: &Table,
        organization: &str,
        writer: Writer<'_>,
    ) -> Result<(), BackupError> {
        let Some(segment) = writer.finish()? else {
            return Ok(());
        };
        let Segment {
            bytes,
            first_id,
            last_id,
            rows,
        } = segment;
        let putter = &self.source.putter;
        // What is the same each night is an object of its own each night, kept as long as the others.
        let directory = match table.name {
            TRAIL => organization.to_owned(),
            name => format!("{name}/{}", putter.run),
        };
        let digest = Digest::of(&bytes);
        let object = ArchiveObject {
            name: format!("segments/{directory}/{first_id}-{last_id}-{digest}.ndjson.zst"),
            kind: Kind::Segment.name().to_owned(),
            relation: table.name.to_owned(),
            organization: organization.to_owned(),
            first_id,
            last_id,
            row_count: rows,
            ..ArchiveObject::default()
        };
        self.source
            .handle
            .block_on(putter.put(object, bytes.into()))
    }
}
