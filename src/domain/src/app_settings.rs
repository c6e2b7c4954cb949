//! The settings of an app, declared once: `apps:set`, its help, `apps:info` and what refuses a value are all made of this
//! table. A new one is a field of [`AppSettings`] and a row of [`TABLE`]; CONTRIBUTING.md shows it with `drain-time`.

use crate::access::Principal;
use crate::dockerfile::{BuildSettings, settings as docker};
use crate::push::BranchName;
use crate::refusal::{Code, Refusal};
use crate::text::plain;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an app has set; what it has not is the default. Kept as JSON in the app's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// The branch whose push deploys; until the first push or a setting chose one, there is none.
    pub deploy_branch: Option<String>,
    /// The buildpack, by its own name, in place of what is detected.
    pub buildpack: Option<String>,
    /// The stack, by its own name.
    pub stack: Option<String>,
    /// The folder of the repository that is the app.
    pub root: Option<String>,
    /// Whether anybody may `enter` its instances.
    pub enter: bool,
    /// How its Dockerfile is built.
    pub build: BuildSettings,
    /// In place of the server's `boot-timeout`.
    pub boot_timeout: Option<Seconds>,
    /// See [`AppSettings::drain_time`].
    pub drain_time: Option<Seconds>,
    /// See [`AppSettings::stop_grace`].
    pub stop_grace: Option<Seconds>,
}

impl Default for AppSettings {
    fn default() -> AppSettings {
        AppSettings {
            deploy_branch: None,
            buildpack: None,
            stack: None,
            root: None,
            enter: true,
            build: BuildSettings::default(),
            boot_timeout: None,
            drain_time: None,
            stop_grace: None,
        }
    }
}

/// A time that somebody set, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u32);

impl Seconds {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

/// Drained, and stopped, for so long where an app sets nothing else.
const DEFAULT_STOP: Duration = Duration::from_secs(30);
/// The longest that an app may set: more would hold up the deploys of its own team for as long.
pub(crate) const SECONDS_MAX: u32 = 3_600;

impl AppSettings {
    /// What is set, in the order of the table.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        TABLE.iter().filter_map(|row| Some((row.name, row.shown(self)?)))
    }

    /// How long requests of an old instance may take to end before it is stopped. `drain-time`.
    pub fn drain_time(&self) -> Duration {
        self.drain_time.map_or(DEFAULT_STOP, Seconds::duration)
    }

    /// From SIGTERM to SIGKILL. `stop-grace`.
    pub fn stop_grace(&self) -> Duration {
        self.stop_grace.map_or(DEFAULT_STOP, Seconds::duration)
    }

    /// How long an instance may take until it serves; `usual` is the server's. `boot-timeout`.
    pub fn boot_timeout(&self, usual: Duration) -> Duration {
        self.boot_timeout.map_or(usual, Seconds::duration)
    }
}

/// From when on a changed setting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    /// From this moment on.
    Now,
    /// From the next push on.
    NextPush,
    /// From the next push on, or from building the commit that runs anew.
    NextBuild,
}

impl Counts {
    /// The sentence after "Set."
    pub fn sentence(self, app: &str) -> String {
        match self {
            Counts::Now => "It is in force now".to_owned(),
            Counts::NextPush => "It takes effect with the next push".to_owned(),
            Counts::NextBuild => {
                format!("It takes effect with the next push; to build what runs now again: ps:rebuild {app}")
            }
        }
    }
}

/// What a row asks to judge a value.
pub struct Known<'a> {
    /// Who sets it.
    pub who: &'a Principal,
    /// The app's name, for commands that are proposed.
    pub app: &'a str,
    /// A buildpack's own name, by any of its names.
    pub buildpack: &'a dyn Fn(&str) -> Option<&'static str>,
    /// All that there are, for the refusal.
    pub buildpacks: String,
    /// A stack's own name, by any of its names.
    pub stack: &'a dyn Fn(&str) -> Option<&'static str>,
    /// Whether the stack of this name is installed on the server.
    pub stack_there: &'a dyn Fn(&str) -> bool,
}

