//! Where a page starts: after the last item of the page before, by the keys that the list is sorted by.

use super::fault::Fault;
use crate::error::StoreError;
use crate::page::{Listed, Page};

/// Separates the keys of a cursor; no id has it.
const SEPARATOR: char = '~';

/// The key after which a list by id starts; empty for the first page.
pub(super) fn after(page: &Page) -> Result<String, Fault> {
    match page.cursor.as_deref() {
        None => Ok(String::new()),
        Some(cursor) if cursor.is_empty() || cursor.contains(SEPARATOR) => Err(StoreError::Cursor.into()),
        Some(cursor) => Ok(cursor.to_owned()),
    }
}

/// The time and key before which a list by time starts.
pub(super) fn before(page: &Page) -> Result<Option<(i64, String)>, Fault> {
    let Some(cursor) = page.cursor.as_deref() else { return Ok(None) };
    let parts =
        cursor.split_once(SEPARATOR).and_then(|(time, key)| Some((time.parse().ok()?, key.to_owned())));
    parts.map(Some).ok_or_else(|| StoreError::Cursor.into())
}

/// The cursor of a list by time.
pub(super) fn timed(time_ms: i64, key: &str) -> String {
    format!("{time_ms}{SEPARATOR}{key}")
}

/// One more than the page holds: whether it comes says whether there is another page.
pub(super) fn fetch(page: &Page) -> i64 {
    i64::from(page.limit.max(1)) + 1
}

/// Cuts what was fetched to the page.
pub(super) fn cut<T>(mut items: Vec<T>, page: &Page, cursor_of: impl Fn(&T) -> String) -> Listed<T> {
    let limit = usize::try_from(page.limit.max(1)).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(cursor_of);
    Listed { items, next_cursor }
}
