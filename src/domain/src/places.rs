//! Places that are shared: how many there are of something, how many of them one person may hold, and who may still come in
//! when they are nearly gone.
//!
//! Pure: who holds what comes in. A deploy key counts for the person whom its app belongs to: keys cost nothing to make.

use crate::access::Principal;
use crate::ids::UserId;
use crate::names::AppId;
use crate::quota::{Holder, What};
use crate::refusal::Code;
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// Whom something counts for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Root on the host, and the server itself.
    Local,
    /// A user, with the deploy keys of their apps.
    User(UserId),
    /// An app that is nobody's, with its deploy keys.
    App(AppId),
}

/// Who asks for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Whom it counts for.
    pub owner: Owner,
    /// Whether it may have what is kept for administrators.
    pub admin: bool,
    /// The person that it counts for, with what an administrator set for them.
    pub holder: Option<Holder>,
}

impl Claimant {
    /// Root on the host.
    pub fn local() -> Claimant {
        Claimant { owner: Owner::Local, admin: true, holder: None }
    }

    /// Whom `who` counts for; `app_owner` is the owner of a deploy key's app.
    pub fn of(who: &Principal, app_owner: Option<UserId>) -> Claimant {
        let (owner, admin) = match (who, app_owner) {
            (Principal::Local, _) => return Claimant::local(),
            (Principal::User { id, .. }, _) => (Owner::User(*id), who.is_admin()),
            (Principal::DeployKey { .. }, Some(id)) => (Owner::User(id), false),
            (Principal::DeployKey { app, .. }, None) => (Owner::App(app.clone()), false),
        };
        Claimant { owner, admin, holder: None }
    }

    /// With what was set for the person that it counts for.
    #[must_use]
    pub fn with(self, holder: Option<Holder>) -> Claimant {
        Claimant { holder, ..self }
    }

    /// How many of these it may hold: what was set for the person, else what one may have here.
    fn most(&self, kind: Kind, bound: Bound) -> usize {
        let set = kind.quota().and_then(|what| self.holder.as_ref()?.own.get(&what));
        set.map_or(bound.each, |most| most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)))
    }
}

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// In all.
    pub all: usize,
    /// For one owner.
    pub each: usize,
    /// Of all, the last ones, which only administrators get.
    pub kept: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The asker holds as many as one may.
    Theirs,
    /// All are taken.
    All,
}

/// Whether there is a place for `who`, as things stand. Root on the host has no bound of its own.
pub fn admit(kind: Kind, held: &BTreeMap<Owner, usize>, bound: Bound, who: &Claimant) -> Result<(), Full> {
    let theirs = held.get(&who.owner).copied().unwrap_or(0);
    let all: usize = held.values().sum();
    let open = if who.admin { bound.all } else { bound.all.saturating_sub(bound.kept).max(1) };
    if who.owner != Owner::Local && theirs >= who.most(kind, bound) {
        Err(Full::Theirs)
    } else if all >= open {
        Err(Full::All)
    } else {
        Ok(())
    }
}

/// What is counted, for the words of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Open SSH connections.
    Sessions,
    /// Commands that run.
    Commands,
    /// Pushes that are open, from their first byte to the end of their deploy.
    Pushes,
    /// Packs that git takes in at the moment.
    Receiving,
    /// Packs that it gives out.
    Fetching,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Kind::Sessions => "connections are open",
            Kind::Commands => "commands run",
            Kind::Pushes => "pushes are open",
            Kind::Receiving => "pushes are being taken in",
            Kind::Fetching => "fetches are being served",
        }
    }

    /// The quota that says how many one person may have.
    fn quota(self) -> Option<What> {
        match self {
            Kind::Sessions => Some(What::Sessions),
            Kind::Commands => Some(What::Commands),
            Kind::Pushes => Some(What::Pushes),
            Kind::Receiving | Kind::Fetching => None,
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Kind::Sessions => What::Sessions.setting(),
            Kind::Commands => What::Commands.setting(),
            Kind::Pushes => What::Pushes.setting(),
            Kind::Receiving | Kind::Fetching => "git-memory",
        }
    }
}

