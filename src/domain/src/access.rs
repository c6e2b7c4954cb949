//! Who may do what: the one place that answers, and the only constructor of [`Authorized`].
//!
//! Deny by default. What somebody may not see does not exist for them: the refusal is the same as for a name never used.

use crate::names::{AppId, AppName, UserName};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who acts. The key's fingerprint is the identity; the SSH login name is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// Root on the host, through the admin socket.
    Local,
    /// A user, known by one of their keys.
    User {
        /// The user's id in the store.
        id: i64,
        /// The user's name.
        name: UserName,
        /// The role on the installation.
        role: Role,
        /// The key's fingerprint, `SHA256:…`.
        key: String,
    },
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
    /// Change an app: push, config, scale, rollback, destroy.
    Manage,
    /// The app is made if it does not exist and the installation allows it; else as [`Need::Manage`].
    ManageOrCreate,
    /// Administrators only.
    Admin,
}

/// An app as access looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRef {
    /// The immutable id.
    pub id: AppId,
    /// Today's name.
    pub name: AppName,
    /// The owner's user id; `None` where root made it.
    pub owner: Option<i64>,
    /// User ids the app is shared with.
    pub shared_with: Vec<i64>,
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
        self.app.as_ref().ok_or_else(|| Refusal::new("app-missing", "this command needs an app").next("apps:list"))
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
}

/// The one gate. `creation_on` says whether a push or command may make an app that does not exist.
pub fn authorize<T>(
    principal: &Principal,
    need: Need,
    asked: Asked,
    creation_on: bool,
    what: T,
) -> Result<Authorized<T>, Refusal> {
    let role = match principal {
        Principal::Local => Role::Admin,
        Principal::User { role, .. } => *role,
    };
    let pass = |app: Option<AppRef>, what: T| Ok(Authorized { principal: principal.clone(), app, what });
    match (need, asked) {
        (Need::Anyone, Asked::NoApp) => pass(None, what),
        (Need::Admin, Asked::NoApp) if role == Role::Admin => pass(None, what),
        (Need::Admin, _) => Err(Refusal::new("not-allowed", "only administrators may do this").next("whoami")),
        (Need::CreateApp, Asked::NoApp | Asked::Unknown(_)) => pass(None, what),
        (Need::CreateApp, Asked::App(app)) if may_touch(principal, role, &app) => {
            Err(Refusal::new("name-taken", format!("{} exists already", app.name))
                .next("git push hoist main")
                .next(format!("apps:info {}", app.name)))
        }
        (Need::CreateApp, Asked::App(app)) => Err(name_taken(&app.name)),
        (Need::Anyone | Need::Read | Need::Manage, Asked::App(app)) if may_touch(principal, role, &app) => {
            pass(Some(app), what)
        }
        (Need::ManageOrCreate, Asked::App(app)) if may_touch(principal, role, &app) => pass(Some(app), what),
        (Need::ManageOrCreate, Asked::App(app)) => Err(name_taken(&app.name)),
        (Need::ManageOrCreate, Asked::Unknown(_)) if creation_on => pass(None, what),
        (Need::Anyone | Need::Read | Need::Manage, Asked::App(app)) => Err(no_such_app(&app.name)),
        (Need::Anyone | Need::Read | Need::Manage | Need::ManageOrCreate, Asked::Unknown(name)) => {
            Err(no_such_app(&name))
        }
        (Need::Read | Need::Manage | Need::ManageOrCreate, Asked::NoApp) => {
            Err(Refusal::new("app-missing", "which app? Name it as the first argument").next("apps:list"))
        }
    }
}

/// Whether `principal` may see and change `app`; also the filter of every list.
pub fn may_see(principal: &Principal, app: &AppRef) -> bool {
    match principal {
        Principal::Local => true,
        Principal::User { role, .. } => may_touch(principal, *role, app),
    }
}

fn may_touch(principal: &Principal, role: Role, app: &AppRef) -> bool {
    match principal {
        Principal::Local => true,
        Principal::User { id, .. } => role == Role::Admin || app.owner == Some(*id) || app.shared_with.contains(id),
    }
}

fn no_such_app(name: &AppName) -> Refusal {
    Refusal::new("no-such-app", format!("there is no app {name}")).next("apps:list").next(format!("apps:create {name}"))
}

fn name_taken(name: &AppName) -> Refusal {
    Refusal::new("name-taken", format!("the name {name} is taken"))
        .next("choose another name")
        .next(format!("ask its owner for: access:add {name} YOUR-NAME"))
}

/// The name to show for a principal in audit rows and release lists.
pub fn actor(principal: &Principal) -> String {
    match principal {
        Principal::Local => "root".to_owned(),
        Principal::User { name, .. } => name.to_string(),
    }
}

/// Role × need × relation, in one table; used by tests and by the permission matrix.
pub fn matrix(owner: &AppRef, principals: &BTreeMap<&str, Principal>) -> Vec<(String, Need, bool)> {
    let needs = [Need::Anyone, Need::CreateApp, Need::Read, Need::Manage, Need::ManageOrCreate, Need::Admin];
    let mut rows = Vec::new();
    for (label, principal) in principals {
        for need in needs {
            let asked = match need {
                Need::Admin | Need::Anyone => Asked::NoApp,
                Need::CreateApp | Need::Read | Need::Manage | Need::ManageOrCreate => Asked::App(owner.clone()),
            };
            rows.push(((*label).to_owned(), need, authorize(principal, need, asked, true, ()).is_ok()));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64, role: Role) -> Principal {
        Principal::User { id, name: format!("u{id}").parse().unwrap(), role, key: "SHA256:x".into() }
    }

    fn app() -> AppRef {
        AppRef { id: "aaaaaaaa".parse().unwrap(), name: "blog".parse().unwrap(), owner: Some(1), shared_with: vec![2] }
    }

    #[test]
    fn every_cell() {
        let who = BTreeMap::from([
            ("1 admin", user(9, Role::Admin)),
            ("2 owner", user(1, Role::Developer)),
            ("3 shared", user(2, Role::Developer)),
            ("4 stranger", user(3, Role::Developer)),
            ("5 root", Principal::Local),
        ]);
        let cells: Vec<String> = matrix(&app(), &who)
            .chunks(6)
            .map(|row| format!("{}: {}", row[0].0, row.iter().map(|c| if c.2 { '+' } else { '-' }).collect::<String>()))
            .collect();
        // Anyone, CreateApp (the name exists), Read, Manage, ManageOrCreate, Admin
        assert_eq!(
            cells,
            ["1 admin: +-++++", "2 owner: +-+++-", "3 shared: +-+++-", "4 stranger: +-----", "5 root: +-++++"]
        );
    }

    #[test]
    fn hidden_is_the_same_as_absent() {
        let stranger = user(3, Role::Developer);
        let hidden = authorize(&stranger, Need::Read, Asked::App(app()), true, ()).unwrap_err();
        let absent = authorize(&stranger, Need::Read, Asked::Unknown("blog".parse().unwrap()), true, ()).unwrap_err();
        assert_eq!(hidden, absent);
        let off = authorize(&stranger, Need::ManageOrCreate, Asked::Unknown("new-one".parse().unwrap()), false, ());
        assert_eq!(off.unwrap_err().code, "no-such-app");
    }
}
