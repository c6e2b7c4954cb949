//! Claims, base domains and advice, as tables.

use super::*;

fn known(text: &str) -> Known {
    let related = |theirs| Related { app: "shop".parse().unwrap(), theirs };
    let holder = match text {
        "same" => Some(Holder::Same("web".parse().unwrap())),
        "same-api" => Some(Holder::Same("api".parse().unwrap())),
        "other" => Some(Holder::Other(related(false))),
        "other-mine" => Some(Holder::Other(related(true))),
        _ => None,
    };
    let related = match text {
        "near" => vec![related(false)],
        "near-mine" => vec![related(true)],
        _ => vec![],
    };
    let count = if text == "full" { DOMAINS_MAX } else { 0 };
    Known { holder, related, held: text == "held", count }
}

/// What a developer and what an administrator get.
fn check(host: &str, there: &str, developer: &str, admin: &str) {
    let (host, process, app) = (host.parse().unwrap(), "web".parse().unwrap(), "blog".parse().unwrap());
    let reserved = ["git.corp.example".to_owned(), "apps.example".to_owned()];
    for (is_admin, want) in [(false, developer), (true, admin)] {
        let claim = Claim {
            host: &host,
            process: &process,
            app: &app,
            base: "apps.example",
            reserved: &reserved,
            admin: is_admin,
        };
        let got = match judge(&claim, &known(there)) {
            Ok(granted) => format!("{granted:?}").split('(').next().unwrap().to_owned(),
            Err(no) => no.code.to_string(),
        };
        assert_eq!(got, want, "{host} {there} admin={is_admin}");
    }
}

#[test]
fn claims() {
    check("shop.example.com", "", "New", "New");
    check("shop.example.com", "same", "Already", "Already");
    check("shop.example.com", "same-api", "Moves", "Moves");
    check("shop.example.com", "other", "hostname-taken", "hostname-taken");
    check("shop.example.com", "other-mine", "hostname-taken", "hostname-taken");
    check("shop.example.com", "near", "hostname-taken", "New");
    check("shop.example.com", "near-mine", "New", "New");
    check("shop.example.com", "held", "hostname-taken", "New");
    check("shop.example.com", "full", "too-many-domains", "too-many-domains");
    check("*.example.com", "", "wildcard-needs-admin", "New");
    check("*.apps.example", "", "hostname-reserved", "New");
    check("apps.example", "", "hostname-reserved", "New");
    check("blog.apps.example", "", "default-name", "default-name");
    check("shop.apps.example", "", "hostname-reserved", "hostname-reserved");
    check("www.apps.example", "", "hostname-reserved", "New");
    check("a.shop.apps.example", "", "hostname-reserved", "New");
    check("myapps.example", "", "New", "New");
    check("git.corp.example", "", "hostname-reserved", "hostname-reserved");
    check("x.localhost", "", "bad-hostname", "bad-hostname");
    check("1.0.0.127.in-addr.arpa", "", "bad-hostname", "bad-hostname");
}

#[test]
fn a_hidden_owner_is_not_named() {
    let (host, process, app) = ("a.example.com".parse().unwrap(), "web".parse().unwrap(), "blog".parse().unwrap());
    let claim = Claim { host: &host, process: &process, app: &app, base: "localhost", reserved: &[], admin: false };
    let answers: Vec<Refusal> = ["other", "near", "held"].map(|k| judge(&claim, &known(k)).unwrap_err()).into();
    assert!(answers.iter().all(|a| *a == answers[0] && !a.to_string().contains("shop")), "{answers:?}");
    let visible = judge(&claim, &known("other-mine")).unwrap_err();
    assert_eq!(visible.next, ["domains:remove shop a.example.com"]);
}

