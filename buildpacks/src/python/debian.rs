//! The Pythons that Debian has for each stack.
//! Invariant: a stack's own comes first.
//! Absent: which of them an app gets.

use crate::debian::APT;
use crate::facts::Question;
use crate::plan::Stack;

/// The Pythons of Debian that run on each stack: the stack, Python's line, the suite it comes from. A stack's own first.
pub(crate) const PYTHONS: [(Stack, &str, &str); 4] = [
    (Stack::Deb13, "3.13", "trixie"),
    (Stack::Deb13, "3.14", "forky"),
    (Stack::Deb13, "3.11", "bookworm"),
    (Stack::Deb12, "3.11", "bookworm"),
];

/// Asks for them, each as `3.13.5 trixie`. A suite that is gone is left out.
pub(crate) fn published(stack: Stack) -> Question {
    // At the same time, as each waits for its lists; said in the order asked.
    const ASK: &str = r#": >/tmp/status
n=0
for pair in "$@"; do
  n=$((n + 1))
  (
    # Without one of its archives, such as the updates, a suite still has its Python.
    apt_for "${pair%:*}" /tmp/status || true
    version=$(apt-cache madison "python${pair#*:}-minimal" | head -n 1 | cut -d'|' -f2 | tr -d ' ')
    version=${version#*:}
    version=${version%%-*}
    [ -z "$version" ] || echo "${version%%[!0-9.]*} ${pair%:*}"
  ) >"/tmp/answer-$n" &
done
wait
cat /tmp/answer-*
"#;
    let mut argv: Vec<String> = ["sh", "-c", &format!("{APT}{ASK}"), "pythons"].map(str::to_owned).to_vec();
    let here = PYTHONS.iter().filter(|(on, _, _)| *on == stack);
    argv.extend(here.map(|(_, line, suite)| format!("{suite}:{line}")));
    Question {
        id: format!("pythons-{}", stack.name()),
        name: "Python".to_owned(),
        registry: "Debian's packages",
        argv,
        read: |text| Some(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()),
    }
}
