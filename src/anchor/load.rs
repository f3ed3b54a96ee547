//! Authenticating the anchors that our database keeps, so that a trail can be compared with them.
//!
//! Whoever can write to QWED's database may well be able to write to ours. Nothing that is read here is believed without a
//! signature over it: the inventories are signed and chained, the checkpoints are those that the inventory names, and the
//! tiles make the signed roots. What does not fit is a finding, and the tree concerned vouches for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AnchorError, checkpoint_origin, decode};
use crate::{
    checkpoint::{
        anchored::{Anchored, AnchoredTree, KeptLeaf},
        coverage::Sizes,
        inventory::{Inventory, Organization},
        merkle::{Hash, Range},
        note::{Note, VerifierKey},
        tiles::{Tree, WIDTH, tile_root},
        tree_head::Checkpoint,
    },
    state::{
        Store,
        anchors::{AnchorRun, CheckpointRow, Which},
    },
    trail::finding::{AnchorFinding, Kind},
};

/// Inventories that are read at a time.
const PAGE: u32 = 100;

/// What there is of anchors.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest one, or the one asked for; none if there is none that can be trusted.
    pub anchored: Option<Arc<Anchored>>,
    /// What is wrong with them.
    pub findings: Vec<AnchorFinding>,
    /// How many inventories were authenticated.
    pub inventories: u64,
}

impl Loaded {
    fn find(&mut self, kind: Kind, detail: impl Into<String>) {
        self.findings.push(AnchorFinding::new(kind, detail));
    }
}

/// Reads and authenticates the anchor with this number, or the newest, and up to `depth` inventories before it.
///
/// Has to be called on a runtime with threads of its own, which has to outlive what is returned: leaves are read when
/// they are needed.
///
/// # Errors
/// If the database fails. What is wrong with the anchors is no error but a finding.
pub async fn load(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
    number: Option<u64>,
    depth: u64,
) -> Result<Loaded, AnchorError> {
    load_trees(store, origin, keys, number, depth, None).await
}

/// Reads and authenticates the newest anchor, of its trees only this organisation's: for a proof.
///
/// # Errors
/// As [`load`].
pub async fn load_organization(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
    organization_id: i64,
) -> Result<Loaded, AnchorError> {
    load_trees(store, origin, keys, None, 0, Some(organization_id)).await
}

async fn load_trees(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
    number: Option<u64>,
    depth: u64,
    only: Option<i64>,
) -> Result<Loaded, AnchorError> {
    let mut loaded = Loaded::default();
    let bound = number.map_or(i64::MAX, |number| number.cast_signed().saturating_add(1));
    let mut left = depth.saturating_add(1);
    let page = |left: u64| u32::try_from(left).unwrap_or(PAGE).min(PAGE);
    let mut runs = store.anchors_before(bound, page(left)).await?;
    let Some(newest) = runs.first().cloned() else {
        return Ok(loaded);
    };
    if keys.is_empty() {
        return Err(AnchorError::NoKey {
            anchors: newest.number,
        });
    }
    let mut chain = Chain {
        origin,
        keys,
        newest: None,
        below: None,
        sizes: BTreeMap::new(),
    };
    if let Some(number) = number
        && newest.number != number.cast_signed()
    {
        loaded.find(Kind::AnchorMissing, format!("anchor {number} is gone"));
        return Ok(loaded);
    }
    loop {
        for run in &runs {
            if left == 0 {
                break;
            }
            left -= 1;
            chain.follow(run, &mut loaded);
        }
        let Some(last) = runs.last().filter(|_| left > 0) else {
            break;
        };
        runs = store.anchors_before(last.number, page(left)).await?;
    }
    if left > 0 {
        chain.ends(&mut loaded);
    } else if number.is_none() {
        // What lies deeper is not authenticated now, but a gap in the numbers shows.
        let (runs, lowest, highest) = store.count_anchors().await?;
        if lowest != 1 || highest - lowest + 1 != runs {
            let gone = highest - runs;
            let detail = format!("{gone} of the anchors 1 to {highest} are gone");
            loaded.find(Kind::AnchorGap, detail);
        }
    }
    let Chain {
        newest: inventory,
        sizes,
        ..
    } = chain;
    let Some(inventory) = inventory else {
        return Ok(loaded);
    };
    let mut first = BTreeMap::new();
    let at = inventory.number.cast_signed();
    for row in store.checkpoints_at(at, Which::Oldest).await? {
        if let Some(checkpoint) = open_checkpoint(&row, keys)
            && checkpoint.origin == checkpoint_origin(origin, row.organization_id)
            && checkpoint.anchor == Some(row.number.cast_unsigned())
            && let (Some(time), Some(Some(head))) = (checkpoint.time, checkpoint.head)
        {
            first.insert(row.organization_id, (time, head.id));
        }
    }
    let rows = store
        .checkpoints_at(at, Which::Newest)
        .await?
        .into_iter()
        .map(|row| (row.organization_id, row));
    let mut rows: BTreeMap<i64, CheckpointRow> = rows.collect();
    let mut trees = BTreeMap::new();
    for signed in inventory
        .organizations
        .iter()
        .filter(|signed| signed.size > 0)
    {
        let Some(id) = signed.id.filter(|id| only.is_none_or(|only| only == *id)) else {
            continue;
        };
        let tree = Kept {
            store,
            id,
            signed,
            origin,
            keys,
        };
        let sizes = sizes.get(&id).cloned().unwrap_or_default();
        match tree.load(rows.remove(&id), &sizes).await? {
            Ok((tree, time)) => {
                let first = first.get(&id).copied();
                let first = first.unwrap_or((time, tree.last_id));
                trees.insert(id, AnchoredTree { tree, time, first });
            }
            Err(problem) => {
                let detail = format!("anchor {at}, organisation {id}: {problem}");
                loaded.find(Kind::AnchorMissing, detail);
            }
        }
    }
    let (handle, store) = (tokio::runtime::Handle::current(), store.clone());
    let leaves = move |id: i64, tile: u64| leaves_of(&handle, &store, id, tile);
    loaded.anchored = Some(Arc::new(Anchored {
        number: inventory.number,
        time: inventory.time,
        trees,
        leaves: Box::new(leaves),
    }));
    Ok(loaded)
}

