//! The newest anchor, the sample and its proofs, from our database and QWED's.

use tokio::runtime::Handle;

use super::{
    PackError,
    sampled::{EntryFile, EntryState, METHOD, Sample, SampledEntry},
};
use crate::{
    anchor::{self, Loaded},
    checkpoint::{
        anchored::{Anchored, KeptLeaf},
        leaf::Leaf,
        sample::draw,
        tiles::WIDTH,
    },
    qwed::{Reader, url::DatabaseUrl},
    tombstones::Graveyard,
    trail::payload::PayloadHasher,
};

/// What to draw.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The organisation.
    pub organization_id: i64,
    /// The seed: an auditor's, or else the report's id.
    pub seed: String,
    /// How many entries; all if the anchor covers no more.
    pub count: u64,
}

/// What anchors say of an organisation's trail.
#[derive(Debug, Clone)]
pub enum Gathered {
    /// An anchor covers it.
    Anchored(Box<Proven>),
    /// None does, for this reason.
    Without(String),
}

/// An anchor with proofs.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The signed inventory of all trails.
    pub(super) run: String,
    /// The organisation's signed checkpoint.
    pub(super) checkpoint: String,
    pub(super) sample: Sample,
    /// By entry in the sample's order: its proof, and its leaf where it is as it was anchored.
    pub(super) proofs: Vec<(String, Option<EntryFile>)>,
}

/// Draws a sample of what the newest anchor covers and proves each entry of it. Has to be called on a runtime with threads of
/// its own.
///
/// # Errors
/// If a database cannot be read, the sample not be drawn, or what is kept of the anchor not be used.
pub async fn gather(
    graveyard: &Graveyard,
    url: &DatabaseUrl,
    asked: &Asked,
) -> Result<Gathered, PackError> {
    let Graveyard {
        store,
        origin,
        keys,
    } = graveyard;
    let id = asked.organization_id;
    let loaded = anchor::load_organization(store, origin, keys, id).await?;
    let Some(anchored) = loaded.anchored.clone() else {
        let finding = loaded.findings.first();
        let why = finding.map_or("there is no anchor", |finding| &finding.detail);
        return Ok(Gathered::Without(why.to_owned()));
    };
    if anchored.tree(id).is_none() {
        let finding = loaded
            .findings
            .first()
            .map(|finding| finding.detail.clone());
        let why = format!(
            "anchor {} does not cover organisation {id}",
            anchored.number
        );
        return Ok(Gathered::Without(finding.unwrap_or(why)));
    }
    let bound = anchored.number.cast_signed().saturating_add(1);
    let runs = store.anchors_before(bound, 1).await?;
    let run = runs
        .into_iter()
        .next()
        .filter(|run| run.number == anchored.number.cast_signed())
        .ok_or_else(|| PackError::Unfit(format!("anchor {} is gone", anchored.number)))?;
    let (handle, graveyard) = (Handle::current(), graveyard.clone());
    let (url, asked) = (url.clone(), asked.clone());
    let proving = tokio::task::spawn_blocking(move || {
        let mut reader = graveyard.open(&handle, &url)?.reader()?;
        prove(&handle, &graveyard, &loaded, &anchored, &asked, &mut reader)
    });
    let (sample, proofs, checkpoint) = proving.await.map_err(std::io::Error::other)??;
    Ok(Gathered::Anchored(Box::new(Proven {
        run: run.note,
        checkpoint,
        sample,
        proofs,
    })))
}

type Proofs = (Sample, Vec<(String, Option<EntryFile>)>, String);

fn prove(
    handle: &Handle,
    graveyard: &Graveyard,
    loaded: &Loaded,
    anchored: &Anchored,
    asked: &Asked,
    reader: &mut Reader,
) -> Result<Proofs, PackError> {
    let id = asked.organization_id;
    let population = anchored.tree(id).map_or(0, |tree| tree.size);
    let mut entries = Vec::new();
    let mut proofs = Vec::new();
    let mut checkpoint = String::new();
    let mut hasher = PayloadHasher::default();
    for index in draw(&asked.seed, population, asked.count)? {
        let kept = kept(anchored, id, index)?;
        let proof = anchor::prove_inclusion(handle, &graveyard.store, loaded, id, kept.id)?;
        let (state, file) = look(reader, &kept, id, &mut hasher)?;
        entries.push(SampledEntry {
            index,
            entry_id: kept.id,
            leaf: kept.hash.to_string(),
            state,
        });
        checkpoint = proof.checkpoint.to_string();
        proofs.push((proof.to_string(), file));
    }
    if proofs.is_empty() {
        return Err(PackError::Unfit(
            "a sample has at least one entry: without a proof nothing shows the organisation's checkpoint".to_owned(),
        ));
    }
    let sample = Sample {
        method: METHOD.to_owned(),
        seed: asked.seed.clone(),
        population,
        count: asked.count,
        entries,
    };
    Ok((sample, proofs, checkpoint))
}

fn kept(anchored: &Anchored, organization_id: i64, index: u64) -> Result<KeptLeaf, PackError> {
    let (tile, at) = (index / WIDTH, (index % WIDTH) as usize);
    let leaves = anchored.kept(organization_id, tile);
    let leaves = leaves.map_err(|problem| {
        PackError::Unfit(format!(
            "tile {tile} of the anchored trail cannot be used: {problem}"
        ))
    })?;
    let leaf = leaves.get(at).copied();
    leaf.ok_or_else(|| PackError::Unfit(format!("entry number {} is not kept", index + 1)))
}

/// What the database says of an entry today.
fn look(
    reader: &mut Reader,
    kept: &KeptLeaf,
    organization_id: i64,
    hasher: &mut PayloadHasher,
) -> Result<(EntryState, Option<EntryFile>), PackError> {
    let Some(row) = reader.entry(kept.id)? else {
        return Ok((EntryState::Gone, None));
    };
    let row = row.row();
    if row.organization_id.integer() != Some(organization_id) {
        return Ok((EntryState::Gone, None));
    }
    let mut space = [0; crate::trail::hash::HEX_LENGTH];
    let leaf = Leaf::of_row(&row, hasher, &mut space);
    let file = EntryFile::of(&leaf).filter(|_| leaf.leaf_hash() == kept.hash);
    Ok(match file {
        Some(file) => (EntryState::AsAnchored, Some(file)),
        None => (EntryState::Changed, None),
    })
}
