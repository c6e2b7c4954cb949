//! Who may have which host name, what a change of the base domain does, and what DNS must say. Pure.
//!
//! Invariant: a name belongs to one app. Somebody else's app is named in a refusal only to those who may see it.
//! Absent: proof by DNS that the claimant owns a name. So what is wide (wildcards) or touches what others have (names
//! above or below theirs) takes an administrator, or somebody who may change that other app too.

use crate::hostname::{self, BASE_MAX, Hostname};
use crate::names::{AppName, ProcessType};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Names of one app.
pub const DOMAINS_MAX: usize = 20_000;
/// How long a name that was let go of is kept for those who had it: DNS that still points here is not a stranger's to take.
pub const HOLD_MILLIS: u64 = 7 * 24 * 3_600_000;
/// Top-level names that never mean a public server.
const NOWHERE: [&str; 4] = ["localhost", "invalid", "onion", "arpa"];

/// A domain of an app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AppDomain {
    /// The name.
    pub host: Hostname,
    /// The process type that answers.
    pub process: ProcessType,
}

/// Somebody wants a name for an app.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// The name.
    pub host: &'a Hostname,
    /// The process type that is to answer.
    pub process: &'a ProcessType,
    /// The app's name today.
    pub app: &'a AppName,
    /// The base domain.
    pub base: &'a str,
    /// Names that are the server's own, the SSH host for one.
    pub reserved: &'a [String],
    /// Whether the claimant is an administrator.
    pub admin: bool,
}

/// What is there already, as the claimant relates to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The name's own row.
    pub holder: Option<Holder>,
    /// Apps that have a name equal to its zone, above or below it.
    pub related: Vec<Related>,
    /// It was let go of, not long ago, by somebody else.
    pub held: bool,
    /// How many names the app has.
    pub count: usize,
}

/// Who has the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The app itself, for this process type.
    Same(ProcessType),
    /// Another app.
    Other(Related),
}

/// Another app with a name that touches the claimed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its name.
    pub app: AppName,
    /// Whether the claimant may see and change it.
    pub theirs: bool,
}

/// A claim that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// The name is new.
    New,
    /// The app has it, for this process type, already.
    Already,
    /// The app had it for another process type.
    Moves(ProcessType),
}

/// Decides a claim.
pub fn judge(claim: &Claim<'_>, known: &Known) -> Result<Granted, Refusal> {
    match &known.holder {
        Some(Holder::Same(process)) if process == claim.process => return Ok(Granted::Already),
        Some(Holder::Same(process)) => return Ok(Granted::Moves(process.clone())),
        Some(Holder::Other(other)) if other.theirs => {
            return Err(Refusal::new(Code::HostnameTaken, format!("{} belongs to app {}", claim.host, other.app))
                .next(format!("domains:remove {} {}", other.app, claim.host)));
        }
        Some(Holder::Other(_)) => return Err(taken(claim.host)),
        None => {}
    }
    under_base(claim)?;
    if claim.reserved.iter().any(|name| claim.host.zone() == name && name != claim.base) {
        return Err(Refusal::new(Code::HostnameReserved, format!("{} is this server's own name", claim.host))
            .next("choose another name"));
    }
    let top = claim.host.zone().rsplit('.').next().unwrap_or_default();
    if NOWHERE.contains(&top) {
        return Err(Refusal::new(Code::BadHostname, format!("{} cannot be a public name", claim.host))
            .why(format!("names that end in .{top} are never found from elsewhere"))
            .next("choose a name of a domain that you own"));
    }
    if known.count >= DOMAINS_MAX {
        return Err(Refusal::new(Code::TooManyDomains, format!("an app has at most {DOMAINS_MAX} domains"))
            .next(format!("domains:remove {} NAME", claim.app)));
    }
    if claim.admin {
        return Ok(Granted::New);
    }
    if claim.host.is_wildcard() {
        return Err(Refusal::new(Code::WildcardNeedsAdmin, format!("{} needs an administrator", claim.host))
            .why("a wildcard takes every name below a domain, whoever owns it")
            .next(format!("ask an administrator for: domains:add {} '{}'", claim.app, claim.host)));
    }
    // One answer for all of these: it does not say whose names are near.
    if known.held || known.related.iter().any(|other| !other.theirs) {
        return Err(taken(claim.host));
    }
    Ok(Granted::New)
}

