//! Host names of apps' own, wildcards, other process types, who may have what, and the base domain.

use e2e::{Client, World, wait_for};
use std::time::{Duration, Instant};

/// The reason code of the page at a host.
fn code(world: &World, host: &str) -> String {
    let got = world.get(host, "/");
    got.header("x-hoist-reason").map_or_else(|| got.status.to_string(), str::to_owned)
}

#[test]
fn an_app_answers_at_its_own_names_until_they_are_taken() {
    let world = World::new();
    let app = world.app("shop", "tests/apps/echo");
    app.run("apps:create", &[]).ok();
    // A name before there is anything to serve.
    app.run("domains:add", &["Shop.Example.", "www.shop.example"]).ok().says("http://shop.example").says("DNS: ");
    assert_eq!(code(&world, "shop.example"), "H81");
    app.push().ok();
    for host in ["shop.example", "www.shop.example", "SHOP.example:8080"] {
        world.get(host, "/").ok();
    }
    assert_eq!(code(&world, "other.shop.example"), "no-such-host");
    app.run("domains:list", &[]).ok().says("shop.localhost").says("www.shop.example");
    let listed = app.run("domains:list", &["--format", "json"]).ok().json();
    assert_eq!(listed[0]["default"], true);
    assert_eq!((&listed[1]["host"], &listed[1]["process"]), (&"shop.example".into(), &"web".into()));
    app.run("domains:add", &["shop.example"]).ok().says("already");
    app.run("domains:remove", &["shop.example", "nothing.example"]).exits(1).says("nothing.example");
    world.get("shop.example", "/").ok();
    app.run("domains:remove", &["shop.example"]).ok();
    assert_eq!(code(&world, "shop.example"), "no-such-host");
    app.run("domains:clear", &[]).ok();
    assert_eq!(code(&world, "www.shop.example"), "no-such-host");
    app.get("/").ok();
}

#[test]
fn names_that_are_none_are_refused_with_what_was_meant() {
    let world = World::new();
    let app = world.app("shop", "tests/apps/echo");
    app.run("apps:create", &[]).ok();
    for (name, says) in [
        ("https://shop.example.com/cart", "next: shop.example.com"),
        ("shop.example.com:8080", "leave the port away"),
        ("127.0.0.1", "address"),
        ("localhost", "two labels"),
        ("evil.localhost", "app of the name evil"),
        ("a.evil.localhost", "administrator"),
        ("blog.localhost", "app of the name blog"),
        ("shop.localhost", "answers already"),
        ("*.shop.example", "administrator"),
        ("a_b.example", "letters, digits"),
    ] {
        app.run("domains:add", &[name]).exits(1).says(says);
    }
    app.run("domains:add", &["xn--mnchen-3ya.example"]).ok().says("münchen.example");
    app.run("domains:add", &["münchen.example"]).ok().says("already");
    app.run("domains:list", &[]).ok().hides("evil");
}

