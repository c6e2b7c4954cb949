//! The configuration: flags over `HOIST_*` variables over a TOML file, read in one pass, all mistakes reported at once.
//!
//! Invariant: after [`Settings::resolve`] nothing looks a setting up again.

use domain::hostname::configured;
use domain::quota::{Limit, Limits, UNLIMITED, What};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One setting: its name as a flag and in the file; `HOIST_` and upper case as a variable.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `base-domain`.
    pub name: &'static str,
    /// What it takes.
    pub value: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Its default as text; empty: none.
    pub default: &'static str,
}

/// Every setting, in the order of the help.
pub const KEYS: &[Key] = &[
    Key { name: "data", value: "DIR", help: "data folder", default: "" },
    Key { name: "ssh", value: "ADDR", help: "where SSH listens; port 0 takes a free one", default: "0.0.0.0:2222" },
    Key { name: "http", value: "ADDR", help: "where the router listens for HTTP", default: "0.0.0.0:80" },
    Key { name: "https", value: "ADDR", help: "accepted; listens once TLS is there", default: "" },
    Key {
        name: "router",
        value: "spawn|external",
        help: "whether the server starts the router, or something else does",
        default: "spawn",
    },
    Key {
        name: "router-user",
        value: "NAME",
        help: "user that a router started as root becomes; else hoist-router if it exists",
        default: "",
    },
    Key {
        name: "router-dir",
        value: "DIR",
        help: "the router's own folder; else router/ in the data folder",
        default: "",
    },
    Key {
        name: "trusted-proxies",
        value: "NETWORKS",
        help: "proxies in front of the router: what they say about a client is believed",
        default: "",
    },
    Key { name: "http-connections", value: "N", help: "client connections of the router", default: "10000" },
    Key {
        name: "http-per-source",
        value: "N",
        help: "the same of one IPv4 address or IPv6 /56; trusted proxies have no such limit",
        default: "2000",
    },
    Key {
        name: "http-requests-per-source",
        value: "N",
        help: "requests and open upgrades at once of one IPv4 address or IPv6 /56",
        default: "1000",
    },
    Key {
        name: "http-request-line",
        value: "BYTES",
        help: "the longest first line of a request, and the longest header line of it",
        default: "32768",
    },
    Key { name: "http-request-head", value: "BYTES", help: "the largest head of a request", default: "65536" },
    Key { name: "http-answer-head", value: "BYTES", help: "the largest head of an app's answer", default: "262144" },
    Key {
        name: "http-header-fields",
        value: "N",
        help: "the most header fields of a request, and of an app's answer",
        default: "1000",
    },
    Key { name: "base-domain", value: "NAME", help: "apps answer at APP.NAME", default: "localhost" },
    Key {
        name: "ssh-host",
        value: "NAME",
        help: "the host in remotes that are printed; else the base domain",
        default: "",
    },
    Key {
        name: "first-admin-keys",
        value: "FILE",
        help: "public keys of the user admin, who is made at a start without users",
        default: "",
    },
    Key { name: "stacks", value: "DIR", help: "where the stack images' tars lie", default: "/var/lib/hoist/stacks" },
    Key { name: "ca-bundle", value: "FILE", help: "CA bundle that builds use in place of the stack's", default: "" },
    Key { name: "docker", value: "SOCKET", help: "the engine's socket", default: "/var/run/docker.sock" },
    Key { name: "pool", value: "NET/LEN", help: "addresses of instances", default: "10.208.0.0/12" },
    Key {
        name: "create-on-push",
        value: "yes|no",
        help: "whether the first push of a name makes the app",
        default: "yes",
    },
    Key { name: "app-memory", value: "MB", help: "memory of an instance", default: "512" },
    Key { name: "app-cpu", value: "N", help: "processors of an instance, thousandths", default: "" },
    Key { name: "instance-disk", value: "MB", help: "disk that an instance may fill", default: "2048" },
    Key {
        name: "free-min",
        value: "MB",
        help: "free disk without which no push or build begins; else 2000, or a twentieth where that is less",
        default: "",
    },
    Key { name: "build-memory", value: "MB", help: "memory of a build", default: "4096" },
    Key { name: "build-cpu", value: "N", help: "processors of a build, thousandths", default: "" },
    Key { name: "build-disk", value: "MB", help: "disk that one build may fill", default: "8192" },
    Key {
        name: "old-builder",
        value: "refuse|allow",
        help: "whether Dockerfiles are built by a builder with known holes",
        default: "refuse",
    },
    Key { name: "build-timeout", value: "SECONDS", help: "how long a build may take", default: "900" },
    Key {
        name: "fetch-ahead",
        value: "LANGUAGES|none",
        help: "runtimes that are fetched while nothing is deployed, before an app asks",
        default: "node python go",
    },
    Key {
        name: "boot-timeout",
        value: "SECONDS",
        help: "how long an instance may take until it takes a connection to its port",
        default: "60",
    },
    Key { name: "run-timeout", value: "SECONDS", help: "how long a one-off instance may run", default: "86400" },
    Key { name: "run-memory", value: "MB", help: "the most memory that run --memory may ask for", default: "2048" },
    Key { name: "user-apps", value: "N|unlimited", help: "apps that one user may own", default: "20" },
    Key {
        name: "user-instances",
        value: "N|unlimited",
        help: "instances of one user's apps together, one-off ones too",
        default: "30",
    },
    Key {
        name: "user-memory",
        value: "MB|unlimited",
        help: "memory that these instances may use together",
        default: "8192",
    },
    Key {
        name: "user-cpu",
        value: "N|unlimited",
        help: "processors that these may use together, thousandths; else app-cpu times user-instances",
        default: "",
    },
    Key {
        name: "user-disk",
        value: "MB|unlimited",
        help: "repositories, build caches and logs of one user's apps together",
        default: "10000",
    },
    Key { name: "user-builds", value: "N|unlimited", help: "builds of one user at work at a time", default: "2" },
    Key { name: "run-max", value: "N", help: "one-off instances of one app at once", default: "10" },
    Key {
        name: "git-memory",
        value: "MB",
        help: "memory of all of git's programs together; else a quarter of the machine's, 256 to 2048",
        default: "",
    },
    Key { name: "pushes-per-user", value: "N", help: "pushes of one user that are open at once", default: "10" },
    Key { name: "sessions-per-user", value: "N", help: "SSH connections of one user at once", default: "50" },
    Key { name: "commands-per-user", value: "N", help: "commands of one user that run at once", default: "50" },
    Key { name: "audit-days", value: "N", help: "days that commands and events (events) are kept", default: "365" },
    Key {
        name: "audit-rows",
        value: "N",
        help: "how many of each are kept; of more, the person or app that has most loses the oldest",
        default: "1000000",
    },
    Key {
        name: "ssh-share",
        value: "USER",
        help: "user of this host whose SSH logins its sshd hands to us",
        default: "",
    },
    Key { name: "ssh-share-socket", value: "PATH", help: "where it hands them over", default: "/run/hoist/ssh.sock" },
    Key { name: "hook-timeout", value: "SECONDS", help: "how long one of your hooks may take", default: "60" },
    Key { name: "logs-app", value: "MB", help: "disk that the log of one app may use", default: "512" },
    Key { name: "logs-total", value: "MB", help: "disk that the logs of all apps may use", default: "4096" },
];