fn leaves_of(
    handle: &tokio::runtime::Handle,
    store: &Store,
    id: i64,
    tile: u64,
) -> Result<Vec<KeptLeaf>, String> {
    let row = handle
        .block_on(store.tile(id, tile.cast_signed()))
        .map_err(|error| error.to_string())?;
    row.and_then(|row| decode(&row.leaves))
        .ok_or_else(|| "it is gone".to_owned())
}

fn open_checkpoint(row: &CheckpointRow, keys: &[VerifierKey]) -> Option<Checkpoint> {
    let note = Note::from_bytes(row.note.as_bytes()).ok()?;
    Some(Checkpoint::open(&note, keys).ok()?.0)
}

fn open_inventory(
    run: &AnchorRun,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Inventory, (Kind, String)> {
    let number = run.number;
    let missing = |problem: String| (Kind::AnchorMissing, format!("anchor {number}: {problem}"));
    let note = Note::from_bytes(run.note.as_bytes())
        .map_err(|error| missing(format!("what is kept is no signed note: {error}")))?;
    let inventory = Inventory::open(&note, keys)
        .map_err(|error| missing(format!("what is kept was not signed like that: {error}")))?;
    if inventory.number != number.cast_unsigned() {
        let problem = format!(
            "what is kept under this number is anchor {}",
            inventory.number
        );
        return Err(missing(problem));
    }
    if inventory.origin != origin {
        let problem = format!(
            "anchor {number} is about {}, and anchors.origin is {origin}",
            inventory.origin
        );
        return Err((Kind::AnchorMoved, problem));
    }
    Ok(inventory)
}

/// How many entries each organisation had at the anchor with this number; none if that is gone, or cannot be trusted.
///
/// # Errors
/// If the database fails.
pub async fn sizes_at(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
    number: u64,
) -> Result<Option<Sizes>, AnchorError> {
    let bound = number.cast_signed().saturating_add(1);
    let runs = store.anchors_before(bound, 1).await?;
    let inventory = runs
        .first()
        .filter(|run| run.number == number.cast_signed())
        .and_then(|run| open_inventory(run, origin, keys).ok());
    Ok(inventory.map(|inventory| {
        let sizes = inventory.organizations.iter();
        sizes.filter_map(|of| Some((of.id?, of.size))).collect()
    }))
}

/// Follows the inventories from the newest to older ones.
struct Chain<'a> {
    origin: &'a str,
    keys: &'a [VerifierKey],
    newest: Option<Inventory>,
    /// Number and `previous` of the inventory that was looked at before, which is the next newer one.
    below: Option<(u64, Option<[u8; 32]>)>,
    /// By organisation, sizes and roots that were signed, to be found again in the newest tree.
    sizes: BTreeMap<i64, BTreeMap<u64, (Hash, u64)>>,
}

impl Chain<'_> {
    fn follow(&mut self, run: &AnchorRun, loaded: &mut Loaded) {
        let inventory = match open_inventory(run, self.origin, self.keys) {
            Ok(inventory) => inventory,
            Err((kind, problem)) => {
                loaded.find(kind, problem);
                return;
            }
        };
        loaded.inventories += 1;
        let number = inventory.number;
        if let Some((next, previous)) = self.below {
            if next != number + 1 {
                let detail = if next == number + 2 {
                    format!("anchor {} is gone", number + 1)
                } else {
                    format!("anchors {} to {} are gone", number + 1, next - 1)
                };
                loaded.find(Kind::AnchorGap, detail);
            } else if previous != Some(inventory.digest()) {
                let detail = format!(
                    "anchor {next} was made after another anchor {number} than the one that is kept"
                );
                loaded.find(Kind::AnchorMissing, detail);
            }
        }
        self.below = Some((number, inventory.previous));
        for organization in inventory.organizations.iter().filter(|o| o.size > 0) {
            if let Some(id) = organization.id {
                let sizes = self.sizes.entry(id).or_default();
                sizes.insert(organization.size, (organization.root, number));
            }
        }
        if self.newest.is_none() {
            self.newest = Some(inventory);
        }
    }

    /// No older inventories are kept.
    fn ends(&self, loaded: &mut Loaded) {
        if let Some((number, previous)) = self.below
            && previous.is_some()
        {
            let detail = match number {
                2 => "anchor 1 is gone".to_owned(),
                number => format!("anchors 1 to {} are gone", number.saturating_sub(1)),
            };
            loaded.find(Kind::AnchorGap, detail);
        }
    }
}

