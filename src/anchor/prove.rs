//! Proofs for auditors, from the tiles that are kept.

use std::str::FromStr;

use super::{AnchorError, Loaded, checkpoint_origin};
use crate::{
    checkpoint::{
        anchored::Anchored,
        merkle::{ProveError, consistency_proof, inclusion_proof},
        note::Note,
        proof::{ConsistencyProof, InclusionProof},
        tiles::{Nodes, WIDTH},
        tree_head::Checkpoint,
    },
    state::{
        Store,
        anchors::{CheckpointRow, Which},
    },
};

fn unknown(text: impl Into<String>) -> AnchorError {
    AnchorError::Unknown(text.into())
}

/// The proof that the newest anchor covers an entry of this organisation. Waits for the database on the calling thread,
/// which must not be one of a runtime's.
///
/// # Errors
/// If it does not cover it, or the tree is not kept.
pub fn prove_inclusion(
    handle: &tokio::runtime::Handle,
    store: &Store,
    loaded: &Loaded,
    organization_id: i64,
    entry_id: i64,
) -> Result<InclusionProof, AnchorError> {
    let anchored = anchored(loaded)?;
    let tree = anchored
        .tree(organization_id)
        .ok_or_else(|| unknown(format!("no anchor covers organisation {organization_id}")))?;
    if entry_id > tree.last_id {
        return Err(unknown(format!(
            "no anchor covers entry {entry_id} yet: the newest one ends at entry {}; \"trailkeeper anchor create\" makes \
             another",
            tree.last_id
        )));
    }
    let tile = tree.tile_of(entry_id);
    let leaves = anchored.kept(organization_id, tile).map_err(|problem| {
        unknown(format!(
            "the tile of entry {entry_id} cannot be used: {problem}"
        ))
    })?;
    let at = leaves.iter().position(|leaf| leaf.id == entry_id);
    let index = at
        .map(|at| tile * WIDTH + at as u64)
        .filter(|&index| index < tree.size)
        .ok_or_else(|| {
            unknown(format!(
                "organisation {organization_id} had no entry {entry_id} when it was anchored"
            ))
        })?;
    let checkpoint = checkpoint(handle, store, anchored, organization_id, i64::MAX)?;
    let hashes = inclusion_proof(
        &mut nodes(anchored, organization_id, tree),
        index,
        tree.size,
    )
    .map_err(prove_error)?;
    Ok(InclusionProof {
        extra: None,
        index,
        hashes,
        checkpoint,
    })
}

/// The proof that an organisation's trail as anchored then is the beginning of the newest anchored one. Waits as
/// [`prove_inclusion`] does.
///
/// # Errors
/// If there are no such anchors.
pub fn prove_consistency(
    handle: &tokio::runtime::Handle,
    store: &Store,
    loaded: &Loaded,
    organization_id: i64,
    number: u64,
) -> Result<ConsistencyProof, AnchorError> {
    let anchored = anchored(loaded)?;
    let tree = anchored
        .tree(organization_id)
        .ok_or_else(|| unknown(format!("no anchor covers organisation {organization_id}")))?;
    if !(1..=anchored.number).contains(&number) {
        return Err(unknown(format!(
            "there is no anchor {number}; the newest is {}",
            anchored.number
        )));
    }
    let old = checkpoint(
        handle,
        store,
        anchored,
        organization_id,
        number.cast_signed(),
    )?;
    let new = checkpoint(handle, store, anchored, organization_id, i64::MAX)?;
    let size = Checkpoint::parse(old.text())
        .map_err(|error| unknown(error.to_string()))?
        .size;
    let hashes = consistency_proof(&mut nodes(anchored, organization_id, tree), size, tree.size)
        .map_err(prove_error)?;
    Ok(ConsistencyProof { old, new, hashes })
}

fn anchored(loaded: &Loaded) -> Result<&Anchored, AnchorError> {
    loaded
        .anchored
        .as_deref()
        .ok_or_else(|| match loaded.findings.first() {
            Some(finding) => unknown(finding.detail.clone()),
            None => unknown("there is no anchor yet; \"trailkeeper anchor create\" makes one"),
        })
}

fn nodes<'a>(
    anchored: &'a Anchored,
    organization_id: i64,
    tree: &'a crate::checkpoint::tiles::Tree,
) -> Nodes<'a, impl FnMut(u64) -> Result<Vec<crate::checkpoint::merkle::Hash>, String>> {
    let mut last: Option<(u64, Vec<crate::checkpoint::merkle::Hash>)> = None;
    Nodes {
        tree,
        leaves: move |tile| {
            if let Some((known, leaves)) = &last
                && *known == tile
            {
                return Ok(leaves.clone());
            }
            let mut leaves: Vec<_> = (anchored.leaves)(organization_id, tile)?
                .into_iter()
                .map(|leaf| leaf.hash)
                .collect();
            leaves.truncate(tree.width(tile) as usize);
            last = Some((tile, leaves.clone()));
            Ok(leaves)
        },
    }
}

fn prove_error(error: ProveError<String>) -> AnchorError {
    unknown(match error {
        ProveError::Source(problem) => format!("a tile of the tree cannot be read: {problem}"),
        other => other.to_string(),
    })
}

/// The newest checkpoint of an organisation up to this anchor.
fn checkpoint(
    handle: &tokio::runtime::Handle,
    store: &Store,
    anchored: &Anchored,
    organization_id: i64,
    number: i64,
) -> Result<Note, AnchorError> {
    let number = number.min(anchored.number.cast_signed());
    let rows = handle.block_on(store.checkpoints_at(number, Which::Newest))?;
    let row: Option<CheckpointRow> = rows
        .into_iter()
        .find(|row| row.organization_id == organization_id);
    let row = row.ok_or_else(|| {
        unknown(format!(
            "anchor {number} does not cover organisation {organization_id}"
        ))
    })?;
    let note = Note::from_str(&row.note).map_err(|error| unknown(error.to_string()))?;
    let said = Checkpoint::parse(note.text()).map_err(|error| unknown(error.to_string()))?;
    let is_its_own = said
        .origin
        .ends_with(&checkpoint_origin("", organization_id))
        && said.anchor == Some(row.number.cast_unsigned());
    if !is_its_own {
        return Err(unknown(format!(
            "what is kept as the checkpoint of organisation {organization_id} by anchor {} is another one",
            row.number
        )));
    }
    Ok(note)
}
