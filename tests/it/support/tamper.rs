//! Does to a trail what its enemies would, and what only a holder of the key can.

use std::path::Path;

use rusqlite::{Connection, types::Value as Sql};
use trailkeeper::trail::{
    hash::to_hex,
    keys::Key,
    payload::{Form, PayloadHasher},
    row::{Row, Value},
    time::Time,
};

/// A SQLite database of QWED's, open for writing and heedless of foreign keys.
pub(crate) struct Trail(Connection);

impl Trail {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("open the database");
        connection
            .execute_batch("PRAGMA foreign_keys = OFF")
            .expect("switch foreign keys off");
        Self(connection)
    }

    /// Runs SQL.
    #[track_caller]
    pub(crate) fn run(&self, sql: &str) -> &Self {
        self.0
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        self
    }

    /// Runs an UPDATE, INSERT or DELETE, which has to change `rows` rows.
    #[track_caller]
    pub(crate) fn change(&self, rows: usize, sql: &str) -> &Self {
        let changed = self.0.execute(sql, ());
        assert_eq!(changed, Ok(rows), "{sql}");
        self
    }

    #[track_caller]
    pub(crate) fn text(&self, sql: &str) -> String {
        self.0
            .query_row(sql, (), |row| row.get(0))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    #[track_caller]
    pub(crate) fn integer(&self, sql: &str) -> i64 {
        self.0
            .query_row(sql, (), |row| row.get(0))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) fn hash_of(&self, id: i64) -> String {
        self.text(&format!(
            "SELECT entry_hash FROM verificationlog WHERE id = {id}"
        ))
    }

    /// Gives each of `ids` the id of the one behind it, and the last that of the first.
    pub(crate) fn rotate(&self, ids: &[i64]) -> &Self {
        for &id in ids {
            self.change(
                1,
                &format!("UPDATE verificationlog SET id = -{id} WHERE id = {id}"),
            );
        }
        for (&from, &to) in ids.iter().zip(ids.iter().cycle().skip(1)) {
            self.change(
                1,
                &format!("UPDATE verificationlog SET id = {to} WHERE id = -{from}"),
            );
        }
        self
    }

    /// Multiplies all ids by ten, which no hash covers, to make room between entries.
    pub(crate) fn spread(&self) -> &Self {
        // In two steps, since no id may be there twice in between.
        self.run("UPDATE verificationlog SET id = -10 * id; UPDATE verificationlog SET id = -id")
    }

    /// Removes NOT NULL and every other constraint but the key, for values that QWED's own table refuses.
    pub(crate) fn loosen(&self) -> &Self {
        let columns = self.text(
            "SELECT group_concat('\"' || name || '\" ' || type || iif(pk, ' PRIMARY KEY', '')) \
             FROM pragma_table_info('verificationlog')",
        );
        self.rebuild(&columns)
    }

    /// Makes the table anew with these columns, in the order of its own.
    pub(crate) fn rebuild(&self, columns: &str) -> &Self {
        self.run(&format!(
            "CREATE TABLE rebuilt ({columns}); INSERT INTO rebuilt SELECT * FROM verificationlog; \
             DROP TABLE verificationlog; ALTER TABLE rebuilt RENAME TO verificationlog"
        ))
    }

    /// Puts a copy of entry `of` at `id`.
    pub(crate) fn copy(&self, of: i64, id: i64) -> &Self {
        self.run(&format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM verificationlog WHERE id = {of}; UPDATE copy SET id = {id}; \
             INSERT INTO verificationlog SELECT * FROM copy; DROP TABLE copy"
        ))
    }

    /// Writes the hash that the entry's content has, in QWED 8.0.0's form.
    pub(crate) fn rehash(&self, id: i64) -> &Self {
        let hash = self.content_hash(id);
        self.change(
            1,
            &format!("UPDATE verificationlog SET entry_hash = '{hash}' WHERE id = {id}"),
        )
    }

    /// Signs the entry's hash as it stands.
    pub(crate) fn sign(&self, id: i64, key: &str) -> &Self {
        let signature = Key::new("", key.as_bytes()).sign(self.hash_of(id).as_bytes());
        let signature = String::from_utf8_lossy(&signature);
        self.change(
            1,
            &format!("UPDATE verificationlog SET hmac_signature = '{signature}' WHERE id = {id}"),
        )
    }

    /// Signs the hashes of all entries that `condition` selects.
    pub(crate) fn sign_all(&self, condition: &str, key: &str) -> &Self {
        for id in self.ids(condition) {
            self.sign(id, key);
        }
        self
    }

    /// Links, hashes and signs the entries that `condition` selects anew, as QWED would have written them with `key`.
    pub(crate) fn rewrite(&self, condition: &str, key: &str) -> &Self {
        for id in self.ids(condition) {
            self.change(
                1,
                &format!(
                    "UPDATE verificationlog AS this SET previous_hash = (SELECT entry_hash FROM verificationlog \
                     AS other WHERE other.organization_id = this.organization_id AND other.id < this.id \
                     ORDER BY id DESC LIMIT 1) WHERE id = {id}"
                ),
            );
            self.rehash(id).sign(id, key);
        }
        self
    }

    fn ids(&self, condition: &str) -> Vec<i64> {
        let sql = format!("SELECT id FROM verificationlog WHERE {condition} ORDER BY id");
        let mut statement = self.0.prepare(&sql).expect("prepare");
        let ids = statement.query_map((), |row| row.get(0)).expect("query");
        ids.collect::<Result<_, _>>().expect("ids are integers")
    }

    fn content_hash(&self, id: i64) -> String {
        let sql = format!(
            "SELECT organization_id, user_id, query, result, is_verified, domain, timestamp, previous_hash, \
             raw_llm_output, api_key_id, verifier_version, admission FROM verificationlog WHERE id = {id}"
        );
        let columns: Vec<Sql> = self
            .0
            .query_row(&sql, (), |row| {
                (0..12).map(|index| row.get(index)).collect()
            })
            .expect("read the entry");
        let value = |index: usize| match &columns[index] {
            Sql::Null => Value::Null,
            Sql::Integer(number) => Value::Integer(*number),
            Sql::Real(number) => Value::Real(*number),
            Sql::Text(text) => Value::Text(text.as_bytes()),
            Sql::Blob(bytes) => Value::Blob(bytes),
        };
        let row = Row {
            id,
            organization_id: value(0),
            user_id: value(1),
            query: value(2),
            result: value(3),
            is_verified: value(4),
            domain: value(5),
            timestamp: Time::Text(value(6).text().expect("a timestamp")),
            entry_hash: Value::Null,
            hmac_signature: Value::Null,
            previous_hash: value(7),
            raw_llm_output: value(8),
            api_key_id: value(9),
            verifier_version: value(10),
            admission: value(11),
            erased: None,
        };
        let mut hasher = PayloadHasher::default();
        hasher.load(&row).expect("result is JSON");
        let digest = hasher.hash(&row, Form::ALL[0]).expect("hashable");
        String::from_utf8_lossy(&to_hex(&digest)).into_owned()
    }
}
