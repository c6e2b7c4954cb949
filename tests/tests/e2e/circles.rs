//! Finds files of one crate that are reached from themselves: what two share lies below both.
//!
//! Invariant: a path counts for the file it ends in, through re-exports; `pub use child::X` in the file above a child only
//! hands on and is no use. Absent: tests, which look at everything, and what a macro makes.

use std::collections::{BTreeMap, BTreeSet};

/// The names of a module from the root of its crate.
pub type Module = Vec<String>;
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// The product code of one crate: its files, each with what it hands on of its children.
#[derive(Default)]
pub struct Crate {
    files: BTreeMap<Module, File>,
}

struct File {
    path: String,
    code: String,
    /// What a path through this file ends in, by name.
    handed_on: BTreeMap<String, Module>,
    /// Children that are compiled for tests only.
    for_tests: BTreeSet<String>,
}

impl Crate {
    /// Adds a file by its place in the crate's `src`, such as `a/mod.rs`.
    pub fn add(&mut self, path: &str, inside: &str, text: &str) {
        let mut name: Module = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if name.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            name.pop();
        }
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        let mut for_tests = BTreeSet::new();
        let mut after = false;
        for line in product.lines().map(str::trim) {
            if after && line.starts_with("#[") {
                continue;
            }
            let declared = line.strip_suffix(';').and_then(|line| line.split("mod ").nth(1));
            for_tests.extend(declared.filter(|_| after).map(str::to_owned));
            after = line == "#[cfg(test)]";
        }
        let code = product.lines().map(|line| line.split("//").next().unwrap_or(""));
        let (code, handed) = without_handing_on(&code.collect::<Vec<_>>().join(" "));
        let handed_on = handed.into_iter().filter_map(|path| Some((path.last()?.clone(), path))).collect();
        self.files.insert(name, File { path: path.to_owned(), code, handed_on, for_tests });
    }

    /// The uses that lie on a circle: the file's path, and what it uses that leads back to it.
    pub fn circles(&self) -> BTreeMap<String, Vec<String>> {
        let product: Vec<&Module> = self.files.keys().filter(|name| !self.is_test(name)).collect();
        let uses: Uses = product.iter().map(|name| ((*name).clone(), self.uses(name))).collect();
        let reach: Uses = product.iter().map(|name| ((*name).clone(), reached(name, &uses))).collect();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (from, to) in &uses {
            for to in to.iter().filter(|to| reach.get(*to).is_some_and(|all| all.contains(from))) {
                let to = self.files[to].path.clone();
                found.entry(self.files[from].path.clone()).or_default().push(to);
            }
        }
        found
    }

    /// How many files and uses there are.
    pub fn size(&self) -> (usize, usize) {
        (self.files.len(), self.files.keys().map(|name| self.uses(name).len()).sum())
    }

    fn is_test(&self, name: &Module) -> bool {
        let named = |word: &String| word.ends_with("tests") || word == "testing";
        let declared = |at: usize| self.files.get(&name[..at]).is_some_and(|above| above.for_tests.contains(&name[at]));
        name.iter().any(named) || (0..name.len()).any(declared)
    }

    fn uses(&self, from: &Module) -> BTreeSet<Module> {
        let to = paths(&self.files[from].code).into_iter().filter_map(|path| self.leads_to(&path, from, 0));
        to.filter(|to| to != from && !self.is_test(to)).collect()
    }

    /// The file that a path in another one ends in.
    fn leads_to(&self, path: &[String], from: &Module, depth: usize) -> Option<Module> {
        let ups = path.iter().take_while(|word| *word == "super").count();
        let (mut at, words): (Module, &[String]) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..]),
            child => {
                let inner = [from.as_slice(), &[child.to_owned()]].concat();
                (self.files.contains_key(&inner).then(|| from.clone())?, path)
            }
        };
        for (n, word) in words.iter().enumerate() {
            let inner = [at.as_slice(), std::slice::from_ref(word)].concat();
            if self.files.contains_key(&inner) {
                at = inner;
            } else if let Some(on) = self.files.get(&at).and_then(|file| file.handed_on.get(word)).filter(|_| depth < 9)
            {
                let whole = [on.as_slice(), &words[n + 1..]].concat();
                return self.leads_to(&whole, &at, depth + 1).or(Some(at));
            } else {
                break;
            }
        }
        Some(at)
    }
}

/// All that a module reaches.
fn reached(start: &Module, uses: &Uses) -> BTreeSet<Module> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(at) = open.pop() {
        open.extend(uses.get(at).into_iter().flatten().filter(|next| seen.insert((*next).clone())));
    }
    seen
}

/// The code less each `pub use child::…;`, and the paths of these. `pub use super::` and `crate::` are uses.
fn without_handing_on(code: &str) -> (String, Vec<Module>) {
    let (mut rest, mut left, mut handed) = (code, String::new(), Vec::new());
    while let Some((before, after)) = rest.split_once(" use ") {
        let (what, behind) = after.split_once(';').unwrap_or((after, ""));
        left.push_str(before);
        let public =
            before.trim_end().ends_with("pub") || before.ends_with("pub(crate)") || before.ends_with("pub(super)");
        if public && !["super::", "crate::"].iter().any(|above| what.trim_start().starts_with(above)) {
            handed.extend(paths(&format!("{what};")));
        } else {
            left.push_str(&format!(" use {what};"));
        }
        rest = behind;
    }
    left.push_str(rest);
    (left, handed)
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

#[test]
fn circles_are_found() {
    let check = |files: &[(&str, &str)]| {
        let mut all = Crate::default();
        files.iter().for_each(|(path, text)| all.add(path, path, text));
        all.circles().into_iter().map(|(from, to)| format!("{from}: {}", to.join(" "))).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(check(&[("a.rs", "use crate::b::X;"), ("b.rs", "fn f() {}")]), "");
    let around = [("a.rs", "use crate::{b::X, d::Y};"), ("b.rs", "x(crate::c::f())"), ("c.rs", "use super::a::Z;")];
    assert_eq!(check(&around), "a.rs: b.rs; b.rs: c.rs; c.rs: a.rs");
    let parent = [("a/mod.rs", "mod b; fn f() { b::g() }"), ("a/b.rs", "use super::{f, h};")];
    assert_eq!(check(&parent), "a/b.rs: a/mod.rs; a/mod.rs: a/b.rs");
    let sibling = ("a/b.rs", "use std::a::f; if c { super::c::x }");
    assert_eq!(check(&[("a/mod.rs", "mod b; fn f() { b::g() }"), sibling, ("a/c.rs", "")]), "");
    // Handed on: no use of the child, and whoever takes it from there uses the child.
    let on =
        [("a/mod.rs", "mod b; pub use b::X; fn h() {}"), ("a/b.rs", "use super::h;"), ("c.rs", "use crate::a::X;")];
    assert_eq!(check(&on), "");
    let back = ("a/b.rs", "fn f() { crate::c::g() }");
    assert_eq!(
        check(&[("a/mod.rs", "mod b; pub(crate) use b::{X};"), back, ("c.rs", "use crate::a::X;")]),
        "a/b.rs: c.rs; c.rs: a/b.rs"
    );
    let tests = [
        ("lib.rs", "#[cfg(test)]\npub mod fake;\nuse a::X;"),
        ("fake.rs", "use super::a;"),
        ("a.rs", "use crate::fake::F;"),
    ];
    assert_eq!(check(&tests), "");
    assert_eq!(
        check(&[
            ("lib.rs", "use a::X;"),
            ("a.rs", "fn f() { self::g() }\n#[cfg(test)]\nmod tests { use super::super::Y; }")
        ]),
        ""
    );
}
