//! Making an anchor: hashes what came since the one before, and signs where every trail stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::{runtime::Handle, sync::mpsc};

use super::{AnchorError, Keys, checkpoint_origin, decode, encode, pages::read_pages};
use crate::{
    checkpoint::{
        anchored::KeptLeaf,
        head::{Head, HeadHash},
        inventory::{Inventory, Organization},
        merkle::{Hash, Range},
        note::Note,
        tiles::{WIDTH, tile_root},
        tree_head::Checkpoint,
    },
    progress::Progress,
    qwed::{Database, IdRange, Reader, url::DatabaseUrl},
    state::{
        Store,
        anchors::{AnchorRun, CheckpointRow, TileRow, Which},
    },
    tombstones::Graveyard,
    trail::{
        payload::PayloadHasher,
        row::{Row, Value},
    },
};

/// Tiles of one transaction: a few megabytes.
const BATCH: usize = 256;

/// An anchor that is signed and not kept yet.
#[derive(Debug, Clone)]
pub struct Made {
    /// The run with its inventory.
    pub run: AnchorRun,
    /// Of each organisation that has grown.
    pub checkpoints: Vec<CheckpointRow>,
    /// Their last tiles, where those are not full.
    pub last_tiles: Vec<TileRow>,
    /// How many entries came since the anchor before.
    pub new_entries: u64,
}

/// An organisation's tree while it grows.
struct Growing {
    frontier: Range,
    head: Option<Head>,
    /// The leaves of the last tile, unless it is full.
    open: Vec<KeptLeaf>,
}

impl Growing {
    /// The tile that is growing, with the leaves that it has.
    fn tile(&self, organization_id: i64) -> TileRow {
        let leaves = &self.open;
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf.hash).collect();
        TileRow {
            organization_id,
            tile: (self.frontier.end().saturating_sub(1) / WIDTH).cast_signed(),
            first_id: leaves.first().map_or(0, |leaf| leaf.id),
            root: tile_root(&hashes).0.to_vec(),
            leaves: encode(leaves),
        }
    }

    /// Whether the leaves of the last tile are those that the frontier ends with.
    fn is_whole(&self) -> bool {
        let size = self.frontier.end();
        let mut last = Range::empty_at(size - size % WIDTH);
        for leaf in &self.open {
            last.append(leaf.hash);
        }
        last.end() == size && self.frontier.nodes().ends_with(last.nodes())
    }
}

/// Hashes all entries that no anchor covers yet, keeps their tiles, and signs where every trail stands. The run itself is
/// left to the caller to keep ([`crate::state::Tx::insert_anchor`]), with whatever else belongs into that transaction.
///
/// # Errors
/// If a database fails, or what is kept of the anchor before cannot be gone on from.
pub async fn make(
    store: &Store,
    qwed: &DatabaseUrl,
    origin: &str,
    keys: &Keys,
    now: Timestamp,
    progress: &Arc<Progress>,
) -> Result<Made, AnchorError> {
    // Whole seconds are enough, and easier to read.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let before = store.newest_anchor().await?;
    let number = before.as_ref().map_or(0, |run| run.number);
    let inventory = before
        .as_ref()
        .map(|run| open_inventory(run, origin, keys))
        .transpose()?;
    let mut trees = BTreeMap::new();
    for row in store.checkpoints_at(number, Which::Newest).await? {
        let id = row.organization_id;
        trees.insert(id, growing(store, &row, inventory.as_ref()).await?);
    }
    let known = trees.keys().copied().collect();
    check_all_known(number, inventory.as_ref(), &trees)?;

    let (tiles, mut written) = mpsc::channel::<Vec<TileRow>>(4);
    let (qwed, inner) = (qwed.clone(), Arc::clone(progress));
    let graveyard = Graveyard {
        store: store.clone(),
        origin: origin.to_owned(),
        keys: keys.verifiers.clone(),
    };
    let handle = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        // Entries that were erased before an anchor covered them are anchored as they were.
        let database = graveyard.open(&handle, &qwed)?;
        grow(&database, trees, &known, &tiles, &inner)
    });
    while let Some(batch) = written.recv().await {
        // The reader ends when nobody takes its tiles any more.
        store.put_tiles(&batch).await?;
    }
    let grown = reading.await.map_err(|error| AnchorError::Broken {
        number: number + 1,
        problem: error.to_string(),
    })??;
    sign(grown, inventory.as_ref(), number + 1, origin, keys, now)
}

