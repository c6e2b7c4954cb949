//! The table as a whole, and what typed lines become.

use super::*;
use domain::access::{KeyRef, Need, Principal, Role};
use domain::ids::UserId;
use domain::refusal::Code;
use domain::words::{quote, words};
use std::collections::BTreeSet;

fn ask(line: &str) -> Result<Request, domain::Refusal> {
    parse(&words(line)?)
}

/// The request as `verb app {arguments} {options} format`, or the refusal's code and first sentence.
fn check(line: &str, want: &str) {
    let got = match ask(line) {
        Ok(r) => {
            let args: Vec<String> = r.args.args.iter().map(|(k, v)| format!("{k}:{}", v.join("|"))).collect();
            let flags: Vec<String> =
                r.args.flags.iter().map(|(k, v)| v.as_ref().map_or((*k).to_owned(), |v| format!("{k}={v}"))).collect();
            let app = r.app.map(|a| a.to_string()).unwrap_or_default();
            let json = if r.format == Format::Json { "json" } else { "" };
            [r.verb.name().to_owned(), app, args.join(" "), flags.join(" "), json.to_owned()]
                .into_iter()
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(" · ")
        }
        Err(no) => format!("{}: {}", no.code, no.what),
    };
    assert_eq!(got, want, "{line:?}");
}

#[test]
fn a_slip_is_not_answered_with_what_cannot_be_taken_back() {
    for line in ["shutdown --nosuch", "apps:destroy", "users:remove"] {
        let no = ask(line).unwrap_err();
        let verb = line.split(' ').next().unwrap();
        assert!(no.next.contains(&format!("help {verb}")), "{line}: {:?}", no.next);
        assert!(
            !no.next.iter().any(|next| next.contains("--apps") || next.contains("--confirm")),
            "{line}: {:?}",
            no.next
        );
    }
}

#[test]
fn lines_become_requests() {
    check("", "help");
    check("help config:set", "help · COMMAND:config:set");
    check("config:set --help", "help · COMMAND:config:set");
    check("apps:help", "help · COMMAND:apps");
    check("apps:create blog", "apps:create · blog");
    check("create blog", "apps:create · blog");
    check("apps --format json", "apps:list · json");
    check("apps:list --json", "apps:list · json");
    check("config:set blog A=1 B='x y'", "config:set · blog · NAME=VALUE:A=1|B=x y");
    check("config:set -a blog A=-1 -- B=--c", "config:set · blog · NAME=VALUE:A=-1|B=--c");
    check("config:set A=1 --app=blog", "config:set · blog · NAME=VALUE:A=1");
    check("-a blog config:set A=1", "config:set · blog · NAME=VALUE:A=1");
    check("config:set blog --stdin KEY", "config:set · blog · stdin=KEY");
    check("logs blog -t", "logs · blog · tail");
    check("logs -t -a blog -n50 -p web.1", "logs · blog · num=50 ps=web.1 tail");
    check("logs blog -tn 50 --source=app", "logs · blog · num=50 source=app tail");
    check("ps:scale blog web=2 worker-1", "ps:scale · blog · TYPE=N:web=2|worker-1");
    check("dyno:scale web=2 -a blog", "ps:scale · blog · TYPE=N:web=2");
    check("rollback blog", "rollback · blog");
    check("run blog ls -l", "run · blog · CMD:ls|-l");
    check("run blog -d -- node -e 1 --help", "run · blog · CMD:node|-e|1|--help · detach");
    check("run -a blog --timeout 5 'a b' -- c", "run · blog · CMD:a b|--|c · timeout=5");
    check("run blog -e A=1 --env=B=2=3 node -e x", "run · blog · CMD:node|-e|x env:A=1|B=2=3");
    check("run blog --env A node", "usage: --env takes NAME=VALUE");
    check("run blog", "usage: CMD is missing");
    check("enter blog", "enter · blog");
    check("enter blog -- ls -l", "enter · blog · CMD:ls|-l");
    check("enter blog web.2 bash -l", "enter · blog · CMD:bash|-l TYPE.N:web.2");
    check("ps:exec blog web.1 -- ls -l", "ps:exec · blog · CMD:ls|-l TYPE.N:web.1");
    check("ps:exec blog -- ls", "ps:exec · blog · CMD:ls");
    check("rollback blog v3", "rollback · blog · RELEASE:v3");
    check("apps:destroy blog --confirm blog", "apps:destroy · blog · confirm=blog");
    check("events", "events");
    check("events blog -n 5", "events · blog · num=5");
    check("shutdown --apps", "shutdown · apps");
    check("git-receive-pack '/blog.git'", "git-receive-pack · blog");
    check("git-upload-pack 'blog'", "git-upload-pack · blog");
    check("git-lfs-transfer /blog upload", "git-lfs-transfer · blog · OPERATION:upload");
    check("git-lfs-authenticate blog.git download 4d7a", "git-lfs-authenticate · blog · OID:4d7a OPERATION:download");
    check("git-lfs-transfer blog sideways", "usage: the operation is upload or download");
}