/// What the router takes of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitors {
    /// The proxies in front of it.
    pub trusted: Vec<router::Network>,
    /// Client connections.
    pub connections: u64,
    /// The same of one source.
    pub per_source: u64,
    /// Requests of one source at once.
    pub requests: u64,
    /// Bytes of a request's first line, or of a header line.
    pub request_line: u64,
    /// Bytes of a request's head.
    pub request_head: u64,
    /// Bytes of the head of an app's answer.
    pub answer_head: u64,
    /// Header fields of either.
    pub fields: u64,
}

impl Visitors {
    /// How large a request's head may be.
    pub fn of_request(&self) -> router::HeadLimits {
        let line = size(self.request_line);
        let (fields, head) = (size(self.fields), size(self.request_head));
        router::HeadLimits { first_line: line, field_line: line, fields, head }
    }

    /// The same of an app's answer, of which one line may take all.
    pub fn of_answer(&self) -> router::HeadLimits {
        let head = size(self.answer_head);
        router::HeadLimits { field_line: head, fields: size(self.fields), head, ..router::HeadLimits::RESPONSE }
    }

    /// The flags of a router that is to have these.
    pub fn flags(&self) -> Vec<String> {
        let numbers = [
            ("http-request-line", self.request_line),
            ("http-request-head", self.request_head),
            ("http-answer-head", self.answer_head),
            ("http-header-fields", self.fields),
            ("http-connections", self.connections),
            ("http-per-source", self.per_source),
            ("http-requests-per-source", self.requests),
        ];
        let mut flags: Vec<String> = numbers.iter().map(|(name, n)| format!("--{name}={n}")).collect();
        if !self.trusted.is_empty() {
            let networks: Vec<String> = self.trusted.iter().map(ToString::to_string).collect();
            flags.push(format!("--trusted-proxies={}", networks.join(",")));
        }
        flags
    }
}

