//! What a handler reaches: the server, the deploys, and who may still do what. Handlers are below [`crate::dispatch`], which
//! runs them; all of them are above this.

use crate::audit::AuditLog;
use crate::server::Server;
use deploy::Deploys;
use domain::AppId;
use domain::access::{Authorized, Principal, may_see};
use domain::places::{Bound, Kind};
use domain::share::Tickets;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use system::places::Places;
use system::settings::Settings;
use tokio::sync::{Notify, watch};
use verbs::Request;

/// Commands that run at once, by SSH.
const COMMANDS_MAX: usize = 1_000;
/// Of these, the last ones, for administrators.
const COMMANDS_KEPT: usize = 50;

/// A push whose connection is open.
#[derive(Debug, Clone)]
pub struct Push {
    /// The app.
    pub app: AppId,
    /// Its name, as pushed to.
    pub name: String,
    /// Who pushes.
    pub who: Principal,
    /// Whether its refs and tree were found good.
    pub accepted: bool,
}

/// The places among commands that run.
fn running(settings: &Settings) -> Places {
    let each = usize::try_from(settings.commands_per_user).unwrap_or(COMMANDS_MAX);
    Places::new(Kind::Commands, Bound { all: COMMANDS_MAX, each, kept: COMMANDS_KEPT })
}

/// Runs commands. Clones share everything.
#[derive(Debug, Clone)]
pub struct Commands(Arc<Inner>);

/// What commands share.
#[derive(Debug)]
pub struct Inner {
    pub(crate) p: Server,
    pub(crate) deploys: Deploys,
    /// Pushes whose connection is open, by ticket.
    pub(crate) pushes: Mutex<HashMap<String, Push>>,
    /// Tells the main loop to end the server.
    pub(crate) end: Arc<Notify>,
    /// Where audit rows go.
    pub(crate) audit: AuditLog,
    /// Changes when somebody may have lost a right.
    pub(crate) rights: watch::Sender<u64>,
    /// What sshd was given for logins that it has yet to hand over.
    pub(crate) tickets: Mutex<Tickets>,
    /// Commands that run.
    pub(crate) running: Places,
}

impl std::ops::Deref for Commands {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// A request that may be done.
pub type Ask = Authorized<Request>;

impl Commands {
    /// Commands over a platform; `end` is notified when the server is to end.
    pub fn new(p: Server, deploys: Deploys, end: Arc<Notify>) -> Commands {
        let audit = AuditLog::start(p.store.clone(), &p.tasks);
        Commands(Arc::new(Inner {
            running: running(&p.settings),
            p,
            deploys,
            pushes: Mutex::default(),
            end,
            audit,
            rights: watch::Sender::new(0),
            tickets: Mutex::default(),
        }))
    }

    /// The tickets of logins by sshd.
    pub fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has running commands and open connections look whether they still may.
    pub(crate) fn rights_changed(&self) {
        self.rights.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Who acts with a key now; `None` if nobody has it.
    pub async fn holder(&self, fingerprint: &str) -> Option<Principal> {
        let wanted = fingerprint.to_owned();
        match self.p.store.read(move |tx| tx.principal_by_key(&wanted)).await {
            Ok(who) => who,
            Err(err) => {
                tracing::error!("cannot look a key up: {}", err.chain());
                None
            }
        }
    }

    /// Waits until the key of `who` is nobody's any more.
    pub async fn key_lost(&self, who: &Principal) {
        let mut changes = self.rights.subscribe();
        let Some(key) = who.key() else { return std::future::pending().await };
        while self.holder(&key.fingerprint).await.is_some() {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until `who` is no administrator any more.
    pub(crate) async fn role_lost(&self, who: &Principal) {
        let mut changes = self.rights.subscribe();
        let Some(key) = who.key() else { return std::future::pending().await };
        while self.holder(&key.fingerprint).await.is_some_and(|who| who.is_admin()) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until `who` may not see the app any more; not for the app's end, which its commands notice themselves.
    pub(crate) async fn sight_lost(&self, who: &Principal, app: &AppId) {
        let mut changes = self.rights.subscribe();
        // Looked at before the first change as well: one may have come since the command was authorized.
        loop {
            let id = app.clone();
            let app = self.p.store.read(move |tx| tx.app(&id)?.map(|app| tx.app_ref(&app)).transpose()).await;
            if let Ok(Some(app)) = app {
                let now = match who.key() {
                    None => Some(who.clone()),
                    Some(key) => self.holder(&key.fingerprint).await,
                };
                if now.is_none_or(|who| !may_see(&who, &app)) {
                    return;
                }
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    /// What the commands reach.
    pub fn server(&self) -> &Server {
        &self.p
    }
}
