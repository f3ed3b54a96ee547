//! Legal holds, as they are kept. What they mean is `holds`.

use sqlx::any::AnyRow;

use super::{StateError, Store, Tx, column};

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// Its id.
    pub id: String,
    /// The organisation that it is about.
    pub organization: i64,
    /// The user that it is about; all of the organisation where there is none.
    pub user: Option<i64>,
    /// Why.
    pub reason: String,
    /// When it ends by itself, in microseconds since 1970; so are all times here.
    pub ends_at: Option<i64>,
    /// When it was placed.
    pub placed_at: i64,
    /// By whom.
    pub placed_by: String,
    /// How it was released, if it was.
    pub release: Option<ReleaseRow>,
}

/// How a hold was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// When.
    pub at: i64,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

const HOLD: &str = "id, organization_id, user_id, reason, ends_at, placed_at, placed_by, \
                    released_at, released_by, release_reason";

impl Tx {
    /// Keeps a new hold.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn insert_hold(&mut self, hold: &HoldRow) -> Result<(), StateError> {
        let insert = self
            .query(
                "INSERT INTO hold (id, organization_id, user_id, reason, ends_at, placed_at, placed_by) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(hold.id.clone())
            .bind(hold.organization)
            .bind(hold.user)
            .bind(hold.reason.clone())
            .bind(hold.ends_at)
            .bind(hold.placed_at)
            .bind(hold.placed_by.clone());
        self.execute(insert).await.map(|_| ())
    }

    /// The hold with this id, which nobody else changes until this transaction ends.
    ///
    /// # Errors
    /// As [`Self::insert_hold`].
    pub async fn hold(&mut self, id: &str) -> Result<Option<HoldRow>, StateError> {
        let select = format!("SELECT {HOLD} FROM hold WHERE id = $1 {{for_update}}");
        let select = self.query(&select).bind(id.to_owned());
        let rows = self.fetch(select).await?;
        rows.first().map(HoldRow::read).transpose()
    }

    /// Notes that a hold was released.
    ///
    /// # Errors
    /// As [`Self::insert_hold`].
    pub async fn release_hold(&mut self, id: &str, release: &ReleaseRow) -> Result<(), StateError> {
        let update = self
            .query(
                "UPDATE hold SET released_at = $2, released_by = $3, release_reason = $4 \
                 WHERE id = $1 AND released_at IS NULL",
            )
            .bind(id.to_owned())
            .bind(release.at)
            .bind(release.by.clone())
            .bind(release.reason.clone());
        self.execute(update).await.map(|_| ())
    }
}

impl Store {
    /// All holds, the newest first; of one organisation, or of all.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn holds(&self, organization: Option<i64>) -> Result<Vec<HoldRow>, StateError> {
        let condition = organization.map_or("", |_| "WHERE organization_id = $1");
        let select =
            format!("SELECT {HOLD} FROM hold {condition} ORDER BY placed_at DESC, id DESC");
        let mut select = self.query(&select);
        if let Some(organization) = organization {
            select = select.bind(organization);
        }
        let rows = self.read(select).await?;
        rows.iter().map(HoldRow::read).collect()
    }

    /// The holds of an organisation that were not released and do not end before this time or at it, the oldest first: those
    /// that bind this user, or all where no user is given.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn active_holds(
        &self,
        organization: i64,
        user: Option<i64>,
        now: i64,
    ) -> Result<Vec<HoldRow>, StateError> {
        let condition = user.map_or("", |_| "AND (user_id IS NULL OR user_id = $3)");
        let select = format!(
            "SELECT {HOLD} FROM hold WHERE organization_id = $1 AND released_at IS NULL \
             AND (ends_at IS NULL OR ends_at > $2) {condition} ORDER BY placed_at, id"
        );
        let mut select = self.query(&select).bind(organization).bind(now);
        if let Some(user) = user {
            select = select.bind(user);
        }
        let rows = self.read(select).await?;
        rows.iter().map(HoldRow::read).collect()
    }
}

impl HoldRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        let released_at: Option<i64> = column(row, "released_at")?;
        let release = match released_at {
            Some(at) => Some(ReleaseRow {
                at,
                by: column(row, "released_by")?,
                reason: column(row, "release_reason")?,
            }),
            None => None,
        };
        Ok(Self {
            id: column(row, "id")?,
            organization: column(row, "organization_id")?,
            user: column(row, "user_id")?,
            reason: column(row, "reason")?,
            ends_at: column(row, "ends_at")?,
            placed_at: column(row, "placed_at")?,
            placed_by: column(row, "placed_by")?,
            release,
        })
    }
}