/// Who starts the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterMode {
    /// The server, when none answers.
    Spawn,
    /// Somebody else, such as systemd: the server only waits for it.
    External,
}

/// The resolved configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Data folder.
    pub data: PathBuf,
    /// Where SSH listens.
    pub ssh: SocketAddr,
    /// Where the router listens.
    pub http: SocketAddr,
    /// Who starts the router.
    pub router: RouterMode,
    /// The user that a router started as root becomes.
    pub router_user: Option<String>,
    /// The router's own folder.
    pub router_dir: PathBuf,
    /// What the router takes of whom.
    pub visitors: Visitors,
    /// Apps answer at `APP.base_domain`.
    pub base_domain: String,
    /// The host in printed remotes.
    pub ssh_host: String,
    /// Public keys of the first administrator.
    pub first_admin_keys: Option<PathBuf>,
    /// Where the stacks' tars lie.
    pub stacks: PathBuf,
    /// Extra CA bundle for builds.
    pub ca_bundle: Option<PathBuf>,
    /// The engine's socket.
    pub docker: PathBuf,
    /// The address pool.
    pub pool: (std::net::Ipv4Addr, u8),
    /// Whether a push may make an app.
    pub create_on_push: bool,
    /// Bytes of memory of an instance.
    pub app_memory: u64,
    /// Thousandths of a processor of an instance.
    pub app_cpu: u64,
    /// Bytes that an instance may write.
    pub instance_disk: u64,
    /// Free bytes without which no push or build begins, where it was said.
    pub free_min: Option<u64>,
    /// Bytes of memory of a build.
    pub build_memory: u64,
    /// Thousandths of a processor of a build.
    pub build_cpu: u64,
    /// Bytes a build may write.
    pub build_disk: u64,
    /// Whether Dockerfiles are built by a builder below the floors of `domain::floors`.
    pub old_builder: bool,
    /// Seconds a build may take.
    pub build_timeout: Duration,
    /// The buildpacks whose runtimes are fetched before an app asks.
    pub fetch_ahead: Vec<&'static str>,
    /// Seconds until an instance must take a connection to its port.
    pub boot_timeout: Duration,
    /// Seconds a one-off instance may run.
    pub run_timeout: Duration,
    /// The most bytes of memory that a one-off instance may ask for.
    pub run_memory: u64,
    /// One-off instances of one app at once.
    pub run_max: u64,
    /// Bytes of memory of all of git's programs together; by the machine where nobody says.
    pub git_memory: Option<u64>,
    /// Pushes of one user that are open at once.
    pub pushes_per_user: u64,
    /// SSH connections of one user at once.
    pub sessions_per_user: u64,
    /// Commands of one user that run at once.
    pub commands_per_user: u64,
    /// What one user may have, unless an administrator gives them more or less.
    pub quotas: domain::quota::Limits,
    /// Which audit rows are kept.
    pub audit_keep: domain::audit::Keep,
    /// The host's user whose SSH logins are ours, by the host's own sshd.
    pub ssh_share: Option<String>,
    /// The socket that sshd's sessions come in by.
    pub ssh_share_socket: PathBuf,
    /// Seconds that an operator's hook has.
    pub hook_timeout: Duration,
    /// What logs may use on the disk.
    pub logs: log_format::budget::Budget,
}

