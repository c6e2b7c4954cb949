//! The first administrator of an installation: made at a start that finds no user, from the keys that `install.sh` left.
//!
//! Absent: any way in over the network. Once there is a user, the file is not read again.

use domain::access::Role;
use ssh::keys::{KeyText, parse_public};
use std::path::Path;
use store::{NewKey, Store};
use system::clock::now;
use system::fault::{Act, Result};

const NAME: &str = "admin";

/// Makes the user `admin` with the keys of this file, unless there is any user.
pub async fn make(store: &Store, file: &Path) -> Result<()> {
    if !store.read(|tx| tx.users()).await?.is_empty() {
        return Ok(());
    }
    let text = std::fs::read_to_string(file).act(|| format!("cannot read {}", file.display()))?;
    let keys = keys_of(&text);
    if keys.is_empty() {
        tracing::warn!("{} has no key that is accepted: users:add NAME --admin < KEY.pub", file.display());
        return Ok(());
    }
    let fingerprints: Vec<String> = keys.iter().map(|key| key.fingerprint.clone()).collect();
    store
        .write(move |tx| {
            let user = tx.add_user(&NAME.parse()?, Role::Admin, None, now())?;
            keys.into_iter().try_for_each(|key| {
                let public = key.text();
                tx.add_key(&user, &NewKey { fingerprint: key.fingerprint, name: key.comment, public }, None, now())
            })
        })
        .await?;
    tracing::info!("the first administrator, {NAME}, has {}", fingerprints.join(", "));
    Ok(())
}

/// The keys of the file, one a line, each once; what is no key that we accept is left out, and said.
fn keys_of(text: &str) -> Vec<KeyText> {
    let mut keys: Vec<KeyText> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match parse_public(line) {
            Ok(key) if keys.iter().any(|known| known.fingerprint == key.fingerprint) => {}
            Ok(key) => keys.push(key),
            Err(no) => tracing::warn!("a key of the first administrator is left out: {}", no.lines().join("; ")),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBT4YMCaxkLRn45RqjbCTrgOm8AmfWIneSQG5JWoUVzF";

    #[tokio::test]
    async fn made_once_and_only_without_users() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, "no key\n").unwrap();
        make(&store, &file).await.unwrap();
        assert!(store.read(|tx| tx.users()).await.unwrap().is_empty());
        std::fs::write(&file, format!("# me\n{KEY} me@home\n\nssh-dss AAAA x\n{KEY} again\n")).unwrap();
        for _ in 0..2 {
            make(&store, &file).await.unwrap();
            let users = store.read(|tx| tx.users()).await.unwrap();
            assert_eq!(users.len(), 1);
            assert_eq!(store.read(|tx| tx.keys(None)).await.unwrap().len(), 1);
        }
        std::fs::remove_file(&file).unwrap();
        make(&store, &file).await.unwrap();
    }
}
