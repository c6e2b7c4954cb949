//! Procfile: process type → command, one per line, with limits and errors that name the line.

use crate::names::ProcessType;
use crate::refusal::Code;
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// The process types of a release and their commands. `release` is in here too; it is never scaled.
pub type ProcessTable = BTreeMap<ProcessType, String>;

const BYTES_MAX: usize = 64 * 1024;
const TYPES_MAX: usize = 50;
const COMMAND_MAX: usize = 8 * 1024;

/// Reads a Procfile. Blank lines and `#` comments are skipped; CRLF and a byte order mark are taken.
pub fn parse(bytes: &[u8]) -> Result<ProcessTable, Refusal> {
    if bytes.len() > BYTES_MAX {
        return Err(bad(0, &format!("larger than {BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| bad(0, "not UTF-8 text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut table = ProcessTable::new();
    for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, command) = line.split_once(':').ok_or_else(|| bad(n, "no colon after the process type"))?;
        let name: ProcessType = name.trim().parse().map_err(|no: Refusal| bad(n, &no.what))?;
        let command = command.trim();
        if command.is_empty() {
            return Err(bad(n, &format!("no command for {name}")));
        }
        if command.len() > COMMAND_MAX || command.contains('\0') {
            return Err(bad(n, &format!("the command of {name} has a NUL byte or more than {COMMAND_MAX} bytes")));
        }
        if table.insert(name.clone(), command.to_owned()).is_some() {
            return Err(bad(n, &format!("{name} is there twice")));
        }
        if table.len() > TYPES_MAX {
            return Err(bad(n, &format!("more than {TYPES_MAX} process types")));
        }
    }
    if table.is_empty() {
        return Err(bad(0, "no process type in it"));
    }
    Ok(table)
}

fn bad(line: usize, why: &str) -> Refusal {
    let place = if line == 0 { String::new() } else { format!(" line {line}") };
    Refusal::new(Code::BadProcfile, format!("Procfile{place}: {why}")).next("write lines such as  web: node server.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], want: &str) {
        let got = match parse(input) {
            Ok(table) => table.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("; "),
            Err(no) => no.what,
        };
        assert_eq!(got, want);
    }

    #[test]
    fn cases() {
        check(b"web: node server.js\n", "web=node server.js");
        check(b"\xef\xbb\xbfweb: a\r\n# c\r\n\r\nrelease: b: c\r\n", "release=b: c; web=a");
        check(b"web: bin/run\nbad line", "Procfile line 2: no colon after the process type");
        check(b"web: a\nweb: b", "Procfile line 2: web is there twice");
        check(b"web:", "Procfile line 1: no command for web");
        check(b"we b: x", "Procfile line 1: \"we b\" is not a process type");
        check(b"web: a\0b", "Procfile line 1: the command of web has a NUL byte or more than 8192 bytes");
        check(b"", "Procfile: no process type in it");
        check(b"\xff\xfe", "Procfile: not UTF-8 text");
        check(&vec![b'a'; 70_000], "Procfile: larger than 65536 bytes");
        let many = (0..60).fold(String::new(), |all, i| format!("{all}w{i}: x\n"));
        check(many.as_bytes(), "Procfile line 51: more than 50 process types");
        let long = format!("web: {}", "x".repeat(9000));
        check(long.as_bytes(), "Procfile line 1: the command of web has a NUL byte or more than 8192 bytes");
    }
}
