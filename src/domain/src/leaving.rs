//! What becomes of what somebody made or shared when their own right ends: what ends at once, what is handed over, what is
//! listed for a decision. The lines that are printed then.
//!
//! The rule: a way in that only they may hold (a deploy key, a queued build, a program they started) ends at once. What
//! other people hold by their word (a share, a user, a key of somebody else) stays, is named with the command that ends it,
//! and is answered for by whoever ended the right.

use crate::ids::BuildId;
use crate::names::{AppName, UserName};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text;

/// Of a long list this many are named.
const NAMED: usize = 20;

/// What ended, what was handed over and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Deploy keys that ended, by app and name.
    pub deploy_keys: Vec<(AppName, String)>,
    /// Deploy keys that somebody else answers for now.
    pub handed_keys: Vec<(AppName, String)>,
    /// Builds that were not live yet, by app and number.
    pub builds: Vec<(AppName, Option<BuildId>)>,
    /// One-off instances, by app and label.
    pub runs: Vec<(AppName, String)>,
    /// Apps without an owner from now on.
    pub apps: Vec<AppName>,
    /// With whom they shared which apps.
    pub shares: Vec<(AppName, UserName)>,
    /// Users whom they made.
    pub users: Vec<UserName>,
    /// Keys that they added for others, by fingerprint.
    pub keys: Vec<(UserName, String)>,
}

/// The refusal of work whose asker may not change the app any more.
pub fn right_lost(actor: &str, app: &AppName) -> Refusal {
    Refusal::new(Code::RightLost, format!("{actor} may not change {app} any more"))
        .next(format!("whoever may: git push hoist main, or ps:rebuild {app}"))
}

impl Ended {
    /// A line each, with what to type.
    pub fn lines(&self, who: &str) -> Vec<String> {
        let mut lines = Vec::new();
        list(&mut lines, &self.deploy_keys, |(app, key)| {
            let key = text::plain(key);
            format!(
                "Ended: deploy key {key} of {app}, which {who} added; a new one: deploy-keys:add {app} {key} < KEY.pub"
            )
        });
        list(&mut lines, &self.builds, |(app, build)| match build {
            Some(build) => format!("Ended: build {build} of {app}, before it was live; how it ended: builds {app}"),
            None => format!("Ended: a change of {app}, before it was live; what serves: releases {app}"),
        });
        list(&mut lines, &self.runs, |(app, run)| format!("Ended: {run} of {app}; how it ended: ps {app}"));
        list(&mut lines, &self.handed_keys, |(app, key)| {
            let key = text::plain(key);
            format!(
                "Yours now: deploy key {key} of {app}, whose holder still pushes; to end it: deploy-keys:remove {app} {key}"
            )
        });
        list(&mut lines, &self.apps, |app| {
            format!("Belongs to root now: {app}; to give it to somebody: apps:transfer {app} USER")
        });
        list(&mut lines, &self.shares, |(app, user)| {
            format!("Stays, yours now: {app} is shared with {user}, by {who}; to end it: access:remove {app} {user}")
        });
        list(&mut lines, &self.users, |user| {
            format!("Stays: the user {user}, made by {who}; to end it: users:remove {user}")
        });
        list(&mut lines, &self.keys, |(user, key)| {
            format!("Stays: the key {key} of {user}, added by {who}; to end it: keys:remove {key} {user}")
        });
        lines
    }
}

/// What nothing here can take back.
pub fn known(who: &str, app: &AppName) -> String {
    format!(
        "What {who} knows of {app} stays known: its source and config vars. New values: config:set {app}; \
         programs they may have left in it end with: ps:restart {app}"
    )
}

fn list<T>(lines: &mut Vec<String>, all: &[T], line: impl Fn(&T) -> String) {
    lines.extend(all.iter().take(NAMED).map(&line));
    if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more like the last"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_to_type() {
        let blog: AppName = "blog".parse().unwrap();
        let eve: UserName = "eve".parse().unwrap();
        let ended = Ended {
            deploy_keys: vec![(blog.clone(), "ci".into())],
            handed_keys: vec![(blog.clone(), "ci2".into())],
            builds: vec![(blog.clone(), Some(BuildId(3))), (blog.clone(), None)],
            runs: vec![(blog.clone(), "run.1".into())],
            apps: vec![blog.clone()],
            shares: vec![(blog.clone(), eve.clone())],
            users: vec![eve.clone()],
            keys: vec![(eve, "SHA256:x".into())],
        };
        let lines = ended.lines("bob");
        for command in [
            "deploy-keys:add blog ci < KEY.pub",
            "deploy-keys:remove blog ci2",
            "builds blog",
            "releases blog",
            "ps blog",
            "apps:transfer blog USER",
            "access:remove blog eve",
            "users:remove eve",
            "keys:remove SHA256:x eve",
        ] {
            assert!(lines.iter().any(|line| line.ends_with(command)), "{command} in {lines:#?}");
        }
        assert_eq!(lines.len(), 9);
        assert!(Ended::default().lines("bob").is_empty());
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let apps = (0..30).map(|n| format!("a{n}").parse().unwrap()).collect();
        let lines = Ended { apps, ..Ended::default() }.lines("bob");
        assert_eq!(lines.len(), NAMED + 1);
        assert_eq!(lines.last().unwrap(), "  and 10 more like the last");
    }
}
