//! Where a commit's submodules come from: `.gitmodules` as text in, an address that a build may fetch or a refusal out.
//!
//! Absent: fetching.

use super::shown;
use crate::refusal::Code;
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// Submodules of one commit with those in them, at most.
pub const SUBMODULES_MAX: usize = 50;
/// Submodules within submodules, at most.
pub const SUBMODULES_DEEP: usize = 5;
/// Bytes of a `.gitmodules`, at most.
pub const GITMODULES_MAX: u64 = 256 << 10;
/// Bytes of an address, at most.
const ADDRESS_MAX: usize = 2_000;

/// The address of the submodule at `path`, by the `.gitmodules` of the repository in the folder `inside` (empty, or with a
/// `/` at its end).
pub fn submodule_address(path: &str, inside: &str, gitmodules: &str) -> Result<String, Refusal> {
    let known = addresses(gitmodules);
    let found = path.strip_prefix(inside).and_then(|path| known.get(path.trim_end_matches('/')));
    match found {
        Some(address) => judged(path, inside.is_empty(), address),
        None => Err(unnamed(path)),
    }
}

/// That there are too many.
pub fn too_many_submodules(count: usize) -> Result<(), Refusal> {
    if count <= SUBMODULES_MAX {
        return Ok(());
    }
    Err(Refusal::new(Code::Submodules, format!("The commit has more than {SUBMODULES_MAX} submodules"))
        .next("install some of them as packages of your language"))
}

/// That they are nested too deep.
pub fn submodules_too_deep(path: &str) -> Refusal {
    let what = format!("{} is a submodule {} deep in others", shown(path), SUBMODULES_DEEP + 1);
    Refusal::new(Code::Submodules, what).next("install it as a package of your language")
}

/// That one could not be fetched.
pub fn submodule_unreachable(path: &str, address: &str) -> Refusal {
    Refusal::new(
        Code::Submodules,
        format!("The submodule {} could not be fetched from {}", shown(path), shown(address)),
    )
    .why("What git said is shown above. Submodules are fetched as anybody fetches them, without a login.")
    .next(format!("git ls-remote {}  (says whether it is public)", typed(address, "URL")))
    .next(format!("git -C {} push --all  (brings it the commit, if it lacks that)", typed(path, "PATH")))
    .next(INSTEAD)
}

/// That they have files of Git LFS, of which only pointers came.
pub fn submodules_with_lfs(path: &str) -> Refusal {
    let what = format!("A submodule has Git LFS files, which are not fetched with it: {}", shown(path));
    Refusal::new(Code::Submodules, what)
        .why("Git LFS files are sent with a push, and a push sends those of its own repository.")
        .next(INSTEAD)
}

const INSTEAD: &str = "add the files themselves: git rm --cached PATH, rm -rf PATH/.git, git add PATH, git commit";

fn unnamed(path: &str) -> Refusal {
    let (shown, path) = (shown(path), typed(path, "PATH"));
    Refusal::new(
        Code::Submodules,
        format!("{shown} is a repository of its own, and .gitmodules does not say where it is from"),
    )
    .why("Git keeps only the id of its commit; often a folder with a .git of its own was added by mistake.")
    .next(format!(
        "git rm --cached {path} && rm -rf {path}/.git && git add {path} && git commit -m 'The files themselves'"
    ))
}

/// A word of the pusher's for a command: as it is where no shell would take it for something else.
fn typed<'a>(word: &'a str, otherwise: &'a str) -> &'a str {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"/._-:~%+@".contains(&b);
    if word.bytes().all(good) && !word.starts_with(['-', '~']) { word } else { otherwise }
}

/// `path` → `url` of each section.
fn addresses(text: &str) -> BTreeMap<String, String> {
    let (mut found, mut path, mut url) = (BTreeMap::new(), None, None);
    for line in text.lines().map(str::trim).chain(std::iter::once("[end]")) {
        if line.starts_with('[') {
            if let (Some(path), Some(url)) = (path.take(), url.take()) {
                found.insert(path, url);
            }
        } else if let Some((key, value)) = line.split_once('=') {
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => path = Some(unquoted(value).trim_end_matches('/').to_owned()),
                "url" => url = Some(unquoted(value)),
                _ => {}
            }
        }
    }
    found
}

/// A value as git's configuration has it: quotes, escapes, and what follows `#` or `;` outside of quotes.
fn unquoted(value: &str) -> String {
    let (mut out, mut quoted, mut chars) = (String::new(), false, value.trim().chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => out.extend(chars.next()),
            '#' | ';' if !quoted => break,
            c => out.push(c),
        }
    }
    out.trim_end().to_owned()
}

