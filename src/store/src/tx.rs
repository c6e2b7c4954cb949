//! An open transaction, and how one ends that is not written.

use crate::cipher::Cipher;
use domain::Refusal;
use domain::refusal::Code;
use rusqlite::Transaction;
use std::cell::Cell;
use system::fault::{Error, Fault};

/// An open transaction: the methods in this folder's files read and write rows through it.
pub struct Tx<'a>(pub(crate) &'a Transaction<'a>, pub(crate) &'a Cipher, pub(crate) &'a Cell<bool>);

impl Tx<'_> {
    /// Runs a statement, which is kept for the next time; how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.0.prepare_cached(sql)?.execute(params)
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

/// How a transaction ends without being written. Whoever called the store gets it as an [`Error`]; this type is only so that
/// `?` takes what SQLite says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TxError(#[from] Error);

/// What is done inside a transaction.
pub type Result<T, E = TxError> = std::result::Result<T, E>;

impl From<TxError> for Error {
    fn from(TxError(err): TxError) -> Error {
        err
    }
}

impl From<Refusal> for TxError {
    fn from(no: Refusal) -> TxError {
        TxError(no.into())
    }
}

impl From<Fault> for TxError {
    fn from(fault: Fault) -> TxError {
        TxError(fault.into())
    }
}

impl From<rusqlite::Error> for TxError {
    fn from(err: rusqlite::Error) -> TxError {
        // The cause ends here: what goes on is a refusal, which nobody logs.
        if err.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            tracing::error!("cannot use the database: {err}");
            return system::fault::full_disk().into();
        }
        use rusqlite::ErrorCode::{CannotOpen, ReadOnly, SystemIoFailure};
        if let Some(CannotOpen | ReadOnly | SystemIoFailure) = err.sqlite_error_code() {
            tracing::error!("cannot use the database: {err}");
            return Refusal::new(Code::DatabaseUnwritable, "the server's database cannot be written or read now")
                .why(format!("{err}; running apps keep being served"))
                .next("an administrator: is the disk of the data folder read-only or failing (dmesg)? then doctor")
                .into();
        }
        Fault::new("cannot use the database", err).into()
    }
}

impl From<serde_json::Error> for TxError {
    fn from(err: serde_json::Error) -> TxError {
        Fault::new("cannot read a row of the database", err).into()
    }
}
