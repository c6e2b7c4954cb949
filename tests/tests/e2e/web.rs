//! Pages that visitors get, maintenance, `open`, and renaming.

use e2e::{Client, User, World, wait_for};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A page as a client with this Accept sees it: status, reason, body.
fn page(world: &World, host: &str, accept: &str) -> (u16, String, String, String) {
    let got = Client::new(world.http, false).accept(accept).get(host, "/", Duration::from_secs(40)).unwrap();
    let header = |name: &str| got.header(name).unwrap_or_default().to_owned();
    (got.status, header("x-hoist-reason"), header("content-type"), got.body)
}

#[test]
fn maintenance_answers_for_the_app_and_loses_nothing() {
    let world = World::new();
    let app = world.app("shop", "tests/apps/echo");
    app.push().ok();
    app.run("domains:add", &["shop.example"]).ok();
    app.run("maintenance", &[]).ok().says("off");
    let containers = world.containers("web");
    let ((), report) = world.load(&app.host(), 200, || {
        for _ in 0..5 {
            app.run("maintenance:on", &[]).ok().says("503");
            app.run("maintenance:off", &[]).ok();
        }
    });
    // Whole answers all: the app's, or the page.
    assert!(report.sent > 50, "{}", report.sent);
    let odd: Vec<_> = report.lost.iter().filter(|(_, why)| !why.starts_with("503 503 H80: Maintenance mode")).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    // What is in flight when it is switched on is answered by the app.
    let mut slow = TcpStream::connect(world.http).unwrap();
    let host = app.host();
    write!(slow, "GET /stream?n=4&ms=400 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    app.run("maintenance:on", &[]).ok();
    assert_eq!(page(&world, "shop.example", "*/*").0, 503);
    let mut rest = String::new();
    slow.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("\r\n0\r\n\r\n") && rest.contains("4\n"), "{rest:?}");
    assert_eq!(world.containers("web"), containers, "nothing was restarted");
    app.run("maintenance", &["--format", "json"]).ok().says("\"page\":\"ours\"");
    app.run("apps:info", &[]).ok().says("in maintenance");
    app.run("open", &[]).ok().says("maintenance:off shop").says("http://");
    // Deploys go on behind the page, and it survives both processes.
    app.commit_change("note", "second");
    app.push().ok().says("v2");
    world.restart_serve();
    world.kill9_router();
    wait_for("the page after a restart of both", Duration::from_secs(30), || {
        let got = Client::new(world.http, false).get(&app.host(), "/", Duration::from_secs(5));
        got.is_ok_and(|got| got.status == 503 && got.header("retry-after") == Some("120"))
    });
    app.run("maintenance:off", &[]).ok();
    assert!(app.answers_with("v2"));
    app.run("maintenance:off", &[]).ok().says("was not in maintenance");
}

#[test]
fn maintenance_with_a_page_of_the_apps_own() {
    let world = World::new();
    let app = world.app("shop", "tests/apps/static");
    app.push().ok();
    let on = |html: &[u8]| app.user.ssh_with(&["maintenance:on", "shop", "--page"], html);
    on(b"<h1>Back at noon</h1>").ok().says("your maintenance page");
    let (status, reason, kind, body) = page(&world, &app.host(), "text/html,*/*");
    assert_eq!((status, reason.as_str(), body.as_str()), (503, "H80", "<h1>Back at noon</h1>"));
    assert_eq!(kind, "text/html; charset=utf-8");
    assert!(page(&world, &app.host(), "application/json").3.contains("\"code\":\"H80\""));
    on(b"").exits(1).says("no page came");
    on(&[0xff, 0xfe]).exits(1).says("UTF-8");
    on(&vec![b'x'; (64 << 10) + 1]).exits(1).says("64 KiB");
    on(&vec![b'x'; 64 << 10]).ok();
    assert_eq!(page(&world, &app.host(), "text/html").3.len(), 64 << 10);
    app.run("maintenance:on", &[]).ok().says("our maintenance page");
    assert!(page(&world, &app.host(), "text/html").3.contains("being maintained"));
}

