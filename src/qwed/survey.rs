//! What a plan needs to know of the table without reading it: who has entries, how many about, and up to where.

use super::{IdRange, ReadError, Reader, Source, among, erased::Wanted, owned::OwnedRow};

/// One step from each organisation to the next by the index, rather than a look at every entry.
const ORGANIZATIONS: &str = "WITH RECURSIVE found(id) AS (SELECT min(organization_id) FROM verificationlog UNION ALL \
     SELECT (SELECT min(organization_id) FROM verificationlog WHERE organization_id > found.id) FROM found \
     WHERE found.id IS NOT NULL) SELECT id FROM found WHERE id IS NOT NULL";

const SQLITE_INDEX: &str = "SELECT 1 FROM pragma_index_list('verificationlog') AS list, pragma_index_info(list.name) AS \
     info, pragma_table_xinfo('verificationlog') AS found WHERE NOT list.partial AND lower(info.name) = 'organization_id' \
     AND (SELECT count(*) FROM pragma_index_info(list.name)) = 1 AND lower(found.name) = 'organization_id' \
     AND upper(found.type) LIKE '%INT%' LIMIT 1";

const POSTGRES_INDEX: &str = "SELECT 1 FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0] \
     WHERE indrelid = to_regclass('verificationlog') AND indisvalid AND indpred IS NULL \
     AND attname = 'organization_id' LIMIT 1";

/// An entry that stands for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The entry.
    pub id: i64,
    /// Its organisation.
    pub organization_id: i64,
}

impl Reader {
    fn integers(&mut self, sql: &str) -> Result<Vec<i64>, ReadError> {
        match &mut self.source {
            Source::Sqlite(reader) => reader.integers(sql),
            Source::Postgres(reader) => reader.integers(sql),
        }
    }

    /// Whether organisations can be told apart by QWED's index, without reading the table. On SQLite also whether the
    /// column turns numbers into integers, as QWED's does, so that what equals an id is one.
    ///
    /// # Errors
    /// If the database cannot be read; so all methods here.
    pub fn has_organization_index(&mut self) -> Result<bool, ReadError> {
        let sql = match &mut self.source {
            Source::Sqlite(_) => SQLITE_INDEX,
            Source::Postgres(_) => POSTGRES_INDEX,
        };
        Ok(!self.integers(sql)?.is_empty())
    }

    /// The organisations that have entries, in order, whether they exist or not. Needs the index.
    ///
    /// # Errors
    /// As [`Self::has_organization_index`].
    pub fn organizations_in_trail(&mut self) -> Result<Vec<i64>, ReadError> {
        self.integers(ORGANIZATIONS)
    }

    /// The id of the organisation's newest entry within `range`.
    ///
    /// # Errors
    /// As [`Self::has_organization_index`].
    pub fn head(&mut self, organization_id: i64, range: IdRange) -> Result<Option<i64>, ReadError> {
        let condition = among(Some(organization_id), range);
        let sql =
            format!("SELECT id FROM verificationlog WHERE {condition} ORDER BY id DESC LIMIT 1");
        Ok(self.integers(&sql)?.first().copied())
    }

    /// The organisation's first entry within `range` that has an entry hash.
    ///
    /// # Errors
    /// As [`Self::has_organization_index`].
    pub fn first_hashed_in(
        &mut self,
        organization_id: i64,
        range: IdRange,
    ) -> Result<Option<OwnedRow>, ReadError> {
        self.one(&Wanted::first(range).of(organization_id).hashed())
    }

    /// About one of `every` entries of these organisations within `range`, for each of them in order of id. For `every` = 1
    /// it is all of them. Needs the index.
    ///
    /// # Errors
    /// As [`Self::has_organization_index`].
    pub fn sample(
        &mut self,
        organizations: &[i64],
        range: IdRange,
        every: u64,
    ) -> Result<Vec<Sample>, ReadError> {
        let mut samples = Vec::new();
        match &mut self.source {
            Source::Sqlite(reader) => {
                let steps = every.max(1) - 1;
                for &organization_id in organizations {
                    let mut rest = range;
                    // Each step walks `every` entries of the index, and holds no lock in between.
                    while rest.low <= rest.high {
                        let condition = among(Some(organization_id), rest);
                        let sql = format!(
                            "SELECT id FROM verificationlog WHERE {condition} ORDER BY id LIMIT 1 OFFSET {steps}"
                        );
                        let Some(&id) = reader.integers(&sql)?.first() else {
                            break;
                        };
                        samples.push(Sample {
                            id,
                            organization_id,
                        });
                        let Some(low) = id.checked_add(1) else {
                            break;
                        };
                        rest.low = low;
                    }
                }
            }
            Source::Postgres(reader) => {
                // Pages at random, but the same ones each time.
                let sampled = match every {
                    0 | 1 => String::new(),
                    _ => format!(
                        "TABLESAMPLE SYSTEM ({}) REPEATABLE (1) ",
                        100.0 / every as f64
                    ),
                };
                let list: Vec<String> = organizations.iter().map(i64::to_string).collect();
                let sql = format!(
                    "SELECT organization_id::bigint, id::bigint FROM verificationlog {sampled}WHERE {} \
                     AND organization_id = ANY ('{{{}}}'::bigint[]) ORDER BY 1, 2",
                    among(None, range),
                    list.join(",")
                );
                let found = reader.pairs(&sql)?;
                samples.extend(found.into_iter().map(|(organization_id, id)| Sample {
                    id,
                    organization_id,
                }));
            }
        }
        Ok(samples)
    }

    /// The first `limit` entries within `range` that belong to no organisation, and how many there are. Needs the index.
    ///
    /// # Errors
    /// As [`Self::has_organization_index`].
    pub fn homeless(&mut self, range: IdRange, limit: usize) -> Result<(Vec<i64>, u64), ReadError> {
        let nowhere = "SELECT id FROM verificationlog WHERE organization_id";
        let homeless = match &mut self.source {
            // Each condition by the index: text and bytes sort behind all numbers, fractions stand between them.
            Source::Sqlite(_) => format!(
                "{nowhere} IS NULL UNION ALL {nowhere} >= '' UNION ALL {nowhere} IN \
                 (SELECT id FROM ({ORGANIZATIONS}) WHERE typeof(id) = 'real')"
            ),
            Source::Postgres(_) => format!("{nowhere} IS NULL"),
        };
        let IdRange { low, high } = range;
        // The plus keeps the key's index out of it, by which it would be a scan.
        let rest = format!("FROM ({homeless}) AS homeless WHERE +id BETWEEN {low} AND {high}");
        let total = self.integers(&format!("SELECT count(*) {rest}"))?;
        let total = total.first().copied().unwrap_or(0);
        let list = format!("SELECT id {rest} ORDER BY +id LIMIT {limit}");
        Ok((self.integers(&list)?, total.unsigned_abs()))
    }
}
