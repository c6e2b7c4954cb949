//! What goes wrong: a [`Refusal`] the user can act on, or a fault of ours, shown with an id that is in the log too.

use domain::refusal::Code;
use domain::{Refusal, programs};
use std::fmt;

/// The error of everything a command or a deploy calls.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user can act on it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours. Display names the act and its object; the cause is the source.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A program of ours that is not installed.
#[derive(Debug, thiserror::Error)]
#[error("{} is not installed: {}", .0.name, .0.install())]
pub struct Missing(pub programs::Program);

/// A fault of ours: the act that failed and its cause.
#[derive(Debug)]
pub struct Fault {
    act: String,
    /// By which a person finds it in the log.
    id: u32,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Whether trying again may help.
    pub transient: bool,
}

impl Fault {
    /// A fault with its cause: `Fault::new("cannot start i12", err)`.
    pub fn new(act: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
        Fault { act: act.into(), id: rand::random(), source: Some(source.into()), transient: false }
    }
    /// A fault without a further cause.
    pub fn plain(act: impl Into<String>) -> Fault {
        Fault { act: act.into(), id: rand::random(), source: None, transient: false }
    }
    /// Marks the fault as one that may pass.
    #[must_use]
    pub fn transient(mut self) -> Fault {
        self.transient = true;
        self
    }
    /// What the machine lacks, where that is the cause.
    fn of_machine(&self) -> Option<Refusal> {
        let mut next = self.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static));
        while let Some(cause) = next {
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                if io.kind() == std::io::ErrorKind::StorageFull {
                    return Some(full_disk());
                }
                if let Some(missing) = io.get_ref().and_then(|inner| inner.downcast_ref::<Missing>()) {
                    return Some(missing.0.missing());
                }
            }
            next = cause.source();
        }
        None
    }
    fn id(&self) -> String {
        format!("{:08x}", self.id)
    }
    /// The whole chain, for the log: `cannot start i12: no such image`.
    pub fn chain(&self) -> String {
        let mut text = domain::images::without_keys(&self.act).into_owned();
        let mut next = self.source.as_ref().map(|s| s.as_ref() as &dyn std::error::Error);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&domain::images::without_keys(&cause.to_string()));
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&domain::images::without_keys(&self.act))
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Turns any error into a fault that names the act: `read(path).act(|| format!("cannot read {path}"))?`.
pub trait Act<T> {
    /// Wraps the error.
    fn act<S: Into<String>>(self, act: impl FnOnce() -> S) -> Result<T, Fault>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Act<T> for std::result::Result<T, E> {
    fn act<S: Into<String>>(self, act: impl FnOnce() -> S) -> Result<T, Fault> {
        self.map_err(|err| Fault::new(act(), err))
    }
}

/// A refusal may quote what the engine said of an image.
fn without_image_keys(mut no: Refusal) -> Refusal {
    let clean = |text: &mut String| {
        if let std::borrow::Cow::Owned(shorter) = domain::images::without_keys(text) {
            *text = shorter;
        }
    };
    clean(&mut no.what);
    clean(&mut no.why);
    no.next.iter_mut().for_each(clean);
    no
}

/// What a full disk of ours is answered with, whoever met it.
pub fn full_disk() -> Refusal {
    Refusal::new(Code::DiskFull, "no space is left on the disk of the server")
        .why("nothing was changed; running apps keep being served")
        .next("an administrator: free space below the data folder, then doctor; then try again")
}

impl Error {
    /// The lines a person sees; of a fault its id, by which [`Error::log`] has the cause in the log.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Error::Refused(no) => without_image_keys(no.clone()).lines(),
            Error::Fault(fault) => match fault.of_machine() {
                Some(no) => no.lines(),
                None => vec![
                    format!("{fault} (fault {})", fault.id()),
                    "This is a fault of the server, not of what you typed; its log has the cause under that id."
                        .to_owned(),
                ],
            },
        }
    }
    /// The id that is shown, where it is a fault of ours.
    pub fn fault_id(&self) -> Option<String> {
        match self {
            Error::Fault(fault) if fault.of_machine().is_none() => Some(fault.id()),
            Error::Fault(_) | Error::Refused(_) => None,
        }
    }
    /// The refusal that a job ends with; of a fault its id is in it.
    pub fn refusal(&self) -> Refusal {
        match self {
            Error::Refused(no) => without_image_keys(no.clone()),
            Error::Fault(fault) => fault.of_machine().unwrap_or_else(|| {
                let lines = self.lines();
                let mut no = Refusal::new(Code::Fault, lines.first().cloned().unwrap_or_default());
                no.why = lines.get(1).cloned().unwrap_or_default();
                no
            }),
        }
    }
    /// Writes a fault into the log, with its whole chain: for whoever handles it by telling a person. A refusal is told alone.
    pub fn log(&self) {
        if let Error::Fault(fault) = self {
            tracing::error!(fault = fault.id(), "{}", fault.chain());
        }
    }
    /// All of it on one line, for whoever handles it by a line of the log: a refusal's lines, a fault's chain.
    pub fn chain(&self) -> String {
        match self {
            Error::Refused(_) => self.lines().join("; "),
            Error::Fault(fault) => fault.chain(),
        }
    }
    /// The SSH exit code: 1 for refusals, 70 (EX_SOFTWARE) for faults of ours.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Refused(_) => 1,
            Error::Fault(_) => 70,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_one_id_however_often_it_is_shown() {
        let err = Error::from(Fault::plain("cannot start i12"));
        assert_eq!(err.lines(), err.lines());
        assert_eq!(err.refusal().what, err.lines()[0]);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = Error::from(Fault::new("cannot write", full));
        assert_eq!(full.refusal().code, Code::DiskFull);
        assert_eq!(full.chain(), "cannot write: no storage space");
    }

    #[test]
    fn no_line_and_no_chain_tells_the_key_of_an_image() {
        let name = "hoist/i-a:b3-0123456789abcdef";
        let cause = || Fault::new(format!("cannot inspect image {name}"), format!("No such image: {name}"));
        let no = || Refusal::new(Code::Cancelled, format!("{name} is gone")).why(name).next(format!("use {name}"));
        let said = [
            cause().chain(),
            cause().to_string(),
            Error::from(cause()).lines().join(" "),
            Error::from(cause()).refusal().to_string(),
            Error::from(no()).lines().join(" "),
            Error::from(no()).refusal().to_string(),
        ];
        for text in said {
            assert!(text.contains("hoist/i-a:b3") && !text.contains("0123456789abcdef"), "{text}");
        }
    }
}
