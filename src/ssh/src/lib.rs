//! The SSH server: who is there, what line they sent, and their streams; nothing about what a line means.
//!
//! Order of a connection: `guard` admits it, `wire` carries it, `adapter` turns russh's callbacks into events, `session`
//! is the one loop that handles them, `channel` runs one command. Invariant: an orderly end by the client (a closed
//! channel, a disconnect message, a FIN or reset) cancels [`Io::hangup`] at once; silence never does.
//! Absent: passwords, forwarding, agents, X11, subsystems, environment (but git's protocol version).

mod adapter;
mod channel;
mod flow;
mod guard;
mod hostkey;
pub mod keys;
mod session;
mod terminal;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests run programs of their own")]
mod tests;
mod wire;

use async_trait::async_trait;
use domain::access::Principal;
use domain::door;
use domain::places::{Bound, Claimant, Kind};
use guard::Guard;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use system::fault::{Act, Result};
use system::io::Io;
use system::places::Places;
use system::tasks::{self, Tasks};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

/// A public key as one line of text without comment: `ssh-ed25519 AAAA…`.
pub type PublicKeyText = str;

/// What the server asks of the rest: who a key is, and to run a line.
#[async_trait]
pub trait Shell: Send + Sync + 'static {
    /// The principal a key belongs to; asked when a key is offered, and again when its possession is proven.
    async fn identify(&self, key: &PublicKeyText, fingerprint: &str) -> Option<Principal>;
    /// Runs a line as it was sent (empty: a login without a command) and returns the exit code.
    async fn run(&self, who: Principal, line: &str, env: SessionEnv, io: Io) -> u8;
    /// Whom a connection of a principal counts for.
    async fn claimant(&self, who: &Principal) -> Claimant;
    /// Waits until the key of a principal is nobody's any more.
    async fn revoked(&self, who: &Principal);
    /// What somebody with an unknown key is told.
    fn stranger(&self, fingerprint: &str) -> String;
}

/// What a client may say about its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionEnv {
    /// `version=2`: git's wish, checked.
    pub git_protocol: Option<String>,
    /// The client's address; `None` on the host itself.
    pub peer: Option<SocketAddr>,
}

impl SessionEnv {
    /// Where the client is, for audit rows: its address, or `local`.
    pub fn origin(&self) -> String {
        self.peer.map_or_else(
            || "local".to_owned(),
            |peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string(),
        )
    }

    /// Takes git's wish from the environment; anything but a version it could mean is left out.
    pub fn wish(&mut self, value: &str) -> bool {
        let good = matches!(value, "version=0" | "version=1" | "version=2");
        if good {
            self.git_protocol = Some(value.to_owned());
        }
        good
    }
}

/// How a client went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Orderly: it closed the connection, its program ended or was killed.
    Closed,
    /// Its transport is dead or was cut by us; it may well want its job to go on.
    Lost,
}

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct SshConfig {
    /// Address; port 0 takes a free one.
    pub addr: SocketAddr,
    /// The file of the Ed25519 host key, made if it is not there; those of the other keys are beside it.
    pub host_key_path: PathBuf,
    /// Limits.
    pub limits: Limits,
}

/// Authenticated sessions in total.
const SESSIONS_MAX: usize = 1_000;
/// Of these, the last ones, for administrators.
const SESSIONS_KEPT: usize = 50;

/// Limits of the server; the defaults are for production, tests lower them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From accept to authenticated.
    pub grace: Duration,
    /// Keys a client may try.
    pub auth_tries: usize,
    /// Connections that are not authenticated yet.
    pub door: door::Limits,
    /// Places for authenticated sessions.
    pub sessions: Places,
    /// Commands at once in one session.
    pub channels_max: usize,
    /// Silence before the server asks whether the client is there; three questions without an answer end it.
    pub keepalive: Duration,
    /// How long the client may refuse to take data off its socket.
    pub stalled_write: Duration,
    /// How long commands may take to end when the server stops.
    pub stop_grace: Duration,
}

/// Places for sessions, of which one user may have so many.
pub fn sessions(each: u64) -> Places {
    let each = usize::try_from(each).unwrap_or(SESSIONS_MAX);
    Places::new(Kind::Sessions, Bound { all: SESSIONS_MAX, each, kept: SESSIONS_KEPT })
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            grace: Duration::from_secs(15),
            auth_tries: 6,
            door: door::Limits::default(),
            sessions: sessions(50),
            channels_max: 10,
            keepalive: Duration::from_secs(15),
            stalled_write: Duration::from_secs(120),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// A listening server, not serving yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    keys: hostkey::HostKeys,
    limits: Arc<Limits>,
    fingerprint: String,
}

/// What one connection needs of the server.
struct Doorway {
    shell: Arc<dyn Shell>,
    /// For the next connection; replaced when there is one key more.
    config: watch::Receiver<Arc<russh::server::Config>>,
    limits: Arc<Limits>,
    tasks: Tasks,
}