/// Names at and below the base domain are made of apps' names: blog.BASE is app blog's or nobody's.
fn under_base(claim: &Claim<'_>) -> Result<(), Refusal> {
    let (host, base) = (claim.host, claim.base);
    let Some(front) = (if host.as_str() == base { Some("") } else { host.below(base) }) else { return Ok(()) };
    if front == claim.app.as_str() {
        return Err(Refusal::new(Code::DefaultName, format!("{host} is where {} answers already", claim.app))
            .next(format!("open {}", claim.app)));
    }
    if front.parse::<AppName>().is_ok() {
        return Err(Refusal::new(
            Code::HostnameReserved,
            format!("{host} belongs to an app of the name {front}, or to nobody"),
        )
        .why(format!("apps answer at NAME.{base}; the name of the app makes it"))
        .next(format!("apps:rename {} {front}", claim.app)));
    }
    if claim.admin {
        return Ok(());
    }
    let what = if front.is_empty() { "the base domain itself" } else { "below the base domain" };
    Err(Refusal::new(Code::HostnameReserved, format!("{host} needs an administrator"))
        .why(format!("it is {what}: apps answer at NAME.{base}"))
        .next(format!("ask an administrator for: domains:add {} '{host}'", claim.app)))
}

fn taken(host: &Hostname) -> Refusal {
    Refusal::new(Code::HostnameTaken, format!("{host} is taken, or too near to a name of somebody else"))
        .next("choose another name")
        .next("ask an administrator to sort it out, if the domain is yours")
}

/// Whether a name that was let go of then is still kept.
pub fn is_held(freed: Timestamp, now: Timestamp) -> bool {
    now.millis_since(freed) < HOLD_MILLIS
}

/// What a change of the base domain does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePlan {
    /// App, the name that it loses, the name that it gets.
    pub moves: Vec<(AppName, String, String)>,
}

/// Plans another base domain; `domains` are all names that apps have, `reserved` those of the server.
pub fn plan_base(old: &str, new: &str, apps: &[AppName], domains: &[(AppName, Hostname)]) -> Result<BasePlan, Refusal> {
    let mut clashes = Vec::new();
    for (app, host) in domains {
        let front = host.below(new).and_then(|front| front.parse::<AppName>().ok());
        if front.is_some_and(|front| front != *app) {
            clashes.push(format!("domains:remove {app} {host}"));
        }
    }
    if !clashes.is_empty() {
        let all = clashes.len();
        let no =
            Refusal::new(Code::BaseTaken, format!("{all} domains of apps are names that apps would get below {new}"))
                .why(format!("{new} would make NAME.{new} the address of the app NAME"));
        return Err(clashes.into_iter().take(5).fold(no, Refusal::next));
    }
    let moves = match old == new {
        true => Vec::new(),
        false => apps.iter().map(|a| (a.clone(), format!("{a}.{old}"), format!("{a}.{new}"))).collect(),
    };
    Ok(BasePlan { moves })
}

/// A base domain as an administrator types it: a host name without wildcard, or `localhost`.
pub fn parse_base(text: &str) -> Result<String, Refusal> {
    if text == "localhost" {
        return Ok(text.to_owned());
    }
    if let Ok(IpAddr::V4(address)) = text.parse() {
        let dashed = address.to_string().replace('.', "-");
        return Err(Refusal::new(Code::BadBase, format!("{text} is an address; apps need names below it"))
            .next(format!("domains:set-base {dashed}.sslip.io  (names that resolve to that address without set-up)")));
    }
    let name: Hostname = text.parse()?;
    if name.is_wildcard() {
        return Err(Refusal::new(Code::BadBase, "leave *. away: apps answer at NAME.BASE anyway")
            .next(format!("domains:set-base {}", name.zone())));
    }
    if name.as_str().len() > BASE_MAX {
        return Err(Refusal::new(
            Code::BadBase,
            "a base domain has at most 200 characters, so that app names fit in front",
        ));
    }
    let top = name.as_str().rsplit('.').next().unwrap_or_default();
    if NOWHERE.contains(&top) && top != "localhost" {
        return Err(Refusal::new(Code::BadBase, format!("names that end in .{top} are never found from elsewhere"))
            .next("choose a domain that you own"));
    }
    Ok(name.to_string())
}

