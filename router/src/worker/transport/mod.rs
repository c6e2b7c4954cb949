//! What carries bytes between a worker and those it speaks with, and what is known of a connection that comes in.
//!
//! Everything that reads or writes requests goes through here and names no socket, so another way of carrying them (TLS,
//! a stream of HTTP/2, the PROXY protocol) comes to the same table, gate, limits, drain and log. A kind of connection is
//! compiled in, not looked up: a read costs what it costs on the socket.

#[cfg(test)]
pub(super) mod memory;
mod seam;
mod tcp;

pub(crate) use self::{
    seam::{Entrance, Listen, Reader, Scheme, Transport, finish, write},
    tcp::{Listener as TcpListener, Upstream, connect},
};