/// One mistake: where the value came from and why it is wrong.
pub type Mistakes = Vec<String>;

/// The raw values, and where each came from.
#[derive(Debug, Default)]
pub struct Raw {
    values: BTreeMap<&'static str, (String, String)>,
}

impl Raw {
    /// Merges the three sources; unknown keys of the file are mistakes.
    pub fn merge(
        flags: &BTreeMap<String, String>,
        variable: impl Fn(&str) -> Option<String>,
        file: Option<(&str, &str)>,
    ) -> (Raw, Mistakes) {
        let mut mistakes = Vec::new();
        let mut raw = Raw::default();
        if let Some((path, text)) = file {
            match text.parse::<toml::Table>() {
                Ok(table) => raw.take_file(path, table, &mut mistakes),
                Err(err) => mistakes.push(format!("{path}: {}", err.message())),
            }
        }
        for key in KEYS {
            let name = format!("HOIST_{}", key.name.replace('-', "_").to_uppercase());
            if let Some(value) = variable(&name) {
                raw.values.insert(key.name, (value, name));
            }
            if let Some(value) = flags.get(key.name) {
                raw.values.insert(key.name, (value.clone(), format!("--{}", key.name)));
            }
        }
        (raw, mistakes)
    }

    fn take_file(&mut self, path: &str, table: toml::Table, mistakes: &mut Mistakes) {
        for (name, value) in table {
            let known = KEYS.iter().find(|k| k.name == name || k.name.replace('-', "_") == name);
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => if yes { "yes" } else { "no" }.to_owned(),
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    mistakes.push(format!("{path}: {name} must be text, a number or true/false"));
                    continue;
                }
            };
            match known {
                Some(key) => {
                    self.values.insert(key.name, (text, format!("{path}: {}", key.name)));
                }
                None => mistakes.push(format!("{path}: there is no setting {name}")),
            }
        }
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        mistakes: &mut Mistakes,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let default = KEYS.iter().find(|k| k.name == name).map_or("", |k| k.default);
        let (value, place) = match self.values.get(name) {
            Some((value, place)) => (value.as_str(), place.clone()),
            None if default.is_empty() => return None,
            None => (default, "default".to_owned()),
        };
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                mistakes.push(format!("{place}=\"{value}\" is not valid: {why}"));
                None
            }
        }
    }
}

