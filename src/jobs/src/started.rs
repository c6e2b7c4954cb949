//! Why a command did not start, from the last lines it printed.

use buildpacks::scripts::{Sure, said};
use domain::Refusal;

/// What a shell and the kernel end with when they cannot start a program, and when they do not find it.
const NOT_STARTED: [i64; 2] = [126, 127];

/// A script that was made on Windows, if these lines say so: what to do about it.
pub fn script(code: i64, lines: &[String], who: &str) -> Option<Refusal> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sure = if NOT_STARTED.contains(&code) { Sure::Yes } else { Sure::No };
    let no = said(&lines, who, sure)?;
    Some(Refusal { code: no.code, what: no.what, why: no.why, next: no.next })
}