#[test]
fn two_apps_never_have_one_name_and_a_hidden_one_is_not_named() {
    let world = World::new();
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    ana.ssh(&["apps:create", "secret"]).ok();
    bob.ssh(&["apps:create", "other"]).ok();
    ana.ssh(&["domains:add", "secret", "shop.example"]).ok();
    let exact = bob.ssh(&["domains:add", "other", "shop.example"]).exits(1).hides("secret");
    for near in ["example.shop.example", "www.shop.example"] {
        let said = bob.ssh(&["domains:add", "other", near]).exits(1);
        assert_eq!(said.all().replace(near, "NAME"), exact.all().replace("shop.example", "NAME"));
    }
    world.admin("root2").ssh(&["domains:add", "secret", "*.shop.example"]).ok();
    bob.ssh(&["domains:add", "other", "a.b.shop.example"]).exits(1).hides("secret");
    // Above one: taken too, and one who may see both apps is told which.
    bob.ssh(&["domains:add", "other", "shop.example.org"]).ok();
    ana.ssh(&["access:add", "secret", "bob"]).ok();
    bob.ssh(&["domains:add", "other", "www.shop.example"]).ok();
    bob.ssh(&["domains:add", "other", "shop.example"]).exits(1).says("domains:remove secret shop.example");
    // What was let go of is kept for its owner.
    ana.ssh(&["access:remove", "secret", "bob"]).ok();
    ana.ssh(&["domains:add", "secret", "gone.example"]).ok();
    ana.ssh(&["domains:remove", "secret", "gone.example"]).ok();
    bob.ssh(&["domains:add", "other", "gone.example"]).exits(1);
    ana.ssh(&["domains:add", "secret", "gone.example"]).ok();
    ana.ssh(&["apps:destroy", "secret", "--confirm", "secret"]).ok();
    bob.ssh(&["domains:add", "other", "gone.example"]).exits(1).hides("secret");
    world.hoist(&["domains:add", "other", "gone.example"]).ok();
    // Two at once: one gets it.
    ana.ssh(&["apps:create", "mine"]).ok();
    let claims: Vec<i32> = std::thread::scope(|scope| {
        let both = [(&ana, "mine"), (&bob, "other")]
            .map(|(who, app)| scope.spawn(move || who.ssh(&["domains:add", app, "race.example"]).code));
        both.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(claims.iter().filter(|c| **c == 0).count(), 1, "{claims:?}");
    bob.ssh(&["domains:list"]).exits(1);
    world.hoist(&["domains:list"]).ok().says("gone.example").says("other.localhost");
}

#[test]
fn a_wildcard_answers_one_label_and_yields_to_exact_names() {
    let world = World::new();
    let (shop, blog) = (world.app("shop", "tests/apps/echo"), world.app("blog", "tests/apps/static"));
    shop.push().ok();
    blog.push().ok();
    world.hoist(&["domains:add", "shop", "*.cust.example"]).ok().says("*.cust.example. A");
    world.hoist(&["domains:add", "blog", "news.cust.example"]).ok();
    for host in ["a.cust.example", "b.cust.example"] {
        assert!(world.get(host, "/").ok().contains(host), "the echo shows its host");
    }
    assert_eq!(world.get("news.cust.example", "/").ok(), blog.get("/").ok());
    for host in ["cust.example", "a.b.cust.example"] {
        assert_eq!(code(&world, host), "no-such-host");
    }
    world.restart_serve();
    world.kill9_router();
    wait_for("the wildcard after a restart of both", Duration::from_secs(30), || {
        let got = Client::new(world.http, false).get("a.cust.example", "/", Duration::from_secs(5));
        got.is_ok_and(|got| got.status == 200)
    });
}

#[test]
fn a_name_that_was_let_go_of_is_kept_with_those_near_it() {
    let world = World::new();
    let (ana, eve) = (world.user("ana"), world.user("eve"));
    ana.ssh(&["apps:create", "shop"]).ok();
    eve.ssh(&["apps:create", "evil"]).ok();
    ana.ssh(&["domains:add", "shop", "held.shop.example"]).ok();
    ana.ssh(&["domains:remove", "shop", "held.shop.example"]).ok();
    for host in ["held.shop.example", "x.held.shop.example", "shop.example"] {
        eve.ssh(&["domains:add", "evil", host]).exits(1);
    }
    eve.ssh(&["domains:add", "evil", "otherheld.shop.example"]).ok();
    ana.ssh(&["domains:add", "shop", "held.shop.example"]).ok();
}

#[test]
fn another_process_type_is_served_once_a_name_leads_to_it() {
    let world = World::new();
    let app = world.app("two", "tests/apps/echo");
    app.commit_change("api.js", API);
    app.commit_change("Procfile", "web: node server.js\napi: node api.js\n");
    app.push().ok();
    app.run("domains:add", &["api.example", "--process", "nothing"]).exits(1).says("api, web");
    app.run("domains:add", &["api.example", "--process", "api"]).ok().says("ps:scale two api=1");
    assert_eq!(code(&world, "api.example"), "H14");
    app.run("ps:scale", &["api=1"]).ok();
    assert_eq!(world.get("api.example", "/").ok(), "api on 5000");
    // Started before it had a name: it says so, and a restart makes it answer.
    app.run("domains:remove", &["api.example"]).ok();
    app.run("ps:restart", &[]).ok();
    app.run("domains:add", &["api.example", "-p", "api"]).ok().says("ps:restart two");
    assert_eq!(code(&world, "api.example"), "H14");
    let ((), report) = world.load(&app.host(), 50, || {
        app.run("ps:restart", &[]).ok();
    });
    report.none_lost();
    assert_eq!(world.get("api.example", "/").ok(), "api on 5000");
    // A name moves to another process type.
    app.run("domains:add", &["api.example"]).ok().says("no longer by api");
    assert_ne!(world.get("api.example", "/").ok(), "api on 5000");
}

const API: &str = "const port = process.env.PORT;
if (!port) setInterval(() => {}, 1000);
else require('http').createServer((_, res) => res.end('api on ' + port)).listen(port);
";

#[test]
fn the_base_domain_changes_at_once_and_is_kept() {
    let world = World::new();
    let app = world.app("shop", "tests/apps/echo");
    app.push().ok();
    app.run("domains:add", &["news.apps.example"]).ok();
    app.user.ssh(&["domains:set-base", "apps.example"]).exits(1).says("administrators");
    let admin = world.admin("root2");
    admin.ssh(&["domains:set-base", "apps.example"]).exits(1).says("domains:remove shop news.apps.example");
    for (bad, says) in [("1.2.3.4", "1-2-3-4.sslip.io"), ("*.apps.example", "leave *."), ("https://x.y", "next: x.y")] {
        admin.ssh(&["domains:set-base", bad]).exits(1).says(says);
    }
    app.run("domains:remove", &["news.apps.example"]).ok();
    admin.ssh(&["domains:set-base", "apps.example"]).ok().says("http://shop.apps.example").says("*.apps.example. A");
    for _ in 0..2 {
        world.get("shop.apps.example", "/").ok();
        assert_eq!(code(&world, "shop.localhost"), "no-such-host");
        app.run("open", &[]).ok().says("http://shop.apps.example");
        app.run("apps:info", &[]).ok().says("hoist@apps.example");
        admin.ssh(&["domains:base"]).ok().says("domains:set-base").says("apps.example");
        world.restart_serve();
    }
    app.run("domains:add", &["blog.apps.example"]).exits(1).says("app of the name blog");
    app.run("domains:add", &["www.shop.localhost"]).exits(1);
    admin.ssh(&["domains:set-base", "localhost"]).ok();
    app.get("/").ok();
}

/// Adding one name costs the same beside ten and beside ten thousand.
#[test]
fn one_more_name_beside_ten_thousand_is_served_as_fast() {
    let world = World::new();
    let app = world.app("many", "tests/apps/static");
    app.push().ok();
    let admin = |words: &[&str]| world.hoist(words).ok();
    // The time from the command's start until the name is served, least of several.
    let one = |tag: &str| {
        let times = (0..10).map(|n| {
            let host = format!("{tag}{n}.one.example");
            let begun = Instant::now();
            admin(&["domains:add", "many", &host]);
            world.get(&host, "/").ok();
            begun.elapsed()
        });
        times.min().unwrap()
    };
    // The first lookups of names wait for the machine's resolver, if it has any: the least of ten tells.
    let few = one("a");
    for part in 0..10 {
        let names: Vec<String> = (0..1_000).map(|n| format!("h{part}-{n}.bulk.example")).collect();
        let words: Vec<&str> = ["domains:add", "many"].into_iter().chain(names.iter().map(String::as_str)).collect();
        admin(&words).says("1000 names");
    }
    world.get("h9-999.bulk.example", "/").ok();
    let many = one("b");
    eprintln!("one name more: {few:?} with 10, {many:?} with 10,000 beside it");
    assert!(many < few * 2 + Duration::from_millis(30), "{few:?} with 10, {many:?} with 10,000");
    let begun = Instant::now();
    admin(&["domains:clear", "many"]);
    eprintln!("10,000 names cleared in {:?}", begun.elapsed());
    assert_eq!(code(&world, "h9-999.bulk.example"), "no-such-host");
    app.get("/").ok();
}
