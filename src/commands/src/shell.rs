//! Commands as an SSH session brings them.

use crate::context::Commands;
use async_trait::async_trait;
use domain::access::Principal;
use domain::places::Claimant;
use ssh::{PublicKeyText, SessionEnv, Shell};
use system::io::Io;

#[async_trait]
impl Shell for Commands {
    async fn identify(&self, _key: &PublicKeyText, fingerprint: &str) -> Option<Principal> {
        self.holder(fingerprint).await
    }

    async fn claimant(&self, who: &Principal) -> Claimant {
        Commands::claimant(self, who).await
    }

    async fn run(&self, who: Principal, line: &str, env: SessionEnv, io: Io) -> u8 {
        // Asked again for every command of an open session: a key or user removed meanwhile has no rights any more.
        let now = match who.key() {
            None => Some(who.clone()),
            Some(key) => self.holder(&key.fingerprint).await,
        };
        match now {
            Some(who) => self.run_line(who, line, env, io).await,
            None => {
                io.note(domain::text::warning(
                    "The key of this connection was removed; an administrator can add it again",
                ))
                .await;
                1
            }
        }
    }

    async fn revoked(&self, who: &Principal) {
        self.key_lost(who).await;
    }

    fn stranger(&self, fingerprint: &str) -> String {
        let command = self.p.sites.ssh_command();
        format!(
            "The key {fingerprint} is not known here.\n\
             Send its public half (the file that ends in .pub) to an administrator, who types, for a new user:\n  \
             {command} users:add NAME < KEY.pub\n\
             or for one that is there:\n  \
             {command} keys:add NAME < KEY.pub\n"
        )
    }
}
