//! Which host answers for a name: exact before wildcard, one label for a wildcard, never a neighbour.

use std::collections::HashMap;

use router::table::{HostPattern, Table, is_host_name};

/// The rule, written as slowly and plainly as it can be.
fn plain<'a>(hosts: &'a HashMap<String, usize>, name: &str) -> Option<&'a usize> {
    let (label, rest) = name.split_once('.').unwrap_or((name, ""));
    hosts.get(name).or_else(|| hosts.get(&format!("*.{rest}")).filter(|_| !label.is_empty() && !rest.is_empty()))
}

#[test]
fn every_name_finds_what_the_rule_says() {
    let labels = ["a", "b", "c", "shop", "www", "xn--a-1", "x_y", "1", ""];
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut found = 0;
    for round in 0..300 {
        let mut table = Table::<usize>::default();
        let mut hosts = HashMap::new();
        for n in 0..40 {
            let name: Vec<&str> = (0..1 + next(3)).map(|_| labels[next(labels.len())]).collect();
            let text = format!("{}{}", if next(3) == 0 { "*." } else { "" }, name.join("."));
            let Ok(pattern) = text.parse::<HostPattern>() else { continue };
            let gone = next(5) == 0;
            table.set(&pattern, (!gone).then_some(n));
            if gone {
                hosts.remove(&pattern.to_string())
            } else {
                hosts.insert(pattern.to_string(), n)
            };
        }
        assert_eq!(table.len(), hosts.len());
        for _ in 0..200 {
            let name: Vec<&str> = (0..1 + next(4)).map(|_| labels[next(labels.len())]).collect();
            let name = name.join(".");
            // The gate lets no other name through to the table.
            if !is_host_name(&name) {
                continue;
            }
            assert_eq!(table.find(&name), plain(&hosts, &name), "round {round}: {name} in {hosts:?}");
            found += usize::from(table.find(&name).is_some());
        }
    }
    assert!(found > 1_000, "the test lost its sense: {found}");
}

#[test]
fn a_change_costs_the_same_with_many_hosts() {
    let time = |hosts: usize| {
        let mut table = Table::<usize>::default();
        for n in 0..hosts {
            table.set(&format!("h{n}.example").parse().unwrap(), Some(n));
        }
        let pattern: HostPattern = "new.example".parse().unwrap();
        let begun = std::time::Instant::now();
        for n in 0..10_000 {
            table.set(&pattern, Some(n));
            assert_eq!(table.find("new.example"), Some(&n));
            table.set(&pattern, None);
        }
        begun.elapsed()
    };
    time(10);
    let (few, many) = (time(10), time(100_000));
    assert!(many < few * 20, "{few:?} with 10 hosts, {many:?} with 100,000");
}

/// What an older router and its disk wrote is read, and what a page has beyond that is left out for it.
#[test]
fn an_older_routers_words_are_understood() {
    use router::table::Route;
    let old =
        r#"{"host":"*.a.example","path":"/","log":null,"action":{"page":{"status":503,"code":"H80","desc":"x"}}}"#;
    let route: Route = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&route).unwrap(), old);
}