impl Server {
    /// Loads or makes the host keys and binds.
    pub async fn bind(config: SshConfig) -> Result<Server> {
        let keys = hostkey::load_or_make(&config.host_key_path)?;
        let first = keys.keys.first().map(|key| key.fingerprint(russh::keys::HashAlg::Sha256).to_string());
        let fingerprint = first.unwrap_or_default();
        let listener =
            TcpListener::bind(config.addr).await.act(|| format!("cannot listen on {} for ssh", config.addr))?;
        let addr = listener.local_addr().act(|| "cannot read the ssh listener's address")?;
        let limits = Arc::new(config.limits);
        Ok(Server { listener, addr, keys, limits, fingerprint })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The Ed25519 host key's fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Serves until `tasks` stops. `met` are addresses from which somebody logged in before, and whether an administrator.
    pub fn serve(self, shell: Arc<dyn Shell>, met: Vec<(IpAddr, bool)>, tasks: &Tasks) {
        let guard = Guard::new(&self.limits);
        for (address, admin) in met {
            guard.met(address, admin);
        }
        let hostkey::HostKeys { keys, rsa_missing } = self.keys;
        let (latest, config) = watch::channel(Arc::new(protocol(keys.clone(), &self.limits)));
        if let Some(path) = rsa_missing {
            let limits = self.limits.clone();
            tasks.spawn("rsa host key", move |stop| add_rsa(path, keys, limits, latest, stop));
        }
        let door = Arc::new(Doorway { shell, config, limits: self.limits, tasks: tasks.clone() });
        let listener = self.listener;
        tasks.spawn("ssh listener", move |stop| accept(listener, guard, door, stop));
    }
}

/// Makes the RSA host key while others are served, and offers it from then on. Clients that know no other key come in seconds
/// after the first start.
async fn add_rsa(
    path: PathBuf,
    mut keys: Vec<russh::keys::PrivateKey>,
    limits: Arc<Limits>,
    latest: watch::Sender<Arc<russh::server::Config>>,
    stop: CancellationToken,
) {
    // A thread of its own: nobody waits for it where the server ends meanwhile.
    let made = tokio::select! {
        () = stop.cancelled() => return,
        made = tasks::apart("rsa host key", move || hostkey::rsa(&path)) => made,
    };
    match made {
        Ok(key) => {
            keys.push(key);
            let _ = latest.send(Arc::new(protocol(keys, &limits)));
        }
        Err(err) => tracing::warn!(%err, "there is no RSA host key until the next start"),
    }
}

async fn accept(listener: TcpListener, guard: Arc<Guard>, door: Arc<Doorway>, stop: CancellationToken) {
    let mut number = 0_u64;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Over a limit the connection is closed before any key exchange: it costs an accept and nothing else.
                let Some(pass) = guard.admit(peer.ip()) else { continue };
                let shared = door.clone();
                number += 1;
                let span = tracing::info_span!(parent: None, "session", session = number, %peer, who = Empty);
                door.tasks.spawn("ssh session", move |stop| {
                    session::serve(stream, peer, pass, shared, stop).instrument(span)
                });
            }
            Err(err) => {
                // Out of descriptors: wait for some to come back instead of spinning.
                tracing::warn!(%err, "cannot accept an ssh connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// russh's settings: what is spoken, and its own limits.
fn protocol(keys: Vec<russh::keys::PrivateKey>, limits: &Limits) -> russh::server::Config {
    use russh::keys::{Algorithm, HashAlg};
    use russh::{MethodKind, MethodSet, cipher, compression, kex, mac};
    use std::borrow::Cow;
    const PUBLIC_KEYS: &[Algorithm] = &[
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    const KEX: &[kex::Name] = &[
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        // For clients without Curve25519: Java's JSch, OpenSSH bound by FIPS, old libssh2.
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
        kex::DH_G16_SHA512,
        kex::DH_G14_SHA256,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    const CIPHERS: &[cipher::Name] = &[
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_GCM,
        cipher::AES_128_GCM,
        cipher::AES_256_CTR,
        cipher::AES_128_CTR,
    ];
    russh::server::Config {
        server_id: russh::SshId::Standard(Cow::Borrowed("SSH-2.0-Hoist")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(100),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys,
        window_size: flow::WINDOW,
        event_buffer_size: 32,
        preferred: russh::Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(PUBLIC_KEYS),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512]),
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        // The first request, "none", by which a client asks for the methods, is not a try.
        max_auth_attempts: limits.auth_tries + 1,
        inactivity_timeout: Some(limits.stalled_write),
        keepalive_interval: Some(limits.keepalive),
        keepalive_max: 3,
        nodelay: true,
        ..russh::server::Config::default()
    }
}
