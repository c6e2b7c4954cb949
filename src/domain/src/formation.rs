//! How many of each process type: the formation, and the changes that `ps:scale` asks for.

use crate::names::{AppName, ProcessType};
use crate::procfile::ProcessTable;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::did_you_mean;
use std::collections::{BTreeMap, BTreeSet};

/// Process type → quantity. A type that is absent has its default.
pub type Formation = BTreeMap<ProcessType, u32>;

/// Instances of an app, all types together: half of its network's 61 addresses, as old and new overlap in a deploy.
pub const QUANTITY_MAX: u32 = 30;

/// The word for the type that gets HTTP and `PORT`.
pub const WEB: &str = "web";
/// The word for the command that runs before traffic moves; it is never scaled.
pub const RELEASE: &str = "release";

/// Whether instances of `process` get `PORT`, must open it, and take requests: `web` always, `release` never, another
/// type if one of the app's domains (`with_domain`) names it.
pub fn is_served(process: &ProcessType, with_domain: &BTreeSet<ProcessType>) -> bool {
    match process.as_str() {
        WEB => true,
        RELEASE => false,
        _ => with_domain.contains(process),
    }
}

/// How many of `process` run: what was set, else 1 for `web` and 0 for the rest; `release` never.
pub fn quantity(formation: &Formation, process: &ProcessType) -> u32 {
    match process.as_str() {
        RELEASE => 0,
        name => formation.get(process).copied().unwrap_or(u32::from(name == WEB)),
    }
}

/// The whole wanted formation of a release: every type of its table but `release`.
pub fn wanted(formation: &Formation, table: &ProcessTable) -> Formation {
    table.keys().filter(|p| p.as_str() != RELEASE).map(|p| (p.clone(), quantity(formation, p))).collect()
}

/// Refuses a release that lacks a process type which has instances now and requests go to: its URL would answer nothing. It is
/// meant where the type was scaled to 0, or its domains were removed, before. `pushed`: a new commit can mend it.
///
/// # Errors
/// [`Code::ProcessTypeGone`], with the name that is likely meant.
pub fn keeps_served(
    app: &AppName,
    (before, after): (&ProcessTable, &ProcessTable),
    formation: &Formation,
    with_domain: &BTreeSet<ProcessType>,
    pushed: bool,
) -> Result<(), Refusal> {
    let lost = before.keys().find(|process| {
        is_served(process, with_domain) && quantity(formation, process) > 0 && !after.contains_key(*process)
    });
    let Some(lost) = lost else { return Ok(()) };
    let names: Vec<&str> = after.keys().map(ProcessType::as_str).filter(|name| *name != RELEASE).collect();
    let has = if names.is_empty() { "none that runs".to_owned() } else { names.join(", ") };
    let no = Refusal::new(Code::ProcessTypeGone, format!("requests go to {lost}, and the new version has no {lost}"))
        .why(format!("its process types: {has}"));
    if !pushed {
        return Err(no.next(format!("ps:scale {app} {lost}=0  (if it is to end; then the same once more)")));
    }
    let misspelt =
        did_you_mean(lost.as_str(), names.iter().copied().filter(|name| !before.keys().any(|b| b.as_str() == *name)));
    let no = match misspelt.first() {
        Some(near) => no.next(format!("name it {lost}, not {near}, in the Procfile, commit and push")),
        None => no.next(format!("add a line `{lost}: COMMAND` to the Procfile, commit and push")),
    };
    Err(no.next(format!("ps:scale {app} {lost}=0  (if it is to end; then push again)")))
}

/// Applies words such as `web=2`, `worker+1`, `worker-1` to a formation; types must be in the table.
pub fn scale(formation: &Formation, table: &ProcessTable, words: &[String]) -> Result<Formation, Refusal> {
    let mut new = formation.clone();
    for word in words {
        let at = word.find(['=', '+']).or_else(|| word.rfind('-')).ok_or_else(|| bad(word))?;
        let (name, rest) = word.split_at_checked(at).ok_or_else(|| bad(word))?;
        let process: ProcessType = name.parse()?;
        if process.as_str() == RELEASE || !table.contains_key(&process) {
            let known: Vec<&str> = table.keys().map(ProcessType::as_str).filter(|p| *p != RELEASE).collect();
            return Err(Refusal::new(Code::NoSuchProcessType, format!("there is no process type {process} to scale"))
                .why(format!("the current release has: {}", known.join(", ")))
                .next(format!("add a line `{process}: COMMAND` to the Procfile, commit and push")));
        }
        let mut chars = rest.chars();
        let sign = chars.next().unwrap_or('=');
        let number: u32 = chars.as_str().parse().map_err(|_| bad(word))?;
        let now = quantity(&new, &process);
        let next = match sign {
            '+' => now.saturating_add(number),
            '-' => now.saturating_sub(number),
            _ => number,
        };
        if next > QUANTITY_MAX {
            return Err(Refusal::new(Code::TooManyInstances, format!("{next} instances of {process} are too many"))
                .why(format!("an app has at most {QUANTITY_MAX} in all")));
        }
        new.insert(process, next);
    }
    let all = wanted(&new, table).values().fold(0_u32, |sum, n| sum.saturating_add(*n));
    if all > QUANTITY_MAX {
        return Err(Refusal::new(Code::TooManyInstances, format!("{all} instances are too many"))
            .why(format!("an app has at most {QUANTITY_MAX} in all")));
    }
    Ok(new)
}