/// Each state of an app has its page and code, in three forms; none names an app.
#[test]
fn visitors_get_a_page_of_ours_for_every_state() {
    let world = World::new();
    let app = world.app("wonderland", "tests/apps/echo");
    app.run("apps:create", &[]).ok();
    let check = |host: &str, status: u16, code: &str| {
        for (accept, kind) in [
            ("text/html,application/xhtml+xml", "text/html"),
            ("application/json", "application/json"),
            ("*/*", "text/plain"),
            ("", "text/plain"),
        ] {
            let got = page(&world, host, accept);
            assert_eq!((got.0, got.1.as_str()), (status, code), "{host} {accept}");
            assert!(got.2.starts_with(kind) && got.3.contains(code), "{got:?}");
            assert!(!got.3.contains("wonderland"), "{got:?}");
            for outside in ["http://", "https://", "src=", "href=", "@import"] {
                assert!(!got.3.contains(outside), "{outside}: {got:?}");
            }
        }
    };
    check("nothing.localhost", 404, "no-such-host");
    check("127.0.0.1", 404, "no-such-host");
    check(&app.host(), 502, "H81");
    app.push().ok();
    app.run("ps:stop", &[]).ok();
    check(&app.host(), 503, "H14");
    app.run("maintenance:on", &[]).ok();
    check(&app.host(), 503, "H80");
    app.run("maintenance:off", &[]).ok();
    app.run("ps:start", &[]).ok();
    app.run("ps:scale", &["web=0"]).ok();
    check(&app.host(), 503, "H14");
    app.run("ps:scale", &["web=1"]).ok();
    // The fifth crash is followed by 8 s in which it stays down, as long as these checks take on a busy machine.
    wait_for("an app that crashed five times", Duration::from_secs(120), || {
        let got = Client::new(world.http, false).get(&app.host(), "/exit?code=1", Duration::from_secs(35));
        let down = got.is_ok_and(|got| got.header("x-hoist-reason") == Some("H10"));
        let seen: serde_json::Value = serde_json::from_str(&app.run("ps", &["--json"]).ok().out).unwrap();
        down && seen[0]["crashes"].as_u64() >= Some(5)
    });
    check(&app.host(), 503, "H10");
}

#[test]
fn renaming_touches_nothing_that_runs() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    app.run("domains:add", &["blog.example"]).ok();
    let before = (world.containers("web"), app.run("releases", &["--format", "json"]).ok().out);
    let ((), report) = world.load("blog.example", 100, || {
        app.run("apps:rename", &["news"]).ok().says("news.localhost").says("git remote set-url hoist").says("/news");
    });
    report.none_lost();
    let ana = &app.user;
    assert_eq!(before, (world.containers("web"), ana.ssh(&["releases", "news", "--format", "json"]).ok().out));
    world.get("news.localhost", "/").ok();
    assert_eq!(world.get("blog.localhost", "/").header("x-hoist-reason"), Some("no-such-host"));
    ana.ssh(&["events", "news"]).ok().says("apps:rename blog news");
    ana.ssh(&["logs", "news", "-n", "50"]).ok().says("Renamed from blog to news").says("Release v1 is live");
    // Git: the old remote says what to do, the new one works.
    app.commit_change("note", "second");
    app.push().fails().says("blog is called news now");
    ana.ssh(&["apps:list"]).ok().hides("blog ");
    app.git(&["remote", "set-url", "hoist", &ana.remote("news")]).ok();
    app.push().ok().says("v2").says("http://news.localhost");
    app.git(&["clone", "-q", &ana.remote("news"), "cloned"]).ok();
    // The old name is not a stranger's: it answers him as a hidden app's.
    let bob = world.user("bob");
    ana.ssh(&["apps:create", "hidden"]).ok();
    for words in [vec!["apps:create", "APP"], vec!["apps:info", "APP"], vec!["apps:rename", "APP", "x"]] {
        let say = |name: &str| {
            let words: Vec<&str> = words.iter().map(|w| if *w == "APP" { name } else { w }).collect();
            bob.ssh(&words).exits(1).all().replace(name, "APP")
        };
        assert_eq!(say("blog"), say("hidden"), "{words:?}");
    }
    bob.ssh(&["apps:create", "bobs"]).ok();
    let to = |name: &str| bob.ssh(&["apps:rename", "bobs", name]).exits(1).all().replace(name, "APP");
    assert_eq!((to("news"), to("blog")), (to("hidden"), to("hidden")));
    bob.ssh(&["apps:rename", "bobs", "Not A Name"]).exits(1).says("for example");
    let theirs = world.app_of(bob, "blog", "tests/apps/static");
    theirs.push().fails().hides("news");
    // Its own people may use the name again, on purpose.
    ana.ssh(&["apps:rename", "news", "hidden"]).exits(1).says("exists already");
    ana.ssh(&["apps:create", "blog"]).ok();
    ana.ssh(&["apps:info", "blog"]).ok().says("none");
}

#[test]
fn renaming_while_a_deploy_is_under_way_and_a_kill_in_the_middle() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    app.commit_change("Procfile", "web: BOOT_MS=2500 node server.js\n");
    let before = world.last_job();
    let push = app.spawn(&["push", "hoist", "main"]);
    world.wait_job(before, |said| said.contains("Starting v2"));
    app.run("apps:rename", &["news"]).ok();
    push.end().ok().says("Live: v2").says("http://news.localhost");
    assert_eq!(app.user.ssh(&["releases", "news"]).ok().out.lines().filter(|l| l.contains("v2")).count(), 1);
    // Killed at some moment of a rename: one name or the other, whole, and it can be said again.
    for (round, (from, to)) in [("news", "blog"), ("blog", "news"), ("news", "blog")].into_iter().enumerate() {
        let rename = e2e::Running::start(app.user.ssh_command(&["apps:rename", from, to]));
        let begun = std::time::Instant::now();
        wait_for("a moment", Duration::from_secs(5), || begun.elapsed() > Duration::from_millis(40 * round as u64));
        world.kill9_serve();
        drop(rename);
        world.restart_serve();
        let name = names(&app.user);
        assert!(name == [from] || name == [to], "{name:?}");
        if name == [from] {
            app.user.ssh(&["apps:rename", from, to]).ok();
        }
        world.get(&format!("{to}.localhost"), "/").ok();
        assert_eq!(world.get(&format!("{from}.localhost"), "/").status, 404);
    }
}

