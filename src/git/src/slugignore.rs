//! `.slugignore`: paths that a build does not get. Git's wildcards, without `!`, as Heroku has it.
//!
//! Absent: files; text and paths in, yes or no out. Matching takes time proportional to pattern × path at most.

/// Patterns of one file, at most; a longer file is not read further.
const PATTERNS_MAX: usize = 1000;

/// The patterns of one `.slugignore`.
#[derive(Debug, Clone, Default)]
pub(super) struct SlugIgnore(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<Vec<u8>>,
    folders_only: bool,
}

impl SlugIgnore {
    /// Reads the file. Comments, empty lines and `!` lines say nothing.
    pub(super) fn parse(text: &str) -> SlugIgnore {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', '!']));
        SlugIgnore(lines.take(PATTERNS_MAX).filter_map(Pattern::parse).collect())
    }

    /// Whether this path itself is left out; with a folder everything in it is.
    pub(super) fn leaves_out(&self, path: &str, folder: bool) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let parts: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        self.0.iter().any(|p| (folder || !p.folders_only) && path_matches(&p.parts, &parts))
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Pattern> {
        let folders_only = line.ends_with('/');
        let body = line.trim_end_matches('/');
        let anchored = body.contains('/');
        let mut parts: Vec<Vec<u8>> = Vec::new();
        if !anchored {
            parts.push(b"**".to_vec());
        }
        parts.extend(body.trim_start_matches('/').split('/').map(|p| p.as_bytes().to_vec()));
        parts.dedup_by(|a, b| a == b"**" && b == b"**");
        let empty = parts.iter().any(Vec::is_empty);
        (!empty).then_some(Pattern { parts, folders_only })
    }
}

/// Matches parts of a path; `**` stands for any number of them. Only the last `**` is ever tried again.
fn path_matches(pattern: &[Vec<u8>], path: &[&[u8]]) -> bool {
    wild(
        pattern.len(),
        path.len(),
        |p| pattern.get(p).is_some_and(|part| part == b"**"),
        |p, t| match (pattern.get(p), path.get(t)) {
            (Some(part), Some(name)) => name_matches(part, name),
            _ => false,
        },
    )
}

/// Matches one name: `*`, `?`, `[a-z]`, `[!a]`, `\x`.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let tokens = tokens(pattern);
    wild(
        tokens.len(),
        name.len(),
        |p| matches!(tokens.get(p), Some(Token::Star)),
        |p, t| match (tokens.get(p), name.get(t)) {
            (Some(token), Some(byte)) => token.takes(*byte),
            _ => false,
        },
    )
}

/// The one matcher: `star(p)` says whether element p takes any run, `takes(p, t)` whether p takes element t.
fn wild(patterns: usize, texts: usize, star: impl Fn(usize) -> bool, takes: impl Fn(usize, usize) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < texts {
        if p < patterns && star(p) {
            retry = Some((p, t));
            p += 1;
        } else if p < patterns && takes(p, t) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = retry {
            retry = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    (p..patterns).all(star)
}

#[derive(Debug)]
enum Token {
    Star,
    Any,
    Byte(u8),
    Class { not: bool, ranges: Vec<(u8, u8)> },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Token::Star | Token::Any => true,
            Token::Byte(b) => *b == byte,
            Token::Class { not, ranges } => ranges.iter().any(|(a, z)| (*a..=*z).contains(&byte)) != *not,
        }
    }
}

fn tokens(pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'*' if matches!(tokens.last(), Some(Token::Star)) => {}
            b'*' => tokens.push(Token::Star),
            b'?' => tokens.push(Token::Any),
            b'[' => match class(after) {
                Some((token, after)) => {
                    tokens.push(token);
                    rest = after;
                }
                None => tokens.push(Token::Byte(b'[')),
            },
            b'\\' => {
                let (byte, after) = after.split_first().map_or((b'\\', after), |(b, a)| (*b, a));
                tokens.push(Token::Byte(byte));
                rest = after;
            }
            byte => tokens.push(Token::Byte(*byte)),
        }
    }
    tokens
}

/// A class after its `[`, and what follows its `]`.
fn class(text: &[u8]) -> Option<(Token, &[u8])> {
    let (not, body) = match text.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, text),
    };
    let end = body.iter().skip(1).position(|b| *b == b']')? + 1;
    let (mut members, rest) = (body.get(..end)?, body.get(end + 1..)?);
    let mut ranges = Vec::new();
    while let Some((first, after)) = members.split_first() {
        match after {
            [b'-', last, more @ ..] => {
                ranges.push((*first, *last));
                members = more;
            }
            _ => {
                ranges.push((*first, *first));
                members = after;
            }
        }
    }
    Some((Token::Class { not, ranges }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &str, out: &[&str], kept: &[&str]) {
        let ignore = SlugIgnore::parse(patterns);
        let leaves = |p: &&&str| ignore.leaves_out(p.trim_end_matches('/'), p.ends_with('/'));
        assert_eq!(out.iter().filter(leaves).collect::<Vec<_>>(), out.iter().collect::<Vec<_>>(), "{patterns:?}");
        assert_eq!(kept.iter().filter(leaves).collect::<Vec<_>>(), Vec::<&&str>::new(), "{patterns:?}");
    }

    #[test]
    fn patterns() {
        check("*.psd", &["a.psd", "x/y/b.psd", "x.psd/"], &["a.psd.txt", "psd"]);
        check("/doc", &["doc/", "doc"], &["x/doc", "docs"]);
        check("test/", &["test/", "a/test/"], &["test", "a/test"]);
        check("a/b", &["a/b"], &["x/a/b", "a/b/c"]);
        check("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["a/b", "z"]);
        check("logs/**", &["logs/a", "logs/a/b"], &["log"]);
        check("**/tmp", &["tmp", "a/tmp", "a/b/tmp"], &["tmpx"]);
        check("fo?[0-9][!a]", &["fox1b", "a/foo9_"], &["fox1a", "foxb", "fo1b"]);
        check("# no\n\n!keep\n  spaced  \n\\#yes", &["spaced", "#yes"], &["keep", "# no"]);
        check("[", &["["], &["a"]);
        check("//\n/\n**", &["anything"], &[]);
        check("", &[], &["a"]);
    }

    #[test]
    fn hostile_patterns_end() {
        let ignore = SlugIgnore::parse(&"*a".repeat(200));
        assert!(!ignore.leaves_out(&"b".repeat(4000), false));
        assert!(!SlugIgnore::parse(&"**/a/".repeat(200)).leaves_out(&"a/b/".repeat(1000), false));
    }
}