fn bad(word: &str) -> Refusal {
    let shown: String = word.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Refusal::new(Code::BadScale, format!("\"{shown}\" is not a quantity")).next("ps:scale APP web=2 worker+1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, want: &str) {
        let table: ProcessTable =
            ["web", "worker", "my-job", "release"].iter().map(|p| (p.parse().unwrap(), "x".to_owned())).collect();
        let old: Formation = [("worker".parse().unwrap(), 2)].into();
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let got = match scale(&old, &table, &words) {
            Ok(f) => wanted(&f, &table).iter().map(|(p, n)| format!("{p}={n}")).collect::<Vec<_>>().join(" "),
            Err(no) => no.code.to_string(),
        };
        assert_eq!(got, want, "{words:?}");
    }

    #[test]
    fn a_type_that_requests_go_to_is_not_lost() {
        let table =
            |names: &[&str]| -> ProcessTable { names.iter().map(|p| (p.parse().unwrap(), "x".to_owned())).collect() };
        let check = |before: &[&str], after: &[&str], formation: &Formation, with: &[&str]| {
            let with = with.iter().map(|p| p.parse().unwrap()).collect();
            let app = "blog".parse().unwrap();
            keeps_served(&app, (&table(before), &table(after)), formation, &with, true)
                .err()
                .map(|no| no.next.join(" | "))
        };
        let usual = Formation::new();
        let zero: Formation = [("web".parse().unwrap(), 0)].into();
        assert_eq!(check(&[], &["worker"], &usual, &[]), None);
        assert_eq!(check(&["web"], &["web", "worker"], &usual, &[]), None);
        assert_eq!(check(&["web", "worker"], &["worker"], &zero, &[]), None);
        assert_eq!(check(&["api", "web"], &["web"], &usual, &["api"]), None, "it has no instance");
        let scale = "ps:scale blog web=0  (if it is to end; then push again)";
        assert_eq!(
            check(&["web"], &["release", "wub"], &usual, &[]).unwrap(),
            format!("name it web, not wub, in the Procfile, commit and push | {scale}")
        );
        assert_eq!(
            check(&["web", "worker"], &["worker"], &usual, &[]).unwrap(),
            format!("add a line `web: COMMAND` to the Procfile, commit and push | {scale}")
        );
        let app = "blog".parse().unwrap();
        let back =
            keeps_served(&app, (&table(&["web"]), &table(&["wub"])), &usual, &BTreeSet::new(), false).unwrap_err();
        assert_eq!(back.next, ["ps:scale blog web=0  (if it is to end; then the same once more)"]);
        let one: Formation = [("api".parse().unwrap(), 1)].into();
        assert!(check(&["api", "web"], &["web"], &one, &["api"]).unwrap().contains("ps:scale blog api=0"));
    }

    #[test]
    fn a_type_with_a_domain_is_served() {
        let with: BTreeSet<ProcessType> = ["api", "release"].map(|p| p.parse().unwrap()).into();
        let served = |p: &str| is_served(&p.parse().unwrap(), &with);
        assert_eq!(["web", "api", "worker", "release"].map(served), [true, true, false, false]);
    }

    #[test]
    fn cases() {
        check("web=2", "my-job=0 web=2 worker=2");
        check("web+1 worker-1", "my-job=0 web=2 worker=1");
        check("my-job-1", "my-job=0 web=1 worker=2");
        check("my-job=1", "my-job=1 web=1 worker=2");
        check("worker-9", "my-job=0 web=1 worker=0");
        check("release=1", "no-such-process-type");
        check("cron=1", "no-such-process-type");
        check("web=31", "too-many-instances");
        check("web=20 worker=20", "too-many-instances");
        check("web=-1", "bad-scale");
        check("web", "bad-scale");
        check("web=two", "bad-scale");
        check("web=99999999999", "bad-scale");
    }
}