impl Settings {
    /// Checks everything and returns either settings or every mistake.
    pub fn resolve(raw: &Raw, mut bad: Mistakes, cores: u64) -> Result<Settings, Mistakes> {
        let data = raw.parsed("data", &mut bad, absolute);
        if data.is_none() && !raw.values.contains_key("data") {
            bad.push("--data DIR is missing (or HOIST_DATA)".to_owned());
        }
        let ssh = raw.parsed("ssh", &mut bad, address);
        let http = raw.parsed("http", &mut bad, address);
        raw.parsed("https", &mut bad, address);
        let router = raw.parsed("router", &mut bad, router_mode);
        let router_user = raw.parsed("router-user", &mut bad, user_name);
        let router_dir = raw.parsed("router-dir", &mut bad, absolute);
        let trusted = raw.parsed("trusted-proxies", &mut bad, networks);
        let connections = raw.parsed("http-connections", &mut bad, |v| number(v, 16, 1_000_000));
        let per_source = raw.parsed("http-per-source", &mut bad, |v| number(v, 1, 1_000_000));
        let requests = raw.parsed("http-requests-per-source", &mut bad, |v| number(v, 1, 1_000_000));
        let request_line = raw.parsed("http-request-line", &mut bad, |v| number(v, 1 << 10, 1 << 20));
        let request_head = raw.parsed("http-request-head", &mut bad, |v| number(v, 1 << 10, 1 << 20));
        let answer_head = raw.parsed("http-answer-head", &mut bad, |v| number(v, 1 << 10, 1 << 24));
        let fields = raw.parsed("http-header-fields", &mut bad, |v| number(v, 16, 10_000));
        let base_domain = raw.parsed("base-domain", &mut bad, configured);
        let ssh_host = raw.parsed("ssh-host", &mut bad, configured);
        let first_admin_keys = raw.parsed("first-admin-keys", &mut bad, absolute);
        let stacks = raw.parsed("stacks", &mut bad, absolute);
        let ca_bundle = raw.parsed("ca-bundle", &mut bad, existing);
        let docker = raw.parsed("docker", &mut bad, absolute);
        let pool = raw.parsed("pool", &mut bad, network);
        let create = raw.parsed("create-on-push", &mut bad, yes_no);
        let app_memory = raw.parsed("app-memory", &mut bad, |v| number(v, 16, 1 << 20));
        let app_cpu = raw.parsed("app-cpu", &mut bad, |v| number(v, 10, 1 << 20));
        let instance_disk = raw.parsed("instance-disk", &mut bad, |v| number(v, 16, 1 << 22));
        let free_min = raw.parsed("free-min", &mut bad, |v| number(v, 0, 1 << 22));
        let build_memory = raw.parsed("build-memory", &mut bad, |v| number(v, 128, 1 << 20));
        let build_cpu = raw.parsed("build-cpu", &mut bad, |v| number(v, 10, 1 << 20));
        let build_disk = raw.parsed("build-disk", &mut bad, |v| number(v, 64, 1 << 22));
        let old_builder = raw.parsed("old-builder", &mut bad, refuse_or_allow);
        let build_timeout = raw.parsed("build-timeout", &mut bad, |v| seconds(v, 5, 86_400));
        let fetch_ahead = raw.parsed("fetch-ahead", &mut bad, languages);
        let boot_timeout = raw.parsed("boot-timeout", &mut bad, |v| seconds(v, 1, 3_600));
        let run_timeout = raw.parsed("run-timeout", &mut bad, |v| seconds(v, 1, 30 * 86_400));
        let run_memory = raw.parsed("run-memory", &mut bad, |v| number(v, 16, 1 << 20));
        let run_max = raw.parsed("run-max", &mut bad, |v| number(v, 1, 30));
        let git_memory = raw.parsed("git-memory", &mut bad, |v| number(v, 256, 1 << 20));
        let pushes_per_user = raw.parsed("pushes-per-user", &mut bad, |v| number(v, 1, 1_000));
        let sessions_per_user = raw.parsed("sessions-per-user", &mut bad, |v| number(v, 1, 1_000));
        let commands_per_user = raw.parsed("commands-per-user", &mut bad, |v| number(v, 1, 1_000));
        let user_apps = raw.parsed("user-apps", &mut bad, |v| limit(v, 0));
        let user_instances = raw.parsed("user-instances", &mut bad, |v| limit(v, 0));
        let user_memory = raw.parsed("user-memory", &mut bad, |v| limit(v, 0));
        let user_cpu = raw.parsed("user-cpu", &mut bad, |v| limit(v, 0));
        let user_disk = raw.parsed("user-disk", &mut bad, |v| limit(v, 0));
        let user_builds = raw.parsed("user-builds", &mut bad, |v| limit(v, 1));
        let audit_days = raw.parsed("audit-days", &mut bad, |v| number(v, 1, 36_500));
        let audit_rows = raw.parsed("audit-rows", &mut bad, |v| number(v, 1_000, 1 << 32));
        let ssh_share = raw.parsed("ssh-share", &mut bad, host_user);
        let ssh_share_socket = raw.parsed("ssh-share-socket", &mut bad, absolute);
        let hook_timeout = raw.parsed("hook-timeout", &mut bad, |v| seconds(v, 1, 3_600));
        let logs_app = raw.parsed("logs-app", &mut bad, |v| number(v, 16, 1 << 22));
        let logs_total = raw.parsed("logs-total", &mut bad, |v| number(v, 16, 1 << 22));
        if !bad.is_empty() {
            return Err(bad);
        }
        let resolved = || {
            let base_domain: String = base_domain?;
            let data: PathBuf = data?;
            // One instance leaves the platform a quarter of a processor each.
            let app_cpu = app_cpu.unwrap_or(cores.max(1) * 750);
            let instances = user_instances?;
            let megabytes = |limit: Limit| limit.map(|mb| mb * 1_000_000);
            let quotas = Limits::from([
                (What::Apps, user_apps?),
                (What::Instances, instances),
                (What::Memory, megabytes(user_memory?)),
                (What::Processors, user_cpu.unwrap_or(instances.map(|n| n * app_cpu))),
                (What::Disk, megabytes(user_disk?)),
                (What::Builds, user_builds?),
                (What::Sessions, Some(sessions_per_user?)),
                (What::Commands, Some(commands_per_user?)),
                (What::Pushes, Some(pushes_per_user?)),
            ]);
            Some(Settings {
                quotas,
                router: router?,
                router_user,
                router_dir: router_dir.unwrap_or_else(|| data.join("router")),
                data,
                ssh: ssh?,
                http: http?,
                visitors: Visitors {
                    trusted: trusted.unwrap_or_default(),
                    connections: connections?,
                    per_source: per_source?,
                    requests: requests?,
                    request_line: request_line?,
                    request_head: request_head?,
                    answer_head: answer_head?,
                    fields: fields?,
                },
                ssh_host: ssh_host.unwrap_or_else(|| base_domain.clone()),
                base_domain,
                first_admin_keys,
                stacks: stacks?,
                ca_bundle,
                docker: docker?,
                pool: pool?,
                create_on_push: create?,
                app_memory: app_memory? * 1_000_000,
                app_cpu,
                instance_disk: instance_disk? * 1_000_000,
                free_min: free_min.map(|megabytes| megabytes * 1_000_000),
                build_memory: build_memory? * 1_000_000,
                // What runs keeps a tenth of each processor, however hard a build works.
                build_cpu: build_cpu.unwrap_or(cores.max(1) * 900),
                build_disk: build_disk? * 1_000_000,
                old_builder: old_builder?,
                build_timeout: build_timeout?,
                fetch_ahead: fetch_ahead?,
                boot_timeout: boot_timeout?,
                run_timeout: run_timeout?,
                run_memory: run_memory? * 1_000_000,
                run_max: run_max?,
                git_memory: git_memory.map(|mb| mb * 1_000_000),
                pushes_per_user: pushes_per_user?,
                sessions_per_user: sessions_per_user?,
                commands_per_user: commands_per_user?,
                audit_keep: domain::audit::Keep { days: u32::try_from(audit_days?).ok()?, rows: audit_rows? },
                ssh_share,
                ssh_share_socket: ssh_share_socket?,
                hook_timeout: hook_timeout?,
                logs: log_format::budget::Budget { app: logs_app? * 1_000_000, total: logs_total? * 1_000_000 },
            })
        };
        resolved().ok_or_else(|| vec!["a setting has no value".to_owned()])
    }
}