fn judged(path: &str, ours: bool, address: &str) -> Result<String, Refusal> {
    let no = |why: &str, instead: Option<String>| {
        let what = format!("The submodule {} has the address {}", shown(path), shown(address));
        let no = Refusal::new(Code::Submodules, what).why(why);
        // Only in a repository of one's own can it be changed.
        let set = {
            let address = instead.as_deref().map_or("https://HOST/PATH.git", |url| typed(url, "https://HOST/PATH.git"));
            format!("git submodule set-url {} {address}", typed(path, "PATH"))
        };
        if ours { no.next(format!("{set} && git commit -am 'Its address', then push again")) } else { no.next(INSTEAD) }
    };
    let plain = address.len() <= ADDRESS_MAX && address.bytes().all(|b| b.is_ascii_graphic());
    if !plain {
        return Err(no("An address has at most 2,000 bytes of plain text, without blanks.", None));
    }
    if let Some(rest) = address.strip_prefix("https://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let good = !host.is_empty() && !host.starts_with(['-', ':']);
        if host.contains('@') {
            let without = format!("https://{}", rest.split_once('@').map_or(rest, |(_, rest)| rest));
            return Err(no(
                "It holds a login, which everybody reads who has the repository; none is used here.",
                Some(without),
            ));
        }
        return if good { Ok(address.to_owned()) } else { Err(no("It names no host.", None)) };
    }
    if address.starts_with("./") || address.starts_with("../") || address.starts_with('/') {
        let why = "It is relative to the address of this repository, and the other one is not on this server.";
        return Err(no(why, None));
    }
    match over_ssh(address) {
        Some((host, path)) => {
            let why = "Submodules are fetched over https and without a login: the server has no key for them.";
            Err(no(why, Some(format!("https://{host}/{path}"))))
        }
        None => Err(no("Submodules are fetched over https alone.", None)),
    }
}

/// Host and path of `ssh://git@host:22/path` and `git@host:path`.
fn over_ssh(address: &str) -> Option<(&str, &str)> {
    let (login, path) = match address.strip_prefix("ssh://").or_else(|| address.strip_prefix("git+ssh://")) {
        Some(rest) => rest.split_once('/')?,
        None if address.contains("://") => return None,
        None => address.split_once(':')?,
    };
    let host = login.rsplit('@').next()?.split(':').next()?;
    let path = path.trim_start_matches('/');
    if host.is_empty() || path.is_empty() { None } else { Some((host, path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, inside: &str, text: &str, want: &str) {
        let got = submodule_address(path, inside, text)
            .unwrap_or_else(|no| format!("{}; {}", no.what, no.next.first().map_or("", String::as_str)));
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn where_submodules_come_from() {
        let of = |url: &str| format!("[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = {url}\n\tbranch = main\n");
        check("vendor/lib", "", &of("https://git.example/org/lib.git"), "https://git.example/org/lib.git");
        check("vendor/lib", "", &of("\"https://git.example/a;b\" # x"), "https://git.example/a;b");
        check("deps/one/vendor/lib", "deps/one/", &of("https://git.example/lib"), "https://git.example/lib");
        check("vendor/lib", "", &of("https://git.example/lib").replace('\n', "\r\n"), "https://git.example/lib");
        let two = format!("{}[submodule \"b\"]\nurl=https://git.example/b\npath=b/\n", of("https://git.example/a"));
        check("b", "", &two, "https://git.example/b");
        check("vendor/lib", "", &two, "https://git.example/a");
        check(
            "vendor/other",
            "",
            &of("https://git.example/lib"),
            "vendor/other is a repository of its own, and .gitmodules does not say where it is from; git rm --cached vendor/other && rm -rf vendor/other/.git && git add vendor/other && git commit -m 'The files themselves'",
        );
        let no = |url: &str, set: &str| {
            let next =
                format!("git submodule set-url vendor/lib {set} && git commit -am 'Its address', then push again");
            check("vendor/lib", "", &of(url), &format!("The submodule vendor/lib has the address {url}; {next}"));
        };
        no("../lib.git", "https://HOST/PATH.git");
        no("/srv/lib.git", "https://HOST/PATH.git");
        no("http://git.example/lib", "https://HOST/PATH.git");
        no("ext::sh", "https://ext/:sh");
        no("file:///etc", "https://HOST/PATH.git");
        no("https://", "https://HOST/PATH.git");
        no("https://-x/y", "https://HOST/PATH.git");
        no("git@github.com:org/lib.git", "https://github.com/org/lib.git");
        no("ssh://git@git.example:2222/org/lib.git", "https://git.example/org/lib.git");
        no("https://me:token@git.example/lib", "https://git.example/lib");
        let odd = submodule_address("a b;id", "", "").unwrap_err();
        assert!(odd.next[0].starts_with("git rm --cached PATH && rm -rf PATH/.git"), "{odd}");
        let deep = submodule_address("a/b", "a/", "[submodule \"b\"]\npath=b\nurl=git@x:y\n").unwrap_err();
        assert!(deep.next[0].starts_with("add the files themselves"), "{deep}");
        assert!(too_many_submodules(SUBMODULES_MAX).is_ok() && too_many_submodules(SUBMODULES_MAX + 1).is_err());
    }
}
