//! Routes of an app in each state, and whose routes a change touches.

use super::*;

fn process(ready: bool) -> ProcessState {
    let ready_one =
        ReadyInstance { id: InstanceId(7), label: "web.1".into(), address: "10.208.0.2:5000".parse().unwrap() };
    ProcessState { wanted: true, coming: false, portless: false, ready: if ready { vec![ready_one] } else { vec![] } }
}

fn app() -> AppState {
    AppState {
        id: "aaaaaaaa".parse().unwrap(),
        name: "blog".parse().unwrap(),
        released: true,
        stopped: false,
        maintenance: None,
        processes: [("web".parse().unwrap(), process(true))].into(),
        domains: vec![],
        hosts: 0,
    }
}

fn code(action: &RouteAction) -> String {
    match action {
        RouteAction::Serve(to) => format!("-> {}", to.len()),
        RouteAction::Hold { max_wait } => format!("hold {max_wait}"),
        RouteAction::Page { code, .. } => (*code).to_owned(),
    }
}

fn check(app: &AppState, want: &str) {
    let got: Vec<String> =
        app_routes(app, "localhost").iter().map(|r| format!("{} {}", r.host, code(&r.action))).collect();
    assert_eq!(got.join(", "), want);
}

#[test]
fn every_state_has_its_answer() {
    let web = |state| BTreeMap::from([("web".parse().unwrap(), state)]);
    check(&app(), "blog.localhost -> 1");
    let with = |state| AppState { processes: web(state), ..app() };
    check(&with(process(false)), "blog.localhost H10");
    check(&with(ProcessState { coming: true, ..process(true) }), "blog.localhost -> 1");
    check(&with(ProcessState { coming: true, ..process(false) }), "blog.localhost hold 30000");
    check(&with(ProcessState { wanted: false, ..process(true) }), "blog.localhost H14");
    check(&with(ProcessState { portless: true, ..process(false) }), "blog.localhost H14");
    check(&AppState { stopped: true, ..app() }, "blog.localhost H14");
    check(&AppState { released: false, ..app() }, "blog.localhost H81");
    check(&AppState { maintenance: Some(Maintenance::default()), ..app() }, "blog.localhost H80");
    check(&AppState { maintenance: Some(Maintenance::default()), released: false, ..app() }, "blog.localhost H80");
    assert_eq!((url("a.b", 80), url("a.b", 81)), ("http://a.b/".into(), "http://a.b:81/".into()));
}

#[test]
fn own_names_follow_their_process_type() {
    let domain =
        |host: &str, process: &str| AppDomain { host: host.parse().unwrap(), process: process.parse().unwrap() };
    let mut app = AppState {
        domains: vec![domain("shop.example", "web"), domain("*.shop.example", "web"), domain("api.example", "api")],
        ..app()
    };
    check(&app, "blog.localhost -> 1, shop.example -> 1, *.shop.example -> 1, api.example H14");
    app.processes.insert("api".parse().unwrap(), process(false));
    check(&app, "blog.localhost -> 1, shop.example -> 1, *.shop.example -> 1, api.example H10");
    app.domains = vec![domain("blog.apps.example", "api")];
    let hosts: Vec<String> = app_routes(&app, "apps.example").into_iter().map(|r| r.host).collect();
    assert_eq!(hosts, ["blog.apps.example"], "a name stands once in the table");
}

#[test]
fn a_page_of_the_apps_own_is_capped() {
    let page = |bytes: usize, hosts: usize| {
        let maintenance = Some(Maintenance { page: Some("x".repeat(bytes)) });
        let app = AppState { maintenance, hosts, ..app() };
        match &app_routes(&app, "localhost")[0].action {
            RouteAction::Page { html, retry_after, .. } => (html.as_ref().map(|h| h.len()), *retry_after),
            RouteAction::Serve(_) | RouteAction::Hold { .. } => panic!("not a page"),
        }
    };
    assert_eq!(page(PAGE_MAX, 255), (Some(PAGE_MAX), Some(120)));
    assert_eq!(page(PAGE_MAX, 256), (None, Some(120)));
    assert_eq!(page(PAGE_MAX + 1, 0), (None, Some(120)));
    assert!(fits(1000, 16_000) && !fits(1000, 17_000) && fits(0, usize::MAX) && !fits(PAGE_MAX, usize::MAX));
}

#[test]
fn scopes_add_up() {
    let id = |text: &str| text.parse::<AppId>().unwrap();
    let these = |hosts: &[&str]| Hosts::These(hosts.iter().map(|h| h.parse().unwrap()).collect());
    let mut scope = Scope::none();
    scope.merge(Scope::app(id("aaaaaaaa"), these(&["a.b"])));
    scope.merge(Scope::app(id("aaaaaaaa"), these(&["c.d"])));
    scope.merge(Scope::app(id("bbbbbbbb"), these(&["e.f"])));
    assert_eq!(
        scope,
        Scope::Some([(id("aaaaaaaa"), these(&["a.b", "c.d"])), (id("bbbbbbbb"), these(&["e.f"]))].into())
    );
    scope.merge(Scope::app(id("aaaaaaaa"), Hosts::All));
    scope.merge(Scope::app(id("aaaaaaaa"), these(&["a.b"])));
    assert_eq!(scope, Scope::Some([(id("aaaaaaaa"), Hosts::All), (id("bbbbbbbb"), these(&["e.f"]))].into()));
    scope.merge(Scope::All);
    scope.merge(Scope::none());
    assert_eq!(scope, Scope::All);
}
