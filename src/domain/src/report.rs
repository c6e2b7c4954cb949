//! How a push ended, for programs: one line of `name=value` words, or one JSON object. Its words are stable.

use crate::deploy::Deploy;
use crate::ids::BuildId;
use crate::refusal::{Code, Refusal};
use crate::text::plain;
use serde::Serialize;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted; it waits or is at work.
    Running,
    /// The release serves.
    Live,
    /// It came to nothing; what served before serves.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Nothing was begun.
    Refused,
}

impl Status {
    /// The word of the line.
    pub fn word(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Live => "live",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Refused => "refused",
        }
    }

    /// The exit code of somebody who waited: 124, as `timeout` has it, if it is not over.
    pub fn exit_code(self) -> u8 {
        match self {
            Status::Live => 0,
            Status::Failed | Status::Cancelled | Status::Refused => 1,
            Status::Running => 124,
        }
    }
}

/// One end. Fields that are not known are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How it stands.
    pub status: Status,
    /// The app's name.
    pub app: String,
    /// The build's number, as `builds` lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildId>,
    /// The release: the live one, or the one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Where the app answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// From asking to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The refusal's stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The refusal's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Report {
    /// A report about an app that says nothing more yet.
    pub fn new(status: Status, app: impl Into<String>) -> Report {
        Report {
            status,
            app: app.into(),
            build: None,
            release: None,
            commit: None,
            url: None,
            seconds: None,
            code: None,
            reason: None,
        }
    }

    /// What a deploy's state says.
    pub fn of(state: &Deploy, app: impl Into<String>) -> Report {
        match state {
            Deploy::Live { release, .. } => {
                Report { release: Some(release.to_string()), ..Report::new(Status::Live, app) }
            }
            Deploy::Failed { release, why } => {
                Report { release: release.map(|r| r.to_string()), ..Report::refused(why, app) }
            }
            Deploy::Received
            | Deploy::Permitted
            | Deploy::Built { .. }
            | Deploy::Approved { .. }
            | Deploy::Cut { .. }
            | Deploy::Prepared { .. }
            | Deploy::Booted { .. }
            | Deploy::Committed { .. }
            | Deploy::Routed { .. }
            | Deploy::Moved { .. }
            | Deploy::Retired { .. }
            | Deploy::Unwinding { .. }
            | Deploy::Undone { .. } => Report::new(Status::Running, app),
        }
    }

    fn refused(why: &Refusal, app: impl Into<String>) -> Report {
        let status = if why.code == Code::Cancelled { Status::Cancelled } else { Status::Failed };
        Report { code: Some(why.code), reason: Some(plain(&why.what)), ..Report::new(status, app) }
    }

    /// `hoist: live app=blog build=17 release=v2 commit=… url=… seconds=1.2`. The sentence comes last, as it has blanks.
    pub fn line(&self) -> String {
        let mut out = format!("hoist: {} app={}", self.status.word(), self.app);
        let seconds = self.seconds.map(|s| format!("{s:.1}"));
        for (name, value) in [
            ("build", &self.build.map(|b| b.to_string())),
            ("release", &self.release),
            ("commit", &self.commit),
            ("url", &self.url),
            ("seconds", &seconds),
            ("code", &self.code.map(|code| code.to_string())),
            ("reason", &self.reason),
        ] {
            if let Some(value) = value {
                out.push_str(&format!(" {name}={value}"));
            }
        }
        out
    }

    /// The same as one JSON object on one line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReleaseNumber;
    use crate::refusal::Code;

    #[test]
    fn both_forms() {
        let live = Deploy::Live { release: ReleaseNumber(2), acknowledged: true };
        let report = Report { build: Some(BuildId(17)), seconds: Some(1.25), ..Report::of(&live, "blog") };
        assert_eq!(report.line(), "hoist: live app=blog build=17 release=v2 seconds=1.2");
        assert_eq!(report.json(), r#"{"status":"live","app":"blog","build":17,"release":"v2","seconds":1.25}"#);
        let failed = Deploy::Failed { release: None, why: Refusal::new(Code::BuildFailed, "npm \u{1b}[31mfailed") };
        let report = Report::of(&failed, "blog");
        assert_eq!(report.line(), "hoist: failed app=blog code=build-failed reason=npm failed");
        assert_eq!(report.status.exit_code(), 1);
        let cancelled = Deploy::Failed { release: None, why: Refusal::new(Code::Cancelled, "cancelled by ana") };
        assert_eq!(Report::of(&cancelled, "blog").status, Status::Cancelled);
        assert_eq!(Report::of(&Deploy::Received, "blog").status.exit_code(), 124);
    }
}
