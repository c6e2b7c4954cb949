//! That no module of this crate is reached from itself: what two share lies below both.
//! Invariant: tests are left out, as they look at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Module = Vec<String>;

/// The modules of this folder with their text, less what is only for tests.
fn modules(folder: &Path, name: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let stem = entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
        let inner: Module = name.iter().cloned().chain([stem.clone()]).collect();
        if stem.ends_with("tests") || stem == "testing" {
            continue;
        }
        if entry.path().is_dir() {
            modules(&entry.path(), &inner, found);
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = product.lines().map(|line| line.split("//").next().unwrap());
        let name = if matches!(stem.as_str(), "mod" | "lib") { name.clone() } else { inner };
        found.insert(name, code.collect::<Vec<_>>().join(" "));
    }
}

/// The paths in a text, with those of a group written out.
fn paths(text: &str) -> Vec<Module> {
    let (mut found, mut open): (Vec<Module>, Vec<Module>) = (Vec::new(), vec![Vec::new()]);
    let mut path: Module = Vec::new();
    let mut word = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else if c == ':' && rest.starts_with(':') {
            rest = &rest[1..];
            path.push(std::mem::take(&mut word));
        } else {
            let group = c == '{' && word.is_empty() && !path.is_empty();
            let outer = open.last().unwrap().clone();
            let said = !path.is_empty() || !(word.is_empty() || outer.is_empty());
            let whole: Module = outer.iter().chain(&path).cloned().chain([std::mem::take(&mut word)]).collect();
            if said && !group {
                found.push(whole.into_iter().filter(|word| !word.is_empty()).collect());
            }
            match c {
                '{' if group => open.push(outer.iter().chain(&path).cloned().collect()),
                '{' => open.push(Vec::new()),
                '}' if open.len() > 1 => drop(open.pop()),
                _ => {}
            }
            path.clear();
        }
    }
    found
}

/// The module that a path in another one leads to.
fn leads_to(path: &Module, from: &Module, all: &BTreeMap<Module, String>) -> Option<Module> {
    let ups = path.iter().take_while(|word| *word == "super").count();
    let (mut at, words): (Module, &[String]) = match path.first()?.as_str() {
        "crate" => (Module::new(), &path[1..]),
        "super" => (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..]),
        child => (all.contains_key(&[from.as_slice(), &[child.to_owned()]].concat()).then(|| from.clone())?, &path[..]),
    };
    for word in words {
        let inner: Module = at.iter().cloned().chain([word.clone()]).collect();
        if !all.contains_key(&inner) {
            break;
        }
        at = inner;
    }
    (at != *from).then_some(at)
}

/// A way from a module back to itself.
fn circle(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Option<String> {
    uses.keys().find_map(|start| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![vec![start.clone()]]);
        while let Some(way) = open.pop() {
            for next in uses.get(way.last()?).into_iter().flatten() {
                let way: Vec<Module> = way.iter().cloned().chain([next.clone()]).collect();
                if next == start {
                    return Some(
                        way.iter().map(|name| format!("`{}`", name.join("::"))).collect::<Vec<_>>().join(" -> "),
                    );
                }
                if seen.insert(next.clone()) {
                    open.push(way);
                }
            }
        }
        None
    })
}

fn circle_of(all: &BTreeMap<Module, String>) -> (usize, Option<String>) {
    let uses: BTreeMap<Module, BTreeSet<Module>> = all
        .iter()
        .map(|(name, text)| (name.clone(), paths(text).iter().filter_map(|path| leads_to(path, name, all)).collect()))
        .collect();
    (uses.values().map(BTreeSet::len).sum(), circle(&uses))
}

#[test]
fn no_module_is_reached_from_itself() {
    let mut all = BTreeMap::new();
    modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &Module::new(), &mut all);
    let (uses, found) = circle_of(&all);
    assert!(all.len() > 40 && uses > 150, "{} modules use {uses}", all.len());
    assert_eq!(found, None);
}

#[test]
fn circles_are_found() {
    let check = |files: &[(&str, &str)]| {
        let name = |path: &str| path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect::<Module>();
        circle_of(&files.iter().map(|(path, text)| (name(path), (*text).to_owned())).collect()).1
    };
    assert_eq!(check(&[("a", "use crate::b::X;"), ("b", "fn f() {}")]), None);
    let around =
        check(&[("a", "use crate::{b::X, d::Y};"), ("b", "x(crate::c::f())"), ("c", "use super::a::Z;"), ("d", "")]);
    assert_eq!(around.as_deref(), Some("`a` -> `b` -> `c` -> `a`"));
    let parent = check(&[("a", "mod b; fn f() { b::g() }"), ("a::b", "use super::{f, h};")]);
    assert_eq!(parent.as_deref(), Some("`a` -> `a::b` -> `a`"));
    assert_eq!(
        check(&[("a", "mod b; fn f() { b::g() }"), ("a::b", "use std::a::f; if c { super::c::x }"), ("a::c", "")]),
        None
    );
}
