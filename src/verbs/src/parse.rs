//! Words to a [`Request`], by the table alone.

use super::elsewhere;
use super::parsed::Parsed;
use super::request::{Format, Request};
use super::spec::{AppArg, Flag, Shape, Spec, Takes};
use crate::table::TABLE;
use crate::verb::Verb;
use domain::names::{AppName, ProcessType, VarName};
use domain::refusal::Code;
use domain::refusal::Refusal;
use domain::text;
use domain::words;

/// Bytes of a word that is a name, a number or the like; values and commands of the user's own may be longer.
const WORD_MAX: usize = 4_096;

/// The app of the table's examples.
const EXAMPLE_APP: &str = "blog";

const APP: Flag = Flag { long: "app", short: Some('a'), takes: Takes::Value("APP"), help: "" };
const FORMAT: Flag = Flag { long: "format", short: None, takes: Takes::Value("text|json"), help: "" };
const JSON: Flag = Flag { long: "json", short: None, takes: Takes::Nothing, help: "" };
const HELP: Flag = Flag { long: "help", short: Some('h'), takes: Takes::Nothing, help: "" };

/// The row of a verb's name or alias.
pub fn find(name: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.name == name || spec.aliases.contains(&name)).copied()
}

/// What the words ask for.
pub fn parse(words: &[String]) -> Result<Request, Refusal> {
    let moved = match app_moved(words) {
        Some(Moved::Sure(words)) => Some(words),
        Some(Moved::Perhaps(_)) | None => None,
    };
    let words = moved.as_deref().unwrap_or(words);
    let (app_first, words) = leading_app(words);
    let Some((name, rest)) = words.split_first() else {
        return Ok(help_request(None));
    };
    if let Some(about) = name.strip_suffix(":help") {
        return Ok(help_request(Some(about)));
    }
    let spec = find(name).ok_or_else(|| unknown(name, app_first, rest))?;
    if spec.git {
        return git(spec, rest);
    }
    let mut typed = Typed { app: app_first.map(str::to_owned), ..Typed::default() };
    if name == "run:detached" {
        typed.parsed.flags.insert("detach", None);
    }
    let done = typed.request(spec, rest);
    done.map_err(|no| typed.at_hand(spec, no))
}

/// The words of a verb with a command of the user's own, the app put first that `-a APP` named behind the command's first words.
pub(super) enum Moved<W> {
    /// `run bash -a blog`: the words have no other meaning.
    Sure(Vec<W>),
    /// `run rake db:migrate -a blog`, if there is no app rake: else `-a blog` is for the program.
    Perhaps(Vec<W>),
}

/// See [`Moved`]; `None` where no option names the app there.
pub(super) fn app_moved<W: AsRef<str> + Clone + From<String>>(words: &[W]) -> Option<Moved<W>> {
    let (verb, rest) = words.split_first()?;
    let spec = find(verb.as_ref()).filter(|spec| spec.takes_command())?;
    let typed = rest.iter().take_while(|word| word.as_ref() != "--");
    let at = typed
        .clone()
        .position(|word| matches!(word.as_ref(), "-a" | "--app") || word.as_ref().starts_with("--app="))?;
    let option = rest.get(at)?;
    let (app, behind) = match option.as_ref().split_once('=') {
        Some((_, app)) => (W::from(app.to_owned()), at + 1),
        None => (rest.get(at + 1)?.clone(), at + 2),
    };
    let (before, after) = (rest.get(..at)?, rest.get(behind..)?);
    let plain: Vec<String> = before.iter().map(|word| word.as_ref().to_owned()).collect();
    let mut typed = Typed::default();
    typed.read(spec, &plain).ok()?;
    if typed.app.is_some() || typed.positionals.is_empty() && typed.command.is_empty() {
        return None;
    }
    let all = [verb.clone(), app].into_iter().chain(before.iter().cloned()).chain(after.iter().cloned()).collect();
    Some(if typed.command.is_empty() { Moved::Sure(all) } else { Moved::Perhaps(all) })
}

/// Where the user's own command begins among the words, if there is one.
pub(super) fn command_at(words: &[String]) -> Option<usize> {
    let (app, rest) = leading_app(words);
    let (verb, rest) = rest.split_first()?;
    let spec = find(verb).filter(|spec| spec.takes_command())?;
    let mut typed = Typed { app: app.map(str::to_owned), ..Typed::default() };
    typed.read(spec, rest).ok()?;
    if typed.command.is_empty() { None } else { Some(words.len() - typed.command.len()) }
}

