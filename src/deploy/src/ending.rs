//! What a job says at its end.

use domain::deploy::{Effect, Kind};
use domain::{Refusal, text, time};

/// `took 1.2s (build 0.3s, boot 0.6s)`, from the rows of a deploy's steps.
pub fn took(steps: &[store::StepRow], created: domain::Timestamp, end: domain::Timestamp) -> String {
    let mut parts: Vec<String> = Vec::new();
    for step in steps {
        if let (Some(word), Some(ended)) = (step.effect.word(), step.ended) {
            let millis = ended.millis_since(step.begun);
            // Most apps have no release command; the step is then over at once.
            if step.effect != Effect::Prepare || millis >= 20 {
                parts.push(format!("{word} {}", time::human_millis(millis)));
            }
        }
    }
    let all = time::human_millis(end.millis_since(created));
    if parts.is_empty() { format!("took {all}") } else { format!("took {all} ({})", parts.join(", ")) }
}

/// The last lines of a job that failed: causes and next steps first, the reason in the very last.
pub fn failure_lines(kind: Kind, why: &Refusal, serving: Option<domain::ReleaseNumber>) -> Vec<String> {
    let mut lines: Vec<String> = why.why.lines().map(text::warning).collect();
    // Where nothing was pushed, pushing again is not the way out.
    let pushed = matches!(kind, Kind::Push | Kind::Rebuild);
    let nexts = why.next.iter().filter(|next| pushed || !next.contains("push again"));
    for (i, next) in nexts.enumerate() {
        lines.push(text::warning(&format!("{} {next}", if i == 0 { "next:" } else { "  or:" })));
    }
    let serving = match serving {
        Some(release) => format!("; {release} keeps serving"),
        None => String::new(),
    };
    let word = match kind {
        Kind::Push => "Push rejected",
        Kind::Rebuild | Kind::Config | Kind::Rollback | Kind::Restart => "Failed",
    };
    lines.push(text::warning(&format!("{word}: {}{serving}", why.what)));
    lines
}
