//! russh's callbacks as events to the session's loop. No decisions here.
//!
//! A callback that answers the client waits for the loop's reply and lets russh write it, so that the loop itself never
//! waits for russh.

use super::flow::{Charge, Flow};
use bytes::Bytes;
use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty, Sig};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use system::io::Size;
use tokio::sync::{mpsc, oneshot};

/// Events waiting for the loop.
pub const EVENTS_MAX: usize = 64;

/// What happened in a session.
#[derive(Debug)]
pub enum Event {
    /// A key was offered; or, `proven`, its possession was proven.
    Key {
        /// The key.
        key: PublicKey,
        /// What signs.
        algorithm: Algorithm,
        /// Whether the signature was checked.
        proven: bool,
        /// Whether to go on with it.
        reply: oneshot::Sender<bool>,
    },
    /// The client has no key that we know; the text it is told, if there is one.
    NoKeyLeft(oneshot::Sender<Option<String>>),
    /// A session channel.
    Open(Channel<Msg>, oneshot::Sender<bool>),
    /// A variable for the environment.
    Env(ChannelId, String, String, oneshot::Sender<bool>),
    /// Output goes to a terminal of this kind and size.
    Pty(ChannelId, String, Size, oneshot::Sender<bool>),
    /// The terminal's size has changed.
    Resize(ChannelId, Size),
    /// A command line; `None` is a login without a command.
    Run(ChannelId, Option<Vec<u8>>, oneshot::Sender<bool>),
    /// Standard input.
    Data(ChannelId, Bytes, Charge),
    /// The end of standard input.
    Eof(ChannelId),
    /// The client closed the channel.
    Close(ChannelId),
    /// The client sent the command a signal that ends programs.
    Interrupt(ChannelId),
}

/// The end of a session on russh's side.
#[derive(Debug)]
pub enum Stop {
    /// russh's own reason.
    Protocol(russh::Error),
    /// The loop has ended.
    LoopGone,
    /// The client sent far more than it was allowed to.
    Overrun,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Protocol(err) => err.fmt(f),
            Stop::LoopGone => f.write_str("the session is over"),
            Stop::Overrun => f.write_str("the client ignored its windows"),
        }
    }
}

impl From<russh::Error> for Stop {
    fn from(err: russh::Error) -> Stop {
        Stop::Protocol(err)
    }
}

/// The callbacks' side.
pub struct Adapter {
    /// To the loop.
    pub events: mpsc::Sender<Event>,
    /// The session's account of standard input.
    pub flow: Arc<Flow>,
}

impl Adapter {
    async fn tell(&self, event: Event) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::LoopGone)
    }

    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Result<T, Stop> {
        let (reply, answer) = oneshot::channel();
        self.tell(event(reply)).await?;
        answer.await.map_err(|_| Stop::LoopGone)
    }

    async fn key(&self, key: &PublicKey, algorithm: &Algorithm, proven: bool) -> Result<Auth, Stop> {
        let (key, algorithm) = (key.clone(), algorithm.clone());
        let known = self.ask(|reply| Event::Key { key, algorithm, proven, reply }).await?;
        Ok(if known { Auth::Accept } else { refused(true) })
    }

    async fn answer(&self, id: ChannelId, session: &mut Session, yes: bool) -> Result<(), Stop> {
        if yes {
            session.channel_success(id)?
        } else {
            session.channel_failure(id)?
        }
        Ok(())
    }
}

/// A size as terminals have it; what is beyond is theirs to invent.
fn size(columns: u32, rows: u32) -> Size {
    let cut = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Size { rows: cut(rows), columns: cut(columns) }
}

/// A refusal; `explain` adds the one method by which OpenSSH shows a text once all its keys were refused.
fn refused(explain: bool) -> Auth {
    use russh::{MethodKind, MethodSet};
    let mut methods = MethodSet::from(&[MethodKind::PublicKey][..]);
    if explain {
        methods.push(MethodKind::KeyboardInteractive);
    }
    Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
}

impl Handler for Adapter {
    type Error = Stop;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Stop> {
        self.key(offer.public_key, offer.algorithm, false).await
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Stop> {
        self.key(key.public_key, key.algorithm, true).await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Stop> {
        if response.is_some() {
            return Ok(refused(false));
        }
        Ok(match self.ask(Event::NoKeyLeft).await? {
            Some(text) => {
                Auth::Partial { name: Cow::Borrowed(""), instructions: Cow::Owned(text), prompts: Cow::Borrowed(&[]) }
            }
            None => refused(false),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Stop> {
        if self.ask(|answer| Event::Open(channel, answer)).await? {
            reply.accept().await;
        } else {
            reply.reject(russh::ChannelOpenFailure::ResourceShortage).await;
        }
        Ok(())
    }

    async fn env_request(&mut self, id: ChannelId, name: &str, value: &str, session: &mut Session) -> Result<(), Stop> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let yes = self.ask(|reply| Event::Env(id, name, value, reply)).await?;
        self.answer(id, session, yes).await
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Stop> {
        let (term, size) = (term.to_owned(), size(columns, rows));
        let yes = self.ask(|reply| Event::Pty(id, term, size, reply)).await?;
        self.answer(id, session, yes).await
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _session: &mut Session,
    ) -> Result<(), Stop> {
        self.tell(Event::Resize(id, size(columns, rows))).await
    }

    async fn exec_request(&mut self, id: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Stop> {
        let line = line.to_vec();
        let yes = self.ask(|reply| Event::Run(id, Some(line), reply)).await?;
        self.answer(id, session, yes).await
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Stop> {
        let yes = self.ask(|reply| Event::Run(id, None, reply)).await?;
        self.answer(id, session, yes).await
    }

    async fn subsystem_request(&mut self, id: ChannelId, _name: &str, session: &mut Session) -> Result<(), Stop> {
        self.answer(id, session, false).await
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Stop> {
        self.answer(id, session, false).await
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Stop> {
        let charge = self.flow.charge(data.len()).ok_or(Stop::Overrun)?;
        self.tell(Event::Data(id, Bytes::copy_from_slice(data), charge)).await?;
        self.flow.pause(data.len()).await;
        Ok(())
    }

    fn adjust_window(&mut self, _id: ChannelId, _current: u32) -> u32 {
        self.flow.window()
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Stop> {
        self.tell(Event::Eof(id)).await
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Stop> {
        self.tell(Event::Close(id)).await
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _session: &mut Session) -> Result<(), Stop> {
        match signal {
            Sig::INT | Sig::TERM | Sig::HUP | Sig::QUIT | Sig::KILL => self.tell(Event::Interrupt(id)).await,
            _ => Ok(()),
        }
    }
}