/// A tree as it is kept.
struct Kept<'a> {
    store: &'a Store,
    id: i64,
    signed: &'a Organization,
    origin: &'a str,
    keys: &'a [VerifierKey],
}

impl Kept<'_> {
    /// The tree and the time of its checkpoint, or why it vouches for nothing.
    async fn load(
        &self,
        row: Option<CheckpointRow>,
        sizes: &BTreeMap<u64, (Hash, u64)>,
    ) -> Result<Result<(Tree, jiff::Timestamp), String>, AnchorError> {
        let signed = self.signed;
        let checkpoint = row.and_then(|row| open_checkpoint(&row, self.keys));
        let Some(checkpoint) = checkpoint else {
            return Ok(Err("its checkpoint is gone, or was not signed".to_owned()));
        };
        if checkpoint.origin != checkpoint_origin(self.origin, self.id)
            || (checkpoint.size, checkpoint.root) != (signed.size, signed.root)
        {
            return Ok(Err(
                "its checkpoint is not the one that the inventory names".to_owned(),
            ));
        }
        let tiles = signed.size.div_ceil(WIDTH);
        let kept = self.store.tile_roots(self.id, tiles.cast_signed()).await?;
        if kept.len() as u64 != tiles {
            return Ok(Err("tiles of its tree are gone".to_owned()));
        }
        let mut first_ids = Vec::with_capacity(kept.len());
        let mut roots = Vec::with_capacity(kept.len());
        for (first_id, root) in kept {
            first_ids.push(first_id);
            let root: [u8; 32] = root.try_into().unwrap_or_default();
            roots.push(Hash(root));
        }
        if !signed.size.is_multiple_of(WIDTH)
            && let Some(last) = roots.last_mut()
        {
            // It may have grown in a run that has not come to its end.
            let mut leaves = self.leaves(tiles - 1).await?;
            leaves.truncate((signed.size % WIDTH) as usize);
            *last = tile_root(&leaves);
        }
        let tree = Tree {
            size: signed.size,
            first_ids,
            roots,
            last_id: signed.head.as_ref().map_or(i64::MIN, |head| head.id),
        };
        let is_ascending = tree.first_ids.is_sorted_by(|a, b| a < b)
            && tree
                .first_ids
                .last()
                .is_none_or(|&first| first <= tree.last_id);
        if tree.root() != signed.root || !is_ascending {
            return Ok(Err(
                "what is kept of its tree does not make the signed root".to_owned(),
            ));
        }
        if let Some(problem) = self.check_former(&tree, sizes).await? {
            return Ok(Err(problem));
        }
        let time = checkpoint.time.unwrap_or_default();
        Ok(Ok((tree, time)))
    }

    async fn leaves(&self, tile: u64) -> Result<Vec<Hash>, AnchorError> {
        let row = self.store.tile(self.id, tile.cast_signed()).await?;
        let leaves = row.and_then(|row| decode(&row.leaves)).unwrap_or_default();
        Ok(leaves.into_iter().map(|leaf| leaf.hash).collect())
    }

    /// Whether every former tree is the beginning of this one, in one pass over its tiles.
    async fn check_former(
        &self,
        tree: &Tree,
        sizes: &BTreeMap<u64, (Hash, u64)>,
    ) -> Result<Option<String>, AnchorError> {
        let mut complete = Range::empty_at(0);
        let mut done = 0;
        for (&size, &(root, number)) in sizes {
            if size > tree.size {
                return Ok(Some(format!(
                    "anchor {number} covers {size} entries, and the newest fewer"
                )));
            }
            for &root in &tree.roots[done..(size / WIDTH) as usize] {
                complete.append(root);
            }
            done = (size / WIDTH) as usize;
            let mut at = complete.clone();
            if size % WIDTH > 0 {
                let mut leaves = self.leaves(size / WIDTH).await?;
                leaves.truncate((size % WIDTH) as usize);
                at.append(tile_root(&leaves));
            }
            if at.root() != Some(root) {
                return Ok(Some(format!(
                    "the tree of anchor {number} is not the beginning of the newest one"
                )));
            }
        }
        Ok(None)
    }
}