fn names(user: &User) -> Vec<String> {
    let listed = user.ssh(&["apps:list", "--format", "json"]).ok().json();
    listed.as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_proxy_that_the_settings_name_is_believed_and_nobody_else() {
    let claims =
        "x-real-ip: 203.0.113.7\r\nx_real_ip: 6.6.6.6\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n";
    for (setting, real, proto, last) in [
        ("127.0.0.0/8 ::1", "\"x-real-ip\": \"203.0.113.7\"", "https", "203.0.113.7"),
        ("192.0.2.1", "", "http", "127.0.0.1"),
    ] {
        let world = World::with(&[("trusted-proxies", setting)]);
        let app = world.app("shop", "tests/apps/echo");
        app.push().ok();
        let mut proxy = TcpStream::connect(world.http).unwrap();
        proxy.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(proxy, "GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{claims}\r\n", app.host()).unwrap();
        let mut seen = String::new();
        proxy.read_to_string(&mut seen).unwrap();
        assert!(seen.starts_with("HTTP/1.1 200 ") && seen.contains(real) && !seen.contains("6.6.6.6"), "{seen}");
        assert_eq!(seen.contains("x-real-ip"), !real.is_empty(), "{seen}");
        assert!(seen.contains(&format!("\"x-forwarded-proto\": \"{proto}\"")), "{seen}");
        let list = seen.lines().find(|line| line.contains("\"x-forwarded-for\"")).unwrap();
        assert!(list.trim_end_matches(['"', ',']).ends_with(last), "{list}");
    }
}

/// Names as `wget --mirror` and HTTrack write them, and as people on other systems did: each is found at its address, and by
/// the shorter one that worked where it came from.
#[test]
fn a_mirror_of_an_old_site() {
    let world = World::new();
    let app = world.app("old", "tests/apps/static");
    let files: [(&str, &[&str]); 17] = [
        ("page.php?id=3.html", &["/page.php%3Fid=3.html", "/page.php%3fid%3D3.html", "/page.php?id=3"]),
        ("view.php?a=1&b=2", &["/view.php%3Fa=1&b=2", "/view.php?a=1&b=2"]),
        ("list/index.html?C=N;O=D", &["/list/index.html%3FC=N;O=D", "/list/index.html?C=N;O=D"]),
        ("list/index.html", &["/list/index.html", "/list/", "/list/?C=N", "/list/index.html?C=M"]),
        ("site.css?ver=5.8", &["/site.css%3Fver=5.8", "/site.css?ver=5.8"]),
        ("what?/index.html", &["/what%3F/"]),
        ("100%.html", &["/100%25.html", "/100%25"]),
        ("a%3Fb.html", &["/a%253Fb.html", "/a%253Fb"]),
        ("c#.html", &["/c%23.html", "/c%23"]),
        ("with space.html", &["/with%20space.html", "/with%20space"]),
        ("caf\u{e9}.html", &["/caf%C3%A9.html", "/caf%C3%A9"]),
        ("docs.html", &["/docs.html", "/docs", "/docs/"]),
        ("docs/more.html", &["/docs/more.html", "/docs/more", "/docs/more/"]),
        ("guide.html", &["/guide"]),
        ("guide/index.html", &["/guide/"]),
        ("old/default.htm", &["/old/", "/old/default.htm"]),
        ("Readme.TXT", &["/Readme.TXT"]),
    ];
    for (name, _) in &files {
        let path = app.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    for hidden in [".htaccess", ".w", "docs/.git-credentials"] {
        std::fs::write(app.dir.join(hidden), "secret").unwrap();
    }
    app.git(&["add", "-A"]).ok();
    app.git(&["commit", "-qm", "A mirror"]).ok();
    app.push().ok();
    for (name, addresses) in &files {
        for address in *addresses {
            let got = app.get(address);
            assert_eq!((got.status, got.body), (200, (*name).to_owned()), "{address}");
        }
    }
    for (from, to) in [("/what%3F", "/what%3F/"), ("/list?a=b", "/list/?a=b"), ("/Readme.TXT/", "/Readme.TXT")] {
        let got = app.get(from);
        assert_eq!((got.status, got.header("location")), (308, Some(to)), "{from}");
    }
    for kept in [
        "/.htaccess",
        "/.w",
        "/docs/.git-credentials",
        "/..%2f..%2fetc/passwd",
        "/x?/../../../etc/passwd",
        "/readme.txt",
        "/docs%00.html",
        "/a%3Fb.html",
    ] {
        assert_eq!(app.get(kept).status, 404, "{kept}");
    }
    assert_eq!(app.get("/page.php%3Fid=3.html").header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(app.get("/view.php%3Fa=1&b=2").header("content-type"), Some("text/html"));
    assert_eq!(app.get("/site.css?ver=5.8").header("content-type"), Some("text/css; charset=utf-8"));
}
