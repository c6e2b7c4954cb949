//! The socket by which the host's own sshd hands us the sessions of one user: what came in by its port is served as if it
//! had come in by ours.
//!
//! Invariant: a session acts as the key that its ticket was made for, and tickets are handed out on the admin socket alone.
//! So whoever may connect here (the shared user, root) cannot act as anybody without what sshd gave it.
//! Absent: every other command; a local process of that user gets nothing here that a stranger does not.

use super::carry::{Carried, carry};
use super::{HELLO_MAX, Session};
use async_trait::async_trait;
use domain::access::Principal;
use ssh::SessionEnv;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use system::fault::{Act, Result};
use system::frames::{self, Tag};
use system::tasks::Tasks;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Sessions at once; more wait.
const SESSIONS_MAX: usize = 256;
/// How long a session may last once the server stops, and a command whose key was removed.
const END_MAX: Duration = Duration::from_secs(5);
const REVOKED_MAX: Duration = Duration::from_millis(500);

/// What sshd's side asks of the rest.
#[async_trait]
pub trait Gatekeeper: Send + Sync + 'static {
    /// The line of `authorized_keys` for one login with this key; `None` if nobody has it.
    async fn authorized_line(&self, fingerprint: &str, program: &str) -> Option<String>;
    /// Who a ticket stands for; the ticket is used up.
    async fn redeem(&self, ticket: &str) -> Option<Principal>;
    /// Runs a line as [`ssh::Shell`] does.
    async fn session(&self, who: Principal, line: &str, env: SessionEnv, io: system::io::Io) -> u8;
    /// Waits until the key of a principal is nobody's any more.
    async fn revoked(&self, who: &Principal);
}

/// A bound socket, not serving yet. The socket's file goes when it is dropped.
#[derive(Debug)]
pub struct ShareServer {
    listener: UnixListener,
    path: PathBuf,
    uid: u32,
}

impl Drop for ShareServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl ShareServer {
    /// Binds the socket for a user of this host.
    pub fn bind(path: &Path, user: &str) -> Result<ShareServer> {
        let act = || format!("cannot listen on {} for sshd's sessions", path.display());
        let passwd = std::fs::read_to_string("/etc/passwd").act(|| "cannot read /etc/passwd")?;
        let (uid, gid) = ids(&passwd, user).ok_or_else(|| {
            system::fault::Fault::plain(format!(
                "ssh-share: there is no user {user} on this host; scripts/share-port-22 enable makes it"
            ))
        })?;
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).act(act)?;
        }
        // A socket that a killed server left; the lock of the data folder says that no other is at work with this setting.
        match std::fs::remove_file(path) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err).act(act)?,
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path).act(act)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).act(act)?;
        std::os::unix::fs::chown(path, None, Some(gid)).act(act)?;
        Ok(ShareServer { listener, path: path.to_owned(), uid })
    }

    /// Serves until `tasks` stops.
    pub fn serve(self, keeper: Arc<dyn Gatekeeper>, tasks: &Tasks) {
        let owner = tasks.clone();
        tasks.spawn("sshd's sessions", move |stop| self.accept(keeper, owner, stop));
    }

    async fn accept(self, keeper: Arc<dyn Gatekeeper>, tasks: Tasks, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(SESSIONS_MAX));
        loop {
            let next = async {
                let place = places.clone().acquire_owned().await;
                (self.listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = stop.cancelled() => return,
                next = next => next,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(err) => {
                    tracing::warn!(%err, "cannot accept a session of sshd's");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == self.uid) {
                tracing::warn!("another user than the shared one tried the socket for sshd's sessions");
                continue;
            }
            let keeper = keeper.clone();
            tasks.spawn("session by sshd", move |stop| async move {
                let _place = place;
                let deadline = async {
                    stop.cancelled().await;
                    tokio::time::sleep(END_MAX).await;
                };
                tokio::select! {
                    () = deadline => {}
                    result = serve(stream, keeper) => {
                        if let Err(err) = result {
                            tracing::debug!(%err, "session by sshd");
                        }
                    }
                }
            });
        }
    }
}

async fn serve(stream: UnixStream, keeper: Arc<dyn Gatekeeper>) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let first = tokio::time::timeout(HELLO_MAX, frames::read_async(&mut reader)).await??;
    let Some((Tag::Hello, bytes)) = first else { return Err(ErrorKind::InvalidData.into()) };
    let hello: Session = serde_json::from_slice(&bytes)?;
    let Some(who) = keeper.redeem(&hello.ticket).await else {
        frames::write_async(&mut writer, Tag::Err, b"This login has been used or is too old; connect again\n").await?;
        return frames::write_async(&mut writer, Tag::Exit, &[1]).await;
    };
    let mut env = SessionEnv { peer: hello.peer, ..SessionEnv::default() };
    env.wish(hello.git_protocol.as_deref().unwrap_or_default());
    let (hangup, deaf) = (CancellationToken::new(), CancellationToken::new());
    let revoked = async {
        keeper.revoked(&who).await;
        hangup.cancel();
        tokio::time::sleep(REVOKED_MAX).await;
        deaf.cancel();
        std::future::pending::<()>().await;
    };
    let streams = Carried { stdin: hello.stdin, tty: hello.tty, hangup: hangup.clone(), deaf: deaf.clone() };
    let work = carry(reader, writer, streams, |io| keeper.session(who.clone(), &hello.line, env, io));
    tokio::select! {
        done = work => done,
        () = revoked => Ok(()),
    }
}

/// A user's ids in the text of `/etc/passwd`.
fn ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&user))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_the_host() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nhoist:x:998:997::/:/bin/sh\nbroken:x\n";
        assert_eq!(ids(passwd, "hoist"), Some((998, 997)));
        assert_eq!((ids(passwd, "hois"), ids(passwd, "broken"), ids(passwd, "")), (None, None, None));
    }
}