/// `-a APP` before the verb, as Dokku's users write it.
fn leading_app(words: &[String]) -> (Option<&str>, &[String]) {
    match words {
        [flag, app, rest @ ..] if flag == "-a" || flag == "--app" => (Some(app), rest),
        _ => (None, words),
    }
}

fn help_request(about: Option<&str>) -> Request {
    let mut args = Parsed::default();
    if let Some(about) = about.filter(|a| !a.is_empty()) {
        args.args.insert("COMMAND", vec![about.to_owned()]);
    }
    Request { verb: Verb::Help, app: None, args, format: Format::Text }
}

/// git's verbs take one word in one grammar: `/blog.git`, `blog`. Those of git-lfs say after it which way files go.
fn git(spec: &'static Spec, rest: &[String]) -> Result<Request, Refusal> {
    let bad = || {
        Refusal::new(Code::BadRepository, "this is not the path of an app's repository")
            .why("allowed: the app's name, with or without a leading / and a trailing .git")
            .next("git remote set-url hoist ssh://HOST:PORT/APP")
    };
    let Some((path, more)) = rest.split_first() else { return Err(bad()) };
    let (least, most) = (spec.args.iter().filter(|arg| arg.required).count(), spec.args.len());
    if !(least..=most).contains(&more.len()) {
        return Err(bad());
    }
    let name = path.strip_prefix('/').unwrap_or(path);
    let name = name.strip_suffix(".git").unwrap_or(name);
    let app: AppName = name.parse().map_err(|no: Refusal| {
        let mut refusal = bad();
        refusal.why = [no.what, no.why].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("\n");
        refusal
    })?;
    let args = spec.args.iter().zip(more).map(|(arg, word)| (arg.name, vec![word.clone()])).collect();
    let args = Parsed { args, ..Parsed::default() };
    if args.raw("OPERATION").iter().any(|operation| !matches!(operation.as_str(), "upload" | "download")) {
        return Err(misuse(spec, "the operation is upload or download".to_owned()));
    }
    Ok(Request { verb: spec.verb, app: Some(app), args, format: Format::Text })
}

#[derive(Default)]
struct Typed {
    app: Option<String>,
    positionals: Vec<String>,
    /// A command of the user's own.
    command: Vec<String>,
    parsed: Parsed,
    format: Format,
    help: bool,
}

impl Typed {
    fn request(&mut self, spec: &'static Spec, words: &[String]) -> Result<Request, Refusal> {
        self.read(spec, words)?;
        if self.help {
            return Ok(help_request(Some(spec.name)));
        }
        let app = self.take_app(spec)?;
        let args = self.distribute(spec)?;
        confirmation(spec, app.as_ref(), &args)?;
        Ok(Request { verb: spec.verb, app, args, format: self.format })
    }

    /// A refusal whose steps, the examples of the table among them, are about the app that was typed.
    fn at_hand(&self, spec: &Spec, mut no: Refusal) -> Refusal {
        let typed = self.app.as_ref().or_else(|| self.positionals.first().filter(|_| spec.app != AppArg::None));
        let Some(app) = typed.and_then(|word| word.parse::<AppName>().ok()) else { return no };
        for step in &mut no.next {
            let example = spec.examples.contains(&step.as_str());
            let named = |word| if example && word == EXAMPLE_APP { app.as_str() } else { word };
            *step = step.split(' ').map(named).collect::<Vec<_>>().join(" ");
        }
        no.for_app(app.as_str())
    }

