//! `secrets:rotate`: a new key for everything that is sealed in the database.

use crate::context::{Ask, Commands};
use system::fault::Result;
use system::io::Io;

pub async fn rotate(c: &Commands, _ask: Ask, io: &Io) -> Result<u8> {
    io.line("Sealing all secret values with a new key; nothing else is written meanwhile, apps are served").await;
    let (old, new, rows) = c.p.store.rotate_key().await?;
    io.did("rows", rows);
    io.did("key", &new);
    io.line(format!("{rows} rows are sealed with the new key {new}; the old one, {old}, is gone from secret.key"))
        .await;
    io.line("Copy secret.key to where you keep it. Backups of the database of before need the old key").await;
    Ok(0)
}
