//! Operators who are signed in to the status page. Kept here and not in memory, so that every worker behind a proxy knows them and a
//! restart signs nobody out.

use sqlx::any::AnyRow;

use super::{StateError, Store, column};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of its secret id, in hexadecimal.
    pub id_sha256: String,
    /// The operator's name.
    pub operator: String,
    /// SHA-256 of the operator's token, as configured.
    pub token_sha256: String,
    /// When it ends, in microseconds since 1970.
    pub expires_at: i64,
}

impl Store {
    /// Keeps a session, and drops those that ended before `now`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn insert_session(&self, session: &SessionRow, now: i64) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let delete = tx
            .query("DELETE FROM http_session WHERE expires_at <= $1")
            .bind(now);
        tx.execute(delete).await?;
        let insert = tx
            .query(
                "INSERT INTO http_session (id_sha256, operator, token_sha256, expires_at) VALUES ($1, $2, $3, $4)",
            )
            .bind(session.id_sha256.clone())
            .bind(session.operator.clone())
            .bind(session.token_sha256.clone())
            .bind(session.expires_at);
        tx.execute(insert).await?;
        tx.commit("sign in").await
    }

    /// A session, ended or not.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn session(&self, id_sha256: &str) -> Result<Option<SessionRow>, StateError> {
        let select = self.query(
            "SELECT id_sha256, operator, token_sha256, expires_at FROM http_session WHERE id_sha256 = $1",
        );
        let rows = self.read(select.bind(id_sha256.to_owned())).await?;
        let read = |row: &AnyRow| {
            Ok(SessionRow {
                id_sha256: column(row, "id_sha256")?,
                operator: column(row, "operator")?,
                token_sha256: column(row, "token_sha256")?,
                expires_at: column(row, "expires_at")?,
            })
        };
        rows.first().map(read).transpose()
    }

    /// Ends a session, if there is one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete_session(&self, id_sha256: &str) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let delete = tx
            .query("DELETE FROM http_session WHERE id_sha256 = $1")
            .bind(id_sha256.to_owned());
        tx.execute(delete).await?;
        tx.commit("sign out").await
    }
}
