//! What a plan has to know from outside: the questions, as programs to run, and the answers.
//! Invariant: a question's words are ours and never the app's; who asks it has nothing to understand.
//! Absent: asking. The shell runs the program in a container of builds and keeps the answer for other apps.

use crate::refusal::Code;
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// A fact that must be brought before there can be a plan: what a program prints on the app's build stack.
#[derive(Debug, Clone)]
pub struct Question {
    /// One question has one, and it can be a file's name: `npm-npm`.
    pub id: String,
    /// What is looked up, for people: `Node.js`.
    pub name: String,
    /// Who is asked, for people: `the npm registry`.
    pub registry: &'static str,
    /// The registry's ordinary client, and its arguments.
    pub argv: Vec<String>,
    /// What the client printed, as a list; none if that is no answer.
    pub read: fn(&str) -> Option<Vec<String>>,
}

/// The answers, by the questions' ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<String, Vec<String>>);

impl Facts {
    /// Adds an answer.
    pub fn insert(&mut self, question: &Question, answer: Vec<String>) {
        self.0.insert(question.id.clone(), answer);
    }

    /// The answer, or the question again.
    pub(crate) fn get(&self, question: Question) -> Result<&[String], Stop> {
        self.0.get(&question.id).map(Vec::as_slice).ok_or_else(|| Stop::Ask(vec![question]))
    }
}

/// Why there are no versions yet.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// These are missing.
    Ask(Vec<Question>),
    /// The app must change.
    Refuse(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refuse(refusal)
    }
}

impl Stop {
    /// For a plan, which comes when all questions were asked: an answer that is missing then could not be had.
    pub(crate) fn refusal(self, what: &str, registry: &str) -> Refusal {
        match self {
            Stop::Refuse(refusal) => refusal,
            Stop::Ask(_) => {
                let why = "the list of published versions could not be brought";
                Refusal::new(Code::VersionsUnknown, what, why, &format!("push again; {registry} may be back"))
            }
        }
    }
}

/// The questions that a choice of versions ends with.
pub(crate) fn missing<T>(chosen: Result<T, Stop>) -> Result<Vec<Question>, Refusal> {
    match chosen {
        Ok(_) => Ok(Vec::new()),
        Err(Stop::Ask(questions)) => Ok(questions),
        Err(Stop::Refuse(refusal)) => Err(refusal),
    }
}
