//! Lines of a Dockerfile by which a build would reach past its walls, because the builder does the work itself, on the host:
//! addresses in `ADD`, and folders of cache mounts.
//!
//! Invariant: a line counts if the builder could read it so, whatever else it might be: the text is looked at with its
//! continuation lines joined, joined as strictly as the builder joins them, and line by line.

use crate::refusal::Refusal;
use crate::text;

/// Why a Dockerfile is not built.
pub fn reaches_out(dockerfile: &str) -> Option<Refusal> {
    let bare = dockerfile.strip_prefix('\u{feff}').unwrap_or(dockerfile);
    if bare.lines().any(other_escape) {
        let no = Refusal::new("dockerfile-escape", "# escape= is not built here");
        return Some(no.next("remove the line, and end lines that go on with \\"));
    }
    let loose = |line: &str| line.trim().strip_suffix('\\').map(str::to_owned);
    let strict = |line: &str| line.trim_end_matches([' ', '\t', '\r']).strip_suffix('\\').map(str::to_owned);
    let never = |_: &str| None;
    let readings = [joined(bare, loose), joined(bare, strict), joined(bare, never)];
    readings.iter().flatten().find_map(|line| instruction(line))
}

fn other_escape(line: &str) -> bool {
    let Some((key, value)) = line.trim().trim_start_matches('#').split_once('=') else { return false };
    line.trim().starts_with('#') && key.trim().eq_ignore_ascii_case("escape") && value.trim() != "\\"
}

/// Instructions, without comments and blank lines; `goes_on` takes the mark off a line that the next one belongs to.
fn joined(text: &str, goes_on: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), String::new());
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')) {
        if let Some(part) = goes_on(line) {
            open.push_str(&part);
            continue;
        }
        open.push_str(line);
        found.push(std::mem::take(&mut open));
    }
    found.push(open);
    found
}

fn instruction(line: &str) -> Option<Refusal> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace)?;
    match word.to_ascii_uppercase().as_str() {
        "ONBUILD" => instruction(rest),
        "ADD" if sources(rest).any(may_be_an_address) => {
            let no = Refusal::new("dockerfile-add", format!("not built here: {}", shown(line)));
            let no =
                no.why("ADD fetches addresses from the host, past the walls around builds; a variable may hold one");
            Some(no.next("RUN curl -fsSLO ADDRESS").next("for a file of the repository: COPY"))
        }
        "RUN" if flags(rest).iter().any(|flag| is_part_of_a_cache(flag)) => {
            let no = Refusal::new("dockerfile-mount", format!("not built here: {}", shown(line)));
            let no = no.why("a cache mount with a source is looked up on the host while another step may change it");
            Some(no.next("mount the whole cache, without source="))
        }
        _ => None,
    }
}

/// The words of an `ADD` but the last, which says where to; of a list in brackets all.
fn sources(rest: &str) -> impl Iterator<Item = &str> {
    let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
    let count = if words.first().is_some_and(|word| word.starts_with('[')) {
        words.len()
    } else {
        words.len().saturating_sub(1)
    };
    words.into_iter().take(count)
}

fn may_be_an_address(word: &str) -> bool {
    let repository = word.split('#').next().is_some_and(|name| name.ends_with(".git") && !name.ends_with("/.git"));
    word.contains("://") || word.contains("git@") || word.contains('$') || (repository && word != ".git")
}

fn shown(line: &str) -> String {
    text::plain(line).chars().take(120).collect()
}

/// The flags before a command, with quotes and escapes taken as the builder takes them.
fn flags(rest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = rest.trim_start().chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', _) => word.extend(chars.next()),
                (c, Some(open)) if c == open => quote = None,
                ('"' | '\'', None) => quote = Some(c),
                (c, None) if c.is_whitespace() => break,
                (c, _) => word.push(c),
            }
        }
        if !word.starts_with("--") {
            return found;
        }
        found.push(word);
    }
}

/// `--mount=type=cache,source=…`, also where a variable says the type.
fn is_part_of_a_cache(flag: &str) -> bool {
    let Some(mount) = flag.strip_prefix("--mount") else { return false };
    let fields: Vec<String> = mount
        .trim_start_matches('=')
        .split(',')
        .map(|field| field.chars().filter(|c| !c.is_whitespace() && !"\"'".contains(*c)).collect::<String>())
        .map(|field| field.to_ascii_lowercase())
        .collect();
    let source = fields.iter().any(|field| field.starts_with("source=") || field.starts_with("src="));
    let cache = |field: &String| field.strip_prefix("type=").is_some_and(|kind| kind == "cache" || kind.contains('$'));
    source && fields.iter().any(cache)
}

