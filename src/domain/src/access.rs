//! Who may do what: the one place that answers, and the only constructor of [`Authorized`].
//!
//! Deny by default. What somebody may not see does not exist for them: the refusal is the same as for a name never used.

use crate::ids::UserId;
use crate::names::{AppId, AppName, UserName};
use crate::refusal::Code;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// Who acts. The key's fingerprint is the identity; the SSH login name is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// Root on the host, through the admin socket.
    Local,
    /// A user, known by one of their keys.
    User {
        /// The user's id in the store.
        id: UserId,
        /// The user's name.
        name: UserName,
        /// The role on the installation.
        role: Role,
        /// The key that was used.
        key: KeyRef,
    },
    /// A key that may push to one app, and little else.
    DeployKey {
        /// The app.
        app: AppId,
        /// Its name today.
        app_name: AppName,
        /// The key.
        key: KeyRef,
    },
}

/// A key as it is shown: fingerprint and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRef {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// What its owner calls it; may be empty.
    pub name: String,
}

impl Principal {
    /// The key that was used; none for root.
    pub fn key(&self) -> Option<&KeyRef> {
        match self {
            Principal::Local => None,
            Principal::User { key, .. } | Principal::DeployKey { key, .. } => Some(key),
        }
    }

    /// The user's id; none for root and deploy keys.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Principal::Local | Principal::DeployKey { .. } => None,
            Principal::User { id, .. } => Some(*id),
        }
    }

    /// Whether it may do what only administrators may.
    pub fn is_admin(&self) -> bool {
        match self {
            Principal::Local => true,
            Principal::User { role, .. } => *role == Role::Admin,
            Principal::DeployKey { .. } => false,
        }
    }
}

/// A user's role on the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and changes everything, manages users.
    Admin,
    /// Makes apps, sees and changes their own and those shared with them.
    Developer,
}

/// What a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Need {
    /// Any known key.
    Anyone,
    /// May make apps.
    CreateApp,
    /// See an app: list, info, logs, releases, clone.
    Read,
    /// Change an app: push, config, scale, rollback.
    Manage,
    /// Decide over an app's name and its end: its owner and administrators, as neither can be taken back by the owner.
    Own,
    /// The app is made if it does not exist and the installation allows it; else as [`Need::Manage`].
    ManageOrCreate,
    /// Administrators only.
    Admin,
}

/// What a request must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What the verb needs.
    pub need: Need,
    /// Whether the verb is one that a deploy key may use.
    pub deploy_key: bool,
    /// Whether the installation makes an app at the first push of its name.
    pub creation_on: bool,
}

/// An app as access looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRef {
    /// The immutable id.
    pub id: AppId,
    /// Today's name.
    pub name: AppName,
    /// The owner's user id; `None` where root made it.
    pub owner: Option<UserId>,
    /// User ids the app is shared with.
    pub shared_with: Vec<UserId>,
}

/// Proof that `principal` may do `what`; carries the app it was checked for, so that nobody looks up another later.
#[derive(Debug, Clone)]
pub struct Authorized<T> {
    principal: Principal,
    app: Option<AppRef>,
    what: T,
}

impl<T> Authorized<T> {
    /// Who was checked.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
    /// The app it was checked for; `None` where the verb needs none or the app is to be made.
    pub fn app(&self) -> Option<&AppRef> {
        self.app.as_ref()
    }
    /// The request itself.
    pub fn what(&self) -> &T {
        &self.what
    }
    /// The app, for verbs whose need guarantees one.
    pub fn the_app(&self) -> Result<&AppRef, Refusal> {
        self.app.as_ref().ok_or_else(|| Refusal::new(Code::AppMissing, "this command needs an app").next("apps:list"))
    }
}

/// The name asked for, and what the store knows of it.
#[derive(Debug, Clone)]
pub enum Asked {
    /// The command names no app.
    NoApp,
    /// An app that exists.
    App(AppRef),
    /// A name that no app has.
    Unknown(AppName),
    /// A name that an app had before `apps:rename`; it is kept for those who may see that app.
    Renamed {
        /// The name asked for.
        old: AppName,
        /// The app.
        app: AppRef,
    },
}

