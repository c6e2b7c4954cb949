//! What a command says and does after it ended somebody's right: work of theirs ends, connections look whether they still
//! may, and whoever ended it reads what ended and what stays.

use crate::context::Commands;
use domain::access::Principal;
use store::{Keys, Lost};
use system::io::Io;

/// What the options say about deploy keys of somebody who leaves.
pub fn keys_of(keep: bool) -> Keys {
    if keep { Keys::HandOver } else { Keys::End }
}

impl Commands {
    /// Ends what was lost, and says it. `whose`: whose right it was; who ends their own still hears what became of it.
    pub(super) async fn after_loss(&self, lost: Lost, whose: &str, by: &Principal, io: &Io) {
        for (deploy, why) in lost.jobs {
            if let Some(job) = self.deploys.job(deploy) {
                job.cancel(why);
            }
        }
        if !lost.ended.runs.is_empty() {
            self.p.wake.notify_one();
        }
        // Nobody who reads slowly holds this up, unless they end by it themselves.
        let own = domain::access::actor(by) == whose;
        if !own {
            self.rights_changed();
        }
        for line in lost.ended.lines(whose) {
            io.line(line).await;
        }
        if own {
            self.rights_changed();
        }
    }
}
