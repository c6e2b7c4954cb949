//! requirements.txt with the files it includes.
//! Invariant: every file that the installer will read is an input, or all sources are. A line that is not plainly understood is
//! left to the installer, with all sources before it: nothing is refused, and nothing kept, for what is only guessed.
//! Absent: environment markers; a package that is only for Windows counts as a name here.

use super::dependencies::{Dependencies, Manager, normal};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::text::plain_lines;
use crate::tree::{Found, Tree};
use std::collections::BTreeSet;

/// Included files that are followed.
const FILES_MAX: usize = 50;
/// Names, without `.txt`, that lists which others include have.
const LISTS: [&str; 18] = [
    "base",
    "common",
    "shared",
    "core",
    "main",
    "prod",
    "production",
    "deploy",
    "heroku",
    "app",
    "web",
    "server",
    "dev",
    "test",
    "deps",
    "dependencies",
    "reqs",
    "packages",
];
/// Options that say where packages are, with the address after them.
const PLACES: [&str; 5] = ["--index-url", "--extra-index-url", "--find-links", "-i", "-f"];
/// Options that pip takes with their value right behind them.
const SHORT: [&str; 5] = ["-r", "-c", "-e", "-f", "-i"];
/// Options that read no file.
const PLAIN: [&str; 9] = [
    "--pre",
    "--prefer-binary",
    "--no-index",
    "--require-hashes",
    "--no-binary",
    "--only-binary",
    "--trusted-host",
    "--use-feature",
    "--hash",
];

/// A list of requirements or constraints, or one of those that it may include.
pub(crate) fn may_be_list(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let listed = name.contains("requirements") || name.contains("constraints") || folder.ends_with("requirements");
    let usual = name.strip_suffix(".txt").is_some_and(|name| LISTS.contains(&name));
    (listed || usual) && name.ends_with(".txt") && folder.matches('/').count() <= 1
}

#[derive(Default)]
struct Read {
    files: Vec<String>,
    names: BTreeSet<String>,
    local: Option<String>,
    unsure: bool,
    loose: BTreeSet<String>,
    /// Names whose versions constraints fix.
    fixed: BTreeSet<String>,
    rewritten: Vec<(String, String)>,
    /// Files that are no plain text.
    odd: Vec<String>,
}

/// A file to read, and whether it only constrains.
type Open = (String, bool);

pub(crate) fn read(tree: &Tree) -> Result<Dependencies, Refusal> {
    let mut read = Read::default();
    let mut open: Vec<Open> = vec![("requirements.txt".to_owned(), false)];
    let mut seen = BTreeSet::new();
    while let Some((path, constrains)) = open.pop() {
        if !seen.insert((path.clone(), constrains)) {
            continue;
        }
        if seen.len() > FILES_MAX {
            read.leave("requirements.txt includes many files".to_owned());
            break;
        }
        match tree.find(&path) {
            Found::File(content) => {
                let text = String::from_utf8_lossy(content);
                // uv takes UTF-8, ends lines at LF, and wants something between an option and its value.
                let lines = plain_lines(&text);
                let spaced = spaced(&lines);
                let is_plain = tree.0.get(&path).is_some_and(|entry| entry.size == content.len() as u64)
                    && (!text.contains('\r') || text.contains('\n'))
                    && !text.starts_with('\u{feff}');
                let is_taken = is_plain && spaced.trim_end() == lines.trim_end();
                if !is_taken && !read.files.contains(&path) {
                    read.rewritten.push((path.clone(), spaced));
                    read.odd.extend((!is_plain).then(|| path.clone()));
                }
                if !read.files.contains(&path) {
                    read.files.push(path.clone());
                }
                read.lines(&lines, (&path, constrains), &mut open);
            }
            Found::Nothing if read.files.is_empty() => break,
            Found::Nothing => return Err(missing(&path)),
            Found::NotAFile | Found::Unread => {
                read.leave(format!("{} is read when it is installed", quote(&path)));
                read.files.push(path);
            }
        }
    }
    Ok(read.end())
}

fn missing(path: &str) -> Refusal {
    let why = format!("{} is included by requirements.txt and is not in the commit", quote(path));
    Refusal::new(
        Code::RequirementsMissing,
        "dependencies cannot be installed",
        why,
        "git add it, commit and push; or remove the line",
    )
}

