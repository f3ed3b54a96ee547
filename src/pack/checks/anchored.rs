//! The checks of anchor, sample and proofs.

use super::{Found, Pack, passed};
use crate::{
    anchor::checkpoint_origin,
    checkpoint::{
        inventory::{self, Inventory},
        merkle::{Hash, verify_inclusion},
        note::{Note, VerifyError},
        proof::InclusionProof,
        sample::draw,
        tree_head::{self, Checkpoint},
    },
    pack::{
        names,
        sampled::{EntryFile, EntryState, METHOD, Sample, SampledEntry},
    },
};

/// Nothing of an anchor may be there if the manifest says that there is none.
fn without(pack: &Pack<'_>) -> Option<Result<Found, String>> {
    let why = pack.manifest.without_anchor.as_ref()?;
    let is_there = [names::RUN, names::CHECKPOINT, names::SAMPLE]
        .into_iter()
        .any(|name| pack.has(name))
        || !pack.below(names::PROOFS).is_empty();
    Some(if is_there {
        Err("there is an anchor, and the manifest says that there is none".to_owned())
    } else {
        Ok(Found::Open(format!("there is no anchor: {why}")))
    })
}

pub(super) fn anchor(pack: &mut Pack<'_>) -> Result<Found, String> {
    if let Some(found) = without(pack) {
        return found;
    }
    let (run, note) = (note(pack, names::RUN)?, note(pack, names::CHECKPOINT)?);
    let inventory = match Inventory::open(&run, pack.keys) {
        Ok(inventory) => inventory,
        Err(inventory::OpenError::Signature(error @ VerifyError::Unknown(_))) => {
            return Ok(Found::Open(format!("the anchor: {error}")));
        }
        Err(error) => return Err(format!("{}: {error}", names::RUN)),
    };
    let checkpoint = match Checkpoint::open(&note, pack.keys) {
        Ok((checkpoint, _)) => checkpoint,
        Err(tree_head::OpenError::Signature(error @ VerifyError::Unknown(_))) => {
            return Ok(Found::Open(format!("the checkpoint: {error}")));
        }
        Err(error) => return Err(format!("{}: {error}", names::CHECKPOINT)),
    };
    let (origin, id) = (&pack.manifest.origin, pack.manifest.organization_id);
    if inventory.origin != *origin || checkpoint.origin != checkpoint_origin(origin, id) {
        return Err("the anchor is not about this organisation of this origin".to_owned());
    }
    let listed = inventory.organizations.iter().find(|it| it.id == Some(id));
    let listed = listed.map(|listed| (listed.size, listed.root));
    if listed != Some((checkpoint.size, checkpoint.root))
        || checkpoint
            .anchor
            .is_none_or(|number| number > inventory.number)
    {
        return Err(
            "the organisation's checkpoint is not what the anchor of all trails says".to_owned(),
        );
    }
    if inventory.time > pack.manifest.made_at {
        return Err("the anchor was made after the pack".to_owned());
    }
    passed(format!(
        "anchor {} of {} covers {} entries of organisation {id}",
        inventory.number, inventory.time, checkpoint.size
    ))
}

pub(super) fn sample(pack: &mut Pack<'_>) -> Result<Found, String> {
    if let Some(found) = without(pack) {
        return found;
    }
    let sample: Sample = pack.json(names::SAMPLE)?;
    let size = checkpoint(pack)?.size;
    if sample.method != METHOD {
        return Ok(Found::Open(format!(
            "it was drawn by another method, {:?}",
            sample.method
        )));
    }
    if sample.population != size {
        return Err(format!(
            "the sample was drawn of {} entries, and the anchor covers {size}",
            sample.population
        ));
    }
    let drawn = draw(&sample.seed, size, sample.count).map_err(|error| error.to_string())?;
    let listed: Vec<u64> = sample.entries.iter().map(|entry| entry.index).collect();
    if drawn != listed || drawn.is_empty() {
        return Err("the sample is not what its seed draws".to_owned());
    }
    let seed = if sample.seed == pack.manifest.report {
        "the report's id".to_owned()
    } else {
        format!("{:?}", sample.seed)
    };
    passed(format!(
        "{} of {size} entries, as drawn from {seed}",
        drawn.len()
    ))
}