type Take = fn(&mut AppSettings, Option<&str>, &Known<'_>) -> Result<(), Refusal>;

/// One setting.
pub struct Setting {
    /// As it is typed.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// What it is, for help.
    pub about: &'static str,
    /// What `apps:info` shows where it is not set; empty: nothing.
    pub default: &'static str,
    /// A value that is taken.
    pub example: &'static str,
    /// When it counts.
    pub counts: Counts,
    take: Take,
    shown: fn(&AppSettings) -> Option<String>,
}

impl Setting {
    /// The row of a name.
    pub fn named(name: &str) -> Result<&'static Setting, Refusal> {
        let there = TABLE.iter().find(|row| row.name == name || row.aliases.contains(&name));
        there.ok_or_else(|| {
            let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
            Refusal::new(Code::NoSuchSetting, format!("there is no setting {}", plain(name)))
                .why(format!("settings: {}", names.join(", ")))
                .next("help apps:set")
        })
    }

    /// Takes a value; nothing is the default. A refusal leaves the settings as they were.
    pub fn take(&self, settings: &mut AppSettings, value: &str, known: &Known<'_>) -> Result<(), Refusal> {
        (self.take)(settings, (!value.is_empty()).then_some(value), known).map_err(|mut no| {
            no.next
                .iter_mut()
                .for_each(|step| *step = step.replace("apps:set APP ", &format!("apps:set {} ", known.app)));
            no
        })
    }

    /// The value, where one is set.
    pub fn shown(&self, settings: &AppSettings) -> Option<String> {
        (self.shown)(settings)
    }
}

