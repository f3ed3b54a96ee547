//! What is kept of anchors: the signed notes, and the tiles of every organisation's tree.
//!
//! Tiles are written before the run that covers them, in transactions of their own: a first anchor may have millions of
//! leaves. Whoever reads them goes by the size that the newest checkpoint signs, and checks their root against it; leaves
//! behind that are those of a run that has not come to its end, and are written over by the next.

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// An anchor run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorRun {
    /// Its number, from 1.
    pub number: i64,
    /// When it was made, in microseconds since 1970, by the clock of whoever made it; signed in the note as well.
    pub made_at: i64,
    /// The signed inventory.
    pub note: String,
    /// How many organisations it names.
    pub organizations: i64,
    /// How many entries they have.
    pub entries: i64,
}

/// An organisation's signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// The organisation.
    pub organization_id: i64,
    /// The run that made it.
    pub number: i64,
    /// The signed checkpoint.
    pub note: String,
    /// The tree's compact range, in postcard's encoding.
    pub frontier: Vec<u8>,
}

/// A tile of an organisation's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileRow {
    /// The organisation.
    pub organization_id: i64,
    /// Its number, from 0.
    pub tile: i64,
    /// The id of its first entry.
    pub first_id: i64,
    /// Its root, with all leaves that are kept.
    pub root: Vec<u8>,
    /// Its leaves, in postcard's encoding.
    pub leaves: Vec<u8>,
}

/// Which of an organisation's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The last one.
    Newest,
    /// The first one.
    Oldest,
}

/// Tiles that one statement reads.
const TILES: i64 = 4096;
const RUN: &str = "number, made_at, note, organizations, entries";
const CHECKPOINT: &str = "organization_id, number, note, frontier";

impl Store {
    /// The newest run.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_anchor(&self) -> Result<Option<AnchorRun>, StateError> {
        Ok(self.anchors_before(i64::MAX, 1).await?.pop())
    }

    /// The newest `limit` runs with lower numbers than this, the newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn anchors_before(
        &self,
        number: i64,
        limit: u32,
    ) -> Result<Vec<AnchorRun>, StateError> {
        let select =
            format!("SELECT {RUN} FROM anchor_run WHERE number < $1 ORDER BY number DESC LIMIT $2");
        let select = self.query(&select).bind(number).bind(i64::from(limit));
        self.read(select)
            .await?
            .iter()
            .map(AnchorRun::read)
            .collect()
    }

    /// How many runs there are, and the lowest and the highest number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_anchors(&self) -> Result<(i64, i64, i64), StateError> {
        let select = "SELECT CAST(count(*) AS BIGINT) AS runs, CAST(COALESCE(min(number), 0) AS BIGINT) AS lowest, \
                      CAST(COALESCE(max(number), 0) AS BIGINT) AS highest FROM anchor_run";
        let rows = self.read(self.query(select)).await?;
        match rows.first() {
            Some(row) => Ok((
                column(row, "runs")?,
                column(row, "lowest")?,
                column(row, "highest")?,
            )),
            None => Ok((0, 0, 0)),
        }
    }

    /// The oldest `limit` runs with higher numbers than this, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn anchors_after(
        &self,
        number: i64,
        limit: u32,
    ) -> Result<Vec<AnchorRun>, StateError> {
        let select =
            format!("SELECT {RUN} FROM anchor_run WHERE number > $1 ORDER BY number LIMIT $2");
        let select = self.query(&select).bind(number).bind(i64::from(limit));
        self.read(select)
            .await?
            .iter()
            .map(AnchorRun::read)
            .collect()
    }

    /// The newest checkpoint of each organisation that the run of this number or one before it made, in order of id; or
    /// the oldest.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn checkpoints_at(
        &self,
        number: i64,
        which: Which,
    ) -> Result<Vec<CheckpointRow>, StateError> {
        let one = match which {
            Which::Newest => "max",
            Which::Oldest => "min",
        };
        // One pass over the primary key's index: a look for each row takes eight times as long.
        let select = format!(
            "SELECT it.organization_id, it.number, note, frontier FROM anchor_checkpoint AS it JOIN (SELECT \
             organization_id, {one}(number) AS number FROM anchor_checkpoint WHERE number <= $1 GROUP BY organization_id) \
             AS one ON it.organization_id = one.organization_id AND it.number = one.number ORDER BY it.organization_id"
        );
        let rows = self.read(self.query(&select).bind(number)).await?;
        rows.iter().map(CheckpointRow::read).collect()
    }

    /// When runs were made at which an organisation's trail had grown, those of `since` and after it, the newest first: number and
    /// microseconds since 1970.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn anchors_of(
        &self,
        organization_id: i64,
        since: i64,
        limit: u32,
    ) -> Result<Vec<(i64, i64)>, StateError> {
        let select = self
            .query(
                "SELECT run.number, run.made_at FROM anchor_checkpoint AS it JOIN anchor_run AS run ON run.number = it.number \
                 WHERE it.organization_id = $1 AND run.made_at >= $2 ORDER BY run.number DESC LIMIT $3",
            )
            .bind(organization_id)
            .bind(since)
            .bind(i64::from(limit));
        let rows = self.read(select).await?;
        rows.iter()
            .map(|row| Ok((column(row, "number")?, column(row, "made_at")?)))
            .collect()
    }

    /// The checkpoints that a run made, in order of organisation.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn checkpoints_of(&self, number: i64) -> Result<Vec<CheckpointRow>, StateError> {
        let select = format!(
            "SELECT {CHECKPOINT} FROM anchor_checkpoint WHERE number = $1 ORDER BY organization_id"
        );
        let rows = self.read(self.query(&select).bind(number)).await?;
        rows.iter().map(CheckpointRow::read).collect()
    }

    /// Of the first `tiles` tiles of an organisation's tree, the first id and the root.
    ///
    /// # Errors
    /// If the database fails, or does not have all of them.
    pub async fn tile_roots(
        &self,
        organization_id: i64,
        tiles: i64,
    ) -> Result<Vec<(i64, Vec<u8>)>, StateError> {
        let mut found = Vec::new();
        let mut from = 0;
        while from < tiles {
            let select = self
                .query(
                    "SELECT tile, first_id, root FROM anchor_tile WHERE organization_id = $1 AND tile >= $2 AND tile < $3 \
                     ORDER BY tile",
                )
                .bind(organization_id)
                .bind(from)
                .bind(tiles.min(from + TILES));
            for row in self.read(select).await? {
                let tile: i64 = column(&row, "tile")?;
                if tile != found.len() as i64 {
                    return Ok(found);
                }
                found.push((column(&row, "first_id")?, column(&row, "root")?));
            }
            from += TILES;
        }
        Ok(found)
    }

    /// A tile.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn tile(
        &self,
        organization_id: i64,
        tile: i64,
    ) -> Result<Option<TileRow>, StateError> {
        let select = self
            .query(
                "SELECT organization_id, tile, first_id, root, leaves FROM anchor_tile WHERE organization_id = $1 \
                 AND tile = $2",
            )
            .bind(organization_id)
            .bind(tile);
        self.read(select)
            .await?
            .first()
            .map(TileRow::read)
            .transpose()
    }

    /// Keeps full tiles, in place of those of the same number. One that is not full belongs to its run
    /// ([`Tx::insert_anchor`]): of two runs at once, the one that loses must not leave a shorter one behind.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_tiles(&self, tiles: &[TileRow]) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        tx.put_tiles(tiles).await?;
        tx.commit("anchor tiles").await
    }
}

