//! The permission matrix: who × every verb of the command table, over SSH (root by the admin socket).
//!
//! Invariant: [`expected`] is a total match, so a verb without an expectation does not compile.

use e2e::{Output, User, World};
use verbs::{AppArg, Spec, TABLE, Verb};

/// Who asks, in the order of the cells.
const WHO: [&str; 7] =
    ["root", "administrator", "owner", "shared with", "stranger", "its deploy key", "another's deploy key"];

/// What becomes of each of [`WHO`] with an app that exists: `+` reaches the command; refused otherwise, as
/// `h` hidden ("there is no app"), `a` for administrators, `k` not for deploy keys, `t` the name is taken.
const OF_AN_APP: &str = "++++hkk";
/// The same for its owner and administrators alone: `o`.
const OF_ITS_OWNER: &str = "+++ohkk";
/// As the first, where the table lets deploy keys in.
const OF_AN_APP_AND_CI: &str = "++++h+h";
const ADMINS: &str = "++aaakk";
const ANY_USER: &str = "+++++kk";
const ANYBODY: &str = "+++++++";

/// The words after the verb and its app (chosen so that a command that is reached changes as little as can be), and the
/// cells.
fn expected(verb: Verb) -> (&'static [&'static str], &'static str) {
    match verb {
        Verb::AppsCreate => (&[], "tttttkk"),
        Verb::AppsList => (&[], ANY_USER),
        Verb::AppsInfo => (&[], OF_AN_APP),
        Verb::AppsSet => (&["no-such-setting=1"], OF_AN_APP),
        Verb::AppsDestroy => (&["--confirm", "APP"], OF_ITS_OWNER),
        Verb::Open => (&[], OF_AN_APP_AND_CI),
        Verb::AppsRename => (&["Not A Name"], OF_ITS_OWNER),
        Verb::AppsTransfer => (&["nobody"], OF_ITS_OWNER),
        Verb::DomainsAdd => (&["not-a-name"], OF_AN_APP),
        Verb::DomainsRemove => (&["nothing.example"], OF_AN_APP),
        Verb::DomainsList | Verb::DomainsClear => (&[], OF_AN_APP),
        Verb::DomainsBase => (&[], ANY_USER),
        Verb::DomainsSetBase => (&["not a name"], ADMINS),
        Verb::Maintenance | Verb::MaintenanceOn | Verb::MaintenanceOff => (&[], OF_AN_APP),
        Verb::Config => (&[], OF_AN_APP),
        Verb::ConfigSet => (&["bad name=1"], OF_AN_APP),
        Verb::ConfigGet => (&["NOTHING"], OF_AN_APP),
        Verb::ConfigUnset => (&["NOTHING"], OF_AN_APP),
        Verb::ConfigImport | Verb::ConfigExport => (&[], OF_AN_APP),
        Verb::Ps => (&[], OF_AN_APP),
        Verb::PsScale => (&["web=1"], OF_AN_APP),
        Verb::PsRestart => (&[], OF_AN_APP),
        Verb::PsStop => (&[], OF_AN_APP),
        Verb::PsStart => (&[], OF_AN_APP),
        Verb::PsRebuild => (&[], OF_AN_APP),
        Verb::Run | Verb::Enter | Verb::PsExec => (&["--", "true"], OF_AN_APP),
        Verb::Logs => (&[], OF_AN_APP),
        Verb::Releases => (&[], OF_AN_APP),
        Verb::Rollback => (&["v9"], OF_AN_APP),
        Verb::Builds => (&[], OF_AN_APP_AND_CI),
        Verb::BuildsOutput => (&[], OF_AN_APP_AND_CI),
        Verb::BuildsWait => (&["--timeout", "1"], OF_AN_APP_AND_CI),
        Verb::BuildsCancel => (&[], OF_AN_APP),
        Verb::BuildsPlan | Verb::BuildsEject | Verb::BuildsLock => (&[], OF_AN_APP),
        Verb::KeysAdd => (&[], ANY_USER),
        Verb::KeysList => (&[], ANY_USER),
        Verb::KeysRemove => (&["SHA256:nobodys"], ANY_USER),
        Verb::DeployKeysAdd => (&["ci"], OF_AN_APP),
        Verb::DeployKeysList => (&[], OF_AN_APP),
        Verb::DeployKeysRemove => (&["nobodys"], OF_AN_APP),
        Verb::UsersAdd => (&["not a name"], ADMINS),
        Verb::UsersList => (&[], ADMINS),
        Verb::UsersSet => (&["nobody", "--admin"], ADMINS),
        Verb::UsersRemove => (&["nobody"], ADMINS),
        Verb::AccessAdd => (&["nobody"], OF_AN_APP),
        Verb::AccessList => (&[], OF_AN_APP),
        Verb::AccessRemove => (&["nobody"], OF_AN_APP),
        Verb::RegistryLogin => (&["bad host", "ci"], ADMINS),
        Verb::RegistryAllow => (&["bad host"], ADMINS),
        Verb::RegistryLogout => (&["nowhere.example"], ADMINS),
        Verb::RegistryList | Verb::SecretsRotate => (&[], ADMINS),
        Verb::Quota => (&[], ANY_USER),
        Verb::QuotaSet => (&["nobody", "apps=1"], ADMINS),
        Verb::QuotaUnset => (&["nobody"], ADMINS),
        Verb::Whoami => (&[], ANYBODY),
        Verb::Events => (&[], OF_AN_APP),
        Verb::Doctor => (&[], ADMINS),
        Verb::Help => (&[], ANYBODY),
        Verb::Version => (&[], ANYBODY),
        Verb::Shutdown => (&[], ADMINS),
        Verb::GitReceivePack => (&[], "++++t+h"),
        Verb::GitUploadPack => (&[], OF_AN_APP),
        Verb::GitLfsTransfer | Verb::GitLfsAuthenticate => (&["upload"], "++++t+h"),
    }
}

