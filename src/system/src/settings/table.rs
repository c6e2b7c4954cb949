//! Every setting, declared once: a row is a field of [`Settings`], how its text is read, what it is where nobody says, an
//! example and its help. The file, flags, variables, `hoist --help`, docs/operations.md and the refusal of a wrong value are
//! made of it.
//!
//! Invariant: after [`Settings::resolve`] nothing looks a setting up again.

use super::grammar::{
    Grammar, address, bytes, file, host, languages, limit, limit_of_megabytes, megabytes, network, networks, number,
    path, ports, refuse_or_allow, router_mode, seconds, shared_user, user_name, yes_no,
};
use super::{Key, Mistakes, Raw, RouterMode};
use domain::quota::Limit;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// Makes the struct, the table and what reads it, in the order of the rows. What stands after `else` (its words for the page,
/// then the value) may use the fields above it, and the number of the machine's processors.
macro_rules! settings {
    ($cores:ident; $(
        $field:ident: $type:ty = $name:literal, $grammar:expr,
        $(= $default:literal)? $(else $unless:literal $absent:block)? $(is $needed:ident)?, example $example:literal,
        $help:literal $(, $more:literal)?;
    )+) => {
        /// The resolved configuration: sizes in bytes, times as durations.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $(#[doc = $help] pub $field: $type,)+
        }

        /// Every setting, in the order of the help.
        pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| vec![$(Key {
            name: $name,
            value: $grammar.word(),
            takes: $grammar.takes(),
            unit: $grammar.unit(),
            help: $help,
            more: concat!("" $(, $more)?),
            default: concat!("" $(, $default)?),
            unless: concat!("" $(, $unless)? $(, "none, ", stringify!($needed))?),
            example: $example,
        }),+]);

        impl Settings {
            /// Checks everything and returns either settings or every mistake.
            pub fn resolve(raw: &Raw, mut bad: Mistakes, $cores: u64) -> Result<Settings, Mistakes> {
                $(
                    let usual = (concat!("" $(, $default)?), concat!("" $(, stringify!($needed))?));
                    let $field = raw.parsed($name, usual, &$grammar, &mut bad);
                )+
                if !bad.is_empty() {
                    return Err(bad);
                }
                $(
                    #[allow(unreachable_patterns, reason = "one that can be missing says what it is then")]
                    let $field: $type = match $field {
                        Some(value) => value.into(),
                        $(None => $absent,)?
                        None => return Err(vec![concat!($name, " has no value").to_owned()]),
                    };
                )+
                Ok(Settings { $($field),+ })
            }
        }
    };
}

