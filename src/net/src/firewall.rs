//! The installation's nftables table: made as a whole, looked at, made again when it is not as it should be.

use super::nft::nft;
use super::rules::{Policy, render, replacement, table};
use domain::InstallId;
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};
use system::fault::Result;

/// The firewall of one installation.
#[derive(Debug)]
pub struct Firewall {
    install: InstallId,
    rules: String,
    /// Which rules these are, in the table itself: for a process that did not make them.
    mark: String,
    /// The table as the kernel showed it after it was made.
    listing: Mutex<Option<String>>,
}

/// What [`Firewall::ensure`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// The table was as it should be.
    Unchanged,
    /// It was missing or different, and was replaced.
    Replaced,
}

impl Firewall {
    /// The firewall that this policy asks for; nothing is changed yet.
    pub fn new(policy: &Policy) -> Firewall {
        let rules = render(policy);
        let mark = format!("hoist {:x}", Sha256::digest(rules.as_bytes()));
        Firewall { install: policy.install.clone(), rules, mark, listing: Mutex::new(None) }
    }

    /// Makes sure that the table is there and as it should be.
    pub async fn ensure(&self) -> Result<Ensured> {
        if self.verify().await? {
            return Ok(Ensured::Unchanged);
        }
        nft(&["-f", "-"], &replacement(&self.install, &self.rules, &self.mark)).await?;
        let listing = self.list().await?;
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = listing;
        Ok(Ensured::Replaced)
    }

    /// Whether the table is as it should be: rule for rule where this process made it, else by its mark.
    pub async fn verify(&self) -> Result<bool> {
        let Some(now) = self.list().await? else { return Ok(false) };
        let made = self.listing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(match made {
            Some(made) => made == now,
            None => now.contains(&self.mark),
        })
    }

    /// Removes the table; gone already is fine.
    pub async fn remove(&self) -> Result<()> {
        let table = table(&self.install);
        // Named before it is deleted, so that a missing one is no error.
        nft(&["-f", "-"], &format!("table inet {table}\ndelete table inet {table}\n")).await?;
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    async fn list(&self) -> Result<Option<String>> {
        let name = table(&self.install);
        let tables = nft(&["list", "tables", "inet"], "").await?;
        if !tables.lines().any(|line| line.trim() == format!("table inet {name}")) {
            return Ok(None);
        }
        nft(&["-s", "list", "table", "inet", &name], "").await.map(Some)
    }
}
