//! The words between control process and router, and how they are framed: a length (u32, big-endian) and JSON.
//!
//! Every ask gets one answer with its number; events come between them. No ask is answered before it is true:
//! `Serving` means that the record is synced and that every worker has switched.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::table::{Route, RouteKey};

/// The version of this protocol.
pub const VERSION: u32 = 1;
/// The largest frame.
pub const FRAME_MAX: usize = 64 << 20;

/// What the control process sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// The number that the answer carries.
    pub id: u64,
    /// What is asked.
    pub what: What,
}

/// What the control process can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// The whole table, confirmed for this boot.
    Snapshot(Snapshot),
    /// A change to the table that it names.
    Change(Change),
    /// How busy these targets are.
    Loads {
        /// Their ids.
        targets: Vec<String>,
    },
    /// Clients last served by these targets are asked to come on a new connection.
    Drain {
        /// Their ids.
        targets: Vec<String>,
    },
    /// Whether this router writes the table to disk from now on.
    Role {
        /// True for the one that does.
        active: bool,
    },
    /// Stop accepting, finish what is in flight, exit.
    Shutdown {
        /// The longest wait.
        grace: Duration,
    },
}

/// The whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its number.
    pub generation: u64,
    /// All routes; of two with the same host and path the last counts.
    pub routes: Vec<Route>,
}

/// A change to the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The number of the table afterwards.
    pub generation: u64,
    /// The number of the table that it changes; refused if it is another.
    pub base: u64,
    /// Routes that are new or replaced.
    #[serde(default)]
    pub upsert: Vec<Route>,
    /// Routes that go.
    #[serde(default)]
    pub remove: Vec<RouteKey>,
}

/// What the router sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tell {
    /// The first frame of a connection.
    Hello(Hello),
    /// The answer to an ask.
    Answer {
        /// The ask's number.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
    },
}

/// Who the router is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's version.
    pub version: u32,
    /// The process.
    pub pid: u32,
    /// The machine's boot as the router sees it.
    pub boot_id: String,
    /// The number of the table that it serves.
    pub generation: u64,
    /// The table is of an earlier boot: its `Serve` routes are held until a snapshot comes.
    pub held: bool,
    /// Where it listens.
    pub listeners: Vec<SocketAddr>,
    /// Whether it writes the table to disk.
    pub active: bool,
}

/// The answer to an ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    /// Every worker serves this table, and it is on disk.
    Serving {
        /// Its number.
        generation: u64,
    },
    /// It was not done, or is not on disk: send a snapshot.
    Refused {
        /// Why.
        why: String,
    },
    /// How busy the targets are, in the order asked.
    Loads {
        /// One per target.
        loads: Vec<Load>,
        /// Requests that wait on held routes.
        held: u64,
    },
    /// It is done.
    Done,
}

/// How busy a target is, summed over the workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The target's id.
    pub target: String,
    /// Requests and tunnels that it serves now.
    pub in_flight: u64,
    /// How many of these are tunnels.
    pub tunnels: u64,
    /// Requests answered since the router saw it first.
    pub served: u64,
    /// Requests that it failed: answered by the router with 5xx, or cut.
    pub failed: u64,
}

/// Something that the control process did not ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A request waits on a held route; repeated each second while one does.
    Wake {
        /// The route.
        route: RouteKey,
        /// Requests that wait on it in the worker that says so.
        waiting: u32,
    },
}

/// A frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream.
    #[error("control stream broke")]
    Io(#[from] std::io::Error),
    /// The content.
    #[error("control frame is not what was expected")]
    Json(#[from] serde_json::Error),
    /// The size.
    #[error("control frame of {0} bytes is too large")]
    TooLarge(usize),
}

/// Reads one frame; `None` when the stream ended between frames.
pub async fn read_frame<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, FrameError> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len).await {
        Ok(_) => {}
        Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(err) => return Err(err.into()),
    }
    let len = u32::from_be_bytes(len) as usize;
    if len > FRAME_MAX {
        return Err(FrameError::TooLarge(len));
    }
    // Grows with what arrives: an announced length alone takes no memory.
    let mut body = Vec::new();
    stream.take(len as u64).read_to_end(&mut body).await?;
    if body.len() < len {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

/// Writes one frame.
pub async fn write_frame<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), value: &T) -> Result<(), FrameError> {
    let body = serde_json::to_vec(value)?;
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_MAX);
    let len = len.ok_or(FrameError::TooLarge(body.len()))?;
    stream.write_all(&[&len.to_be_bytes()[..], &body].concat()).await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_and_large_ones_do_not() {
        let mut bytes = vec![];
        let ask = Ask { id: 7, what: What::Shutdown { grace: Duration::from_secs(3) } };
        write_frame(&mut bytes, &ask).await.unwrap();
        let back: Ask = read_frame(&mut bytes.as_slice()).await.unwrap().unwrap();
        assert_eq!(format!("{back:?}"), format!("{ask:?}"));
        assert!(read_frame::<Ask>(&mut &b""[..]).await.unwrap().is_none());
        assert!(read_frame::<Ask>(&mut &b"\0\0\0\x09{}"[..]).await.is_err());
        assert!(matches!(read_frame::<Ask>(&mut &b"\xff\0\0\0"[..]).await, Err(FrameError::TooLarge(_))));
    }
}
