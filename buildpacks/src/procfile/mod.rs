//! Apps of a Procfile and no language: scripts and programs that the commit brings along.
//! Invariant: no container is started to build one.
//! Absent: finding a command; without a Procfile there is nothing to run.

use crate::facts::Facts;
use crate::language::{Claim, Language, Look, nothing_to_ask, nothing_to_explain};
use crate::plan::{Inputs, KeyPart, Layer, Output, Pins, Plan, Scope, Settings};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::tree::{FILE_MAX, Tree};
use std::collections::BTreeMap;

pub(crate) const LANGUAGE: Language = Language {
    name: "shell",
    aliases: &["procfile", "null"],
    signs: &["Procfile"],
    add: "a Procfile (anything that runs as it is)",
    looks: &[Look::Into("Procfile", FILE_MAX)],
    claim: |tree| Ok(if tree.has_file("Procfile") { Claim::Commands } else { Claim::None }),
    ask: nothing_to_ask,
    plan,
    lock: None,
    causes: &[],
    explain: nothing_to_explain,
    usual: &[],
};

fn plan(tree: &Tree, _: &Settings, _: &Pins, _: &Facts) -> Result<Plan, Refusal> {
    if !tree.has_file("Procfile") {
        let next = "add a Procfile with a line such as `web: ./serve.sh`, commit and push";
        return Err(Refusal::new(
            Code::NoProcfile,
            "nothing says what to run",
            "the buildpack is shell, and there is no Procfile",
            next,
        ));
    }
    let app = Layer {
        key: vec![KeyPart::Whole],
        inputs: Inputs::Whole,
        outputs: vec![Output::of_app("", &[])],
        ..Layer::empty("app", Scope::App)
    };
    Ok(Plan {
        language: "Procfile".into(),
        decided: vec!["no language's files are there: the Procfile's commands run as they are, with bash".into()],
        warnings: Vec::new(),
        layers: vec![app],
        processes: BTreeMap::new(),
        launch_env: Vec::new(),
        pins: Pins::new(),
    })
}