fn absolute(value: &str) -> Result<PathBuf, String> {
    std::path::absolute(value).map_err(|err| err.to_string())
}

fn existing(value: &str) -> Result<PathBuf, String> {
    let path = absolute(value)?;
    if path.is_file() { Ok(path) } else { Err("no such file".to_owned()) }
}

fn address(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| "an address and a port, such as 127.0.0.1:2222".to_owned())
}

fn refuse_or_allow(text: &str) -> Result<bool, String> {
    match text {
        "refuse" => Ok(false),
        "allow" => Ok(true),
        _ => Err("refuse or allow".to_owned()),
    }
}

fn router_mode(value: &str) -> Result<RouterMode, String> {
    match value {
        "spawn" => Ok(RouterMode::Spawn),
        "external" => Ok(RouterMode::External),
        _ => Err("spawn or external".to_owned()),
    }
}

fn user_name(value: &str) -> Result<String, String> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let whole = (1..=32).contains(&value.len()) && value.bytes().all(letters) && !value.starts_with('-');
    if whole { Ok(value.to_owned()) } else { Err("the name of a user of this machine".to_owned()) }
}

fn languages(value: &str) -> Result<Vec<&'static str>, String> {
    if value.trim() == "none" {
        return Ok(Vec::new());
    }
    let known =
        |word: &str| buildpacks::FETCHING.into_iter().find(|name| Some(*name) == buildpacks::buildpack_name(word));
    let words = value.split([' ', ',']).filter(|word| !word.is_empty());
    words
        .map(known)
        .collect::<Option<Vec<_>>>()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| format!("some of {}, or none", buildpacks::FETCHING.join(", ")))
}

