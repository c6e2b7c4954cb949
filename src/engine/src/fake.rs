//! The engine `fake`: in memory, for tests of decisions. It fails on the n-th call, loses an answer after the effect,
//! forgets instances, and repeats, loses and reorders hints.
//!
//! Invariant: it is held to the same contract test as Docker. Absent: chance; the same calls give the same world.

use super::{Engine, EngineError, EngineVersion, Hint, ImageReference, InstanceSpec, NetworkSpec, Observed, Status};
use async_trait::async_trait;
use domain::dockerfile::ImageFacts;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const HINTS_MAX: usize = 256;
const KILLED: i64 = 137;
const FIRST_PID: u32 = 1000;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing happens; no answer in time.
    NotAnswering,
    /// Nothing happens; the socket refuses.
    NotRunning,
    /// Nothing happens; the disk is full.
    NoSpace,
    /// Nothing happens; any other refusal.
    Refused,
    /// It happens, but its answer is lost.
    AnswerLost,
}

/// What becomes of hints on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Habit {
    /// Each arrives once, in order.
    #[default]
    Prompt,
    /// Each arrives twice.
    Repeat,
    /// None arrives.
    Lose,
    /// Each arrives after the one that follows it.
    Reorder,
}

/// The engine in memory.
#[derive(Debug)]
pub struct Fake {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<String>,
    failures: BTreeMap<usize, Failure>,
    down: bool,
    networks: BTreeMap<String, NetworkSpec>,
    instances: BTreeMap<String, (InstanceSpec, Status)>,
    images: BTreeMap<String, BTreeMap<String, String>>,
    offered: BTreeMap<String, BTreeMap<String, String>>,
    gone: BTreeSet<String>,
    readers: Vec<(String, String, mpsc::Sender<Hint>)>,
    habit: Habit,
    held_back: Option<Hint>,
    pids: u32,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake { state: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

/// Controls, for the test that owns the fake.
impl Fake {
    /// An engine without anything in it.
    pub fn new() -> Fake {
        Fake::default()
    }
    /// Makes the `nth` call from now fail (1 is the next one).
    pub fn fail_on(&self, nth: usize, how: Failure) {
        let mut state = self.state();
        let at = state.calls.len() + nth;
        state.failures.insert(at, how);
    }
    /// Makes every call fail until it is up again.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }
    /// Another engine with what this one has now: no calls, no failures to come, nobody who listens.
    pub fn copied(&self) -> Fake {
        let state = self.state();
        let copy = State {
            networks: state.networks.clone(),
            instances: state.instances.clone(),
            images: state.images.clone(),
            offered: state.offered.clone(),
            pids: state.pids,
            ..State::default()
        };
        Fake { state: Mutex::new(copy), changed: watch::Sender::new(()) }
    }
    /// Every call so far: its verb and object.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }
    /// Lets an instance vanish without a word.
    pub fn forget(&self, name: &str) {
        self.state().instances.remove(name);
        self.changed.send_replace(());
    }
    /// Lets an instance end by itself.
    pub fn exit(&self, name: &str, code: i64, out_of_memory: bool) {
        self.end(name, Status::Exited { code, out_of_memory });
    }
    /// Says what becomes of hints from now on.
    pub fn set_habit(&self, habit: Habit) {
        self.state().habit = habit;
    }
    /// Gives the image of this digest labels; an image not offered has none.
    pub fn offer(&self, digest: &str, labels: BTreeMap<String, String>) {
        self.state().offered.insert(digest.to_owned(), labels);
    }
    /// Lets the registry lose a layer of the image of this digest, or have it again.
    pub fn set_gone(&self, digest: &str, gone: bool) {
        let mut state = self.state();
        match gone {
            true => state.gone.insert(digest.to_owned()),
            false => state.gone.remove(digest),
        };
    }
    /// Makes an image known by this name, as if pulled before.
    pub fn add_image(&self, tag: &str) {
        self.state().images.insert(tag.to_owned(), BTreeMap::new());
    }
    /// The spec of an instance that exists.
    pub fn spec(&self, name: &str) -> Option<InstanceSpec> {
        self.state().instances.get(name).map(|(spec, _)| spec.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: counted, failed if so asked, done under the lock.
    fn call<T>(
        &self,
        verb: &str,
        object: &str,
        work: impl FnOnce(&mut State) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut state = self.state();
        state.calls.push(format!("{verb} {object}"));
        let nth = state.calls.len();
        let failure = if state.down { Some(Failure::NotRunning) } else { state.failures.remove(&nth) };
        let refused = || "as the test asked".into();
        match failure {
            None => work(&mut state),
            Some(Failure::NotAnswering) => Err(EngineError::NotAnswering),
            Some(Failure::NotRunning) => Err(EngineError::NotRunning(refused())),
            Some(Failure::NoSpace) => Err(EngineError::NoSpace),
            Some(Failure::Refused) => Err(EngineError::Failed { act: format!("{verb} {object}"), source: refused() }),
            Some(Failure::AnswerLost) => work(&mut state).and(Err(EngineError::NotAnswering)),
        }
    }

    fn end(&self, name: &str, how: Status) {
        let mut state = self.state();
        state.end(name, how);
        drop(state);
        self.changed.send_replace(());
    }
}

impl State {
    fn end(&mut self, name: &str, how: Status) {
        if let Some((_, status @ Status::Running { .. })) = self.instances.get_mut(name) {
            *status = how;
            self.hint(name);
        }
    }

    fn start(&mut self, name: &str) -> Result<(), EngineError> {
        let pid = FIRST_PID + self.pids;
        match self.instances.get_mut(name) {
            None => return Err(EngineError::NotFound(name.to_owned())),
            Some((_, Status::Running { .. })) => return Ok(()),
            Some((_, status)) => *status = Status::Running { pid },
        }
        self.pids += 1;
        self.hint(name);
        Ok(())
    }

    fn hint(&mut self, name: &str) {
        let fresh = Hint { name: name.to_owned() };
        let arriving = match self.habit {
            Habit::Prompt => vec![fresh],
            Habit::Repeat => vec![fresh.clone(), fresh],
            Habit::Lose => Vec::new(),
            Habit::Reorder => match self.held_back.take() {
                Some(earlier) => vec![fresh, earlier],
                None => {
                    self.held_back = Some(fresh);
                    Vec::new()
                }
            },
        };
        self.readers.retain(|(_, _, reader)| !reader.is_closed());
        for hint in arriving {
            let labels = self.instances.get(&hint.name).map(|(spec, _)| spec.labels.clone()).unwrap_or_default();
            for (_, _, reader) in self.readers.iter().filter(|(key, value, _)| labels.get(key) == Some(value)) {
                let _ = reader.try_send(hint.clone());
            }
        }
    }
}

fn observed(name: &str, (spec, status): &(InstanceSpec, Status)) -> Observed {
    let addresses = spec.attachment.address.into_iter().collect();
    Observed { name: name.to_owned(), labels: spec.labels.clone(), status: status.clone(), addresses }
}

#[async_trait]
impl Engine for Fake {
    async fn version(&self) -> Result<EngineVersion, EngineError> {
        let word = |text: &str| text.to_owned();
        self.call("version", "", |_| {
            Ok(EngineVersion {
                parts: BTreeMap::new(),
                version: word("0"),
                api: word("0"),
                live_restore: true,
                store: word("memory"),
                root: word("/"),
            })
        })
    }
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        self.call("ensure_network", &spec.name, |state| {
            state.networks.insert(spec.name.clone(), spec.clone());
            Ok(())
        })
    }
    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.call("remove_network", name, |state| {
            state.networks.remove(name);
            Ok(())
        })
    }
    async fn networks(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.call("networks", value, |state| {
            let ours = state.networks.values().filter(|spec| spec.labels.get(key).is_some_and(|there| there == value));
            Ok(ours.map(|spec| spec.name.clone()).collect())
        })
    }
    async fn ensure_started(&self, spec: &InstanceSpec) -> Result<(), EngineError> {
        self.call("ensure_started", &spec.name, |state| {
            if let Some((_, status)) = state.instances.get(&spec.name) {
                return if *status == Status::Created { state.start(&spec.name) } else { Ok(()) };
            }
            if !state.images.contains_key(&spec.image) {
                return Err(EngineError::NotFound(spec.image.clone()));
            }
            if !state.networks.contains_key(&spec.attachment.network) {
                return Err(EngineError::NotFound(spec.attachment.network.clone()));
            }
            state.instances.insert(spec.name.clone(), (spec.clone(), Status::Created));
            state.start(&spec.name)
        })
    }
    async fn start_again(&self, name: &str) -> Result<(), EngineError> {
        self.call("start_again", name, |state| state.start(name))
    }
    async fn inspect(&self, name: &str) -> Result<Option<Observed>, EngineError> {
        self.call("inspect", name, |state| Ok(state.instances.get(name).map(|there| observed(name, there))))
    }
    async fn fillable(&self, name: &str) -> Result<Vec<PathBuf>, EngineError> {
        self.call("fillable", name, |state| {
            let place = state.instances.get(name).map(|_| PathBuf::from(format!("/fake/{name}")));
            Ok(place.into_iter().collect())
        })
    }
    async fn memory(&self, name: &str) -> Result<Option<u64>, EngineError> {
        self.call("memory", name, |state| {
            let running = state.instances.get(name).map(|there| observed(name, there).status);
            Ok(running.filter(|status| matches!(status, Status::Running { .. })).map(|_| 1_000_000))
        })
    }
    async fn list(&self, key: &str, value: &str) -> Result<Vec<Observed>, EngineError> {
        self.call("list", value, |state| {
            let all = state.instances.iter();
            let ours = all.filter(|(_, (spec, _))| spec.labels.get(key).is_some_and(|there| there == value));
            Ok(ours.map(|(name, there)| observed(name, there)).collect())
        })
    }
    async fn wait(&self, name: &str) -> Result<Status, EngineError> {
        let mut changed = self.changed.subscribe();
        self.call("wait", name, |_| Ok(()))?;
        loop {
            match self.state().instances.get(name) {
                None => return Err(EngineError::NotFound(name.to_owned())),
                Some((_, ended @ Status::Exited { .. })) => return Ok(ended.clone()),
                Some((_, Status::Created | Status::Running { .. })) => {}
            }
            let _ = changed.changed().await;
        }
    }
    async fn stop(&self, name: &str, _grace: Duration) -> Result<(), EngineError> {
        self.call("stop", name, |state| {
            state.end(name, Status::Exited { code: 0, out_of_memory: false });
            Ok(())
        })?;
        self.changed.send_replace(());
        Ok(())
    }
    async fn kill(&self, name: &str) -> Result<(), EngineError> {
        self.call("kill", name, |state| {
            state.end(name, Status::Exited { code: KILLED, out_of_memory: false });
            Ok(())
        })?;
        self.changed.send_replace(());
        Ok(())
    }
    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        self.call("remove", name, |state| {
            state.end(name, Status::Exited { code: KILLED, out_of_memory: false });
            state.instances.remove(name);
            Ok(())
        })?;
        self.changed.send_replace(());
        Ok(())
    }
    async fn pull(&self, reference: &ImageReference, tag: &str) -> Result<(), EngineError> {
        self.call("pull", tag, |state| {
            if state.gone.contains(&reference.digest) {
                return Err(EngineError::LayerGone(reference.repository.clone()));
            }
            let labels = state.offered.get(&reference.digest).cloned().unwrap_or_default();
            state.images.insert(tag.to_owned(), labels);
            Ok(())
        })
    }
    async fn has_image(&self, tag: &str) -> Result<bool, EngineError> {
        self.call("has_image", tag, |state| Ok(state.images.contains_key(tag)))
    }
    async fn remove_image(&self, tag: &str) -> Result<(), EngineError> {
        self.call("remove_image", tag, |state| {
            if !state.instances.values().any(|(spec, _)| spec.image == tag) {
                state.images.remove(tag);
            }
            Ok(())
        })
    }
    async fn images(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.call("images", value, |state| {
            let ours = state.images.iter().filter(|(_, labels)| labels.get(key).is_some_and(|there| there == value));
            Ok(ours.map(|(tag, _)| tag.clone()).collect())
        })
    }
    async fn image_facts(&self, tag: &str) -> Result<Option<ImageFacts>, EngineError> {
        self.call("image_facts", tag, |state| Ok(state.images.contains_key(tag).then(ImageFacts::default)))
    }
    async fn hints(&self, key: &str, value: &str) -> Result<mpsc::Receiver<Hint>, EngineError> {
        self.call("hints", value, |state| {
            let (sender, receiver) = mpsc::channel(HINTS_MAX);
            state.readers.push((key.to_owned(), value.to_owned(), sender));
            Ok(receiver)
        })
    }
}