impl Read {
    fn end(mut self) -> Dependencies {
        self.files.sort();
        let mut warnings = Vec::new();
        let loose: Vec<&String> = self.loose.difference(&self.fixed).collect();
        if !loose.is_empty() {
            let some: Vec<String> = loose.iter().take(3).map(|name| quote(name)).collect();
            let more = if loose.len() > some.len() { ", …" } else { "" };
            warnings.push(format!(
                "requirements.txt does not fix the versions of {}{more}: what is newest now stays until the file changes",
                some.join(", ")
            ));
        }
        for path in &self.odd {
            warnings
                .push(format!("{} is not plain UTF-8 text and is read as if it were: save it as UTF-8", quote(path)));
        }
        let Read { files, names, local, unsure, rewritten, .. } = self;
        Dependencies { files, local, names, unsure, warnings, rewritten, ..Dependencies::of(Manager::Pip) }
    }

    /// The installer sees all sources, and says itself what it thinks of them.
    fn leave(&mut self, why: String) {
        self.unsure = true;
        self.local = Some(why);
    }

    /// The same for what is only a package of the app's own.
    fn own(&mut self, what: &str) {
        self.leave(format!("{} comes from the app's own files", quote(what)));
    }

    fn lines(&mut self, text: &str, (path, constrains): (&str, bool), open: &mut Vec<Open>) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut whole = String::new();
        for line in text.lines() {
            // A comment does not go on in the next line, and ends one that came here.
            let comment = line.trim_start().starts_with('#');
            match line.strip_suffix('\\').filter(|_| !comment) {
                Some(begun) => whole.push_str(begun),
                None => {
                    whole.push_str(if comment { "" } else { line });
                    self.line(&whole, (folder, constrains), open);
                    whole.clear();
                }
            }
        }
        self.line(&whole, (folder, constrains), open);
    }

    fn line(&mut self, line: &str, (folder, constrains): (&str, bool), open: &mut Vec<Open>) {
        let line = without_comment(line);
        if line.is_empty() {
            return;
        }
        if !line.starts_with('-') {
            return self.requirement(line, constrains);
        }
        let option = |names: &[&str]| names.iter().find_map(|name| value_of(line, name));
        if let Some(file) = option(&["--requirement", "--constraint", "-r", "-c"]) {
            let constrains = constrains || line.starts_with("-c") || line.starts_with("--c");
            let path = if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
            let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
            return match plain(&path).filter(|_| file.chars().all(simple)) {
                Some(path) => open.push((path, constrains)),
                None => self.leave(format!("{} is read when it is installed", quote(file))),
            };
        }
        if let Some(what) = option(&["--editable", "-e"]) {
            return match is_remote(what) {
                true => self.unsure |= !constrains,
                false => self.own(what),
            };
        }
        let remote = PLACES.iter().any(|name| value_of(line, name).is_some_and(is_remote));
        let word = line.split([' ', '\t', '=']).next().unwrap_or(line);
        if !remote && !PLAIN.contains(&word) {
            self.leave(format!("{} is for the installer", quote(line)));
        }
    }

    /// `name`, with extras, versions, an address, a marker and hashes; or an address alone.
    fn requirement(&mut self, line: &str, constrains: bool) {
        let end =
            line.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let (extras, mut rest) = match rest.trim_start().strip_prefix('[') {
            Some(inside) => inside.split_once(']').unwrap_or((inside, "?")),
            None => ("", rest),
        };
        rest = rest.trim_start();
        if let Some(from) = rest.strip_prefix('@').map(str::trim_start).filter(|_| is_name(name)) {
            if !is_remote(from) {
                self.local = Some(format!("{} comes from the app's own files", quote(name)));
            }
            return self.name(name, extras, (constrains, true));
        }
        let versions =
            rest.is_empty() || rest.starts_with(['<', '>', '=', '!', '~', ';', ',', '(']) || rest.starts_with("--");
        let archive = [".whl", ".zip", ".gz", ".bz2", ".xz", ".tgz"].iter().any(|kind| name.ends_with(kind));
        if is_name(name) && versions && !archive {
            let pinned = rest.contains("==");
            return self.name(name, extras, (constrains, pinned));
        }
        if is_remote(line) {
            self.unsure |= !constrains;
        } else if archive || line.starts_with('.') || line.contains(['/', '\\']) {
            self.own(line);
        } else {
            self.leave(format!("{} is for the installer", quote(line)));
        }
        // A wheel's name begins with that of its package.
        let file = line.split(['?', '#', ' ', ';']).next().unwrap_or("").rsplit(['/', '\\']).next().unwrap_or("");
        if let Some((name, _)) = file.split_once('-').filter(|_| !constrains) {
            self.names.insert(normal(name));
        }
    }

    fn name(&mut self, name: &str, extras: &str, (constrains, pinned): (bool, bool)) {
        let name = normal(name);
        if constrains {
            self.fixed.extend(pinned.then_some(name));
            return;
        }
        let has = |extra: &str| extras.split(',').any(|one| one.trim() == extra);
        // These extras bring a server.
        if name == "fastapi" && (has("standard") || has("all")) {
            self.names.insert("uvicorn".to_owned());
        }
        if !pinned {
            self.loose.insert(name.clone());
        }
        self.names.insert(name);
    }
}