/// Every setting, in the order of help and `apps:info`.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "deploy-branch",
        aliases: &[],
        about: "the branch whose push deploys",
        default: "main or master, whichever is pushed first",
        example: "production",
        counts: Counts::NextPush,
        take: |all, value, _| {
            value.map(str::parse::<BranchName>).transpose()?;
            all.deploy_branch = value.map(str::to_owned);
            Ok(())
        },
        shown: |all| all.deploy_branch.clone(),
    },
    Setting {
        name: "buildpack",
        aliases: &[],
        about: "node, python, go, static, shell or dockerfile, whatever the commit looks like",
        default: "detected",
        example: "node",
        counts: Counts::NextBuild,
        take: |all, value, known| {
            let unknown = || {
                Refusal::new(Code::NoSuchBuildpack, "there is no such buildpack")
                    .why(format!("known: {}", known.buildpacks))
                    .next("apps:set APP buildpack=node")
            };
            let name = value.map(|text| (known.buildpack)(text).ok_or_else(unknown)).transpose()?;
            all.buildpack = name.map(str::to_owned);
            Ok(())
        },
        shown: |all| all.buildpack.clone(),
    },
    Setting {
        name: "stack",
        aliases: &[],
        about: "the Debian that the app is built and run on: trixie (deb13) or bookworm (deb12)",
        default: "deb13",
        example: "bookworm",
        counts: Counts::NextBuild,
        take: |all, value, known| {
            let unknown = || {
                Refusal::new(Code::NoSuchStack, "there is no such stack")
                    .why("known: trixie (deb13, the default), bookworm (deb12)")
                    .next("apps:set APP stack=bookworm")
            };
            let name = value.map(|text| (known.stack)(text).ok_or_else(unknown)).transpose()?;
            if let Some(name) = name.filter(|name| !(known.stack_there)(name)) {
                return Err(stack_missing(name));
            }
            all.stack = name.map(str::to_owned);
            Ok(())
        },
        shown: |all| all.stack.clone(),
    },
    Setting {
        name: "root",
        aliases: &["build-dir"],
        about: "the folder of the repository that is the app",
        default: "the whole repository",
        example: "packages/api",
        counts: Counts::NextBuild,
        take: |all, value, _| {
            all.root = value.map(folder).transpose()?.filter(|folder| !folder.is_empty());
            Ok(())
        },
        shown: |all| all.root.clone(),
    },
    Setting {
        name: "enter",
        aliases: &[],
        about: "whether enter and ps:exec may be used; once it is off, only an administrator puts it on",
        default: "",
        example: "off",
        counts: Counts::Now,
        take: |all, value, known| {
            all.enter = match value {
                Some("off" | "no" | "false") => false,
                None | Some("on" | "yes" | "true") if known.who.is_admin() => true,
                None | Some("on" | "yes" | "true") => {
                    return Err(Refusal::new(Code::NotAllowed, "only an administrator may switch enter on again")
                        .next("ask an administrator for: apps:set APP enter=on"));
                }
                Some(_) => {
                    return Err(Refusal::new(Code::BadSetting, "enter takes on or off").next("apps:set APP enter=off"));
                }
            };
            Ok(())
        },
        shown: |all| (!all.enter).then(|| "off".to_owned()),
    },
    Setting {
        name: "boot-timeout",
        aliases: &[],
        about: "how long an instance may take until its port takes a connection, such as 90 or 2m",
        default: "",
        example: "90",
        counts: Counts::Now,
        take: |all, value, _| {
            all.boot_timeout = seconds("boot-timeout", value, 1)?;
            Ok(())
        },
        shown: |all| all.boot_timeout.map(shown),
    },
    Setting {
        name: "drain-time",
        aliases: &["drain-timeout"],
        about: "how long requests of an old instance may take to end before it is stopped (30s)",
        default: "",
        example: "2m",
        counts: Counts::Now,
        take: |all, value, _| {
            all.drain_time = seconds("drain-time", value, 0)?;
            Ok(())
        },
        shown: |all| all.drain_time.map(shown),
    },
    Setting {
        name: "stop-grace",
        aliases: &["stop-timeout"],
        about: "how long a process may take to end after SIGTERM before it is killed (30s)",
        default: "",
        example: "60",
        counts: Counts::Now,
        take: |all, value, _| {
            all.stop_grace = seconds("stop-grace", value, 0)?;
            Ok(())
        },
        shown: |all| all.stop_grace.map(shown),
    },
    Setting {
        name: "dockerfile",
        aliases: &[],
        about: "the path of the Dockerfile",
        default: "",
        example: "docker/Dockerfile.web",
        counts: Counts::NextBuild,
        take: |all, value, _| {
            all.build.dockerfile = docker::path(value)?;
            Ok(())
        },
        shown: |all| all.build.dockerfile.clone(),
    },
    Setting {
        name: "docker-target",
        aliases: &[],
        about: "the stage of the Dockerfile that is built",
        default: "",
        example: "release",
        counts: Counts::NextBuild,
        take: |all, value, _| {
            all.build.target = docker::target(value)?;
            Ok(())
        },
        shown: |all| all.build.target.clone(),
    },
    Setting {
        name: "build-args",
        aliases: &[],
        about: "names of config vars that are given to ARG of the Dockerfile, with commas between",
        default: "",
        example: "GIT_REVISION,CHANNEL",
        counts: Counts::NextBuild,
        take: |all, value, _| {
            all.build.build_args = docker::names(value.unwrap_or_default())?;
            Ok(())
        },
        shown: |all| list(&all.build.build_args),
    },
    Setting {
        name: "build-secrets",
        aliases: &[],
        about: "names of config vars that are offered to RUN --mount=type=secret,id=NAME, with commas between",
        default: "",
        example: "NPM_TOKEN",
        counts: Counts::NextBuild,
        take: |all, value, _| {
            all.build.build_secrets = docker::names(value.unwrap_or_default())?;
            Ok(())
        },
        shown: |all| list(&all.build.build_secrets),
    },
    Setting {
        name: "port",
        aliases: &[],
        about: "the port that takes requests, where a Dockerfile exposes none or several",
        default: "",
        example: "8080",
        counts: Counts::NextBuild,
        take: |all, value, _| {
            all.build.port = docker::port(value)?;
            Ok(())
        },
        shown: |all| all.build.port.map(|port| port.to_string()),
    },
];