/// A verb about an app, as words.
fn words<'a>(spec: &Spec, app: &'a str) -> Vec<&'a str> {
    let named = if spec.app == AppArg::None { None } else { Some(app) };
    let rest = expected(spec.verb).0.iter().map(|word| if *word == "APP" { app } else { word });
    [spec.name].into_iter().chain(named).chain(rest).collect()
}

/// A cell, from what was said.
fn cell(said: &Output) -> char {
    let all = said.all();
    let marks = [
        ("there is no app ", 'h'),
        ("only administrators may do this", 'a'),
        ("only the owner of blog or an administrator may do this", 'o'),
        ("a deploy key may not do this", 'k'),
        ("exists already", 't'),
        (" is taken", 't'),
    ];
    let found: Vec<char> = marks.iter().filter(|(text, _)| all.contains(text)).map(|(_, mark)| *mark).collect();
    match found[..] {
        [] => '+',
        [mark] if said.code == 1 => mark,
        _ => panic!("refused in two ways, or with another code than 1: {said}"),
    }
}

/// `blog` of ana, shared with bob, with a deploy key; `shop` with one of its own; eve has nothing.
struct Cast {
    world: World,
    people: [User; 6],
}

impl Cast {
    fn new() -> Cast {
        let world = World::new();
        let [boss, ana, bob, eve] = [world.admin("boss"), world.user("ana"), world.user("bob"), world.user("eve")];
        for app in ["blog", "shop"] {
            ana.ssh(&["apps:create", app]).ok();
        }
        ana.ssh(&["access:add", "blog", "bob"]).ok();
        let (ci, other) = (world.deploy_key("blog", "ci"), world.deploy_key("shop", "other"));
        Cast { world, people: [boss, ana, bob, eve, ci, other] }
    }

    fn ask(&self, who: usize, words: &[&str]) -> Output {
        match who.checked_sub(1) {
            None => self.world.hoist(words),
            Some(n) => self.people[n].ssh(words),
        }
    }

    /// `blog` is as it was, whoever destroyed it.
    fn mend(&self) {
        let [_, ana, _, _, ci, _] = &self.people;
        ana.ssh(&["apps:create", "blog"]).ok();
        ana.ssh(&["access:add", "blog", "bob"]).ok();
        ana.ssh_with(&["deploy-keys:add", "blog", "ci"], ci.public_key().as_bytes()).ok();
    }
}

