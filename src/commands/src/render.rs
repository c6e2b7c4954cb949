//! What a command answers, and why it refuses, as text that fits the reader's terminal and as JSON.

use crate::kept::Kept;
use crate::reply::{Line, List, Reply, Shown};
use domain::text;
use serde_json::{Map, Value, json};
use system::fault::Error;
use system::io::Io;
use verbs::Format;

/// How wide what people read may be.
pub fn width(io: &Io) -> usize {
    let columns = io.terminal.as_ref().map(|terminal| usize::from(terminal.size.borrow().columns));
    columns.filter(|columns| *columns > 0).unwrap_or(text::WIDTH)
}

/// Shows a reply to who asked, in the form that was asked for.
pub async fn show(reply: &Reply, format: Format, io: &Io) {
    match (format, json_of(reply)) {
        // Programs get nothing else.
        (Format::Json, Some(value)) => return io.line(value.to_string()).await,
        (Format::Json | Format::Text, _) => match &reply.shown {
            Shown::Text { text, .. } => io.text(text).await,
            Shown::Nothing | Shown::Record { .. } | Shown::Lists(_) => {
                for line in lines(&reply.shown, width(io)) {
                    line.say(io).await;
                }
            }
        },
    }
    for line in &reply.lines {
        line.say(io).await;
    }
}

/// What a reply shows, as JSON; `None` if it has only lines.
fn json_of(reply: &Reply) -> Option<Value> {
    match &reply.shown {
        Shown::Nothing => None,
        Shown::Record { json, .. } | Shown::Text { json, .. } => Some(json.clone()),
        Shown::Lists(lists) => Some(lists.iter().flat_map(|list| list.json.iter().cloned()).collect()),
    }
}

/// What a reply shows, in lines of at most `width` characters as far as words let them.
fn lines(shown: &Shown, width: usize) -> Vec<Line> {
    match shown {
        Shown::Nothing | Shown::Text { .. } => Vec::new(),
        Shown::Record { rows, .. } => record(rows, width).into_iter().map(Line::Plain).collect(),
        Shown::Lists(lists) => lists.iter().flat_map(|list| list_lines(list, width)).collect(),
    }
}

fn list_lines(list: &List, width: usize) -> Vec<Line> {
    if list.rows.is_empty() {
        let empty = Some(&list.empty).filter(|said| !said.is_empty());
        return empty.map(|said| Line::Note(said.clone())).into_iter().collect();
    }
    text::table(list.columns, &list.rows, width).into_iter().map(Line::Plain).collect()
}

/// `name: value`, values under each other; one that is too wide goes on below itself.
fn record(rows: &[(&'static str, String)], width: usize) -> Vec<String> {
    let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let value = |(name, value): &(&'static str, String)| {
        let parts = text::wrap(&text::plain(value), width.saturating_sub(names + 1));
        let named = |(at, part): (usize, String)| match at {
            0 => format!("{:names$} {part}", format!("{name}:")).trim_end().to_owned(),
            _ => format!("{:names$} {part}", ""),
        };
        parts.into_iter().enumerate().map(named).collect::<Vec<_>>()
    };
    rows.iter().flat_map(value).collect()
}

/// A command that changes something, for programs: `command`, `app`, `exit`, `done`, `said`, `warned`; `dropped` where lines
/// were too many.
pub fn changed(mut kept: Kept, words: &[String], reply: Reply) -> Value {
    let Reply { exit, done, lines, .. } = reply;
    for line in lines {
        kept.line(&line);
    }
    kept.object(words, exit, done)
}

/// Shows why not, on standard error, and gives the exit code.
pub async fn refuse(io: &Io, err: &Error, format: Format) -> u8 {
    err.log();
    match format {
        Format::Text => {
            for line in err.lines() {
                Line::Warning(text::plain(&line)).say(io).await;
            }
        }
        Format::Json => io.note(refusal(err).to_string()).await,
    }
    err.exit_code()
}

/// A refusal of what was to change something, for programs: as [`changed`], with the fields of [`refusal`].
pub async fn refuse_change(kept: Kept, words: &[String], err: &Error, io: &Io) -> u8 {
    err.log();
    let mut object = kept.object(words, err.exit_code(), Map::new());
    if let (Some(all), Value::Object(no)) = (object.as_object_mut(), refusal(err)) {
        all.extend(no);
    }
    io.note(object.to_string()).await;
    err.exit_code()
}

/// A refusal for programs. One of a fault of ours has the id under which the server's log has the cause.
pub fn refusal(err: &Error) -> Value {
    let no = err.refusal();
    let mut object = json!({"code": no.code, "what": no.what, "why": no.why, "next": no.next});
    if let (Some(id), Some(fields)) = (err.fault_id(), object.as_object_mut()) {
        fields.insert("fault".to_owned(), id.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shown: &Shown, width: usize) -> Vec<String> {
        lines(shown, width).iter().map(Line::text).collect()
    }

    #[test]
    fn a_record_keeps_its_values_under_each_other() {
        let rows = vec![("name", "blog".to_owned()), ("needs", "a record at whoever runs its DNS".to_owned())];
        let reply = Reply::record(rows, json!({"name": "blog"}));
        assert_eq!(
            text(&reply.shown, 24),
            ["name:  blog", "needs: a record at", "       whoever runs its", "       DNS"]
        );
        assert_eq!(json_of(&reply), Some(json!({"name": "blog"})));
    }

    #[test]
    fn lists_are_one_array_for_programs() {
        let list = |name: &str| List {
            columns: &["NAME"],
            rows: vec![vec![name.to_owned()]],
            json: vec![json!({"name": name})],
            empty: String::new(),
        };
        let nothing = List { columns: &["NAME"], empty: "No apps yet".to_owned(), ..List::default() };
        let reply = Reply::lists(vec![list("a"), nothing, list("b")]);
        assert_eq!(text(&reply.shown, 80), ["NAME", "a", "No apps yet", "NAME", "b"]);
        assert_eq!(json_of(&reply), Some(json!([{"name": "a"}, {"name": "b"}])));
    }
}
