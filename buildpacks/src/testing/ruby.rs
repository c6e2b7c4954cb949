//! The worked example of CONTRIBUTING.md: a language in one folder, which the tests put into a table of their own.
//! Invariant: it uses what the languages of the product use, and nothing of a test's.
//! Absent: a Ruby that anybody could work with.

use crate::facts::{Facts, Question, Stop, missing};
use crate::language::{Claim, Language, Look, nothing_to_explain};
use crate::plan::{Env, Inputs, KeyPart, Layer, Mount, MountMode, Output, Pins, Plan, Scope, Settings, Step};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::tree::{FILE_MAX, LOCK_MAX, Tree};
use std::collections::BTreeMap;

pub(crate) const LANGUAGE: Language = Language {
    name: "ruby",
    aliases: &["heroku/ruby"],
    signs: &["Gemfile"],
    add: "a Gemfile (Ruby)",
    looks: &[Look::Into("Gemfile", FILE_MAX), Look::Into("Gemfile.lock", LOCK_MAX), Look::There("config.ru")],
    claim: |tree| Ok(if tree.has_file("Gemfile") { Claim::Likely } else { Claim::None }),
    ask: |_, _, pins| missing(version(pins, &Facts::default())),
    plan,
    lock: None,
    causes: &[(
        "Could not find gem '",
        "no gem is called %",
        &["correct Gemfile, `bundle lock`, commit both and push"],
    )],
    explain: nothing_to_explain,
    usual: &[("Gemfile", "gem 'rack'\n"), ("Gemfile.lock", "GEM\n"), ("config.ru", "run App\n")],
};

/// The Ruby of the last build, else the newest.
fn version(pins: &Pins, facts: &Facts) -> Result<String, Stop> {
    if let Some(pin) = pins.get("ruby") {
        return Ok(pin.clone());
    }
    let published = facts.get(Question {
        id: "rubies".to_owned(),
        name: "Ruby".to_owned(),
        registry: "Debian's packages",
        argv: ["apt-cache", "pkgnames", "ruby3"].map(str::to_owned).to_vec(),
        read: |text| Some(text.lines().filter_map(|line| line.strip_prefix("ruby")).map(str::to_owned).collect()),
    })?;
    let none = || Refusal::new(Code::NoRuby, "there is no Ruby", "Debian names none", "push again");
    published.iter().max().cloned().ok_or_else(|| none().into())
}

fn plan(tree: &Tree, _: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    let version =
        version(pins, facts).map_err(|stop| stop.refusal("the Ruby version cannot be chosen", "the mirror"))?;
    if !tree.has_file("Gemfile.lock") {
        let why = "no Gemfile.lock says which versions";
        return Err(Refusal::new(Code::LockMissing, "gems cannot be installed", why, "bundle lock, commit and push"));
    }
    let files = ["Gemfile", "Gemfile.lock"].map(str::to_owned);
    let runtime = Layer {
        key: vec![KeyPart::text("ruby", &version), KeyPart::Stack],
        steps: vec![Step::new(format!("Fetching Ruby {version}"), &["fetch-ruby", &version]).at("/tmp")],
        outputs: vec![Output { from: "/layers/runtime".into(), to: "/opt/ruby".into(), exclude: Vec::new() }],
        ..Layer::empty("runtime", Scope::Host)
    };
    let gems = Layer {
        key: [KeyPart::text("ruby", &version)].into_iter().chain(files.clone().map(KeyPart::File)).collect(),
        inputs: Inputs::Files(files.to_vec()),
        mounts: vec![Mount {
            layer: "runtime".into(),
            from: "/layers/runtime".into(),
            at: "/opt/ruby".into(),
            mode: MountMode::ReadOnly,
        }],
        steps: vec![Step::new("Installing gems", &["bundle", "install"])],
        outputs: vec![Output::of_app("vendor/bundle", &[])],
        ..Layer::empty("dependencies", Scope::App)
    };
    let app = Layer {
        key: vec![KeyPart::Whole],
        inputs: Inputs::Whole,
        outputs: vec![Output::of_app("", &["vendor/bundle"])],
        ..Layer::empty("app", Scope::App)
    };
    let web = "bundle exec rackup --host 0.0.0.0 --port $PORT".to_owned();
    let rack = tree.has_file("config.ru") && !tree.has_file("Procfile");
    Ok(Plan {
        language: "Ruby".into(),
        decided: vec![format!("Ruby {version}")],
        warnings: Vec::new(),
        layers: vec![runtime, gems, app],
        processes: rack.then(|| ("web".to_owned(), web)).into_iter().collect::<BTreeMap<_, _>>(),
        launch_env: vec![Env::path("PATH", "/opt/ruby/bin")],
        pins: Pins::from([("ruby".to_owned(), version)]),
    })
}
