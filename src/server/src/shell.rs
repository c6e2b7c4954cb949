//! Joins the admin socket to the commands, and with it the host's sshd and git's hooks. Adapters without logic.

use crate::admin::{Gatekeeper, HookHandler, HookIo, LocalShell};
use async_trait::async_trait;
use commands::Commands;
use domain::access::Principal;
use git::HookFrames;
use ssh::{SessionEnv, Shell};
use system::io::Io;

#[async_trait]
impl LocalShell for Commands {
    async fn run(&self, argv: Vec<String>, io: Io) -> u8 {
        self.run_words(Principal::Local, &argv, SessionEnv::default(), io).await
    }
}

#[async_trait]
impl Gatekeeper for Commands {
    async fn authorized_line(&self, fingerprint: &str, program: &str) -> Option<String> {
        let settings = &self.server().settings;
        settings.ssh_share.as_ref()?;
        let wanted = fingerprint.to_owned();
        let public = self.server().store.read(move |tx| tx.public_key(&wanted)).await;
        let Ok(Some(public)) = public else {
            tracing::info!(fingerprint = domain::text::plain(fingerprint), "unknown ssh key, by sshd");
            return None;
        };
        let ticket = self.tickets().issue(fingerprint, rand::random(), system::clock::now());
        let socket = settings.ssh_share_socket.to_string_lossy();
        domain::share::authorized_line(&public, program, &socket, &ticket)
            .inspect_err(|no| tracing::error!("{no}"))
            .ok()
    }

    async fn redeem(&self, ticket: &str) -> Option<Principal> {
        let fingerprint = self.tickets().redeem(ticket, system::clock::now())?;
        self.holder(&fingerprint).await
    }

    async fn session(&self, who: Principal, line: &str, env: SessionEnv, io: Io) -> u8 {
        Shell::run(self, who, line, env, io).await
    }

    async fn revoked(&self, who: &Principal) {
        self.key_lost(who).await;
    }
}

/// A hook's frames, as git's side wants them.
struct Hook(HookIo);

#[async_trait]
impl HookFrames for Hook {
    async fn recv(&mut self) -> Option<Vec<u8>> {
        self.0.recv().await.map(|bytes| bytes.to_vec())
    }
    async fn send(&mut self, message: Vec<u8>) -> bool {
        self.0.send(message).await
    }
}

#[async_trait]
impl HookHandler for Commands {
    async fn hook(&self, hello: serde_json::Value, io: HookIo) {
        let mut frames = Hook(io);
        if let Err(err) = self.server().repos.serve_hook(self, hello, &mut frames).await {
            tracing::warn!("a hook failed: {}", err.chain());
        }
    }
}