/// The honest "busy".
pub fn busy(kind: Kind, bound: Bound, full: Full, who: &Claimant) -> Refusal {
    let (number, whose) = match full {
        Full::Theirs => (who.most(kind, bound), " for you"),
        Full::All => (bound.all, " on this server"),
    };
    let no = Refusal::new(Code::Busy, format!("{number} {}{whose} already, and that is the most", kind.plural()));
    let first = match (kind, full) {
        (Kind::Sessions | Kind::Commands, Full::Theirs) => {
            "end one of yours (logs -t, run, ssh -O exit), then try again"
        }
        (Kind::Pushes | Kind::Receiving | Kind::Fetching, Full::Theirs) => {
            "wait until one of yours has ended, then try again"
        }
        (_, Full::All) => "try again in a minute",
    };
    let raise = match (full, kind.quota(), &who.holder) {
        (Full::Theirs, Some(what), Some(holder)) => {
            format!("ask an administrator for: quota:set {} {}={}", holder.name, what.word(), number.saturating_mul(2))
        }
        (Full::Theirs | Full::All, ..) => format!("an administrator: raise {} (docs/operations.md)", kind.setting()),
    };
    no.why("deploy keys of your apps count for you; nothing was changed").next(first).next(raise)
}

/// How the memory that git may use in all is shared out: half to packs that come in, a quarter to packs that go out, and a
/// quarter to what is left of a push while its deploy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitPlaces {
    /// Packs that come in at once.
    pub receiving: Bound,
    /// Packs that go out at once.
    pub fetching: Bound,
    /// Pushes that are open at once.
    pub pushes: Bound,
}

/// Bytes that one takes: of a pack that comes in, of one that goes out, of a push that waits for its deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    /// A pack that comes in.
    pub receiving: u64,
    /// A pack that goes out.
    pub fetching: u64,
    /// A push that waits.
    pub waiting: u64,
}