#[test]
fn every_cell_of_who_and_what() {
    let cast = Cast::new();
    let mut wrong = Vec::new();
    for spec in TABLE {
        let want = expected(spec.verb).1;
        assert_eq!(want.len(), WHO.len(), "{}", spec.name);
        for (n, wanted) in want.chars().enumerate() {
            // Whoever may end the server does so last.
            if spec.verb == Verb::Shutdown && wanted == '+' {
                continue;
            }
            let said = cast.ask(n, &words(spec, "blog"));
            let got = cell(&said);
            if got != wanted {
                wrong.push(format!("{} by {}: {got}, not {wanted}: {}", spec.name, WHO[n], said.all()));
            }
            if spec.verb == Verb::AppsDestroy && got == '+' {
                cast.mend();
            }
        }
    }
    for (n, who) in WHO.iter().enumerate().take(2) {
        let said = cast.ask(n, &["shutdown"]);
        if !said.all().contains("Ending the server") {
            wrong.push(format!("shutdown by {who}: {said}"));
        }
        cast.world.restart_serve();
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_one_may_not_see_answers_as_a_name_never_used() {
    let cast = Cast::new();
    cast.world.hoist(&["apps:create", "hidden"]).ok();
    for (n, who) in WHO.iter().enumerate().filter(|(_, who)| ["stranger", "another's deploy key"].contains(who)) {
        for spec in TABLE.iter().filter(|spec| spec.app != AppArg::None) {
            // By nature: making an app says that its name is taken.
            if expected(spec.verb).1.chars().nth(n) == Some('t') {
                continue;
            }
            let [theirs, nobodys] = ["hidden", "absent"].map(|app| {
                let said = cast.ask(n, &words(spec, app));
                (said.code, said.out.replace(app, "APP"), said.err.replace(app, "APP"))
            });
            assert_eq!(theirs, nobodys, "{} by {who}", spec.name);
            assert_eq!(theirs.0, 1, "{} by {who}", spec.name);
        }
        assert!(!cast.ask(n, &["apps:list"]).all().contains("hidden"), "{who}");
    }
    assert!(!cast.world.hoist(&["events", "hidden"]).ok().all().contains("eve"), "a stranger's try is in its events");
}

#[test]
fn where_a_push_makes_no_app_it_hides_them_all() {
    let world = World::with(&[("create-on-push", "no")]);
    let eve = world.user("eve");
    world.hoist(&["apps:create", "hidden"]).ok();
    let [theirs, nobodys] = ["hidden", "absent"].map(|app| {
        let said = eve.ssh(&["git-receive-pack", app]);
        (said.code, said.all().replace(app, "APP"))
    });
    assert_eq!(theirs, nobodys);
    assert!(theirs.1.contains("there is no app APP"), "{}", theirs.1);
}

#[test]
fn a_member_may_what_the_owner_may_but_for_its_name_and_end_until_sharing_ends() {
    let cast = Cast::new();
    let [_, ana, bob, eve, ..] = &cast.people;
    eve.ssh(&["access:add", "blog", "eve"]).exits(1);
    for verb in ["apps:info", "config", "ps", "logs", "releases", "builds", "access:list"] {
        let (owner, member) = (ana.ssh(&[verb, "blog"]), bob.ssh(&[verb, "blog"]));
        assert_eq!((owner.code, owner.all()), (member.code, member.all()), "{verb}");
    }
    bob.ssh(&["config:set", "blog", "A=1"]).ok();
    bob.ssh(&["apps:destroy", "blog", "--confirm", "blog"]).exits(1).says("access:list blog");
    bob.ssh(&["apps:rename", "blog", "bobs"]).exits(1).says("only the owner of blog");
    ana.ssh(&["apps:info", "blog"]).ok();
    ana.ssh(&["access:remove", "blog", "bob"]).ok();
    bob.ssh(&["config", "blog"]).exits(1).hides("A");
}

#[test]
fn every_command_explains_itself_and_an_unknown_one_is_an_error() {
    let world = World::new();
    let ana = world.user("ana");
    let overview = ana.ssh(&["help"]).ok();
    let names: Vec<&str> = overview
        .out
        .lines()
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let (long, short) = (ana.ssh(&[name, "--help"]).ok().out, ana.ssh(&["help", name]).ok().out);
        assert!(long.contains(name) && long == short, "{name}:\n{long}\n{short}");
    }
    ana.ssh(&["ps:scael", "blog", "web=1"]).exits(1).says("ps:scale");
    ana.ssh(&["nothing-like-it"]).exits(1).says("help");
}
