//! The few protobuf messages of BuildKit's session and progress that are used here, declared by hand: a build of its
//! whole interface would bring a second HTTP stack with it. Numbers are BuildKit's; fields that nobody reads are absent.

use domain::dockerfile as plain;
use std::collections::HashMap;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Vertex {
    #[prost(string, tag = "1")]
    pub digest: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bool, tag = "4")]
    pub cached: bool,
    #[prost(message, optional, tag = "5")]
    pub started: Option<Time>,
    #[prost(message, optional, tag = "6")]
    pub completed: Option<Time>,
    #[prost(string, tag = "7")]
    pub error: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct VertexStatus {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub vertex: String,
    #[prost(int64, tag = "4")]
    pub current: i64,
    #[prost(int64, tag = "5")]
    pub total: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct VertexLog {
    #[prost(string, tag = "1")]
    pub vertex: String,
    #[prost(bytes = "vec", tag = "4")]
    pub msg: Vec<u8>,
}

/// What happened in a build since the last of these.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    #[prost(message, repeated, tag = "1")]
    pub vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "2")]
    pub statuses: Vec<VertexStatus>,
    #[prost(message, repeated, tag = "3")]
    pub logs: Vec<VertexLog>,
}

/// A build: what is to be made how, and where its result goes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SolveRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
    #[prost(string, tag = "3")]
    pub exporter: String,
    #[prost(map = "string, string", tag = "4")]
    pub exporter_attrs: HashMap<String, String>,
    #[prost(string, tag = "5")]
    pub session: String,
    #[prost(string, tag = "6")]
    pub frontend: String,
    #[prost(map = "string, string", tag = "7")]
    pub frontend_attrs: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SolveResponse {
    #[prost(map = "string, string", tag = "1")]
    pub exporter_response: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct InfoRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct BuildkitVersion {
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub version: Option<BuildkitVersion>,
}

impl From<StatusResponse> for plain::Report {
    fn from(all: StatusResponse) -> plain::Report {
        let millis = |time: Option<Time>| {
            let time = time.filter(|time| time.seconds > 0)?;
            u64::try_from(time.seconds.saturating_mul(1_000) + i64::from(time.nanos) / 1_000_000).ok()
        };
        let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
        plain::Report {
            steps: all
                .vertexes
                .into_iter()
                .map(|one| plain::Step {
                    id: one.digest,
                    name: one.name,
                    began: millis(one.started),
                    ended: millis(one.completed),
                    cached: one.cached,
                    error: one.error,
                })
                .collect(),
            logs: all
                .logs
                .into_iter()
                .map(|one| plain::Log { step: one.vertex, text: String::from_utf8_lossy(&one.msg).into_owned() })
                .collect(),
            statuses: all
                .statuses
                .into_iter()
                .map(|one| plain::Status {
                    step: one.vertex,
                    id: one.id,
                    current: bytes(one.current),
                    total: bytes(one.total),
                })
                .collect(),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GetSecretRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GetSecretResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CredentialsRequest {
    #[prost(string, tag = "1")]
    pub host: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CredentialsResponse {
    #[prost(string, tag = "1")]
    pub username: String,
    #[prost(string, tag = "2")]
    pub secret: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HealthResponse {
    /// 1: serving.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// What a packet of a file transfer is.
pub mod kind {
    /// Sender: an entry; without one: there are no more.
    pub const STAT: i32 = 0;
    /// Receiver: send me this file.
    pub const REQUEST: i32 = 1;
    /// Sender: bytes of a file; none: it is whole.
    pub const DATA: i32 = 2;
    /// Both: done.
    pub const FIN: i32 = 3;
    /// Either: failed, with words in the data.
    pub const ERROR: i32 = 4;
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Stat {
    #[prost(string, tag = "1")]
    pub path: String,
    /// Go's: permissions below, a folder's and a link's bit above.
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    #[prost(int64, tag = "5")]
    pub size: i64,
    #[prost(int64, tag = "6")]
    pub mod_time: i64,
    #[prost(string, tag = "7")]
    pub linkname: String,
    /// A device's number. Of a file nothing shows it, and the builder counts it as a part of the content.
    #[prost(int64, tag = "9")]
    pub devminor: i64,
    #[prost(map = "string, bytes", tag = "10")]
    pub xattrs: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Packet {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub id: u32,
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}