#[test]
fn bases() {
    let apps: Vec<AppName> = ["blog", "shop"].map(|a| a.parse().unwrap()).into();
    let domain = |app: &str, host: &str| (app.parse().unwrap(), host.parse().unwrap());
    let plan = plan_base("localhost", "apps.example", &apps, &[domain("shop", "shop.example")]).unwrap();
    assert_eq!(plan.moves[1], (apps[1].clone(), "shop.localhost".into(), "shop.apps.example".into()));
    assert_eq!(plan_base("a.b", "a.b", &apps, &[]).unwrap().moves, []);
    let own = [domain("blog", "blog.apps.example"), domain("blog", "a.b.apps.example"), domain("blog", "apps.example")];
    assert!(plan_base("localhost", "apps.example", &apps, &own).is_ok());
    let no = plan_base("localhost", "apps.example", &apps, &[domain("shop", "news.apps.example")]).unwrap_err();
    assert_eq!((no.code.as_str(), no.next), ("base-taken", vec!["domains:remove shop news.apps.example".to_owned()]));
    for (text, want) in [
        ("Apps.Example.com", Ok("apps.example.com")),
        ("localhost", Ok("localhost")),
        ("1-2-3-4.sslip.io", Ok("1-2-3-4.sslip.io")),
        ("apps.localhost", Ok("apps.localhost")),
        ("1.2.3.4", Err("bad-base")),
        ("*.a.b", Err("bad-base")),
        ("x.onion", Err("bad-base")),
        ("intranet", Err("bad-hostname")),
        ("http://a.b", Err("bad-hostname")),
        ("", Err("bad-hostname")),
    ] {
        let got = parse_base(text);
        assert_eq!(got.as_deref().map_err(|no| no.code.as_str()), want, "{text}");
    }
    assert!(parse_base("1.2.3.4").unwrap_err().next[0].contains("1-2-3-4.sslip.io"));
}

#[test]
fn advice_fits_what_dns_says() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let server = [address("192.168.1.5"), address("203.0.113.5"), address("2001:db8::5")];
    let say = |host: &str, found: Option<&[IpAddr]>, server: &[IpAddr], base: &str| {
        let resolves = Resolves::of(found, |a| server.contains(a));
        dns_advice(&host.parse().unwrap(), &resolves, server, base).join("\n")
    };
    assert_eq!(say("a.example", Some(&server), &server, "b.example"), "DNS: a.example resolves here");
    assert_eq!(
        say("a.example", Some(&[]), &server, "b.example"),
        "DNS: a.example does not resolve yet\nIt needs this record, at whoever runs its DNS:\n  a.example. A 203.0.113.5\n  \
         a.example. AAAA 2001:db8::5\nor, for a name that is not the top of its zone: a.example. CNAME b.example."
    );
    let private = say("a.example", Some(&[address("198.51.100.1")]), &server[..1], "localhost");
    assert!(private.contains("198.51.100.1, not here") && private.contains("private network"), "{private}");
    assert!(!private.contains("CNAME"), "{private}");
    assert!(say("*.a.example", None, &[], "localhost").contains("*.a.example. A THE-PUBLIC"));
    for (text, public) in [
        ("10.0.0.1", false),
        ("100.64.0.1", false),
        ("172.16.0.1", false),
        ("169.254.1.1", false),
        ("127.0.0.1", false),
        ("8.8.8.8", true),
        ("100.128.0.1", true),
        ("::1", false),
        ("fe80::1", false),
        ("fd00::1", false),
        ("2001:db8::1", true),
    ] {
        assert_eq!(is_public(&address(text)), public, "{text}");
    }
}

#[test]
fn open_prefers_a_name_that_leads_here() {
    let domain =
        |host: &str, process: &str| AppDomain { host: host.parse().unwrap(), process: process.parse().unwrap() };
    let all = [domain("*.a.b", "web"), domain("api.a.b", "api"), domain("x.a.b", "web"), domain("y.a.b", "web")];
    let here = |names: &[&str]| names.iter().map(|n| (n.parse().unwrap(), Resolves::Here)).collect();
    let open = |names: &[&str]| own_first(&all, &here(names)).map(ToString::to_string);
    assert_eq!(open(&["*.a.b", "api.a.b", "y.a.b"]).as_deref(), Some("y.a.b"));
    assert_eq!(open(&["*.a.b", "api.a.b"]), None);
}

#[test]
fn a_name_let_go_of_is_kept_for_a_week() {
    assert!(is_held(Timestamp(0), Timestamp(1000)));
    assert!(!is_held(Timestamp(0), Timestamp(0).plus_millis(HOLD_MILLIS as i64)));
}
