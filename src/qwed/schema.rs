//! Which columns a QWED database of a given release has, and whether a database is one.

use super::ReadError;

/// Columns that every release since 2.0.0 has, in the order of [`crate::trail::row::Row`].
const ALWAYS: [&str; 12] = [
    "id",
    "organization_id",
    "user_id",
    "query",
    "result",
    "is_verified",
    "domain",
    "timestamp",
    "entry_hash",
    "hmac_signature",
    "previous_hash",
    "raw_llm_output",
];

/// Columns that QWED 8.0.0 added; in an older database they are read as NULL.
const SINCE_8_0: [&str; 3] = ["api_key_id", "verifier_version", "admission"];

/// How many columns a row is read with.
pub(super) const COLUMNS: usize = ALWAYS.len() + SINCE_8_0.len();

/// The error for a table whose `id` does not tell rows apart.
pub(super) fn no_key(location: &str) -> ReadError {
    let problem = "the column \"id\" of its table \"verificationlog\" is not the table's integer primary key, as in every \
                   release of QWED: somebody rebuilt the table"
        .to_owned();
    ReadError::NotQwed {
        location: location.to_owned(),
        problem,
    }
}

/// The columns of `verificationlog` to select, in the order of `Row`.
///
/// # Errors
/// If a table or a column of QWED's is missing.
pub(super) fn select_list(
    location: &str,
    tables: &[String],
    columns: &[String],
) -> Result<String, ReadError> {
    let not_qwed = |problem: String| ReadError::NotQwed {
        location: location.to_owned(),
        problem,
    };
    for table in ["verificationlog", "organization"] {
        if !tables.iter().any(|name| name == table) {
            let hint = if tables.is_empty() {
                "it has no tables; check the path or the database name"
            } else {
                "check that the URL is QWED's own DATABASE_URL"
            };
            return Err(not_qwed(format!("it has no table {table:?} ({hint})")));
        }
    }
    let missing: Vec<&str> = ALWAYS
        .into_iter()
        .filter(|name| !columns.iter().any(|column| column == name))
        .collect();
    if !missing.is_empty() {
        return Err(not_qwed(format!(
            "its table \"verificationlog\" lacks {} (QWED before 2.0.0, or another program's table)",
            missing.join(", ")
        )));
    }
    let list: Vec<String> = ALWAYS
        .into_iter()
        .map(|name| format!("\"{name}\""))
        .chain(SINCE_8_0.into_iter().map(|name| {
            if columns.iter().any(|column| column == name) {
                name.to_owned()
            } else {
                "NULL".to_owned()
            }
        }))
        .collect();
    Ok(list.join(","))
}