settings! { cores;
    data: PathBuf = "data", path("DIR"),
        is needed, example "/var/lib/hoist/data",
        "data folder";
    ssh: SocketAddr = "ssh", address(),
        = "0.0.0.0:2222", example "127.0.0.1:2222",
        "where SSH listens; port 0 takes a free one";
    http: SocketAddr = "http", address(),
        = "0.0.0.0:80", example "127.0.0.1:8080",
        "where the router listens for HTTP", "; with port 0 the last port is taken again";
    https: Option<SocketAddr> = "https", address(),
        else "none" { None }, example "0.0.0.0:443",
        "accepted; listens once TLS is there";
    router: RouterMode = "router", router_mode(),
        = "spawn", example "external",
        "whether the server starts the router, or something else does", "; with `external` the server waits for it";
    router_user: Option<String> = "router-user", user_name(),
        else "`hoist-router` if it exists" { None }, example "www-data",
        "user that a router started as root becomes; else hoist-router if it exists", "; `root`: it stays root";
    router_dir: PathBuf = "router-dir", path("DIR"),
        else "`router/` in the data folder" { data.join("router") }, example "/var/lib/hoist/router",
        "the router's own folder; else router/ in the data folder", ", the one folder that it reads and writes";
    trusted_proxies: Vec<router::Network> = "trusted-proxies", networks(),
        else "none" { Vec::new() }, example "127.0.0.1 10.0.0.0/8",
        "proxies in front of the router: what they say about a client is believed";
    tls_proxy: bool = "tls-proxy", yes_no(),
        = "no", example "yes",
        "whether a proxy in front takes HTTPS at port 443: printed URLs and HOIST_URL begin with https://",
        "; the proxy itself is yours: see behind-a-proxy.md";
    http_connections: u64 = "http-connections", number(16, 1_000_000),
        = "10000", example "20000",
        "client connections of the router", ", or as many as its open files are enough for: two each";
    http_per_source: u64 = "http-per-source", number(1, 1_000_000),
        = "2000", example "500",
        "the same of one IPv4 address or IPv6 /56; trusted proxies have no such limit",
        "; an IPv6 /48 may have four times as many";
    http_requests_per_source: u64 = "http-requests-per-source", number(1, 1_000_000),
        = "1000", example "200",
        "requests and open upgrades at once of one IPv4 address or IPv6 /56";
    http_request_line: u64 = "http-request-line", bytes(1 << 10, 1 << 20),
        = "32768", example "8192",
        "the longest first line of a request, and the longest header line of it";
    http_request_head: u64 = "http-request-head", bytes(1 << 10, 1 << 20),
        = "65536", example "32768",
        "the largest head of a request", ": all its lines together";
    http_answer_head: u64 = "http-answer-head", bytes(1 << 10, 1 << 24),
        = "262144", example "65536",
        "the largest head of an app's answer";
    http_header_fields: u64 = "http-header-fields", number(16, 10_000),
        = "1000", example "200",
        "the most header fields of a request, and of an app's answer";
    base_domain: String = "base-domain", host(),
        = "localhost", example "apps.example.com",
        "apps answer at APP.NAME", ", until `domains:set-base` says another";
    ssh_host: String = "ssh-host", host(),
        else "the base domain in force" { base_domain.clone() }, example "git.example.com",
        "the host in remotes that are printed; else the base domain";
    first_admin_keys: Option<PathBuf> = "first-admin-keys", path("FILE"),
        else "none" { None }, example "/etc/hoist/admin-keys",
        "public keys of the user admin, who is made at a start without users", ", one a line";
    stacks: PathBuf = "stacks", path("DIR"),
        = "/var/lib/hoist/stacks", example "/srv/stacks",
        "where the stack images' tars lie";
    ca_bundle: Option<PathBuf> = "ca-bundle", file(),
        else "the stack's own; `./install.sh` writes the host's, `/etc/ssl/certs/ca-certificates.crt`" { None },
        example "/etc/ssl/certs/ca-certificates.crt",
        "CA bundle that builds use in place of the stack's",
        ", Dockerfiles on our stacks as well: put the usual ones in too";
    docker: PathBuf = "docker", path("SOCKET"),
        = "/var/run/docker.sock", example "/run/docker.sock",
        "the engine's socket";
    pool: (Ipv4Addr, u8) = "pool", network(),
        = "10.208.0.0/12", example "172.24.0.0/14",
        "addresses of instances";
    host_services: Vec<u16> = "host-services", ports(),
        else "none" { Vec::new() }, example "5432 6379",
        "TCP ports of this host that apps may reach",
        ", such as a database's; builds may not. Each app of the server may: see databases.md";
    create_on_push: bool = "create-on-push", yes_no(),
        = "yes", example "no",
        "whether the first push of a name makes the app";
    app_memory: u64 = "app-memory", megabytes(16, 1 << 20),
        = "512", example "1024",
        "memory of an instance";
    // One instance leaves the platform a quarter of a processor each.
    app_cpu: u64 = "app-cpu", number(10, 1 << 20),
        else "750 × the host's processors" { cores.max(1) * 750 }, example "1000",
        "processors of an instance, thousandths";
    instance_disk: u64 = "instance-disk", megabytes(16, 1 << 22),
        = "2048", example "4096",
        "disk that an instance may fill";
    free_min: Option<u64> = "free-min", megabytes(0, 1 << 22),
        else "2,000 MB, or a twentieth of the disk where that is less" { None }, example "5000",
        "free disk without which no push or build begins; else 2000, or a twentieth where that is less",
        "; it is the data folder's and Docker's, and `0` switches it off";
    build_memory: u64 = "build-memory", megabytes(128, 1 << 20),
        = "4096", example "2048",
        "memory of a build";
    // What runs keeps a tenth of each processor, however hard a build works.
    build_cpu: u64 = "build-cpu", number(10, 1 << 20),
        else "900 × the host's processors" { cores.max(1) * 900 }, example "1500",
        "processors of a build, thousandths";
    build_disk: u64 = "build-disk", megabytes(64, 1 << 22),
        = "8192", example "20000",
        "disk that one build may fill";
    old_builder: bool = "old-builder", refuse_or_allow(),
        = "refuse", example "allow",
        "whether Dockerfiles are built by a builder with known holes";
    build_timeout: Duration = "build-timeout", seconds(5, 86_400),
        = "900", example "1800",
        "how long a build may take";
    fetch_ahead: Vec<&'static str> = "fetch-ahead", languages(),
        = "node python go", example "python",
        "runtimes that are fetched while nothing is deployed, before an app asks", "; `none`: no app, no fetch";
    boot_timeout: Duration = "boot-timeout", seconds(1, 3_600),
        = "60", example "120",
        "how long an instance may take until it takes a connection to its port";
    run_timeout: Duration = "run-timeout", seconds(1, 30 * 86_400),
        = "86400", example "3600",
        "how long a one-off instance may run", ", attached or not";
    run_memory: u64 = "run-memory", megabytes(16, 1 << 20),
        = "2048", example "4096",
        "the most memory that run --memory may ask for";
    user_apps: Limit = "user-apps", limit(0),
        = "20", example "unlimited",
        "apps that one user may own", "; these six take `unlimited` too, see Quotas";
    user_instances: Limit = "user-instances", limit(0),
        = "30", example "100",
        "instances of one user's apps together, one-off ones too";
    user_memory: Limit = "user-memory", limit_of_megabytes(),
        = "8192", example "16384",
        "memory that these instances may use together";
    user_cpu: Limit = "user-cpu", limit(0),
        else "`user-instances` × `app-cpu`" { user_instances.map(|n| n * app_cpu) }, example "4000",
        "processors that these may use together, thousandths; else app-cpu times user-instances";
    user_disk: Limit = "user-disk", limit_of_megabytes(),
        = "10000", example "50000",
        "repositories, build caches and logs of one user's apps together";
    user_builds: Limit = "user-builds", limit(1),
        = "2", example "1",
        "builds of one user at work at a time";
    run_max: u64 = "run-max", number(1, 30),
        = "10", example "5",
        "one-off instances of one app at once";
    git_memory: Option<u64> = "git-memory", megabytes(256, 1 << 20),
        else "a quarter of the machine's, 256 to 2,048 MB" { None }, example "1024",
        "memory of all of git's programs together; else a quarter of the machine's, 256 to 2048", ", see below";
    pushes_per_user: u64 = "pushes-per-user", number(1, 1_000),
        = "10", example "4",
        "pushes of one user that are open at once", ", deploys included";
    sessions_per_user: u64 = "sessions-per-user", number(1, 1_000),
        = "50", example "20",
        "SSH connections of one user at once";
    commands_per_user: u64 = "commands-per-user", number(1, 1_000),
        = "50", example "20",
        "commands of one user that run at once";
    audit_days: u64 = "audit-days", number(1, 36_500),
        = "365", example "90",
        "days that commands and events (events) are kept";
    audit_rows: u64 = "audit-rows", number(1_000, 1 << 32),
        = "1000000", example "100000",
        "how many of each are kept; of more, the person or app that has most loses the oldest";
    ssh_share: Option<String> = "ssh-share", shared_user(),
        else "none" { None }, example "hoist",
        "user of this host whose SSH logins its sshd hands to us";
    ssh_share_socket: PathBuf = "ssh-share-socket", path("PATH"),
        = "/run/hoist/ssh.sock", example "/run/hoist-ssh.sock",
        "where it hands them over";
    hook_timeout: Duration = "hook-timeout", seconds(1, 3_600),
        = "60", example "300",
        "how long one of your hooks may take";
    logs_app: u64 = "logs-app", megabytes(16, 1 << 22),
        = "512", example "128",
        "disk that the log of one app may use";
    logs_total: u64 = "logs-total", megabytes(16, 1 << 22),
        = "4096", example "20000",
        "disk that the logs of all apps may use";
}