/// The places for this much memory; there is always one of each. No user has more than half of what carries packs.
pub fn git_places(memory: u64, takes: Takes, pushes_each: usize) -> GitPlaces {
    let number = |memory: u64, one: u64| usize::try_from(memory / one.max(1)).unwrap_or(usize::MAX).max(1);
    let carried = |all: usize| Bound { all, each: all.div_ceil(2).min(4), kept: usize::from(all > 2) };
    let open = number(memory / 4, takes.waiting).max(4);
    GitPlaces {
        receiving: carried(number(memory / 2, takes.receiving)),
        fetching: carried(number(memory / 4, takes.fetching)),
        pushes: Bound { all: open, each: pushes_each, kept: open / 8 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_a_place() {
        let bound = Bound { all: 6, each: 2, kept: 1 };
        let user = |id| Claimant { owner: Owner::User(id), admin: false, holder: None };
        let admin = |id| Claimant { owner: Owner::User(id), admin: true, holder: None };
        let held =
            |all: &[(i64, usize)]| all.iter().map(|(id, n)| (Owner::User(UserId(*id)), *n)).collect::<BTreeMap<_, _>>();
        for (holds, who, expect) in [
            (held(&[]), user(UserId(1)), Ok(())),
            (held(&[(1, 1)]), user(UserId(1)), Ok(())),
            (held(&[(1, 2)]), user(UserId(1)), Err(Full::Theirs)),
            (held(&[(1, 2)]), user(UserId(2)), Ok(())),
            (held(&[(1, 2), (2, 2), (3, 1)]), user(UserId(4)), Err(Full::All)),
            (held(&[(1, 2), (2, 2), (3, 1)]), admin(UserId(4)), Ok(())),
            (held(&[(1, 2), (2, 2), (3, 2)]), admin(UserId(4)), Err(Full::All)),
            (held(&[(1, 2), (2, 2), (3, 2)]), admin(UserId(1)), Err(Full::Theirs)),
            (BTreeMap::from([(Owner::Local, 5)]), Claimant::local(), Ok(())),
        ] {
            assert_eq!(admit(Kind::Sessions, &holds, bound, &who), expect, "{holds:?} {who:?}");
        }
        // However small it is, somebody gets in.
        assert_eq!(
            admit(Kind::Sessions, &BTreeMap::new(), Bound { all: 1, each: 1, kept: 1 }, &user(UserId(1))),
            Ok(())
        );
    }

    #[test]
    fn a_deploy_key_counts_for_whom_its_app_belongs_to() {
        let key = crate::access::KeyRef { fingerprint: "SHA256:x".into(), name: String::new() };
        let app: AppId = "appid234".parse().unwrap();
        let who = Principal::DeployKey { app: app.clone(), app_name: "blog".parse().unwrap(), key };
        assert_eq!(
            Claimant::of(&who, Some(UserId(7))),
            Claimant { owner: Owner::User(UserId(7)), admin: false, holder: None }
        );
        assert_eq!(Claimant::of(&who, None), Claimant { owner: Owner::App(app), admin: false, holder: None });
    }

    #[test]
    fn bounds_follow_the_memory() {
        let mb = 1_000_000;
        let takes = Takes { receiving: 125 * mb, fetching: 200 * mb, waiting: 8 * mb };
        for (memory, packs, each, out, open) in
            [(2048, 8, 4, 2, 64), (1024, 4, 2, 1, 32), (256, 1, 1, 1, 8), (1, 1, 1, 1, 4)]
        {
            let at = git_places(memory * mb, takes, 10);
            assert_eq!((at.receiving.all, at.receiving.each), (packs, each), "{memory}");
            assert_eq!((at.fetching.all, at.pushes.all, at.pushes.each), (out, open, 10), "{memory}");
        }
    }

    #[test]
    fn busy_says_what_to_do() {
        let bound = Bound { all: 32, each: 10, kept: 4 };
        for kind in [Kind::Sessions, Kind::Commands, Kind::Pushes, Kind::Receiving, Kind::Fetching] {
            for full in [Full::Theirs, Full::All] {
                let lines = busy(kind, bound, full, &Claimant::local()).lines().join("\n");
                assert!(lines.contains("next: ") && lines.contains(kind.setting()), "{lines}");
            }
        }
        let no = busy(Kind::Pushes, bound, Full::Theirs, &set(Some(3)));
        assert_eq!(no.what, "3 pushes are open for you already, and that is the most");
        assert!(no.next.iter().any(|next| next.ends_with("quota:set ana pushes=6")), "{no}");
    }

    /// Ana, for whom an administrator set how many pushes she may have.
    fn set(pushes: Option<u64>) -> Claimant {
        let own = [(What::Pushes, pushes)].into();
        let holder = Holder { name: "ana".parse().unwrap(), role: crate::access::Role::Developer, own };
        Claimant { owner: Owner::User(UserId(1)), admin: false, holder: Some(holder) }
    }

    #[test]
    fn what_was_set_for_a_person_holds_for_that_kind() {
        let bound = Bound { all: 9, each: 2, kept: 0 };
        let held = |n| BTreeMap::from([(Owner::User(UserId(1)), n)]);
        assert_eq!(admit(Kind::Pushes, &held(2), bound, &set(Some(3))), Ok(()));
        assert_eq!(admit(Kind::Pushes, &held(3), bound, &set(Some(3))), Err(Full::Theirs));
        assert_eq!(admit(Kind::Pushes, &held(1), bound, &set(Some(1))), Err(Full::Theirs));
        assert_eq!(admit(Kind::Pushes, &held(8), bound, &set(None)), Ok(()));
        assert_eq!(admit(Kind::Pushes, &held(9), bound, &set(None)), Err(Full::All));
        assert_eq!(admit(Kind::Sessions, &held(2), bound, &set(Some(3))), Err(Full::Theirs), "of another kind");
        assert_eq!(admit(Kind::Receiving, &held(2), bound, &set(None)), Err(Full::Theirs), "has no quota");
    }
}
