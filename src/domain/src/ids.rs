//! Keys of rows in the store, each a type of its own: what names a build is never taken for what names a deploy.
//!
//! [`InstanceId`](crate::InstanceId) stands with the names, as containers are named after it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<i64> for $name {
            fn from(key: i64) -> $name {
                $name(key)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;
            fn from_str(text: &str) -> Result<$name, ParseIntError> {
                text.parse().map($name)
            }
        }
    )+};
}

ids! {
    /// A job: a push, a rollback, a restart. Unique in this installation, never used twice.
    DeployId;
    /// A build, as `builds` lists it. Unique in this installation, never used twice.
    BuildId;
    /// A person. Names may be used again; this never is.
    UserId;
    /// A row of the audit, as `events` lists it.
    AuditId;
    /// An event. Later ones have larger numbers; none is used twice.
    EventId;
    /// One state of an app's config vars; each change makes a new one.
    ConfigVersion;
    /// The instances that one deploy started together, which become current together.
    SetId;
}

impl From<DeployId> for SetId {
    /// A deploy starts one set, which has its id.
    fn from(deploy: DeployId) -> SetId {
        SetId(deploy.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_screens_and_files_have_them() {
        assert_eq!("12".parse(), Ok(BuildId(12)));
        assert!("v12".parse::<BuildId>().is_err() && "".parse::<DeployId>().is_err());
        assert_eq!(format!("{:>4}|{:<4}|{}", DeployId(7), BuildId(7), UserId(7)), "   7|7   |7");
        assert_eq!(serde_json::to_string(&[AuditId(1), AuditId(-2)]).unwrap(), "[1,-2]");
        assert_eq!(serde_json::from_str::<ConfigVersion>("3").unwrap(), ConfigVersion(3));
        assert_eq!(SetId::from(DeployId(9)), SetId(9));
    }
}
