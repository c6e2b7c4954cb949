//! What a column holds as a value of its type. What this program does not understand there is damage, or a newer Hoist's:
//! a fault that names the column's number, never a default that something else is then decided by.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// One of a few words.
pub trait Word: Copy + 'static {
    /// All that there are.
    const ALL: &'static [Self];

    /// As the column and screens have it.
    fn word(self) -> &'static str;
}

/// One of a few words.
pub fn word<T: Word>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    known(&text).ok_or_else(|| bad(column, format!("{text:?} is not known here").into()))
}

fn known<T: Word>(text: &str) -> Option<T> {
    T::ALL.iter().copied().find(|one| one.word() == text)
}

/// What is written with a grammar of its own.
pub fn parsed<T>(row: &Row<'_>, column: usize) -> Result<T>
where
    T: FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    row.get::<_, String>(column)?.parse().map_err(|err: T::Err| bad(column, err.into()))
}

/// JSON.
pub fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|err| bad(column, err.into()))
}

/// A number that is not negative.
pub fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get::<_, i64>(column)?.try_into().map_err(|err: std::num::TryFromIntError| bad(column, err.into()))
}

/// A key of a row.
pub fn id<T: From<i64>>(row: &Row<'_>, column: usize) -> Result<T> {
    row.get::<_, i64>(column).map(T::from)
}

/// A key of a row, where there may be none.
pub fn maybe_id<T: From<i64>>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(T::from))
}

pub fn bad(column: usize, err: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, err)
}