/// What DNS says of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Resolves {
    /// To this server.
    Here,
    /// To other addresses.
    Elsewhere {
        /// These.
        addresses: Vec<IpAddr>,
    },
    /// To nothing.
    Nowhere,
    /// It could not be asked in time.
    Unknown,
}

impl Resolves {
    /// `ours` says of an address whether it is this server's.
    pub fn of(found: Option<&[IpAddr]>, ours: impl Fn(&IpAddr) -> bool) -> Resolves {
        match found {
            None => Resolves::Unknown,
            Some([]) => Resolves::Nowhere,
            Some(all) if all.iter().any(ours) => Resolves::Here,
            Some(all) => Resolves::Elsewhere { addresses: all.to_vec() },
        }
    }

    /// A few words for a table.
    pub fn words(&self) -> String {
        match self {
            Resolves::Here => "resolves here".to_owned(),
            Resolves::Elsewhere { addresses } => format!("resolves to {}, not here", list(addresses)),
            Resolves::Nowhere => "does not resolve yet".to_owned(),
            Resolves::Unknown => "DNS did not answer in time".to_owned(),
        }
    }
}

/// What to tell somebody who gave an app a name: what DNS says, and the record to make where it does not lead here.
/// `server` are this server's addresses as far as it knows them.
pub fn dns_advice(host: &Hostname, resolves: &Resolves, server: &[IpAddr], base: &str) -> Vec<String> {
    let mut lines = vec![format!("DNS: {} {}", host, resolves.words())];
    match resolves {
        Resolves::Here => return lines,
        Resolves::Elsewhere { .. } => {
            lines.push("Right if that is a proxy in front of this server; else change its record to:".to_owned());
        }
        Resolves::Nowhere | Resolves::Unknown => {
            lines.push("It needs this record, at whoever runs its DNS:".to_owned())
        }
    }
    let public: Vec<&IpAddr> = server.iter().filter(|a| is_public(a)).collect();
    let shown: Vec<&IpAddr> = if public.is_empty() { server.iter().collect() } else { public.clone() };
    for address in &shown {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        lines.push(format!("  {host}. {kind} {address}"));
    }
    if shown.is_empty() {
        lines.push(format!("  {host}. A THE-PUBLIC-ADDRESS-OF-THIS-SERVER"));
    } else if public.is_empty() {
        lines.push(
            "That is an address of a private network: use the public one if visitors come from outside".to_owned(),
        );
    }
    if base.contains('.') && !base.ends_with("localhost") {
        lines.push(format!("or, for a name that is not the top of its zone: {host}. CNAME {base}."));
    }
    lines
}

/// Whether an address is reachable from anywhere.
pub fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            let shared = first == 100 && (64..128).contains(&second);
            !(a.is_private() || a.is_loopback() || a.is_link_local() || a.is_unspecified() || shared)
        }
        IpAddr::V6(a) => {
            let first = a.segments().first().copied().unwrap_or(0);
            !(a.is_loopback() || a.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80)
        }
    }
}

/// The name that `open` prints: the first own one of `web` that leads here, else the first that DNS knows nothing of if
/// there is no default to fall back on; `None` for the default name.
pub fn own_first<'a>(domains: &'a [AppDomain], resolves: &BTreeMap<Hostname, Resolves>) -> Option<&'a Hostname> {
    let mut own = domains.iter().filter(|d| d.process.as_str() == crate::formation::WEB && !d.host.is_wildcard());
    own.find(|d| resolves.get(&d.host) == Some(&Resolves::Here)).map(|d| &d.host)
}

/// The addresses that are this server's by what its base domain says, without asking anybody.
pub fn base_address(base: &str) -> Option<IpAddr> {
    hostname::embedded_address(base).map(IpAddr::V4)
}

fn list(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().take(3).map(ToString::to_string).collect();
    let more = if addresses.len() > 3 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
#[path = "domains_tests.rs"]
mod tests;
