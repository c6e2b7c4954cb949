//! What is printed is opened from another machine: names below a base domain that carries the address, an own domain, a
//! wildcard, with a resolver of the test's own.

use domain::hostname::embedded_address;
use e2e::{Outside, World};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

#[test]
fn the_printed_url_opens_from_another_machine() {
    let here = Arc::new(Mutex::new(Ipv4Addr::UNSPECIFIED));
    let known = Arc::clone(&here);
    let outside = Outside::new(move |name| match name {
        "shop.example" | "shop.apps.example" | "hoist-check.apps.example" => Some(*known.lock().unwrap()),
        "elsewhere.example" => Some(Ipv4Addr::new(203, 0, 113, 7)),
        name if name.ends_with(".cust.example") => Some(*known.lock().unwrap()),
        name => embedded_address(name),
    });
    *here.lock().unwrap() = outside.here;
    let base = format!("{}.sslip.io", outside.here.to_string().replace('.', "-"));
    let world = World::on(&outside, &[("base-domain", &base)]);
    let app = world.app("shop", "tests/apps/echo");
    let url_of = |said: &str| said.split_whitespace().find(|w| w.starts_with("http://")).unwrap().to_owned();

    let pushed = app.push().ok().all();
    let default = url_of(&pushed);
    assert!(default.starts_with(&format!("http://shop.{base}")), "{default}");
    outside.curl(&default).ok().says("web.1");
    assert_eq!(app.run("open", &[]).ok().out.trim(), default);
    outside.curl(&default.replace("shop.", "none.")).ok().says("no-such-host");

    let added = app.run("domains:add", &["shop.example"]).ok().says("DNS: shop.example resolves here");
    outside.curl(&url_of(&added.out)).ok().says("web.1");
    let own = app.run("open", &[]).ok().out;
    assert!(own.starts_with("http://shop.example"), "{own}");
    outside.curl(own.trim()).ok().says("web.1");

    world.hoist(&["domains:add", "shop", "*.cust.example"]).ok().says("*.cust.example resolves here");
    outside.curl(&own.trim().replace("shop.example", "anybody.cust.example")).ok().says("anybody.cust.example");

    // Names that do not lead here: said, with the record to make; the app answers all the same to who finds it.
    let record = format!("nowhere.example. A {}", outside.here);
    app.run("domains:add", &["nowhere.example"]).ok().says("does not resolve yet").says(&record);
    app.run("domains:add", &["elsewhere.example"]).ok().says("resolves to 203.0.113.7, not here");
    app.run("domains:remove", &["shop.example"]).ok();
    app.run("open", &[]).ok().says(&default).says("nowhere.example does not resolve yet");

    world.hoist(&["domains:set-base", "apps.example"]).ok().says("DNS: *.apps.example resolves here");
    let moved = app.run("open", &[]).ok().out;
    assert!(moved.starts_with("http://shop.apps.example"), "{moved}");
    outside.curl(moved.trim()).ok().says("web.1");
    outside.curl(&default).ok().says("no-such-host");
    world.hoist(&["domains:base"]).ok().says("resolves here");
}
