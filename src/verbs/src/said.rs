//! What somebody said: the words of a line, a command for an instance's shell kept as it was written.
//!
//! `ssh HOST run blog 'env | sort'` arrives as `run blog env | sort`: the user's shell has taken the quotes. Whoever types that
//! expects what `ssh HOST 'env | sort'` does anywhere, so the words from `env` on become one again, which is for a shell.

use super::parse::{Moved, app_moved, command_at};
use domain::refusal::Refusal;
use domain::words::{self, Word};

/// Words, ready for [`super::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What was said.
    pub words: Vec<String>,
    /// What was meant if the app that `words` name is none: `run rake db:migrate -a blog`.
    pub instead: Option<Vec<String>>,
}

/// Reads a line as SSH brought it.
pub fn said(line: &str) -> Result<Said, Refusal> {
    Ok(of(words::split(line)?))
}

/// The same for words that a shell on this machine has split: those are exactly what was meant.
pub fn said_words(words: &[String]) -> Said {
    of(words.iter().map(|text| Word { text: text.clone(), raw: words::quote(text), shell: false }).collect())
}

fn of(words: Vec<Word>) -> Said {
    match app_moved(&words) {
        Some(Moved::Sure(words)) => Said { words: joined(&words), instead: None },
        Some(Moved::Perhaps(other)) => Said { words: joined(&words), instead: Some(joined(&other)) },
        None => Said { words: joined(&words), instead: None },
    }
}

/// The words; those of a command in which a shell would read more are one, as they were written.
fn joined(words: &[Word]) -> Vec<String> {
    let texts: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    let Some(mut at) = command_at(&texts) else { return texts };
    let operator = |word: &Word| word.shell && word.raw.starts_with(['|', '&', ';', '<', '>']);
    if at > 2 && words.get(at).is_some_and(operator) && texts.get(at - 1).is_some_and(|before| before != "--") {
        // `ps:exec blog ls | wc -l`: no instance is followed by that.
        at -= 1;
    }
    let command = words.get(at..).unwrap_or_default();
    if !command.iter().any(|word| word.shell) {
        return texts;
    }
    let line = command.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" ");
    texts.into_iter().take(at).chain([line]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words, and after ` / ` those of the other meaning.
    #[track_caller]
    fn check(line: &str, want: &str) {
        let said = said(line).unwrap();
        let all = [Some(said.words), said.instead].into_iter().flatten().map(|words| words.join("|"));
        assert_eq!(all.collect::<Vec<_>>().join(" / "), want, "{line}");
    }

    #[test]
    fn a_line_for_a_shell_stays_whole() {
        check("run blog env | sort", "run|blog|env | sort");
        for line in [
            "echo hi && echo there",
            "echo hi; echo there",
            "echo hi;echo there",
            "ls|wc -l",
            "false || echo no",
            "sleep 5 &",
            "node a.js > out.txt",
            "node a.js >out.txt 2>&1",
            "wc -l <in.txt",
            "echo $HOME",
            "echo ${HOME}",
            "echo $(date)",
            "echo `date`",
            "ls *.js",
            "ls ~/x",
            "echo 'a  |  b' | wc -c",
            "cd /app && DEBUG=1 node -e \"console.log('x y')\"",
            "psql $DATABASE_URL -c 'select 1'",
        ] {
            check(&format!("run blog {line}"), &format!("run|blog|{line}"));
            check(&format!("run blog -- {line}"), &format!("run|blog|--|{line}"));
            check(&format!("run -a blog -- {line}"), &format!("run|-a|blog|--|{line}"));
            check(&format!("run --env A=1 blog {line}"), &format!("run|--env|A=1|blog|{line}"));
            check(&format!("ps:exec blog web.1 {line}"), &format!("ps:exec|blog|web.1|{line}"));
            check(&format!("enter blog web.1 -- {line}"), &format!("enter|blog|web.1|--|{line}"));
        }
        check("ps:exec blog ls | wc -l", "ps:exec|blog|ls | wc -l");
    }

    #[test]
    fn words_stay_words() {
        check("run blog echo '&&' \"a | b\" \\; '$HOME'", "run|blog|echo|&&|a | b|;|$HOME");
        check("run blog node -e a.map(x=>x+1)", "run|blog|node|-e|a.map(x=>x+1)");
        check("run blog node -e console.log(\"hi\")", "run|blog|node|-e|console.log(\"hi\")");
        check("run blog curl http://x/?a=1&b=2", "run|blog|curl|http://x/?a=1&b=2");
        check("run blog grep foo$ a-b_c", "run|blog|grep|foo$|a-b_c");
        check("run blog rake task[1,2]", "run|blog|rake|task[1,2]");
        check("run blog x --opt=\"a b\" -I\"c d\"", "run|blog|x|--opt=a b|-Ic d");
        check("config:set blog A=1;B=2", "config:set|blog|A=1;B=2");
        check("logs blog | x", "logs|blog|||x");
        let words = ["run", "blog", "echo", "&&", "$X"].map(str::to_owned);
        assert_eq!(said_words(&words).words, words);
    }

    #[test]
    fn the_app_behind_the_command() {
        check("run bash -a blog", "run|blog|bash");
        check("run bash --app blog", "run|blog|bash");
        check("run bash --app=blog", "run|blog|bash");
        check("run env -a blog | sort", "run|blog|env | sort");
        check("run -a blog rake db:migrate", "run|-a|blog|rake|db:migrate");
        check("run rake -a blog db:migrate", "run|blog|rake|db:migrate");
        check("run rake db:migrate -a blog", "run|rake|db:migrate|-a|blog / run|blog|rake|db:migrate");
        check("run blog ls -a src", "run|blog|ls|-a|src / run|src|blog|ls");
        check("run env | sort -a blog", "run|env|| sort -a blog / run|blog|env | sort");
        check("run blog -- ls -a src", "run|blog|--|ls|-a|src");
        check("run:detached rake x --app=blog", "run:detached|rake|x|--app=blog / run:detached|blog|rake|x");
        check("ps:exec ls -a blog", "ps:exec|blog|ls");
        check("enter web.1 -a blog", "enter|blog|web.1");
    }
}