/// What follows an option: `-rbase.txt`, `-r base.txt`, `--requirement=base.txt`.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(name)?;
    let short = !name.starts_with("--") && !rest.is_empty();
    let value = rest.trim_start_matches([' ', '\t', '=']);
    (short || rest.starts_with([' ', '=', '\t'])).then_some(value)
}

/// `-rbase.txt` as `-r base.txt`.
fn spaced(lines: &str) -> String {
    let one = |line: &str| match SHORT.iter().find_map(|option| line.trim_start().strip_prefix(option)) {
        Some(value) if !value.is_empty() && !value.starts_with([' ', '\t', '=', '-']) => {
            let option = line.get(..line.len() - value.len()).unwrap_or_default();
            format!("{option} {value}\n")
        }
        Some(_) | None => format!("{line}\n"),
    };
    lines.lines().map(one).collect()
}

/// Whether something comes from elsewhere, over the network.
fn is_remote(what: &str) -> bool {
    let scheme = what.split_once("://").map_or("", |(scheme, _)| scheme);
    let plain = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
    plain && scheme != "file" && !scheme.ends_with("+file")
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// A `#` begins a comment at the start of a line or after a blank: elsewhere it is a part of an address.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line.get(..*at).is_none_or(|before| before.is_empty() || before.ends_with([' ', '\t']))
    };
    let end = line.match_indices('#').find(begins).map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line).trim()
}