/// The step of what only administrators can help with; [`ask_by_name`] says whom.
const ASK: &str = "ask an administrator";

/// A refusal whose steps name the administrator to ask. Not for deploy keys: a machine asks nobody.
pub fn ask_by_name(mut no: Refusal, principal: &Principal, admin: Option<&UserName>) -> Refusal {
    let whom = match (principal, admin) {
        (Principal::User { .. }, Some(name)) => format!("ask {name} (an administrator)"),
        (Principal::User { .. }, None) => "ask who has root on the server".to_owned(),
        (Principal::Local | Principal::DeployKey { .. }, _) => return no,
    };
    for step in &mut no.next {
        if let Some(rest) = step.strip_prefix(ASK).filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric())) {
            *step = format!("{whom}{rest}");
        }
    }
    no
}

/// The one gate.
pub fn authorize<T>(principal: &Principal, rules: Rules, asked: Asked, what: T) -> Result<Authorized<T>, Refusal> {
    let pass = |app: Option<AppRef>, what: T| Ok(Authorized { principal: principal.clone(), app, what });
    let seen = |app: &AppRef| may_see(principal, app);
    if let Principal::DeployKey { app_name, .. } = principal
        && !rules.deploy_key
    {
        return Err(not_for_deploy_keys(app_name));
    }
    let makes = rules.creation_on && may_create(principal);
    match (rules.need, asked) {
        (Need::Anyone, Asked::NoApp) => pass(None, what),
        (Need::Admin, Asked::NoApp) if principal.is_admin() => pass(None, what),
        (Need::Admin, _) => Err(Refusal::new(Code::NotAllowed, "only administrators may do this").next(ASK)),
        (Need::CreateApp, Asked::NoApp | Asked::Unknown(_)) => pass(None, what),
        // Somebody who may change the renamed app may use its old name for another one, on purpose and not by a push.
        (Need::CreateApp, Asked::Renamed { app, .. }) if seen(&app) => pass(None, what),
        (Need::Anyone | Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate, Asked::Renamed { old, app })
            if seen(&app) =>
        {
            Err(renamed(&old, &app.name))
        }
        (Need::CreateApp, Asked::Renamed { old, .. }) => Err(name_taken(&old)),
        (Need::ManageOrCreate, Asked::Renamed { old, .. }) if makes => Err(name_taken(&old)),
        (Need::Anyone | Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate, Asked::Renamed { old, .. }) => {
            Err(no_such_app(principal, &old, makes))
        }
        (Need::CreateApp, Asked::App(app)) if seen(&app) => {
            Err(Refusal::new(Code::NameTaken, format!("{} exists already", app.name))
                .next("git push hoist main")
                .next(format!("apps:info {}", app.name)))
        }
        (Need::CreateApp, Asked::App(app)) => Err(name_taken(&app.name)),
        (Need::Own, Asked::App(app)) if seen(&app) && !owns(principal, &app) => Err(not_its_owner(&app.name)),
        (Need::Anyone | Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate, Asked::App(app))
            if seen(&app) =>
        {
            pass(Some(app), what)
        }
        // A push could have made the app, so that it did not has to be said; where it could not, nothing is.
        (Need::ManageOrCreate, Asked::App(app)) if makes => Err(name_taken(&app.name)),
        (Need::ManageOrCreate, Asked::Unknown(_)) if makes => pass(None, what),
        (Need::Anyone | Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate, Asked::App(app)) => {
            Err(no_such_app(principal, &app.name, makes))
        }
        (Need::Anyone | Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate, Asked::Unknown(name)) => {
            Err(no_such_app(principal, &name, makes))
        }
        (Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate, Asked::NoApp) => {
            Err(Refusal::new(Code::AppMissing, "which app? Name it as the first argument").next("apps:list"))
        }
    }
}

