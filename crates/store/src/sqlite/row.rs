//! From columns to values, checked.

use std::collections::BTreeMap;
use std::str::FromStr;

use nkudo_domain::VmId;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::fault::Fault;
use crate::error::StoreError;

/// A text column in its type.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, Fault> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| corrupt(column, &error))
}

/// A text column in its type, or null.
pub(super) fn maybe_parsed<T: FromStr<Err: std::fmt::Display>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, Fault> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|error: T::Err| corrupt(column, &error))).transpose()
}

/// A number column in its type.
pub(super) fn number<T: TryFrom<i64, Error: std::fmt::Display>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, Fault> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|error| corrupt(column, &error))
}

/// A number column in its type, or null.
pub(super) fn maybe_number<T: TryFrom<i64, Error: std::fmt::Display>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, Fault> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(|number| T::try_from(number).map_err(|error| corrupt(column, &error))).transpose()
}

/// A digest of 32 bytes.
pub(super) fn digest(row: &SqliteRow, column: &'static str) -> Result<[u8; 32], Fault> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|error: std::array::TryFromSliceError| corrupt(column, &error))
}

/// A column of JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, Fault> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|error| corrupt(column, &error))
}

/// A column of JSON, or null.
pub(super) fn maybe_json<T: serde::de::DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, Fault> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|error| corrupt(column, &error))).transpose()
}

/// The VM that an action or an execution is about; the empty text where it is about none.
pub(super) fn maybe_vm_id(row: &SqliteRow) -> Result<Option<VmId>, Fault> {
    match row.try_get("vm_id")? {
        "" => Ok(None),
        _ => parsed(row, "vm_id").map(Some),
    }
}

/// As [`maybe_vm_id`] reads it.
pub(super) fn vm_id_text(vm_id: Option<VmId>) -> String {
    vm_id.map(|vm_id| vm_id.to_string()).unwrap_or_default()
}

/// Labels as JSON.
pub(super) fn labels_json(labels: &BTreeMap<String, String>) -> Result<String, Fault> {
    to_json("labels", labels)
}

pub(super) fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| corrupt(what, &error))
}

/// An unsigned number as SQL has it. What is beyond (nothing that a host has is) is kept as the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn corrupt(what: &'static str, error: &impl std::fmt::Display) -> Fault {
    Fault::Store(StoreError::Corrupt { what, detail: error.to_string() })
}