impl Tx {
    async fn put_tiles(&mut self, tiles: &[TileRow]) -> Result<(), StateError> {
        for tile in tiles {
            let insert = self
                .query(
                    "INSERT INTO anchor_tile (organization_id, tile, first_id, root, leaves) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (organization_id, tile) DO UPDATE SET first_id = excluded.first_id, \
                     root = excluded.root, leaves = excluded.leaves",
                )
                .bind(tile.organization_id)
                .bind(tile.tile)
                .bind(tile.first_id)
                .bind(tile.root.clone())
                .bind(tile.leaves.clone());
            self.execute(insert).await?;
        }
        Ok(())
    }

    /// Keeps a run, the checkpoints that it made, and the tiles that are not full yet. A run of the same number that somebody else made meanwhile is an
    /// error, and nothing of this one is kept.
    ///
    /// # Errors
    /// If the database fails, or has a run of this number.
    pub async fn insert_anchor(
        &mut self,
        run: &AnchorRun,
        checkpoints: &[CheckpointRow],
        last_tiles: &[TileRow],
    ) -> Result<(), StateError> {
        let insert = self
            .query(
                "INSERT INTO anchor_run (number, made_at, note, organizations, entries) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(run.number)
            .bind(run.made_at)
            .bind(run.note.clone())
            .bind(run.organizations)
            .bind(run.entries);
        if self.execute(insert).await? == 0 {
            return Err(StateError::Refused(format!(
                "another worker has made anchor {} meanwhile; try again",
                run.number
            )));
        }
        for checkpoint in checkpoints {
            let insert = self
                .query(
                    "INSERT INTO anchor_checkpoint (organization_id, number, note, frontier) VALUES ($1, $2, $3, $4)",
                )
                .bind(checkpoint.organization_id)
                .bind(checkpoint.number)
                .bind(checkpoint.note.clone())
                .bind(checkpoint.frontier.clone());
            self.execute(insert).await?;
        }
        self.put_tiles(last_tiles).await
    }
}

impl AnchorRun {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            number: column(row, "number")?,
            made_at: column(row, "made_at")?,
            note: column(row, "note")?,
            organizations: column(row, "organizations")?,
            entries: column(row, "entries")?,
        })
    }
}

impl CheckpointRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            organization_id: column(row, "organization_id")?,
            number: column(row, "number")?,
            note: column(row, "note")?,
            frontier: column(row, "frontier")?,
        })
    }
}

impl TileRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            organization_id: column(row, "organization_id")?,
            tile: column(row, "tile")?,
            first_id: column(row, "first_id")?,
            root: column(row, "root")?,
            leaves: column(row, "leaves")?,
        })
    }
}
