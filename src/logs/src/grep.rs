//! What is looked for in texts, made ready: a bounded expression, tried first on a block as a whole.
//!
//! Invariant: an expression costs time in proportion to the text, whatever it is, and little memory: the engine has no
//! backtracking, and sizes are limited.

use domain::Refusal;
use domain::refusal::Code;
use domain::words::quote;
use log_format::{Filter, Grep, View};
use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a compiled expression, and of the cache that each search may build.
const SIZE_MAX: usize = 256 * 1024;
const CACHE_MAX: usize = 1024 * 1024;

/// A filter with its expression compiled.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub filter: Filter,
    expression: Option<Regex>,
    /// The expression means the same within a block of lines as within one.
    whole: bool,
}

impl Wanted {
    pub fn new(filter: Filter) -> Result<Wanted, Refusal> {
        let (expression, whole) = match &filter.grep {
            None => (None, true),
            Some(Grep::Text(text)) => (Some(compile(&regex::escape(text))?), true),
            Some(Grep::Regex(text)) => (Some(compile(text)?), !line_bound(text)),
        };
        Ok(Wanted { filter, expression, whole })
    }

    /// Whether a block of whole lines can hold one that is wanted.
    pub fn may_be_in(&self, texts: &[u8]) -> bool {
        !self.whole || self.expression.as_ref().is_none_or(|e| e.is_match(texts))
    }

    /// The same for lines as plain segments have them, where a text does not begin its line.
    pub fn may_be_in_plain(&self, lines: &[u8]) -> bool {
        !matches!(self.filter.grep, Some(Grep::Text(_))) || self.may_be_in(lines)
    }

    /// Whether a line is wanted.
    pub fn takes(&self, id: u64, view: &View<'_>) -> bool {
        self.filter.takes(id, view) && self.expression.as_ref().is_none_or(|e| e.is_match(view.text.as_bytes()))
    }
}

/// Whether an expression may find a line's beginning or end where a block has none, or switch what `^` and `$` mean.
fn line_bound(expression: &str) -> bool {
    expression.contains("\\A") || expression.contains("\\z") || expression.contains("(?")
}

fn compile(expression: &str) -> Result<Regex, Refusal> {
    let mut builder = RegexBuilder::new(expression);
    builder.multi_line(true).size_limit(SIZE_MAX).dfa_size_limit(CACHE_MAX).nest_limit(50);
    builder.build().map_err(|err| {
        let why = match err {
            regex::Error::CompiledTooBig(_) => "it is too large: repeat less".to_owned(),
            // The last line says what is wrong, those before it draw an arrow at it.
            err => err.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        Refusal::new(
            Code::BadGrep,
            format!("--grep /{}/ is not an expression that can be searched for", expression.escape_debug()),
        )
        .why(why)
        .next(format!("logs APP --grep {}", quote(&regex::escape(expression))))
        .next("logs APP --grep '/status=5[0-9][0-9]/'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;
    use log_format::Record;

    fn wanted(grep: &str) -> Wanted {
        Wanted::new(Filter { grep: Some(Grep::parse(grep).unwrap()), ..Filter::default() }).unwrap()
    }

    /// Lines that match, each on its own; the block as a whole must let all of them through.
    fn check(grep: &str, lines: &[&str], want: &[&str]) {
        let wanted = wanted(grep);
        let takes = |line: &&&str| wanted.takes(0, &Record::platform(Timestamp(0), **line).view());
        let found: Vec<&str> = lines.iter().filter(takes).copied().collect();
        assert_eq!(found, want, "{grep}");
        assert!(want.is_empty() || wanted.may_be_in(format!("{}\n", lines.join("\n")).as_bytes()), "{grep}");
    }

    #[test]
    fn texts_and_expressions() {
        let lines = ["GET /a.b 200", "GET /axb 500", "", "größer", "error: x", "an error"];
        check("a.b", &lines, &["GET /a.b 200"]);
        check("/a.b/", &lines, &["GET /a.b 200", "GET /axb 500"]);
        check("/^error/", &lines, &["error: x"]);
        check("/error$/", &lines, &["an error"]);
        check("/\\Aerror/", &lines, &["error: x"]);
        check("/500\\z/", &lines, &["GET /axb 500"]);
        check("/(?i)ERROR/", &lines, &["error: x", "an error"]);
        check("/(?-m)^an/", &lines, &["an error"]);
        check("/^$/", &lines, &[""]);
        check("/200\\sGET/", &lines, &[]);
        check("ößer", &lines, &["größer"]);
        assert!(!wanted("nowhere").may_be_in(lines.join("\n").as_bytes()));
    }

    #[test]
    fn what_would_blow_up_is_refused() {
        for bad in ["/(/", "/a{1000}{1000}/", "/((((a{100}){100}){100}){100})/", "/\\w{9999}/", "/[/", "/a**{/"] {
            let filter = Filter { grep: Some(Grep::parse(bad).unwrap()), ..Filter::default() };
            let refused = Wanted::new(filter).unwrap_err();
            assert!(
                refused.code == Code::BadGrep && !refused.why.is_empty() && !refused.next.is_empty(),
                "{refused:?}"
            );
        }
        let nested = format!("/{}a{}/", "(".repeat(300), ")".repeat(300));
        assert!(Wanted::new(Filter { grep: Some(Grep::parse(&nested).unwrap()), ..Filter::default() }).is_err());
        let hostile = wanted("/(a*)*(a*)*b/");
        assert!(!hostile.may_be_in("a".repeat(1 << 20).as_bytes()));
    }
}