fn networks(value: &str) -> Result<Vec<router::Network>, String> {
    let words = value.split([' ', ',']).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|bad: router::BadNetwork| bad.to_string())).collect()
}

fn network(value: &str) -> Result<(std::net::Ipv4Addr, u8), String> {
    let parse = || {
        let (net, len) = value.split_once('/')?;
        let (net, len): (std::net::Ipv4Addr, u8) = (net.parse().ok()?, len.parse().ok()?);
        (8..=18).contains(&len).then_some((net, len))
    };
    parse().ok_or_else(|| "a network and its length (8 to 18), such as 10.208.0.0/12".to_owned())
}

/// The name of a user of this host that is not root.
pub fn host_user(value: &str) -> Result<String, String> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    let starts = value.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
    if starts && value.len() <= 32 && value.bytes().all(good) && value != "root" {
        Ok(value.to_owned())
    } else {
        Err("the name of a user of this host that is not root, such as hoist".to_owned())
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn yes_no(value: &str) -> Result<bool, String> {
    match value {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

/// The most that one user may have: a number, or as much as there is.
fn limit(value: &str, least: u64) -> Result<Limit, String> {
    match value {
        UNLIMITED => Ok(None),
        value => number(value, least, 1 << 30).map(Some).map_err(|err| format!("{err}, or {UNLIMITED}")),
    }
}

fn seconds(value: &str, least: u64, most: u64) -> Result<Duration, String> {
    number(value, least, most).map(Duration::from_secs)
}

fn number(value: &str, least: u64, most: u64) -> Result<u64, String> {
    value.parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("a number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: &[(&str, &str)], vars: &[(&str, &str)], file: &str) -> Result<Settings, Mistakes> {
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
        let (raw, bad) = Raw::merge(&flags, |name| vars.get(name).map(|v| (*v).to_owned()), Some(("f.toml", file)));
        Settings::resolve(&raw, bad, 2)
    }

    #[test]
    fn flags_win_over_variables_over_the_file() {
        let file = "data = \"/f\"\nssh = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:1\"\ncreate-on-push = false";
        let vars = [("HOIST_SSH", "127.0.0.1:2"), ("HOIST_HTTP", "127.0.0.1:2")];
        let got = check(&[("ssh", "127.0.0.1:3")], &vars, file).unwrap();
        assert_eq!((got.ssh.port(), got.http.port(), got.data.to_str().unwrap()), (3, 2, "/f"));
        assert!(!got.create_on_push);
        assert_eq!((got.router, got.router_dir.to_str().unwrap()), (RouterMode::Spawn, "/f/router"));
        assert_eq!((got.app_cpu, got.app_memory, got.ssh_host.as_str()), (1_500, 512_000_000, "localhost"));
    }

    #[test]
    fn what_one_user_may_have() {
        let of = |flags: &[(&str, &str)]| check(&[&[("data", "/f")], flags].concat(), &[], "").map(|got| got.quotas);
        let got = of(&[]).unwrap();
        assert_eq!((got[&What::Apps], got[&What::Memory]), (Some(20), Some(8_192_000_000)));
        // Two processors: 1.5 for each of 30 instances.
        assert_eq!((got[&What::Processors], got[&What::Builds]), (Some(45_000), Some(2)));
        let got = of(&[("user-apps", "unlimited"), ("user-disk", "1"), ("user-instances", "0")]).unwrap();
        assert_eq!((got[&What::Apps], got[&What::Disk], got[&What::Processors]), (None, Some(1_000_000), Some(0)));
        assert_eq!(of(&[("user-instances", "unlimited")]).unwrap()[&What::Processors], None);
        assert_eq!(of(&[("user-cpu", "500")]).unwrap()[&What::Processors], Some(500));
        let bad = of(&[("user-builds", "0"), ("user-apps", "many")]).unwrap_err();
        assert_eq!(
            bad,
            [
                "--user-apps=\"many\" is not valid: a number from 0 to 1073741824, or unlimited",
                "--user-builds=\"0\" is not valid: a number from 1 to 1073741824, or unlimited",
            ]
        );
    }

    #[test]
    fn languages_by_any_of_their_names() {
        let of = |text| check(&[("data", "/f"), ("fetch-ahead", text)], &[], "").map(|got| got.fetch_ahead);
        assert_eq!(of("golang, node").unwrap(), ["go", "node"]);
        assert_eq!(of("none").unwrap(), [""; 0]);
        assert_eq!(check(&[("data", "/f")], &[], "").unwrap().fetch_ahead, buildpacks::FETCHING, "by default");
        for bad in ["cobol", "", "node none", "static"] {
            let expect = format!("--fetch-ahead=\"{bad}\" is not valid: some of node, python, go, or none");
            assert_eq!(of(bad).unwrap_err(), [expect]);
        }
    }

    #[test]
    fn what_the_router_is_told_comes_to_the_same() {
        let visitors = |flags: &[(&str, &str)]| check(flags, &[], "data = \"/f\"").map(|got| got.visitors);
        let usual = visitors(&[]).unwrap();
        assert_eq!(
            (usual.trusted.len(), usual.connections, usual.per_source, usual.requests),
            (0, 10_000, 2_000, 1_000)
        );
        assert_eq!(usual.of_request(), router::HeadLimits::REQUEST);
        assert_eq!(usual.of_answer(), router::HeadLimits::RESPONSE);
        let proxies = ("trusted-proxies", "127.0.0.1, 10.0.0.0/8 2001:db8::/32");
        let own =
            visitors(&[proxies, ("http-connections", "99"), ("http-per-source", "7"), ("http-request-line", "8192")])
                .unwrap();
        assert_eq!(own.trusted.len(), 3);
        for told in [&usual, &own] {
            let flags = told.flags();
            let pairs: Vec<(&str, &str)> =
                flags.iter().map(|flag| flag.strip_prefix("--").unwrap().split_once('=').unwrap()).collect();
            assert_eq!(&visitors(&pairs).unwrap(), told);
        }
        for bad in ["10.0.0.0/33", "localhost", "10.0.0.0/8;::1"] {
            let why = visitors(&[("trusted-proxies", bad)]).unwrap_err();
            assert!(why[0].starts_with(&format!("--trusted-proxies=\"{bad}\" is not valid: ")), "{why:?}");
        }
    }

    #[test]
    fn all_mistakes_at_once() {
        let flags = [("ssh", "nowhere"), ("base-domain", "a..b"), ("boot-timeout", "0"), ("router", "maybe")];
        let bad = check(&flags, &[("HOIST_POOL", "10.0.0.0/33")], "colour = 1\npool = [1]").unwrap_err();
        assert_eq!(
            bad,
            [
                "f.toml: there is no setting colour",
                "f.toml: pool must be text, a number or true/false",
                "--data DIR is missing (or HOIST_DATA)",
                "--ssh=\"nowhere\" is not valid: an address and a port, such as 127.0.0.1:2222",
                "--router=\"maybe\" is not valid: spawn or external",
                "--base-domain=\"a..b\" is not valid: a host name, such as apps.example.com",
                "HOIST_POOL=\"10.0.0.0/33\" is not valid: a network and its length (8 to 18), such as 10.208.0.0/12",
                "--boot-timeout=\"0\" is not valid: a number from 1 to 3600",
            ]
        );
    }
}
