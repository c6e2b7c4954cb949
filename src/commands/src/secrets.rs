//! `secrets:rotate`: a new key for everything that is sealed in the database.

use crate::context::Commands;
use crate::reply::{Line, Reply};
use system::fault::Result;
use system::io::Io;

pub async fn rotate(c: &Commands, io: &Io) -> Result<Reply> {
    let now = "Sealing all secret values with a new key; nothing else is written meanwhile, apps are served";
    Line::Plain(now.to_owned()).say(io).await;
    let (old, new, rows) = c.p.store.rotate_key().await?;
    let mut reply = Reply::new();
    reply.did("rows", rows);
    reply.did("key", &new);
    reply.line(format!("{rows} rows are sealed with the new key {new}; the old one, {old}, is gone from secret.key"));
    reply.line("Copy secret.key to where you keep it. Backups of the database of before need the old key");
    Ok(reply)
}