    fn read(&mut self, spec: &'static Spec, words: &[String]) -> Result<(), Refusal> {
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--" if spec.takes_command() => self.command.extend(rest.by_ref().cloned()),
                "--" => self.positionals.extend(rest.by_ref().cloned()),
                long if long.starts_with("--") => {
                    let name = long.trim_start_matches("--");
                    let (name, value) = name.split_once('=').map_or((name, None), |(n, v)| (n, Some(v.to_owned())));
                    let flag = find_flag(spec, |f| f.long == name).ok_or_else(|| unknown_option(spec, word))?;
                    let value = match (flag.takes, value) {
                        (Takes::Nothing, None) => None,
                        (Takes::Nothing, Some(_)) => return Err(misuse(spec, format!("--{name} takes no value"))),
                        (Takes::Value(_) | Takes::Confirmation | Takes::SecretPairs, Some(value)) => Some(value),
                        (Takes::Value(_) | Takes::Confirmation | Takes::SecretPairs, None) => {
                            Some(value_of(spec, flag, rest.next())?)
                        }
                    };
                    self.option(spec, flag, value)?;
                }
                short if short.starts_with('-') && short.len() > 1 => self.shorts(spec, word, &mut rest)?,
                _ if self.command_begins(spec) => {
                    self.command.push(word.clone());
                    self.command.extend(rest.by_ref().cloned());
                }
                _ => self.positionals.push(word.clone()),
            }
        }
        Ok(())
    }

    /// Whether every word before the user's own command is there.
    fn command_begins(&self, spec: &Spec) -> bool {
        let app = usize::from(spec.app != AppArg::None && self.app.is_none());
        spec.takes_command() && self.positionals.len() >= app + spec.args.len().saturating_sub(1)
    }

    fn shorts<'a>(
        &mut self,
        spec: &'static Spec,
        word: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Refusal> {
        let mut letters = word.get(1..).unwrap_or_default().chars();
        while let Some(letter) = letters.next() {
            let flag = find_flag(spec, |f| f.short == Some(letter)).ok_or_else(|| unknown_option(spec, word))?;
            let value = match flag.takes {
                Takes::Nothing => None,
                Takes::Value(_) | Takes::Confirmation | Takes::SecretPairs => {
                    let attached = letters.as_str().to_owned();
                    letters = "".chars();
                    Some(if attached.is_empty() { value_of(spec, flag, rest.next())? } else { attached })
                }
            };
            self.option(spec, flag, value)?;
        }
        Ok(())
    }

    fn option(&mut self, spec: &'static Spec, flag: &'static Flag, value: Option<String>) -> Result<(), Refusal> {
        match (flag.long, value) {
            ("help", _) => self.help = true,
            ("json", _) => self.format = Format::Json,
            // A verb whose own option this is has formats of its own.
            ("format", Some(value)) if spec.takes_format() => {
                self.format = match value.as_str() {
                    "text" => Format::Text,
                    "json" => Format::Json,
                    _ => return Err(misuse(spec, "--format takes text or json".to_owned())),
                }
            }
            ("app", value) => match (&self.app, &value) {
                (Some(one), Some(other)) if one != other => {
                    return Err(misuse(spec, "two different apps are named".to_owned()));
                }
                (Some(_) | None, Some(_) | None) => self.app = value,
            },
            (long, Some(value)) if flag.takes == Takes::SecretPairs => {
                if !value.contains('=') {
                    return Err(misuse(spec, format!("--{long} takes NAME=VALUE")));
                }
                self.parsed.args.entry(long).or_default().push(value);
            }
            (long, Some(value)) if value.len() > WORD_MAX => return Err(too_long(spec, long, value.len())),
            (long, value) => {
                self.parsed.flags.insert(long, value);
            }
        }
        Ok(())
    }

    /// The app: from `-a`, else the first positional.
    fn take_app(&mut self, spec: &'static Spec) -> Result<Option<AppName>, Refusal> {
        match spec.app {
            AppArg::None if self.app.is_some() => Err(misuse(spec, format!("{} is not about one app", spec.name))),
            AppArg::None => Ok(None),
            AppArg::Required | AppArg::GitPath | AppArg::Optional => {
                let value = spec.has_secrets() && self.positionals.first().is_some_and(|word| word.contains('='));
                if self.app.is_none() && !self.positionals.is_empty() && !value {
                    self.app = Some(self.positionals.remove(0));
                }
                match &self.app {
                    Some(name) => name.parse().map(Some).map_err(|no| instance_first(spec, name).unwrap_or(no)),
                    None if spec.app == AppArg::Optional => Ok(None),
                    None => Err(misuse(spec, "which app? Name it as the first argument".to_owned()).next("apps:list")),
                }
            }
        }
    }

    fn distribute(&mut self, spec: &'static Spec) -> Result<Parsed, Refusal> {
        let needs = spec.args.iter().any(|arg| arg.required && arg.shape == Shape::Command);
        if needs && self.command.is_empty() && self.positionals.last().is_some_and(|word| !word.contains('.')) {
            // `ps:exec blog ls`: what must be there goes before what may.
            self.command = self.positionals.split_off(self.positionals.len() - 1);
        }
        let mut rest = std::mem::take(&mut self.positionals).into_iter().peekable();
        for arg in spec.args {
            let taken: Vec<String> = if arg.shape == Shape::Command {
                std::mem::take(&mut self.command)
            } else if arg.repeated {
                rest.by_ref().collect()
            } else {
                rest.next().into_iter().collect()
            };
            if taken.is_empty() && arg.required {
                return Err(misuse(spec, format!("{} is missing", arg.name)));
            }
            if arg.shape == Shape::Word
                && let Some(word) = taken.iter().find(|w| w.len() > WORD_MAX)
            {
                return Err(too_long(spec, arg.name, word.len()));
            }
            if matches!(arg.shape, Shape::Pair | Shape::SecretPair)
                && let Some(word) = taken.iter().find(|w| !w.contains('='))
            {
                return Err(no_equals(spec, word, taken.first().filter(|first| first.contains('='))));
            }
            if arg.shape == Shape::SecretPair
                && let [cut, _, ..] = taken.as_slice()
                && let Some((name, value)) = cut.split_once('=')
                && value.starts_with(['{', '['])
                && !value.ends_with(['}', ']'])
            {
                return Err(came_apart(spec, name));
            }
            if !taken.is_empty() {
                self.parsed.args.insert(arg.name, taken);
            }
        }
        if let Some(extra) = rest.next() {
            return Err(misuse(spec, format!("{} is one argument too many", shown(&extra))));
        }
        if spec.verb == Verb::ConfigSet && self.parsed.args.is_empty() && !self.parsed.given("stdin") {
            return Err(misuse(spec, "NAME=VALUE is missing".to_owned()));
        }
        Ok(std::mem::take(&mut self.parsed))
    }
}