/// The signed statement to go on from.
fn open_inventory(run: &AnchorRun, origin: &str, keys: &Keys) -> Result<Inventory, AnchorError> {
    let broken = |problem: String| AnchorError::Broken {
        number: run.number,
        problem,
    };
    let note = Note::from_bytes(run.note.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let inventory =
        Inventory::open(&note, &keys.verifiers).map_err(|error| broken(error.to_string()))?;
    if inventory.origin != origin {
        return Err(broken(format!(
            "it is about {}, and anchors.origin is {origin}",
            inventory.origin
        )));
    }
    Ok(inventory)
}

/// A tree to go on with: its frontier makes the signed root.
async fn growing(
    store: &Store,
    row: &CheckpointRow,
    inventory: Option<&Inventory>,
) -> Result<Growing, AnchorError> {
    let id = row.organization_id;
    let broken = |problem: &str| AnchorError::Broken {
        number: row.number,
        problem: format!("organisation {id}: {problem}"),
    };
    let signed = inventory.and_then(|inventory| inventory.organization(Some(id)));
    let signed = signed.ok_or_else(|| broken("the inventory does not name it"))?;
    let frontier: Range = postcard::from_bytes(&row.frontier)
        .map_err(|_| broken("what is kept of its tree cannot be read"))?;
    if frontier.end() != signed.size || frontier.root() != Some(signed.root) {
        return Err(broken(
            "what is kept of its tree does not make the signed root",
        ));
    }
    let mut open = Vec::new();
    if signed.size % WIDTH > 0 {
        let tile = (signed.size / WIDTH).cast_signed();
        let kept = store.tile(id, tile).await?;
        let leaves = kept.and_then(|tile| decode(&tile.leaves));
        open = leaves.ok_or_else(|| broken("the last tile of its tree is gone"))?;
        open.truncate((signed.size % WIDTH) as usize);
    }
    let growing = Growing {
        frontier,
        head: signed.head.clone(),
        open,
    };
    if !growing.is_whole() {
        return Err(broken("the last tile of its tree is not what was signed"));
    }
    Ok(growing)
}

/// A tree that was signed and is not kept any more must not begin anew.
fn check_all_known(
    number: i64,
    inventory: Option<&Inventory>,
    trees: &BTreeMap<i64, Growing>,
) -> Result<(), AnchorError> {
    let mut signed = inventory
        .iter()
        .flat_map(|inventory| &inventory.organizations);
    let lost = signed
        .find(|signed| signed.size > 0 && signed.id.is_none_or(|id| !trees.contains_key(&id)));
    match lost {
        Some(lost) => Err(AnchorError::Broken {
            number,
            problem: format!(
                "the checkpoint of organisation {} is gone",
                lost.id
                    .map_or_else(|| "none".to_owned(), |id| id.to_string())
            ),
        }),
        None => Ok(()),
    }
}

/// What reading came to.
struct Grown {
    trees: BTreeMap<i64, Growing>,
    /// Organisations that have more entries than before.
    changed: Vec<i64>,
    new_entries: u64,
}

fn grow(
    database: &Database,
    mut trees: BTreeMap<i64, Growing>,
    known: &std::collections::BTreeSet<i64>,
    tiles: &mpsc::Sender<Vec<TileRow>>,
    progress: &Progress,
) -> Result<Grown, AnchorError> {
    let mut reader = database.reader()?;
    let mut organizations = known.clone();
    let everything = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    let Some(whole) = reader.bounds(None, everything)? else {
        return Ok(Grown {
            trees,
            changed: Vec::new(),
            new_entries: 0,
        });
    };
    organizations.extend(reader.organizations_in_trail()?);
    let mut changed = Vec::new();
    let mut new_entries = 0;
    let mut hasher = PayloadHasher::default();
    for id in organizations {
        let tree = trees.entry(id).or_insert_with(|| Growing {
            frontier: Range::empty_at(0),
            head: None,
            open: Vec::new(),
        });
        let low = match &tree.head {
            Some(head) => head.id.saturating_add(1),
            None => whole.low,
        };
        let range = IdRange {
            low,
            high: whole.high,
        };
        if range.low > range.high || reader.head(id, range)?.is_none() {
            continue;
        }
        let mut writer = Writer {
            organization_id: id,
            tree,
            tiles,
            batch: Vec::new(),
        };
        let grown = writer.read(&mut reader, &mut hasher, range, progress)?;
        if grown > 0 {
            changed.push(id);
            new_entries += grown;
        }
    }
    trees.retain(|_, tree| tree.frontier.end() > 0);
    Ok(Grown {
        trees,
        changed,
        new_entries,
    })
}

/// Appends entries to one tree.
struct Writer<'a> {
    organization_id: i64,
    tree: &'a mut Growing,
    tiles: &'a mpsc::Sender<Vec<TileRow>>,
    batch: Vec<TileRow>,
}

