//! Shows a job to the one who asked for it, and gives how it ended as a reply.

use crate::context::Commands;
use crate::reply::{Line, Reply};
use domain::Refusal;
use domain::deploy::Deploy;
use domain::refusal::Code;
use jobs::{Heard, Job};
use serde_json::Value;
use system::io::Io;

/// The refusal of a job whose asker closed the connection.
pub fn hung_up() -> Refusal {
    Refusal::new(Code::Cancelled, "cancelled: the connection was closed")
}

/// Streams the job's lines to standard output until it is over. An orderly close cancels it where that still can be.
pub async fn follow(c: &Commands, job: &Job, io: &Io) -> Reply {
    let mut listener = job.listen();
    let mut cancelled = false;
    loop {
        let heard = tokio::select! {
            heard = listener.hear() => heard,
            () = io.hangup.cancelled(), if !cancelled => {
                cancelled = true;
                job.cancel(hung_up());
                continue;
            }
        };
        match heard {
            Heard::Line(line) => Line::Plain(line.text).say(io).await,
            Heard::End(end) => {
                let mut reply = Reply::exit(u8::from(!matches!(end, Deploy::Live { .. })));
                // How it ended is known already; what cannot be read is left out.
                if let Ok(report) = c.report(job.id()).await
                    && let Ok(Value::Object(fields)) = serde_json::to_value(&report)
                {
                    reply.done.extend(fields);
                }
                return reply;
            }
        }
    }
}
