//! Where a test of others makes a transaction fail, or sees it pass. In the product there is nothing here.

/// A moment of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is about to begin.
    Begin,
    /// All of it is done but the commit.
    BeforeCommit,
    /// It is committed, and nobody knows yet.
    AfterCommit,
}

#[cfg(not(any(test, feature = "testing")))]
mod closed {
    /// Lets everything pass.
    #[derive(Debug, Clone)]
    pub struct Tap;

    impl Tap {
        pub fn new() -> Tap {
            Tap
        }
        pub fn passes(&self, _: super::Moment, _writes: bool) -> bool {
            true
        }
    }
}

#[cfg(any(test, feature = "testing"))]
mod open {
    use super::Moment;
    use std::sync::{Arc, OnceLock};

    /// Says whether a transaction that writes, or only reads, goes on.
    pub type Judge = Arc<dyn Fn(Moment, bool) -> bool + Send + Sync>;

    /// Lets pass what the test's judge lets pass.
    #[derive(Clone, Default)]
    pub struct Tap(Arc<OnceLock<Judge>>);

    impl Tap {
        pub fn new() -> Tap {
            Tap::default()
        }
        pub fn set(&self, judge: Judge) {
            let _ = self.0.set(judge);
        }
        pub fn passes(&self, moment: Moment, writes: bool) -> bool {
            self.0.get().is_none_or(|judge| judge(moment, writes))
        }
    }
}

#[cfg(not(any(test, feature = "testing")))]
pub(crate) use closed::Tap;
#[cfg(any(test, feature = "testing"))]
pub use open::Judge;
#[cfg(any(test, feature = "testing"))]
pub(crate) use open::Tap;