/// Whether `principal` may see (and so change) `app`; also the filter of every list.
pub fn may_see(principal: &Principal, app: &AppRef) -> bool {
    match principal {
        Principal::Local => true,
        Principal::User { id, role, .. } => {
            *role == Role::Admin || app.owner == Some(*id) || app.shared_with.contains(id)
        }
        Principal::DeployKey { app: bound, .. } => app.id == *bound,
    }
}

fn owns(principal: &Principal, app: &AppRef) -> bool {
    match principal {
        Principal::Local => true,
        Principal::User { id, role, .. } => *role == Role::Admin || app.owner == Some(*id),
        Principal::DeployKey { .. } => false,
    }
}

fn not_its_owner(app: &AppName) -> Refusal {
    Refusal::new(Code::NotItsOwner, format!("only the owner of {app} or an administrator may do this"))
        .next(format!("access:list {app}  (says whose it is)"))
}

fn may_create(principal: &Principal) -> bool {
    match principal {
        Principal::Local | Principal::User { .. } => true,
        Principal::DeployKey { .. } => false,
    }
}

/// Who sees every app hears how to make this one. For others the name may be somebody's: only what holds in both cases is said.
fn no_such_app(principal: &Principal, name: &AppName, by_push: bool) -> Refusal {
    let no = Refusal::new(Code::NoSuchApp, format!("there is no app {name}"));
    match principal {
        Principal::DeployKey { .. } => no.next("whoami"),
        Principal::Local | Principal::User { .. } => {
            let no = no.next("apps:list");
            match (principal.is_admin(), by_push) {
                (true, _) => no.next(format!("apps:create {name}")),
                (false, true) => no.next("git push hoist main  (makes the app if nobody has the name)"),
                (false, false) => no.next(format!("apps:create {name}  (if nobody has the name)")),
            }
        }
    }
}

fn not_for_deploy_keys(app: &AppName) -> Refusal {
    Refusal::new(Code::NotForDeployKeys, "a deploy key may not do this")
        .why(format!("it may push to {app} and look at its builds; a user's key may do more"))
        .next("whoami")
}

fn renamed(old: &AppName, new: &AppName) -> Refusal {
    Refusal::new(Code::AppRenamed, format!("{old} is called {new} now"))
        .next(format!("use {new}; for git: git remote set-url hoist with the URL that apps:info {new} shows"))
        .next(format!("apps:create {old}  (for another app of that name)"))
}

/// The refusal of a name that another app has: those who may see that app hear what it is.
pub fn name_refusal(principal: &Principal, app: &AppRef, name: &AppName) -> Refusal {
    if may_see(principal, app) && app.name == *name {
        return Refusal::new(Code::NameTaken, format!("{name} exists already")).next(format!("apps:info {name}"));
    }
    name_taken(name)
}

fn name_taken(name: &AppName) -> Refusal {
    Refusal::new(Code::NameTaken, format!("the name {name} is taken"))
        .next("choose another name")
        .next(format!("ask its owner for: access:add {name} YOUR-NAME"))
}