#[test]
fn lines_are_refused() {
    check("confg:set blog A=1", "unknown-command: there is no command confg:set");
    check("git-upload-archive 'blog'", "unknown-command: there is no command git-upload-archive");
    check("config:set", "usage: which app? Name it as the first argument");
    check("config:set blog", "usage: NAME=VALUE is missing");
    check("config:set blog A=b c", "usage: a value came apart at a blank: your shell has taken its quotes");
    check("config:set blog A B=c", "usage: this is not NAME=VALUE: there is no =");
    check("config:get blog", "usage: NAME is missing");
    check("config:get blog A B", "usage: B is one argument too many");
    check("apps:list blog", "usage: blog is one argument too many");
    check("apps:list -a blog", "usage: apps:list has no option -a");
    check("-a blog apps:list", "usage: apps:list is not about one app");
    check("logs blog -a shop -a blog", "usage: two different apps are named");
    check("logs blog -x", "usage: logs has no option -x");
    check("logs blog --num", "usage: --num needs a value");
    check("logs blog --tail=yes", "usage: --tail takes no value");
    check("logs blog --format xml", "usage: --format takes text or json");
    check("run --format json blog ls", "usage: run has no option --format");
    check("apps:destroy blog", "not-confirmed: apps:destroy blog cannot be undone: confirm it");
    check("apps:destroy blog --confirm shop", "not-confirmed: the confirmation does not name the app blog");
    check("apps:create Blog", "bad-app-name: \"Blog\" is not an app's name");
    check("apps:create -- --help", "bad-app-name: \"--help\" is not an app's name");
    check("$'\\e[31m'", "unknown-command: there is no command \"\"");
}

#[test]
fn refusals_say_what_to_type() {
    assert!(ask("confg:set blog A=1").unwrap_err().why.starts_with("did you mean config:set"));
    assert_eq!(ask("restrat blog").unwrap_err().why, "did you mean ps:restart?");
    assert_eq!(ask("output blog").unwrap_err().why, "did you mean builds:output?");
    let no = ask("config:get shop").unwrap_err();
    assert_eq!(no.why, "usage: config:get APP NAME [--format json]");
    assert_eq!(no.next, ["config:get shop LOG_LEVEL"]);
    assert_eq!(ask("apps:destroy blog").unwrap_err().next, ["apps:destroy blog --confirm blog"]);
    let two = ask("quota:set ada apps").unwrap_err().next.len() + ask("apps:set blog root").unwrap_err().next.len();
    assert_eq!(two, 1 + 2, "values with spaces only where there are any");
}

#[test]
fn steps_are_about_the_app_that_was_typed() {
    for line in [
        "config:get shop",
        "config:set shop A",
        "config:set -a shop A=b -x",
        "config:set shop",
        "apps:set root -a shop",
        "logs shop -x",
        "logs --app=shop --num",
        "run shop",
        "-a shop access:add",
        "domains:add shop",
        "deploy-keys:add shop a b c",
    ] {
        let no = ask(line).unwrap_err();
        assert!(no.next.iter().any(|next| next.contains("shop")), "{line}: {no}");
        assert!(!no.next.iter().any(|next| next.contains("blog") || next.contains("APP")), "{line}: {no}");
    }
}

