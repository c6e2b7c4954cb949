//! `quota*`: how much a user has of what they may have.

use crate::context::{Ask, Commands};
use crate::reply::{List, Reply};
use crate::usage::Sum;
use deploy::quota::used;
use domain::access::{Principal, actor};
use domain::places::Owner;
use domain::quota::{Limits, Load, What, Whose, limit};
use domain::refusal::Code;
use domain::{AppId, Refusal, time};
use serde_json::json;
use std::collections::BTreeMap;
use store::{Quota, User};
use system::clock::now;
use system::fault::Result;
use system::places::Places;
use verbs::args;

/// What is known of one user.
struct Account {
    user: User,
    set: Vec<Quota>,
    apps: Vec<AppId>,
    load: Load,
}

impl Account {
    fn read(tx: &store::Tx<'_>, settings: &system::settings::Settings, user: User) -> store::Result<Account> {
        let id = user.id;
        Ok(Account { set: tx.quotas(id)?, apps: tx.apps_owned(id)?, load: used(tx, settings, id)?, user })
    }

    fn own(&self) -> Limits {
        self.set.iter().map(|quota| (quota.what, quota.limit)).collect()
    }

    fn used(&self, c: &Commands, what: What) -> u64 {
        match what {
            What::Apps => self.apps.len() as u64,
            What::Instances => self.load.instances,
            What::Memory => self.load.memory,
            What::Processors => self.load.processors,
            What::Disk => self.disk(c).bytes,
            What::Builds => c.p.builder.working(self.user.id),
            What::Sessions => self.held(&c.p.sessions),
            What::Commands => self.held(&c.running),
            What::Pushes => self.held(c.p.repos.pushes()),
        }
    }

    fn held(&self, places: &Places) -> u64 {
        places.held(&Owner::User(self.user.id)) as u64
    }

    fn disk(&self, c: &Commands) -> Sum {
        c.p.usage.of(&self.apps)
    }
}

pub async fn show(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::Quota { user: named, all } = ask.what().arguments()?;
    if named.is_some() && all {
        return Err(Refusal::new(Code::Usage, "name a user, or --all, not both").next("quota --all").into());
    }
    let whom = match (named, ask.principal()) {
        (Some(name), _) => Some(name),
        (None, Principal::User { name, .. }) if !all => Some(name.clone()),
        // Root has no quota of its own.
        (None, Principal::User { .. } | Principal::Local | Principal::DeployKey { .. }) => None,
    };
    let (one, settings) = (whom.is_some(), c.p.settings.clone());
    let accounts =
        c.p.store
            .read(move |tx| {
                let users = match &whom {
                    Some(name) => vec![tx.the_user(name)?],
                    None => tx.users()?,
                };
                users.into_iter().map(|user| Account::read(tx, &settings, user)).collect::<store::Result<Vec<_>>>()
            })
            .await?;
    let mut list = List {
        columns: if one { &["WHAT", "USED", "OF", "FROM"] } else { &["USER", "WHAT", "USED", "OF", "FROM"] },
        rows: Vec::new(),
        json: Vec::new(),
        empty: "No users yet. users:add NAME [--admin] < KEY.pub".to_owned(),
    };
    for account in &accounts {
        for what in What::ALL {
            let (mut row, json) = line(c, account, what);
            if !one {
                row.insert(0, account.user.name.to_string());
            }
            list.rows.push(row);
            list.json.push(json);
        }
    }
    let mut reply = Reply::list(list);
    if let [account] = accounts.as_slice() {
        for note in notes(account.disk(c)) {
            reply.note(note);
        }
    }
    Ok(reply)
}

fn line(c: &Commands, account: &Account, what: What) -> (Vec<String>, serde_json::Value) {
    let (most, from) = limit(what, &account.own(), account.user.role, &c.p.settings.quotas());
    let used = account.used(c, what);
    let by = account.set.iter().find(|quota| quota.what == what).map(|quota| quota.by.clone());
    let (shown, word) = match from {
        Whose::Default => (format!("default ({})", what.setting()), "default"),
        Whose::Administrators => ("default for administrators".to_owned(), "administrators"),
        Whose::Set => (format!("set by {}", by.clone().unwrap_or_default()), "set"),
    };
    let row = vec![what.word().to_owned(), what.show(used), what.show_limit(most), shown];
    let mut json =
        json!({"user": account.user.name, "what": what.word(), "used": used, "limit": most, "from": word, "by": by});
    if what == What::Disk
        && let Some(fields) = json.as_object_mut()
    {
        let sum = account.disk(c);
        fields.insert("measured_ms_ago".to_owned(), json!(sum.since.map(|since| now().millis_since(since))));
        fields.insert("unmeasured_apps".to_owned(), json!(sum.unknown));
    }
    (row, json)
}

/// How old the numbers of the disk are.
fn notes(disk: Sum) -> Vec<String> {
    let measured = disk.since.map(|since| {
        format!(
            "disk: repositories, build caches and logs, measured {} ago",
            time::human_millis(now().millis_since(since))
        )
    });
    let unknown = (disk.unknown > 0).then(|| match disk.unknown {
        1 => "disk: 1 app was not measured yet".to_owned(),
        n => format!("disk: {n} apps were not measured yet"),
    });
    measured.into_iter().chain(unknown).collect()
}

pub async fn set(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::QuotaSet { user: name, limits: typed } = ask.what().arguments()?;
    let mut limits = Limits::new();
    for (word, value) in typed {
        let what = What::parse(&word)?;
        limits.insert(what, what.limit(&value)?);
    }
    let (by, settings, new) = (actor(ask.principal()), c.p.settings.clone(), limits.clone());
    let account =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&name)?;
                tx.set_quotas(&user, &new, &by, now())?;
                Account::read(tx, &settings, user)
            })
            .await?;
    let name = &account.user.name;
    let mut reply = Reply::new();
    reply.did("user", name);
    let set: BTreeMap<&str, Option<u64>> = limits.iter().map(|(what, most)| (what.word(), *most)).collect();
    reply.did("quotas", set);
    for (what, most) in limits {
        let used = account.used(c, what);
        reply.line(format!("{name} may have {}: {}", what.word(), what.show_limit(most)));
        if most.is_some_and(|most| used > most) {
            reply.warn(format!("{name} has {} now: nothing is stopped for that, more is refused", what.show(used)));
        }
    }
    Ok(reply)
}

pub async fn unset(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::QuotaUnset { user: name, what } = ask.what().arguments()?;
    let mut whats = what.iter().map(|word| What::parse(word)).collect::<Result<Vec<_>, Refusal>>()?;
    if whats.is_empty() {
        whats = What::ALL.to_vec();
    }
    let settings = c.p.settings.clone();
    let (removed, account) =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&name)?;
                let mut removed = Vec::new();
                for what in whats {
                    if tx.unset_quota(&user, what)? {
                        removed.push(what);
                    }
                }
                Ok((removed, Account::read(tx, &settings, user)?))
            })
            .await?;
    let name = &account.user.name;
    let mut reply = Reply::new();
    reply.did("user", name);
    reply.did("unset", removed.iter().map(|what| what.word()).collect::<Vec<_>>());
    if removed.is_empty() {
        reply.line(format!("None of that was set for {name}; quota {name} shows what is in force"));
    }
    for what in removed {
        let (most, _) = limit(what, &account.own(), account.user.role, &c.p.settings.quotas());
        reply.line(format!("{name} may have {}: {} again, the default", what.word(), what.show_limit(most)));
    }
    Ok(reply)
}