fn find_flag(spec: &'static Spec, is: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
    let common: [(&'static Flag, bool); 4] =
        [(&APP, spec.app != AppArg::None), (&FORMAT, spec.takes_format()), (&JSON, spec.answers_json()), (&HELP, true)];
    // A verb's own option wins over a common one of the same letter.
    spec.flags.iter().find(|f| is(f)).or_else(|| common.into_iter().find(|(f, on)| *on && is(f)).map(|(f, _)| f))
}

fn value_of(spec: &'static Spec, flag: &Flag, next: Option<&String>) -> Result<String, Refusal> {
    next.cloned().ok_or_else(|| misuse(spec, format!("--{} needs a value", flag.long)))
}

fn confirmation(spec: &'static Spec, app: Option<&AppName>, args: &Parsed) -> Result<(), Refusal> {
    let (Some(flag), Some(app)) = (spec.flags.iter().find(|f| f.takes == Takes::Confirmation), app) else {
        return Ok(());
    };
    if args.raw_value(flag.long) == Some(app.as_str()) {
        return Ok(());
    }
    let what = match args.raw_value(flag.long) {
        None => format!("{} {app} cannot be undone: confirm it", spec.name),
        Some(_) => format!("the confirmation does not name the app {app}"),
    };
    Err(Refusal::new(Code::NotConfirmed, what).next(format!("{} {app} --{} {app}", spec.name, flag.long)))
}

/// There is no such command: what to do instead, or what was meant. `app` stands before the name, `rest` follows it.
pub fn unknown(name: &str, app: Option<&str>, rest: &[String]) -> Refusal {
    // What follows a = may be a value.
    let shown_name = shown(name.split('=').next().unwrap_or(name));
    let refusal = Refusal::new(Code::UnknownCommand, format!("there is no command {shown_name}"));
    let before = app.into_iter().flat_map(|app| ["-a".to_owned(), app.to_owned()]);
    if let Some(row) = elsewhere::find(name) {
        let words: Vec<String> = before.chain(rest.iter().cloned()).collect();
        return row.steps(&words).into_iter().fold(refusal.why(row.says), Refusal::next);
    }
    let near = meant(name);
    if near.is_empty() {
        refusal.next("help")
    } else {
        refusal.why(format!("did you mean {}?", near.join(", "))).next("help")
    }
}

/// Our own names of what is spelt nearly so, of the same family if it names one. Never what ends or takes away something.
fn meant(name: &str) -> Vec<&'static str> {
    let harmless = || TABLE.iter().filter(|spec| !spec.git && !spec.takes_away);
    let family = |name: &str| name.split_once(':').map(|(family, _)| family.to_owned());
    let related = |known: &str| match (family(name), family(known)) {
        (Some(typed), Some(known)) => !text::did_you_mean(&typed, [known.as_str()]).is_empty(),
        (Some(_), None) | (None, Some(_)) | (None, None) => true,
    };
    let known = harmless().flat_map(|s| std::iter::once(&s.name).chain(s.aliases)).copied();
    let near = text::did_you_mean(name, known.filter(|known| related(known)));
    let mut names: Vec<&str> = near.into_iter().filter_map(find).map(|spec| spec.name).collect();
    if names.is_empty() {
        names = harmless().filter(|s| s.name.ends_with(&format!(":{name}"))).map(|s| s.name).take(3).collect();
    }
    names.dedup();
    names
}

/// `ps:kill web.1`: an instance where the app should be.
fn instance_first(spec: &'static Spec, word: &str) -> Option<Refusal> {
    let (process, number) = word.split_once('.')?;
    let process: ProcessType = process.parse().ok()?;
    number.parse::<u32>().ok()?;
    let no =
        Refusal::new(Code::Usage, format!("which app? {word} is an instance")).why(format!("usage: {}", spec.usage()));
    Some(match spec.verb {
        Verb::PsStop if process.as_str() != "run" => {
            no.next(format!("ps:scale APP {process}=0")).next(format!("ps:restart APP {word}"))
        }
        _ => no.next(format!("{} APP {word}", spec.name)),
    })
}

fn unknown_option(spec: &'static Spec, word: &str) -> Refusal {
    if spec.has_secrets() {
        // It may be the rest of a value, which nobody should see.
        return misuse(spec, format!("{} has no such option", spec.name))
            .next(format!("{} APP --stdin NAME < FILE  (takes any value as it is)", spec.name));
    }
    let name = word.split('=').next().unwrap_or(word);
    misuse(spec, format!("{} has no option {}", spec.name, shown(name)))
        .next("put -- before arguments that begin with -")
}

fn too_long(spec: &'static Spec, name: &str, bytes: usize) -> Refusal {
    misuse(spec, format!("{name} is too long: {bytes} bytes, at most {WORD_MAX}"))
}

/// `first` is a pair that came before: the word may then be the rest of its value, which nobody should see.
fn no_equals(spec: &'static Spec, word: &str, first: Option<&String>) -> Refusal {
    if let Some((name, _)) = first.filter(|_| spec.has_secrets()).and_then(|first| first.split_once('=')) {
        return came_apart(spec, name);
    }
    let what = if spec.has_secrets() {
        "this is not NAME=VALUE: there is no =".to_owned()
    } else {
        format!("{} is not {}: there is no =", shown(word), pair_name(spec))
    };
    let no = misuse(spec, what);
    // Only a command about an app has values with spaces in them.
    match spec.app {
        AppArg::None => no,
        AppArg::Required | AppArg::Optional | AppArg::GitPath => {
            no.next(format!("{} APP \"NAME='a value with spaces'\" (quoted for both shells)", spec.name))
        }
    }
}

/// How the verb writes its pairs: `KEY=VALUE`.
fn pair_name(spec: &Spec) -> &'static str {
    spec.args.iter().find(|arg| arg.shape == Shape::Pair).map_or("NAME=VALUE", |arg| arg.name)
}