#[test]
fn an_option_alone_is_no_step() {
    let check = |line: &str, step: &str, want: &str| {
        let no = domain::Refusal::new(Code::Usage, "no").next(step);
        assert_eq!(ask(line).unwrap().in_full(no).next, [want], "{line}");
    };
    check("logs shop --since x", "--since 2h", "logs shop --since 2h");
    check("run shop --memory 1 ls", "--memory 512", "run shop --memory 512 -- COMMAND");
    check("config:import shop", "--format dotenv", "config:import shop --format dotenv < FILE");
    check("events", "--since 2h", "events --since 2h");
    check("apps:set shop root=..", "apps:set APP root=web", "apps:set shop root=web");
}

#[test]
fn an_instance_where_the_app_should_be() {
    let no = ask("ps:kill web.1").unwrap_err();
    assert_eq!((no.code, no.what.as_str()), (Code::Usage, "which app? web.1 is an instance"));
    assert_eq!(no.next, ["ps:scale APP web=0", "ps:restart APP web.1"]);
    assert_eq!(ask("ps:stop run.7").unwrap_err().next, ["ps:stop APP run.7"]);
    assert_eq!(ask("ps:restart worker.2").unwrap_err().next, ["ps:restart APP worker.2"]);
    assert_eq!(ask("ps:restart shop.example.com").unwrap_err().code, Code::BadAppName);
}

#[test]
fn guesses_never_take_something_away() {
    let names: Vec<&str> = TABLE.iter().filter(|s| s.takes_away).map(|s| s.name).collect();
    for typed in names.iter().flat_map(|name| [format!("{name}x"), name[1..].to_owned(), name.replace(':', "-") + "s"])
    {
        let no = ask(&typed).unwrap_err();
        assert!(!names.iter().any(|name| no.why.contains(name)), "{typed}: {no}");
        assert!(!no.next.iter().any(|next| names.iter().any(|name| next.starts_with(name))), "{typed}: {no}");
    }
    for typed in ["stop-all", "wait:destroy", "zones:list", "nodes:set"] {
        assert_eq!(ask(typed).unwrap_err().why, "", "{typed}");
    }
}

#[test]
fn help_fits_a_terminal_and_names_each_group_once() {
    let overview = help_overview();
    for title in
        [Group::Apps, Group::Web, Group::Config, Group::Processes, Group::Releases, Group::People, Group::Server]
    {
        assert_eq!(overview.iter().filter(|line| *line == title.title()).count(), 1, "{}", title.title());
    }
    for (about, lines) in TABLE.iter().map(|s| (s.name, help_for(s.verb))).chain([("", overview)]) {
        // An example is typed as it is.
        let (text, _) = lines.split_at(lines.iter().position(|l| l == "examples:").unwrap_or(lines.len()));
        for line in text {
            let words = line.trim_start().split(' ').count();
            assert!(line.chars().count() <= 80 || words == 1, "{about}: {line}");
        }
    }
}

#[test]
fn no_refusal_shows_a_piece_of_a_value() {
    for line in [
        r#"config:set blog CREDS={"type": "hunter2"}"#,
        r#"config:set blog CREDS={"type": "hunter2", x=hunter2}"#,
        "config:set blog A=b hunter2",
        "config:set blog A=b -hunter2",
        "config:set blog KEY=-----BEGIN --hunter2",
        "config:set blog hunter2 A=b",
        "config:set A=hunter2",
        "config:set {A=hunter2",
        "A=hunter2 config:set blog",
        "config:set blog A='hunter2",
        "config:set blog 'A+B=hunter2'",
        "config:set blog {hunter2}=x",
    ] {
        let no = match ask(line) {
            Ok(request) => request.arguments::<args::ConfigSet>().unwrap_err(),
            Err(no) => no,
        };
        assert!(!no.to_string().contains("hunter2"), "{line}: {no}");
        assert!(!no.next.is_empty() || !no.why.is_empty(), "{line}: {no}");
    }
    let no = ask("config:set blog TOKEN=a b").unwrap_err();
    assert!(no.next.iter().any(|next| next.contains("--stdin TOKEN < FILE")), "{no}");
}

