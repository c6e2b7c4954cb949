//! What a hook and the server say to each other, as JSON.
//!
//! Hook: hello, then one ask. Server: for `pre-receive` one [`Judged`]; for `proc-receive` lines while the job runs,
//! then one reply per ref. Absent: framing and sockets.

use domain::push::RefUpdate;
use domain::{Refusal, text};
use serde::{Deserialize, Serialize};

/// The first message of a hook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// `hook`: other clients of the admin socket say something else.
    pub kind: String,
    /// `pre-receive` or `proc-receive`.
    pub hook: String,
    /// The push it belongs to: the random ticket of its connection.
    pub push: String,
}

/// `pre-receive` asks whether the push may go on; its objects are in quarantine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JudgeAsk {
    /// All refs of the push.
    pub updates: Vec<RefUpdate>,
    /// The words after `-o`, in order.
    #[serde(default)]
    pub options: Vec<String>,
    /// Commits whose parents the client does not have either.
    #[serde(default)]
    pub shallow: Vec<String>,
    /// Where the objects are until the answer; see `Repos::quarantine`.
    #[serde(default)]
    pub quarantine: Option<String>,
}

/// The answer: what the pusher sees, and whether it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Lines for the pusher.
    pub lines: Vec<String>,
    /// Whether the push goes on.
    pub accept: bool,
}

/// `proc-receive` hands over the accepted branches; their objects are in the repository now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReceiveAsk {
    /// The branches to move.
    pub commands: Vec<RefUpdate>,
    /// The words after `-o`, in order.
    #[serde(default)]
    pub options: Vec<String>,
    /// New shallow boundaries. Where there are any, an accepted ref falls through: git moves the branch itself (it
    /// aborts otherwise), so the server must not have moved it before it replies, and asks `Repos::shallow_stale` when
    /// the push's turn comes.
    #[serde(default)]
    pub shallow: Vec<String>,
}

/// What became of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefReply {
    /// The full name.
    pub name: String,
    /// What became of it.
    pub outcome: RefOutcome,
}

/// See [`RefReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefOutcome {
    /// Done. With `fall_through` git moves the ref now; without, the server has, or will (detached).
    Done {
        /// Whether git moves the ref.
        fall_through: bool,
    },
    /// Refused; shown as `! [remote rejected] main -> main (reason)`.
    Refused {
        /// One line.
        reason: String,
    },
}

/// One message of the server to `proc-receive`, as it is on the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Told {
    /// A line for the pusher's screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The ref a reply is about.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub ok: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub fall_through: bool,
    /// Why a ref is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ng: Option<String>,
}

impl RefOutcome {
    /// Refused for a reason of which git shows one.
    pub fn refused(reason: &str) -> RefOutcome {
        RefOutcome::Refused { reason: text::plain(&reason.replace('\n', " ")) }
    }
}

impl From<&Refusal> for RefOutcome {
    fn from(no: &Refusal) -> RefOutcome {
        RefOutcome::refused(&no.what)
    }
}

impl From<RefReply> for Told {
    fn from(reply: RefReply) -> Told {
        let name = Some(reply.name);
        match reply.outcome {
            RefOutcome::Done { fall_through } => Told { name, ok: true, fall_through, ..Told::default() },
            RefOutcome::Refused { reason } => Told { name, ng: Some(reason), ..Told::default() },
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(b: &bool) -> bool {
    !*b
}