impl Writer<'_> {
    fn read(
        &mut self,
        reader: &mut Reader,
        hasher: &mut PayloadHasher,
        range: IdRange,
        progress: &Progress,
    ) -> Result<u64, AnchorError> {
        let begin = self.tree.frontier.end();
        let mut failed = false;
        read_pages(reader, self.organization_id, range, progress, |row| {
            self.push(row, hasher);
            failed |= self.batch.len() >= BATCH && !self.flush();
            !failed
        })?;
        if failed || !self.flush() {
            return Err(AnchorError::Interrupted);
        }
        Ok(self.tree.frontier.end() - begin)
    }

    fn push(&mut self, row: &Row<'_>, hasher: &mut PayloadHasher) {
        let leaf = KeptLeaf::of_row(row, hasher);
        self.tree.frontier.append(leaf.hash);
        self.tree.open.push(leaf);
        let hash = match row.entry_hash {
            Value::Null => HeadHash::Absent,
            value => HeadHash::of(Some(value.text().unwrap_or_default())),
        };
        self.tree.head = Some(Head { id: row.id, hash });
        if self.tree.open.len() as u64 == WIDTH {
            self.batch.push(self.tree.tile(self.organization_id));
            self.tree.open.clear();
        }
    }

    /// Hands tiles to who keeps them; `false` if nobody does any more.
    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.tiles.blocking_send(batch).is_ok()
    }
}

fn sign(
    grown: Grown,
    before: Option<&Inventory>,
    number: i64,
    origin: &str,
    keys: &Keys,
    now: Timestamp,
) -> Result<Made, AnchorError> {
    let broken = |problem: String| AnchorError::Broken { number, problem };
    let mut organizations = Vec::new();
    let mut checkpoints = Vec::new();
    let mut last_tiles = Vec::new();
    let mut entries = 0;
    for (&id, tree) in &grown.trees {
        let root = tree.frontier.root().unwrap_or(Hash::EMPTY);
        let size = tree.frontier.end();
        entries += size;
        organizations.push(Organization {
            id: Some(id),
            size,
            root,
            head: tree.head.clone(),
        });
        if grown.changed.contains(&id) {
            if !tree.open.is_empty() {
                last_tiles.push(tree.tile(id));
            }
            let checkpoint = Checkpoint {
                origin: checkpoint_origin(origin, id),
                size,
                root,
                head: Some(tree.head.clone()),
                time: Some(now),
                anchor: Some(number.cast_unsigned()),
                extensions: Vec::new(),
            };
            let note = checkpoint.sign(&keys.signer);
            let note = note.map_err(|error| broken(error.to_string()))?;
            checkpoints.push(CheckpointRow {
                organization_id: id,
                number,
                note: note.to_string(),
                frontier: postcard::to_stdvec(&tree.frontier)
                    .map_err(|error| broken(error.to_string()))?,
            });
        }
    }
    let inventory = Inventory {
        origin: origin.to_owned(),
        number: number.cast_unsigned(),
        time: now,
        previous: before.map(Inventory::digest),
        organizations,
    };
    let note = inventory.sign(&keys.signer);
    let note = note.map_err(|error| broken(error.to_string()))?;
    Ok(Made {
        run: AnchorRun {
            number,
            made_at: now.as_microsecond(),
            note: note.to_string(),
            organizations: inventory.organizations.len() as i64,
            entries: entries.cast_signed(),
        },
        checkpoints,
        last_tiles,
        new_entries: grown.new_entries,
    })
}
