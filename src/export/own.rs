//! Records of this program's own about a person, beside QWED's: consents, earlier requests.

use super::{ExportError, content::Words};
use crate::qwed::tables::Cell;

/// A list of records that goes into an export as QWED's tables do: into `own` of `data.json` and a CSV file. Read on a
/// thread that may wait.
pub trait OwnRecords: Send {
    /// What it is called, in letters and underscores.
    fn name(&self) -> &'static str;
    /// What it is called and what it is, why it is held and for how long, for people.
    fn words(&self) -> Words;
    /// The fields, in order.
    fn fields(&self) -> &'static [&'static str];
    /// The field that says when; it tells from when to when there are records.
    fn time_field(&self) -> Option<&'static str>;
    /// The next records, each with a value for each field; none at the end.
    ///
    /// # Errors
    /// If they cannot be read.
    fn next_page(&mut self) -> Result<Vec<Vec<Cell>>, ExportError>;
}