/// The text with a build argument in every stage that is this app's own: results of its steps are then nobody else's.
/// Line for line the builder's reading; documents in a line (`<<END`) stay as they are.
pub fn kept_apart(dockerfile: &str, own: &str) -> String {
    let mut out = String::with_capacity(dockerfile.len() + 256);
    let (mut document, mut open, mut from): (Vec<String>, bool, bool) = (Vec::new(), false, false);
    for line in dockerfile.split_inclusive('\n') {
        out.push_str(line);
        let bare = line.trim();
        if let Some(end) = document.first() {
            if bare == end {
                document.remove(0);
            }
            continue;
        }
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let word = bare.split_whitespace().next().unwrap_or_default();
        from = if open { from } else { word.eq_ignore_ascii_case("FROM") };
        open = line.trim_end_matches([' ', '\t', '\r', '\n']).ends_with('\\');
        if !open && !from {
            let ends =
                bare.split("<<").skip(1).map(|rest| rest.trim_start_matches('-').trim_start_matches(['"', '\'']));
            let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            document = ends.map(name).filter(|name| !name.is_empty()).collect();
        }
        if from && !open {
            if !line.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&format!("ARG HOIST_OWN={own}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<String> {
        reaches_out(text).map(|no| no.code)
    }

    #[test]
    fn addresses_are_not_added() {
        for text in [
            "FROM x\nADD http://10.0.0.1/ /y\n",
            "FROM x\nadd --chown=1:1 \\\n  https://h/f /y",
            "FROM x\nADD [\"http://h/f\", \"/y\"]",
            "FROM x\nARG A=http\nADD ${A}://h/f /y",
            "FROM x\nARG A=http://h\nADD $A /y",
            "FROM x\nONBUILD ADD http://h/f /y",
            "FROM x\nADD git@h:r.git /y",
            // The builder takes only blanks and tabs after the mark: the line after it is an instruction.
            "FROM x\nRUN true \\\u{a0}\nADD http://h/f /y",
            "FROM x\n# escape=`\nADD a /y",
        ] {
            assert!(code(text).is_some(), "{text:?}");
        }
        for text in [
            "FROM x\nADD a.tar /y\n",
            "FROM x\nRUN curl http://h/f\n",
            "FROM x\nCOPY $A /y\n# ADD http://h/ /y",
            "FROM x\nADD .gitignore .git $HOME/",
        ] {
            assert_eq!(code(text), None, "{text:?}");
        }
        assert_eq!(code("# escape=\\\nFROM x\n"), None);
    }

    #[test]
    fn caches_are_mounted_whole() {
        for mount in [
            "--mount=type=cache,source=dir,target=/c",
            "--mount=target=/c,type=cache,src=dir",
            "--mount=\"type=cache, source=dir,target=/c\"",
            "--mount=type=cache,\"source=dir\",target=/c",
            "--mount=type=ca\\che,target=/c,sour\\ce=dir",
            "--mount=type=$T,target=/c,source=dir",
            "--network=none --mount=TYPE=cache,SOURCE=dir,target=/c",
        ] {
            assert_eq!(code(&format!("FROM x\nRUN {mount} true")).as_deref(), Some("dockerfile-mount"), "{mount}");
            assert_eq!(
                code(&format!("FROM x\nONBUILD RUN {mount} true")).as_deref(),
                Some("dockerfile-mount"),
                "{mount}"
            );
        }
        for run in [
            "--mount=type=cache,target=/c make source=dir",
            "--mount=type=bind,source=dir,target=/c true",
            "--mount=type=cache,target=/source=x,id=src true",
            "echo --mount=type=cache,source=dir",
        ] {
            assert_eq!(code(&format!("FROM x\nRUN {run}")), None, "{run}");
        }
    }

    #[test]
    fn every_stage_gets_the_argument() {
        let text = "# c\nFROM a AS b\nRUN x\nFROM \\\n  c\nCOPY <<END /f\nFROM not\nEND\nfrom d";
        let want = "# c\nFROM a AS b\nARG HOIST_OWN=1\nRUN x\nFROM \\\n  c\nARG HOIST_OWN=1\nCOPY <<END /f\nFROM not\nEND\nfrom d\n\
                    ARG HOIST_OWN=1\n";
        assert_eq!(kept_apart(text, "1"), want);
    }
}
