//! What the pusher sees of a Dockerfile's build: steps, their output, times; and what is kept for the end if one fails.

use crate::text::{human_bytes, plain};
use crate::time::human_millis;
use std::collections::{BTreeMap, VecDeque};

/// Last lines of a step that are repeated when it fails.
const TAIL: usize = 15;
/// Longest name of a step, and longest line of output.
const NAME_MAX: usize = 200;
const LINE_MAX: usize = 4_000;
/// Steps and transfers that are kept track of; a build with more is shown without them.
const STEPS_MAX: usize = 2_000;
/// A step shorter than this has no time shown.
const TIMED_MILLIS: u64 = 500;

/// What the engine reports now and then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps that began, ended or changed.
    pub steps: Vec<Step>,
    /// Output.
    pub logs: Vec<Log>,
    /// Transfers and the like.
    pub statuses: Vec<Status>,
}

/// One step of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The same in all reports.
    pub id: String,
    /// `[2/5] RUN npm ci`.
    pub name: String,
    /// When it began, in milliseconds.
    pub began: Option<u64>,
    /// When it ended.
    pub ended: Option<u64>,
    /// Whether the result was there.
    pub cached: bool,
    /// Why it failed.
    pub error: String,
}

/// Output of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Whose.
    pub step: String,
    /// Bytes as they came.
    pub text: String,
}

/// How far a transfer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whose.
    pub step: String,
    /// What is transferred.
    pub id: String,
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all; 0 where nobody knows.
    pub total: u64,
}

/// A line for the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A step.
    Head(String),
    /// Output, or something about a step.
    Detail(String),
}

/// Follows one build.
#[derive(Debug, Default)]
pub struct Progress {
    steps: BTreeMap<String, Seen>,
    /// The step whose output was shown last.
    shown: String,
    failed: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    name: String,
    began: Option<u64>,
    over: bool,
    headed: bool,
    partial: String,
    tail: VecDeque<String>,
    transfers: BTreeMap<String, (u64, u64)>,
}

impl Progress {
    /// What a report adds to the screen.
    pub fn take(&mut self, report: &Report) -> Vec<Line> {
        let mut lines = Vec::new();
        for step in &report.steps {
            self.step(step, &mut lines);
        }
        for status in &report.statuses {
            if let Some(seen) = self.steps.get_mut(&status.step)
                && (seen.transfers.len() < STEPS_MAX || seen.transfers.contains_key(&status.id))
            {
                seen.transfers.insert(status.id.clone(), (status.current, status.total));
            }
        }
        for log in &report.logs {
            self.log(log, &mut lines);
        }
        lines
    }

    /// What to say when nothing was said for a while; `now` is the engine's clock, in milliseconds.
    pub fn waiting(&self, now: u64) -> String {
        let open = self.steps.values().filter(|seen| !seen.over && seen.began.is_some());
        let Some(seen) = open.max_by_key(|seen| (!internal(&seen.name), seen.began)) else {
            return "Waiting for the engine".to_owned();
        };
        let took = human_millis(now.saturating_sub(seen.began.unwrap_or(now)));
        let (have, total) = seen.transfers.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let bytes = match (have, total) {
            (0, _) => String::new(),
            (have, 0) => format!(", {}", human_bytes(have)),
            (have, total) => format!(", {} of {}", human_bytes(have), human_bytes(total)),
        };
        format!("Still at {} ({took}{bytes})", seen.name)
    }

    /// The step that failed and its last lines.
    pub fn failure(&self) -> Option<(String, Vec<String>)> {
        let seen = self.steps.get(self.failed.as_ref()?)?;
        let partial = (!seen.partial.is_empty()).then(|| plain(&seen.partial));
        Some((seen.name.clone(), seen.tail.iter().cloned().chain(partial).collect()))
    }

    fn step(&mut self, step: &Step, lines: &mut Vec<Line>) {
        if !self.steps.contains_key(&step.id) && self.steps.len() >= STEPS_MAX {
            return;
        }
        let seen = self.steps.entry(step.id.clone()).or_default();
        if !step.name.is_empty() {
            seen.name = name(&step.name);
        }
        seen.began = step.began.or(seen.began);
        let quiet = internal(&seen.name);
        if seen.began.is_some() && !seen.headed && !quiet {
            seen.headed = true;
            self.shown.clone_from(&step.id);
            lines.push(Line::Head(seen.name.clone()));
        }
        if !step.error.is_empty() && !step.error.contains("context canceled") && self.failed.is_none() {
            self.failed = Some(step.id.clone());
        }
        let (Some(ended), false) = (step.ended, seen.over) else { return };
        seen.over = true;
        flush(seen, quiet, lines);
        let took = ended.saturating_sub(seen.began.unwrap_or(ended));
        if quiet || !step.error.is_empty() {
            return;
        }
        if step.cached {
            lines.push(Line::Detail("cached".to_owned()));
        } else if took >= TIMED_MILLIS {
            let which = if self.shown == step.id { String::new() } else { format!("{}: ", seen.name) };
            lines.push(Line::Detail(format!("{which}done in {}", human_millis(took))));
        }
    }

    fn log(&mut self, log: &Log, lines: &mut Vec<Line>) {
        let Some(seen) = self.steps.get_mut(&log.step) else { return };
        // Of two steps at once each says its name before its lines.
        if self.shown != log.step && !internal(&seen.name) {
            self.shown.clone_from(&log.step);
            lines.push(Line::Head(seen.name.clone()));
        }
        for c in log.text.chars() {
            match c {
                '\n' => {
                    let line = plain(last_state(&seen.partial));
                    seen.partial.clear();
                    keep(seen, &line);
                    lines.push(Line::Detail(line));
                }
                c if seen.partial.len() < LINE_MAX => seen.partial.push(c),
                _ => {}
            }
        }
    }
}

/// A progress bar draws one line over and over: its last state counts.
fn last_state(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line)
}

fn flush(seen: &mut Seen, quiet: bool, lines: &mut Vec<Line>) {
    if !seen.partial.is_empty() && !quiet {
        let line = plain(last_state(&seen.partial));
        seen.partial.clear();
        keep(seen, &line);
        lines.push(Line::Detail(line));
    }
}

fn keep(seen: &mut Seen, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    seen.tail.push_back(line.to_owned());
    if seen.tail.len() > TAIL {
        seen.tail.pop_front();
    }
}

fn internal(name: &str) -> bool {
    name.starts_with("[internal]") || name.is_empty()
}

/// As it is in the Dockerfile, as far as that can be known: the builder writes whole image names.
fn name(text: &str) -> String {
    if text == "exporting to image" {
        return "Exporting the image".to_owned();
    }
    let text = super::explain::without_hub(&plain(text));
    match text.char_indices().nth(NAME_MAX) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}