/// A value with blanks in it, of which the quotes were for the user's own shell alone.
fn came_apart(spec: &'static Spec, name: &str) -> Refusal {
    let name = name.parse::<VarName>().map_or_else(|_| "NAME".to_owned(), |name| name.to_string());
    misuse(spec, "a value came apart at a blank: your shell has taken its quotes".to_owned())
        .next(format!("{} APP \"{name}='a value with spaces'\"", spec.name))
        .next(format!("{} APP --stdin {name} < FILE  (takes any value as it is)", spec.name))
}

/// A refusal with the usage line and an example; not of what a slip of a finger must not do.
fn misuse(spec: &'static Spec, what: String) -> Refusal {
    let mut refusal = Refusal::new(Code::Usage, what).why(format!("usage: {}", spec.usage()));
    match spec.examples.first() {
        Some(_) if matches!(spec.verb, Verb::Shutdown | Verb::AppsDestroy | Verb::UsersRemove) => {
            refusal = refusal.next(format!("help {}", spec.name));
        }
        Some(example) => refusal = refusal.next((*example).to_owned()),
        None => {}
    }
    refusal
}

/// A word of the user in a refusal: quoted, short, harmless to a terminal.
fn shown(word: &str) -> String {
    let plain = text::plain(word);
    let short: String = plain.chars().take(40).collect();
    let dots = if short.len() < plain.len() { "…" } else { "" };
    if short.is_empty() { "\"\"".to_owned() } else { format!("{}{dots}", words::quote(&short)) }
}