/// The table for `help apps:set`: what is typed, and what it is.
pub fn help_rows() -> Vec<(String, String)> {
    TABLE.iter().map(|row| (format!("{}={}", row.name, row.example), row.about.to_owned())).collect()
}

fn list(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(","))
}

fn shown(time: Seconds) -> String {
    format!("{}s", time.0)
}

/// Seconds as people write them: `90`, `90s`, `2m`, `1h`.
fn seconds(name: &str, value: Option<&str>, least: u32) -> Result<Option<Seconds>, Refusal> {
    let Some(text) = value else { return Ok(None) };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        _ => None,
    };
    let plain_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number = unit.filter(|_| plain_number).and_then(|unit: u32| digits.parse::<u32>().ok()?.checked_mul(unit));
    match number {
        Some(number) if (least..=SECONDS_MAX).contains(&number) => Ok(Some(Seconds(number))),
        Some(_) | None => Err(Refusal::new(Code::BadSetting, format!("{name} cannot be {}", plain(text)))
            .why(format!("it is a time from {least}s to 1h, such as 90, 90s or 2m"))
            .next(format!("apps:set APP {name}=90"))),
    }
}

/// A folder of a repository as git names it: `packages/api`.
fn folder(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let good = |part: &&str| !matches!(*part, ".." | ".git") && !part.contains(char::is_control);
    if text.len() > 1_024 || text.starts_with('/') || !parts.iter().all(good) {
        let no = Refusal::new(Code::BadRoot, "this cannot be a folder of the repository")
            .why("write it relative to the repository's top folder");
        return Err(no.next("apps:set APP root=packages/api"));
    }
    Ok(parts.join("/"))
}

