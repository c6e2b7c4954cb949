//! `.dockerignore`: which paths of the repository a build does not get, by Docker's own rules.
//!
//! Not git's rules: a pattern counts from the top, `*` stops at `/`, the last pattern that fits decides, and a file
//! can be taken back (`!`) from a folder that is left out.

/// Longest file and longest list that are read; more is no list of patterns.
const PATTERNS_MAX: usize = 2_000;
/// Longest pattern.
const PATTERN_MAX: usize = 1_024;

/// The patterns of one `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    back: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character that is no `/`.
    One,
    /// `*`: any that are no `/`.
    Star,
    /// `**` in front of something, with a `/` after it or not: nothing, or anything that ends in `/`.
    Folders,
    /// `**` at the end: anything.
    All,
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Ignore {
    /// Reads the patterns; lines that are none are skipped.
    pub fn parse(text: &str) -> Ignore {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#') && line.len() <= PATTERN_MAX);
        Ignore(lines.filter_map(|line| pattern(line.trim())).take(PATTERNS_MAX).collect())
    }

    /// Whether a file of this path is left out.
    pub fn leaves_out(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let mut ends: Vec<usize> = path.iter().enumerate().filter(|(_, c)| **c == '/').map(|(n, _)| n).collect();
        ends.push(path.len());
        self.0.iter().fold(false, |out, pattern| {
            let fits = ends.iter().any(|end| path.get(..*end).is_some_and(|part| fits(&pattern.tokens, part)));
            if fits { !pattern.back } else { out }
        })
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn pattern(line: &str) -> Option<Pattern> {
    let (back, text) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    if text.is_empty() {
        return None;
    }
    let clean = clean(text);
    (!clean.is_empty()).then(|| Pattern { back, tokens: tokens(&clean) })
}

/// Without `.`, `..`, double and leading `/`. What leads out of the context names nothing in it.
fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                while chars.next_if_eq(&'*').is_some() {}
                chars.next_if_eq(&'/');
                if chars.peek().is_none() { Token::All } else { Token::Folders }
            }
            '*' => Token::Star,
            '?' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            '[' => class(&mut chars),
            c => Token::Char(c),
        });
    }
    tokens
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Token {
    let not = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(low) = chars.next() {
        if low == ']' {
            break;
        }
        let low = if low == '\\' { chars.next().unwrap_or('\\') } else { low };
        let high = if chars.next_if_eq(&'-').is_some() { chars.next().unwrap_or(low) } else { low };
        ranges.push((low, high));
    }
    Token::Class { not, ranges }
}

/// Position by position over the set of token positions reached: no pattern makes it slow.
fn fits(tokens: &[Token], path: &[char]) -> bool {
    let mut at = vec![false; tokens.len() + 1];
    reach(tokens, &mut at, 0);
    for c in path {
        let mut next = vec![false; tokens.len() + 1];
        for (i, token) in tokens.iter().enumerate() {
            if !at.get(i).copied().unwrap_or(false) {
                continue;
            }
            match token {
                Token::Char(wanted) if wanted == c => reach(tokens, &mut next, i + 1),
                Token::One if *c != '/' => reach(tokens, &mut next, i + 1),
                Token::Class { not, ranges } if *c != '/' => {
                    if ranges.iter().any(|(low, high)| low <= c && c <= high) != *not {
                        reach(tokens, &mut next, i + 1);
                    }
                }
                Token::Star if *c != '/' => reach(tokens, &mut next, i),
                Token::All => reach(tokens, &mut next, i),
                Token::Folders => {
                    // Begun, it ends after a `/` and nowhere else.
                    set(&mut next, i);
                    if *c == '/' {
                        reach(tokens, &mut next, i + 1);
                    }
                }
                Token::Char(_) | Token::One | Token::Class { .. } | Token::Star => {}
            }
        }
        at = next;
    }
    at.last().copied().unwrap_or(false)
}

fn set(at: &mut [bool], i: usize) {
    if let Some(place) = at.get_mut(i) {
        *place = true;
    }
}

/// Marks a position, and those after it that need no character.
fn reach(tokens: &[Token], at: &mut [bool], i: usize) {
    set(at, i);
    if let Some(Token::Star | Token::Folders | Token::All) = tokens.get(i) {
        reach(tokens, at, i + 1);
    }
}