pub(super) fn proofs(pack: &mut Pack<'_>) -> Result<Found, String> {
    if let Some(found) = without(pack) {
        return found;
    }
    let sample: Sample = pack.json(names::SAMPLE)?;
    let signed = note(pack, names::CHECKPOINT)?;
    let checkpoint = checkpoint(pack)?;
    let mut left = pack.below(names::PROOFS);
    let mut before: Vec<(u64, i64)> = Vec::new();
    for entry in &sample.entries {
        let id = entry.entry_id;
        let name = names::proof(id);
        if !left.remove(&name) {
            return Err(format!("there is no {name}"));
        }
        let proof: InclusionProof = pack
            .text(&name)?
            .parse()
            .map_err(|error| format!("{name}: {error}"))?;
        if proof.index != entry.index || proof.checkpoint != signed {
            return Err(format!("{name} is of another entry, or of another anchor"));
        }
        let leaf: Hash = entry
            .leaf
            .parse()
            .map_err(|_| format!("the leaf of entry {id} is no hash"))?;
        verify_inclusion(
            &leaf,
            proof.index,
            checkpoint.size,
            &proof.hashes,
            &checkpoint.root,
        )
        .map_err(|error| format!("{name}: {error}"))?;
        leaf_file(pack, entry, &leaf, &mut left)?;
        before.push((entry.index, id));
    }
    // A trail's leaves are in order of id.
    before.sort_unstable();
    if before.windows(2).any(|pair| pair[0].1 >= pair[1].1) {
        return Err("the entries of the sample are not in the order of the trail".to_owned());
    }
    if let Some(more) = left.first() {
        return Err(format!("{more} belongs to no entry of the sample"));
    }
    for (state, words) in [(EntryState::Changed, "changed"), (EntryState::Gone, "gone")] {
        let of_state = sample.entries.iter().filter(|entry| entry.state == state);
        let ids: Vec<String> = of_state.map(|entry| entry.entry_id.to_string()).collect();
        if !ids.is_empty() {
            pack.notes.push(format!(
                "since they were anchored, {words}: {}",
                ids.join(", ")
            ));
        }
    }
    passed(format!(
        "{} entries are in the anchored trail",
        sample.entries.len()
    ))
}

/// The leaf as a file of its own, from which anybody computes the hash.
fn leaf_file(
    pack: &mut Pack<'_>,
    entry: &SampledEntry,
    leaf: &Hash,
    left: &mut std::collections::BTreeSet<String>,
) -> Result<(), String> {
    let name = names::entry(entry.entry_id);
    let is_there = left.remove(&name);
    if is_there != (entry.state == EntryState::AsAnchored) {
        return Err(format!(
            "whether there is {name} does not fit to what the sample says"
        ));
    }
    if !is_there {
        return Ok(());
    }
    let file: EntryFile = pack.json(&name)?;
    if file.id != entry.entry_id || file.leaf_hash().as_ref() != Some(leaf) {
        return Err(format!("{name} is not the leaf that was anchored"));
    }
    Ok(())
}

fn note(pack: &mut Pack<'_>, name: &str) -> Result<Note, String> {
    let bytes = pack.zip.whole(name)?;
    Note::from_bytes(&bytes).map_err(|error| format!("{name}: {error}"))
}

/// The checkpoint, whose signature was checked before.
fn checkpoint(pack: &mut Pack<'_>) -> Result<Checkpoint, String> {
    let note = note(pack, names::CHECKPOINT)?;
    Checkpoint::parse(note.text()).map_err(|error| format!("{}: {error}", names::CHECKPOINT))
}