/// Said before the setting counts: the next push would be refused for it.
fn stack_missing(name: &str) -> Refusal {
    Refusal::new(Code::NoStack, format!("the stack {name} is not installed on this server"))
        .why("an administrator installs it once, on the server, from Hoist's source")
        .next(format!("scripts/stacks --stack {name}"))
        .next("apps:set APP stack=  (for the default stack)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeyRef, Role};
    use crate::ids::UserId;

    fn known(who: &Principal) -> Known<'_> {
        Known {
            who,
            app: "blog",
            buildpack: &|text| matches!(text, "node" | "nodejs").then_some("node"),
            buildpacks: "node".to_owned(),
            stack: &|text| match text {
                "bookworm" | "deb12" => Some("deb12"),
                "trixie" | "deb13" => Some("deb13"),
                _ => None,
            },
            stack_there: &|name| name == "deb12",
        }
    }

    fn set(settings: &mut AppSettings, typed: &str) -> Result<(), Refusal> {
        let (name, value) = typed.split_once('=').unwrap();
        Setting::named(name)?.take(settings, value, &known(&Principal::Local))
    }

    #[test]
    fn every_example_is_taken_shown_and_taken_back() {
        for row in TABLE {
            let mut settings = AppSettings::default();
            assert_eq!(row.shown(&settings), None, "{} is set by default", row.name);
            set(&mut settings, &format!("{}={}", row.name, row.example)).unwrap();
            assert!(row.shown(&settings).is_some(), "{}", row.name);
            let others = TABLE.iter().filter(|other| other.shown(&settings).is_some()).count();
            assert_eq!(others, 1, "{} sets another one", row.name);
            let text = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<AppSettings>(&text).unwrap(), settings, "{text}");
            set(&mut settings, &format!("{}=", row.name)).unwrap();
            assert_eq!(settings, AppSettings::default(), "{}", row.name);
            assert!(!row.about.is_empty() && !row.about.ends_with('.'), "{}", row.about);
        }
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = TABLE.iter().flat_map(|row| row.aliases.iter().copied().chain([row.name])).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "two rows have one name");
        let no = Setting::named("drian-time").map(|row| row.name).unwrap_err();
        assert_eq!(no.code, Code::NoSuchSetting);
        assert!(no.why.contains("drain-time"), "{no}");
    }

    #[test]
    fn times() {
        let mut all = AppSettings::default();
        assert_eq!((all.drain_time(), all.stop_grace()), (Duration::from_secs(30), Duration::from_secs(30)));
        assert_eq!(all.boot_timeout(Duration::from_secs(60)), Duration::from_secs(60));
        for (typed, want) in [("0", 0), ("90", 90), ("90s", 90), ("2m", 120), ("1h", 3_600)] {
            set(&mut all, &format!("drain-time={typed}")).unwrap();
            assert_eq!(all.drain_time(), Duration::from_secs(want), "{typed}");
        }
        for typed in ["x", "-1", "1.5", "2h", "90 s", "m", "99999999999", "1d", "٣", "1m30s", "4294967295h"] {
            let no = set(&mut all, &format!("drain-time={typed}")).unwrap_err();
            assert!(no.code == Code::BadSetting && no.next == ["apps:set blog drain-time=90"], "{typed}: {no}");
        }
        assert_eq!(all.drain_time(), Duration::from_secs(3_600), "what was refused changed nothing");
        assert_eq!(set(&mut all, "boot-timeout=0").unwrap_err().code, Code::BadSetting, "nothing would ever boot");
    }

    #[test]
    fn what_is_refused() {
        let mut all = AppSettings::default();
        for (typed, code) in [
            ("buildpack=cobol", Code::NoSuchBuildpack),
            ("stack=jessie", Code::NoSuchStack),
            ("stack=trixie", Code::NoStack),
            ("root=/etc", Code::BadRoot),
            ("root=a/../b", Code::BadRoot),
            ("root=a/.git", Code::BadRoot),
            ("enter=perhaps", Code::BadSetting),
            ("port=0", Code::BadPort),
            ("deploy-branch=a..b", Code::BadBranchName),
        ] {
            let no = set(&mut all, typed).unwrap_err();
            assert_eq!(no.code, code, "{typed}");
            assert!(!no.next.is_empty() && !no.next.iter().any(|step| step.contains("APP")), "{typed}: {:?}", no.next);
        }
        assert_eq!(all, AppSettings::default());
        set(&mut all, "root=./packages//api/").unwrap();
        assert_eq!(all.root.as_deref(), Some("packages/api"));
        set(&mut all, "root=.").unwrap();
        assert_eq!(all.root, None, "the whole repository");
    }

    #[test]
    fn who_may_use_enter_may_give_it_up() {
        let key = KeyRef { fingerprint: "SHA256:a".to_owned(), name: "a".to_owned() };
        let ada = Principal::User { id: UserId(1), name: "ada".parse().unwrap(), role: Role::Developer, key };
        let enter = Setting::named("enter").unwrap();
        let mut all = AppSettings::default();
        enter.take(&mut all, "off", &known(&ada)).unwrap();
        assert!(!all.enter);
        for typed in ["on", ""] {
            assert_eq!(enter.take(&mut all, typed, &known(&ada)).unwrap_err().code, Code::NotAllowed);
        }
        enter.take(&mut all, "on", &known(&Principal::Local)).unwrap();
        assert!(all.enter);
    }

    #[test]
    fn settings_of_an_older_hoist_are_read() {
        let old = r#"{"deploy_branch":"main","buildpack":null,"build":{"port":80}}"#;
        let all: AppSettings = serde_json::from_str(old).unwrap();
        assert_eq!((all.deploy_branch.as_deref(), all.build.port, all.enter), (Some("main"), Some(80), true));
    }
}