/// The name to show for a principal in audit rows and release lists.
pub fn actor(principal: &Principal) -> String {
    match principal {
        Principal::Local => "root".to_owned(),
        Principal::User { name, .. } => name.to_string(),
        // No user's name has a space, so this is never taken for one.
        Principal::DeployKey { key, .. } if key.name.is_empty() => "deploy key".to_owned(),
        Principal::DeployKey { key, .. } => format!("deploy key {}", key.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NEEDS: [Need; 7] =
        [Need::Anyone, Need::CreateApp, Need::Read, Need::Manage, Need::Own, Need::ManageOrCreate, Need::Admin];

    fn key() -> KeyRef {
        KeyRef { fingerprint: "SHA256:x".into(), name: "ci".into() }
    }

    #[test]
    fn who_acts_is_known_by_their_own_key_and_number() {
        let name = "ana".parse().unwrap();
        let user = Principal::User { id: UserId(7), name, role: Role::Developer, key: key() };
        let app = "appid234".parse().unwrap();
        let deploy = Principal::DeployKey { app, app_name: "blog".parse().unwrap(), key: key() };
        assert_eq!((user.key(), user.user_id()), (Some(&key()), Some(UserId(7))));
        assert_eq!((deploy.key(), deploy.user_id()), (Some(&key()), None), "its app's owner is not who acts");
        assert_eq!((Principal::Local.key(), Principal::Local.user_id()), (None, None));
    }

    fn user(id: UserId, role: Role) -> Principal {
        Principal::User { id, name: format!("u{id}").parse().unwrap(), role, key: key() }
    }

    fn deploy_key(app: &str) -> Principal {
        Principal::DeployKey { app: app.parse().unwrap(), app_name: "blog".parse().unwrap(), key: key() }
    }

    fn app() -> AppRef {
        AppRef {
            id: "aaaaaaaa".parse().unwrap(),
            name: "blog".parse().unwrap(),
            owner: Some(UserId(1)),
            shared_with: vec![UserId(2)],
        }
    }

    fn ask(who: &Principal, need: Need, asked: Asked, deploy_key: bool, creation_on: bool) -> Result<(), Refusal> {
        authorize(who, Rules { need, deploy_key, creation_on }, asked, ()).map(drop)
    }

    #[test]
    fn who_passes_carries_the_app_and_who_owns_it_is_told_that_it_is_there() {
        let owner = user(UserId(1), Role::Developer);
        let rules = |need| Rules { need, deploy_key: false, creation_on: true };
        let passed = authorize(&owner, rules(Need::Own), Asked::App(app()), 5).unwrap();
        assert_eq!((passed.principal(), passed.app(), passed.what()), (&owner, Some(&app()), &5));
        let again = |who: &Principal| authorize(who, rules(Need::CreateApp), Asked::App(app()), ()).unwrap_err().what;
        assert_eq!(again(&owner), "blog exists already");
        assert_eq!(again(&user(UserId(3), Role::Developer)), "the name blog is taken");
    }

    #[test]
    fn every_cell() {
        let who = BTreeMap::from([
            ("1 admin", user(UserId(9), Role::Admin)),
            ("2 owner", user(UserId(1), Role::Developer)),
            ("3 shared", user(UserId(2), Role::Developer)),
            ("4 stranger", user(UserId(3), Role::Developer)),
            ("5 root", Principal::Local),
            ("6 its deploy key", deploy_key("aaaaaaaa")),
            ("7 another deploy key", deploy_key("bbbbbbbb")),
        ]);
        let cell = |who: &Principal, need: Need| {
            let asked = match need {
                Need::Admin | Need::Anyone => Asked::NoApp,
                Need::CreateApp | Need::Read | Need::Manage | Need::Own | Need::ManageOrCreate => Asked::App(app()),
            };
            // What only a name never used could show is shown for verbs open to deploy keys too.
            match (ask(who, need, asked.clone(), false, true), ask(who, need, asked, true, true)) {
                (Ok(()), Ok(())) => '+',
                (Err(_), Ok(())) => 'd',
                (_, Err(_)) => '-',
            }
        };
        let cells: Vec<String> = who
            .iter()
            .map(|(label, who)| format!("{label}: {}", NEEDS.iter().map(|n| cell(who, *n)).collect::<String>()))
            .collect();
        // Anyone, CreateApp (the name exists), Read, Manage, Own, ManageOrCreate, Admin; d: where the table lets deploy keys
        assert_eq!(
            cells,
            [
                "1 admin: +-+++++",
                "2 owner: +-++++-",
                "3 shared: +-++-+-",
                "4 stranger: +------",
                "5 root: +-+++++",
                "6 its deploy key: d-dd-d-",
                "7 another deploy key: d------",
            ]
        );
    }

    #[test]
    fn hidden_is_the_same_as_absent() {
        let absent = || Asked::Unknown("blog".parse().unwrap());
        for who in [user(UserId(3), Role::Developer), deploy_key("bbbbbbbb")] {
            for need in [Need::Anyone, Need::Read, Need::Manage, Need::Own, Need::ManageOrCreate, Need::Admin] {
                for (open, creation_on) in [(false, false), (true, false), (true, true)] {
                    let by_push = need == Need::ManageOrCreate && creation_on && may_create(&who);
                    let hidden = ask(&who, need, Asked::App(app()), open, creation_on);
                    let unused = ask(&who, need, absent(), open, creation_on);
                    assert!(by_push || hidden.is_err() && hidden == unused, "{who:?} {need:?} {open} {creation_on}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_may_be_taken_is_not_said_to_be_free() {
        let next = |who: &Principal, creation_on| {
            ask(who, Need::Read, Asked::Unknown("blog".parse().unwrap()), true, creation_on).unwrap_err().next
        };
        let stranger = user(UserId(3), Role::Developer);
        assert_eq!(next(&stranger, true), ["apps:list", "git push hoist main  (makes the app if nobody has the name)"]);
        assert_eq!(next(&stranger, false), ["apps:list", "apps:create blog  (if nobody has the name)"]);
        assert_eq!(next(&user(UserId(9), Role::Admin), true), ["apps:list", "apps:create blog"]);
        assert_eq!(next(&deploy_key("bbbbbbbb"), true), ["whoami"]);
    }

    #[test]
    fn who_needs_an_administrator_hears_of_one() {
        let (bob, ann) = (user(UserId(3), Role::Developer), "ann".parse().unwrap());
        let steps = |who: &Principal, admin: Option<&UserName>| {
            let no = Refusal::new(Code::NotAllowed, "no")
                .next("ask an administrator for: apps:set blog enter=on")
                .next("ask an administrator")
                .next("whoami");
            ask_by_name(no, who, admin).next
        };
        assert_eq!(
            steps(&bob, Some(&ann)),
            ["ask ann (an administrator) for: apps:set blog enter=on", "ask ann (an administrator)", "whoami"]
        );
        assert_eq!(steps(&bob, None)[1], "ask who has root on the server");
        assert_eq!(steps(&deploy_key("aaaaaaaa"), Some(&ann))[1], "ask an administrator");
        assert_eq!(ask(&bob, Need::Admin, Asked::NoApp, false, true).unwrap_err().next, ["ask an administrator"]);
    }

    #[test]
    fn a_deploy_key_makes_nothing() {
        let fresh = || Asked::Unknown("fresh".parse().unwrap());
        let ci = deploy_key("aaaaaaaa");
        assert_eq!(ask(&ci, Need::ManageOrCreate, fresh(), true, true).unwrap_err().code, Code::NoSuchApp);
        assert_eq!(ask(&ci, Need::CreateApp, fresh(), false, true).unwrap_err().code, Code::NotForDeployKeys);
        assert_eq!(actor(&ci), "deploy key ci");
    }

    #[test]
    fn a_name_of_before_sends_on_those_who_may_know() {
        let (owner, stranger) = (user(UserId(1), Role::Developer), user(UserId(3), Role::Developer));
        let old: AppName = "old".parse().unwrap();
        let renamed = || Asked::Renamed { old: old.clone(), app: app() };
        let code = |who: &Principal, need| ask(who, need, renamed(), true, true).err().map(|no| no.code);
        assert_eq!(code(&owner, Need::Read), Some(Code::AppRenamed));
        assert_eq!(code(&owner, Need::ManageOrCreate), Some(Code::AppRenamed));
        assert_eq!(code(&owner, Need::CreateApp), None);
        for need in [Need::Anyone, Need::Read, Need::Manage, Need::Own, Need::CreateApp, Need::ManageOrCreate] {
            for creation_on in [false, true] {
                let hidden = Asked::App(AppRef { name: old.clone(), ..app() });
                let hidden = ask(&stranger, need, hidden, true, creation_on);
                assert!(hidden.is_err() && hidden == ask(&stranger, need, renamed(), true, creation_on), "{need:?}");
            }
        }
    }
}