#[test]
fn git_paths_have_one_grammar() {
    for path in [
        "",
        "/",
        "//blog",
        "/../x",
        "~x",
        "~/blog",
        "x/../../y",
        "a/b",
        "--help",
        "-x",
        "blog.git.git",
        "blog/",
        ".git",
        "Blog",
        "/blog/.git",
        "blog\n",
        " blog",
        "\u{202e}blog",
        "$(id)",
        "a;id",
    ] {
        let words = ["git-receive-pack".to_owned(), path.to_owned()];
        assert_eq!(parse(&words).unwrap_err().code, Code::BadRepository, "{path:?}");
    }
    for line in
        ["git-receive-pack", "git-receive-pack blog shop", "git-upload-pack --strict blog", "git-upload-pack -- blog"]
            .into_iter()
            .chain([
                "git-lfs-transfer",
                "git-lfs-transfer blog",
                "git-lfs-transfer ../x upload",
                "git-lfs-transfer blog upload x",
            ])
    {
        assert_eq!(ask(line).unwrap_err().code, Code::BadRepository, "{line:?}");
    }
}

#[test]
fn every_row_is_complete() {
    let mut names = BTreeSet::new();
    for spec in TABLE {
        let name = spec.name;
        assert_eq!(spec.verb.name(), name, "the row of another verb");
        for word in std::iter::once(&spec.name).chain(spec.aliases) {
            assert!(names.insert(*word), "{word} is there twice");
        }
        assert!(!spec.summary.is_empty() && !spec.summary.ends_with('.'), "{name}: summary");
        assert!(!spec.examples.is_empty(), "{name}: example");
        for example in spec.examples {
            let typed = example.split(" < ").next().unwrap();
            let request = ask(typed).unwrap_or_else(|no| panic!("{example}: {no}"));
            assert_eq!(request.verb, spec.verb, "{example}");
            assert_eq!(
                request.reads_stdin() && !spec.git && !spec.takes_command(),
                example.contains(" < "),
                "{example}"
            );
        }
        let repeated = spec.args.iter().position(|a| a.repeated);
        assert!(repeated.is_none_or(|at| at + 1 == spec.args.len()), "{name}: a repeated argument is the last");
        assert!(
            spec.args.iter().all(|a| !a.help.is_empty()) && spec.flags.iter().all(|f| !f.help.is_empty()),
            "{name}"
        );
        assert!(
            spec.app != AppArg::None || matches!(spec.need, Need::Anyone | Need::Admin | Need::CreateApp),
            "{name}"
        );
        assert!(help_for(spec.verb).iter().any(|l| l.contains(name)));
    }
    assert_eq!(names.iter().filter(|n| n.starts_with("git-")).count(), 4);
    let audited = |audit| TABLE.iter().filter(|s| s.audit == audit).map(|s| s.name).collect::<Vec<_>>();
    assert_eq!(audited(Audit::None), ["whoami", "help", "version"]);
}

#[test]
fn audit_lines_hold_no_values() {
    for (line, want) in [
        ("config:set blog SECRET=hunter2 'A-B=hunter2'", Some("config:set blog SECRET=… A-B=…")),
        ("config:set blog --stdin KEY", Some("config:set blog --stdin KEY")),
        ("config:get blog SECRET", Some("config:get blog SECRET")),
        ("apps:set blog deploy-branch=main", Some("apps:set blog deploy-branch=main")),
        ("keys:add 'a b\nc'", Some("keys:add $'a b\\nc'")),
        ("logs blog -n 5", Some("logs")),
        ("git-receive-pack /blog", Some("git-receive-pack blog")),
        ("git-lfs-transfer blog upload", Some("git-lfs-transfer blog upload")),
        ("whoami", None),
    ] {
        let request = ask(line).unwrap();
        assert_eq!(audit_line(&request).as_deref(), want);
        assert!(!format!("{request:?} {:?}", request.args).contains("hunter2"));
    }
}

