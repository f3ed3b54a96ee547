//! The compliance ledger's entries, as they are kept. Who signs and authenticates them is `ledger`.

use sqlx::any::AnyRow;

use super::{Dialect, StateError, Store, Tx, column};

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its number, from 1.
    pub number: i64,
    /// When it was made, in microseconds since 1970.
    pub at: i64,
    /// What was done.
    pub act: String,
    /// The signed note.
    pub note: String,
    /// The note's SHA-256, in hexadecimal.
    pub sha256: String,
}

const ENTRY: &str = "number, at, act, note, sha256";

impl Tx {
    /// The newest entry. Until this transaction ends nobody else adds one.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn ledger_head(&mut self) -> Result<Option<LedgerRow>, StateError> {
        if self.store().dialect() == Dialect::Postgres {
            let lock = self.query("LOCK TABLE ledger IN EXCLUSIVE MODE");
            self.execute(lock).await?;
        }
        let select = format!("SELECT {ENTRY} FROM ledger ORDER BY number DESC LIMIT 1");
        let select = self.query(&select);
        let rows = self.fetch(select).await?;
        rows.first().map(LedgerRow::read).transpose()
    }

    /// The newest entry of one act.
    ///
    /// # Errors
    /// As [`Self::ledger_head`].
    pub async fn newest_ledger_of(&mut self, act: &str) -> Result<Option<LedgerRow>, StateError> {
        let select =
            format!("SELECT {ENTRY} FROM ledger WHERE act = $1 ORDER BY number DESC LIMIT 1");
        let select = self.query(&select).bind(act.to_owned());
        let rows = self.fetch(select).await?;
        rows.first().map(LedgerRow::read).transpose()
    }

    /// Keeps an entry.
    ///
    /// # Errors
    /// If the database fails, or has an entry with this number.
    pub async fn insert_ledger(&mut self, entry: &LedgerRow) -> Result<(), StateError> {
        let insert = self
            .query("INSERT INTO ledger (number, at, act, note, sha256) VALUES ($1, $2, $3, $4, $5)")
            .bind(entry.number)
            .bind(entry.at)
            .bind(entry.act.clone())
            .bind(entry.note.clone())
            .bind(entry.sha256.clone());
        self.execute(insert).await.map(|_| ())
    }
}

impl Store {
    /// Entries, `limit` of them after this number, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn ledger_after(
        &self,
        number: i64,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, StateError> {
        let select =
            format!("SELECT {ENTRY} FROM ledger WHERE number > $1 ORDER BY number LIMIT $2");
        let select = self.query(&select).bind(number).bind(i64::from(limit));
        let rows = self.read(select).await?;
        rows.iter().map(LedgerRow::read).collect()
    }

    /// Entries of one act, `limit` of them after this number, in order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn ledger_of_act(
        &self,
        act: &str,
        number: i64,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, StateError> {
        let select = format!(
            "SELECT {ENTRY} FROM ledger WHERE act = $1 AND number > $2 ORDER BY number LIMIT $3"
        );
        let select = self.query(&select).bind(act.to_owned()).bind(number);
        let rows = self.read(select.bind(i64::from(limit))).await?;
        rows.iter().map(LedgerRow::read).collect()
    }

    /// The number of the newest entry of an act; 0 if there is none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_of(&self, act: &str) -> Result<i64, StateError> {
        let select = "SELECT coalesce(max(number), 0) AS number FROM ledger WHERE act = $1";
        let select = self.query(select).bind(act.to_owned());
        let rows = self.read(select).await?;
        rows.first().map_or(Ok(0), |row| column(row, "number"))
    }

    /// The newest entries, `limit` of them, the newest first; of one act, or of all.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_ledger(
        &self,
        act: Option<&str>,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, StateError> {
        let condition = act.map_or("", |_| "WHERE act = $2");
        let select =
            format!("SELECT {ENTRY} FROM ledger {condition} ORDER BY number DESC LIMIT $1");
        let mut select = self.query(&select).bind(i64::from(limit));
        if let Some(act) = act {
            select = select.bind(act.to_owned());
        }
        let rows = self.read(select).await?;
        rows.iter().map(LedgerRow::read).collect()
    }
}

impl LedgerRow {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        Ok(Self {
            number: column(row, "number")?,
            at: column(row, "at")?,
            act: column(row, "act")?,
            note: column(row, "note")?,
            sha256: column(row, "sha256")?,
        })
    }
}
