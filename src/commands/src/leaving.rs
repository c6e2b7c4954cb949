//! What a command says and does after it ended somebody's right: work of theirs ends, connections look whether they still
//! may, and whoever ended it reads what ended and what stays.

use crate::context::Commands;
use crate::reply::Reply;
use store::{Keys, Lost};

/// What the options say about deploy keys of somebody who leaves.
pub fn keys_of(keep: bool) -> Keys {
    if keep { Keys::HandOver } else { Keys::End }
}

impl Commands {
    /// Ends what was lost, and says it. `whose`: whose right it was. Who ends their own still hears what became of it: a
    /// session whose key was removed has a while for that.
    pub(super) fn after_loss(&self, lost: Lost, whose: &str, reply: &mut Reply) {
        for (deploy, why) in lost.jobs {
            if let Some(job) = self.deploys.job(deploy) {
                job.cancel(why);
            }
        }
        if !lost.ended.runs.is_empty() {
            self.p.wake.notify_one();
        }
        for line in lost.ended.lines(whose) {
            reply.line(line);
        }
        self.rights_changed();
    }
}