#[test]
fn other_peoples_keys_and_quotas_need_an_administrator() {
    let key = KeyRef { fingerprint: "SHA256:x".into(), name: String::new() };
    let ada = Principal::User { id: UserId(1), name: "ada".parse().unwrap(), role: Role::Developer, key };
    for (line, need) in [
        ("git-lfs-transfer blog upload", Need::ManageOrCreate),
        ("git-lfs-transfer blog download", Need::Read),
        ("git-lfs-authenticate blog download", Need::Read),
        ("keys:add", Need::Anyone),
        ("keys:add ada", Need::Anyone),
        ("keys:add bob", Need::Admin),
        ("keys:list bob", Need::Admin),
        ("keys:remove SHA256:x", Need::Anyone),
        ("keys:remove SHA256:x bob", Need::Admin),
        ("access:add blog bob", Need::Manage),
        ("quota", Need::Anyone),
        ("quota ada", Need::Anyone),
        ("quota bob", Need::Admin),
        ("quota --all", Need::Admin),
        ("quota:set ada apps=9", Need::Admin),
        ("quota:unset ada", Need::Admin),
    ] {
        assert_eq!(ask(line).unwrap().need(&ada), need, "{line}");
    }
    assert_eq!(ask("keys:add bob").unwrap().need(&Principal::Local), Need::Admin);
}

#[test]
fn typed_access() {
    let request = ask("config:set blog A=1 A=2 B=x=y C=").unwrap();
    let vars = request.arguments::<args::ConfigSet>().unwrap().set;
    let shown: Vec<String> = vars.iter().map(|(k, v)| format!("{k}={}", v.reveal())).collect();
    assert_eq!(shown, ["A=2", "B=x=y", "C="]);
    assert_eq!(ask("config:set blog 1A=x").unwrap().arguments::<args::ConfigSet>().unwrap_err().code, Code::BadVarName);
    assert_eq!(
        ask("rollback blog v3").unwrap().arguments::<args::Rollback>().unwrap().release,
        Some(domain::ReleaseNumber(3))
    );
    assert_eq!(ask("releases blog").unwrap().arguments::<args::Releases>().unwrap().num, 20);
    assert_eq!(ask("releases blog -n 0").unwrap().arguments::<args::Releases>().unwrap_err().code, Code::BadNumber);
    let set = ask("apps:set blog buildpack=").unwrap().arguments::<args::AppsSet>().unwrap().settings;
    assert_eq!(set, [("buildpack".to_owned(), String::new())]);
}

#[test]
fn hostile_words_are_taken_exactly_or_refused() {
    let big = "x".repeat(65_536);
    let hostile = [
        "",
        "\n",
        "a\nb",
        "'",
        "\"",
        "$(id)",
        "`id`",
        "-",
        "--",
        "--=",
        "-=",
        "---",
        "-a",
        "--app",
        "--app=",
        "-\u{202e}",
        "=",
        "=x",
        "\u{202e}",
        "\u{1b}]0;x\u{7}",
        "../..",
        "a\u{0}b",
        "ünïcode",
        "%s%n",
        "--format=",
        "--confirm=",
        big.as_str(),
    ];
    let verbs: Vec<&str> = TABLE.iter().flat_map(|s| std::iter::once(&s.name).chain(s.aliases)).copied().collect();
    for verb in verbs.iter().chain(&hostile) {
        for first in hostile {
            for second in ["", "blog", "-a", "--"].iter().chain(&hostile[..6]) {
                let argv: Vec<String> = [verb, first, second].iter().map(|w| (*w).to_owned()).collect();
                match parse(&argv) {
                    Ok(request) => drop(audit_line(&request)),
                    Err(no) => assert!(
                        no.lines().iter().all(|l| !l.chars().any(char::is_control) && l.len() < 400),
                        "{argv:?}: {no}"
                    ),
                }
            }
        }
    }
    let value = format!("A={big}\n'\"$(id)\u{202e}\t😀");
    let request = ask(&format!("config:set blog {}", quote(&value))).unwrap();
    assert_eq!(request.args.raw("NAME=VALUE"), [value]);
}

#[test]
fn documentation_names_every_verb() {
    let (page, overview) = (markdown(), help_overview().join("\n"));
    // Lines go on below.
    let flat = overview.split_whitespace().collect::<Vec<_>>().join(" ");
    for spec in TABLE {
        assert!(page.contains(&format!("### `{}`", spec.name)));
        assert!(spec.git || flat.contains(spec.summary));
    }
}
