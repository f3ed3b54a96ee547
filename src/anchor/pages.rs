//! Reading one organisation's entries so that a wish to stop is noticed.

use super::AnchorError;
use crate::{
    progress::Progress,
    qwed::{IdRange, ReadError, Reader},
    trail::row::Row,
};

/// Ids between two looks at whether to stop.
const PAGE_IDS: u64 = 1 << 20;

/// Hands the entries of an organisation to `on_row`, in order of id, until it says `false`, which is noticed at the end of a
/// page. Each page begins where entries are, however far apart their ids.
pub(crate) fn read_pages(
    reader: &mut Reader,
    organization_id: i64,
    range: IdRange,
    progress: &Progress,
    mut on_row: impl FnMut(&Row<'_>) -> bool,
) -> Result<(), AnchorError> {
    let (mut low, high) = (range.low, range.high);
    let mut goes_on = true;
    while goes_on
        && low <= high
        && let Some(left) = reader.bounds(Some(organization_id), IdRange { low, high })?
    {
        if progress.is_stopped() {
            return Err(AnchorError::Interrupted);
        }
        let page = IdRange {
            low: left.low,
            high: left.low.saturating_add_unsigned(PAGE_IDS).min(left.high),
        };
        let result: Result<(), ReadError> = reader.read(Some(organization_id), page, |row| {
            goes_on &= on_row(row);
            progress.add(1, 0);
        });
        result?;
        let Some(next) = page.high.checked_add(1) else {
            break;
        };
        low = next;
    }
    Ok(())
}