/// A path without `.` and `..`, inside the app's folder.
fn plain(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{add, tree};
    use crate::tree::Kind;
    use expect_test::{Expect, expect};

    fn shown(tree: &Tree) -> String {
        let found = match read(tree) {
            Ok(found) => found,
            Err(no) => return format!("refused: {}\n", no.why),
        };
        let names: Vec<&str> = found.names.iter().map(String::as_str).collect();
        let inputs =
            found.local.map_or_else(|| format!("sees {}", found.files.join(" ")), |why| format!("sees all: {why}"));
        let warned = found.warnings.iter().map(|line| format!("\n! {line}")).collect::<String>();
        let unsure = if found.unsure { ", and more" } else { "" };
        format!("has {}{unsure}; {inputs}{warned}\n", names.join(" "))
    }

    /// Each line is a requirements.txt of its own; `|` ends a line in it.
    fn check(lines: &str, expect: Expect) {
        let one = |line: &str| shown(&tree(&format!("-- requirements.txt\n{}\n", line.replace('|', "\n"))));
        expect.assert_eq(
            &lines.lines().map(|line| format!("{line}\n  {}", one(line).replace("\n!", "\n  !"))).collect::<String>(),
        );
    }

    #[test]
    fn what_is_plain_is_kept_until_it_changes() {
        check(
            r#"Flask_Login==1
flask == 3.1 ; python_version < "3.9"	# why
flask[async, dotenv]>=3,<4
flask (>=3)
fastapi [standard]==0.1
flask==1 \|    --hash=sha256:a \|    --hash=sha256:b|gunicorn==2
# a comment \|flask==1
flask==1 \|# a comment ends it|gunicorn==2
--index-url https://x.example/simple|-i https://${TOKEN}@x.example/simple|--extra-index-url=https://y.example|flask==1
--pre|--no-binary :all:|--trusted-host x.example|--find-links https://x.example/wheels|flask==1
lib @ https://x.example/lib.whl|lib2@git+https://x.example/lib2.git#egg=lib2"#,
            expect![[r#"
                Flask_Login==1
                  has flask-login; sees requirements.txt
                flask == 3.1 ; python_version < "3.9"	# why
                  has flask; sees requirements.txt
                flask[async, dotenv]>=3,<4
                  has flask; sees requirements.txt
                  ! requirements.txt does not fix the versions of flask: what is newest now stays until the file changes
                flask (>=3)
                  has flask; sees requirements.txt
                  ! requirements.txt does not fix the versions of flask: what is newest now stays until the file changes
                fastapi [standard]==0.1
                  has fastapi uvicorn; sees requirements.txt
                flask==1 \|    --hash=sha256:a \|    --hash=sha256:b|gunicorn==2
                  has flask gunicorn; sees requirements.txt
                # a comment \|flask==1
                  has flask; sees requirements.txt
                flask==1 \|# a comment ends it|gunicorn==2
                  has flask gunicorn; sees requirements.txt
                --index-url https://x.example/simple|-i https://${TOKEN}@x.example/simple|--extra-index-url=https://y.example|flask==1
                  has flask; sees requirements.txt
                --pre|--no-binary :all:|--trusted-host x.example|--find-links https://x.example/wheels|flask==1
                  has flask; sees requirements.txt
                lib @ https://x.example/lib.whl|lib2@git+https://x.example/lib2.git#egg=lib2
                  has lib lib2; sees requirements.txt
            "#]],
        );
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_installer() {
        check(
            "lib @ file:vendor/lib-1.0-py3-none-any.whl|gunicorn==1
lib @ vendor/lib.whl
vendor/gunicorn-20.1-py3-none-any.whl
lib-1.0.tar.gz
.
./lib[extra]
C:\\lib\\x
file:///app/lib
-e .
-e ./lib
-e.
--editable=lib
-e git+https://x.example/y.git#egg=y
https://x.example/gunicorn-20.1-py3-none-any.whl
--find-links ./vendor|flask==1
-f vendor|flask==1
--index-url file:///app/wheels|flask==1
-c https://x.example/constraints.txt|flask
-r https://x.example/more.txt
-r ${WHICH}.txt
-r ../outside.txt
-r requirements\\base.txt
--new-option x|flask==1
flask === 1 or so
{{ flask }}
<<<<<<< HEAD",
            expect![[r#"
                lib @ file:vendor/lib-1.0-py3-none-any.whl|gunicorn==1
                  has gunicorn lib; sees all: lib comes from the app's own files
                lib @ vendor/lib.whl
                  has lib; sees all: lib comes from the app's own files
                vendor/gunicorn-20.1-py3-none-any.whl
                  has gunicorn, and more; sees all: vendor/gunicorn-20.1-py3-none-any.whl comes from the app's own files
                lib-1.0.tar.gz
                  has lib, and more; sees all: lib-1.0.tar.gz comes from the app's own files
                .
                  has , and more; sees all: . comes from the app's own files
                ./lib[extra]
                  has , and more; sees all: ./lib[extra] comes from the app's own files
                C:\lib\x
                  has , and more; sees all: C:\lib\x comes from the app's own files
                file:///app/lib
                  has , and more; sees all: file:///app/lib comes from the app's own files
                -e .
                  has , and more; sees all: . comes from the app's own files
                -e ./lib
                  has , and more; sees all: ./lib comes from the app's own files
                -e.
                  has , and more; sees all: . comes from the app's own files
                --editable=lib
                  has , and more; sees all: lib comes from the app's own files
                -e git+https://x.example/y.git#egg=y
                  has , and more; sees requirements.txt
                https://x.example/gunicorn-20.1-py3-none-any.whl
                  has gunicorn, and more; sees requirements.txt
                --find-links ./vendor|flask==1
                  has flask, and more; sees all: --find-links ./vendor is for the installer
                -f vendor|flask==1
                  has flask, and more; sees all: -f vendor is for the installer
                --index-url file:///app/wheels|flask==1
                  has flask, and more; sees all: --index-url file:///app/wheels is for the installer
                -c https://x.example/constraints.txt|flask
                  has flask, and more; sees all: https://x.example/constraints.txt is read when it is installed
                  ! requirements.txt does not fix the versions of flask: what is newest now stays until the file changes
                -r https://x.example/more.txt
                  has , and more; sees all: https://x.example/more.txt is read when it is installed
                -r ${WHICH}.txt
                  has , and more; sees all: ${WHICH}.txt is read when it is installed
                -r ../outside.txt
                  has , and more; sees all: ../outside.txt is read when it is installed
                -r requirements\base.txt
                  has , and more; sees all: requirements\base.txt is read when it is installed
                --new-option x|flask==1
                  has flask, and more; sees all: --new-option x is for the installer
                flask === 1 or so
                  has flask; sees requirements.txt
                {{ flask }}
                  has , and more; sees all: {{ flask }} is for the installer
                <<<<<<< HEAD
                  has , and more; sees all: <<<<<<< HEAD is for the installer
            "#]],
        );
    }

    #[test]
    fn included_files() {
        let check = |files: &str, expect: Expect| expect.assert_eq(&shown(&tree(files)));
        check(
            "-- requirements.txt\n-rbase.txt\n-cpins.txt\n--requirement=requirements/prod.txt\n-- base.txt\nflask\n-- requirements/prod.txt\n-c ../constraints.txt\ngunicorn\nclick\n-- constraints.txt\ngunicorn==1\nuvicorn==2\n-> unread pins.txt",
            expect![[r#"
                has click flask gunicorn, and more; sees all: pins.txt is read when it is installed
                ! requirements.txt does not fix the versions of click, flask: what is newest now stays until the file changes
            "#]],
        );
        check(
            "-- requirements.txt\n-r base.txt\n",
            expect![[r#"
            refused: base.txt is included by requirements.txt and is not in the commit
        "#]],
        );
        check(
            "-- requirements.txt\n-r requirements.txt\nflask==1\n",
            expect![[r#"
            has flask; sees requirements.txt
        "#]],
        );
    }

    #[test]
    fn text_of_other_systems_is_written_anew_for_the_installer() {
        let check = |content: &[u8], size: usize, expect: Expect| {
            let mut tree = Tree::default();
            add(&mut tree, "requirements.txt", Kind::File { executable: false }, Some(content.to_vec()));
            tree.0.get_mut("requirements.txt").unwrap().size = size as u64;
            for name in ["base.txt", "pins.txt", "x.txt"] {
                add(&mut tree, name, Kind::File { executable: false }, None);
            }
            let text = read(&tree).unwrap().rewritten.into_iter().map(|(path, text)| format!("{path}: {text:?}\n"));
            expect.assert_eq(&format!("{}{}", shown(&tree), text.collect::<String>()));
        };
        check(
            b"flask==1\r\ngunicorn==2\r\n",
            23,
            expect![[r#"
                has flask gunicorn; sees requirements.txt
            "#]],
        );
        check(
            b"flask==1\rgunicorn==2\r",
            22,
            expect![[r#"
            has flask gunicorn; sees requirements.txt
            ! requirements.txt is not plain UTF-8 text and is read as if it were: save it as UTF-8
            requirements.txt: "flask==1\ngunicorn==2\n"
        "#]],
        );
        check(
            "\u{feff}flask==1\n".as_bytes(),
            12,
            expect![[r#"
            has flask; sees requirements.txt
            ! requirements.txt is not plain UTF-8 text and is read as if it were: save it as UTF-8
            requirements.txt: "flask==1\n"
        "#]],
        );
        check(
            b"flask==1\r\n",
            22,
            expect![[r#"
            has flask; sees requirements.txt
            ! requirements.txt is not plain UTF-8 text and is read as if it were: save it as UTF-8
            requirements.txt: "flask==1\n"
        "#]],
        );
    }
}
