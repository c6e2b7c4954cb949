//! The app's settings for a Dockerfile build, and what their values look like; the rows are in `app_settings`.

use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::plain;
use serde::{Deserialize, Serialize};

/// The file that is built unless a setting names another.
pub const DOCKERFILE: &str = "Dockerfile";
const NAMES_MAX: usize = 50;

/// The settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildSettings {
    /// The Dockerfile's path, in the folder that is the app.
    pub dockerfile: Option<String>,
    /// The stage that is built.
    pub target: Option<String>,
    /// Config vars that are given as build arguments.
    pub build_args: Vec<String>,
    /// Config vars that are offered to `RUN --mount=type=secret,id=NAME`.
    pub build_secrets: Vec<String>,
    /// The port of what requests go to.
    pub port: Option<u16>,
}

/// A path in the repository.
pub(crate) fn path(value: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let value = value.strip_prefix("./").unwrap_or(value).trim_end_matches('/');
    let fine = !value.is_empty()
        && value.len() <= 500
        && !value.chars().any(char::is_control)
        && value.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match fine {
        true => Ok(Some(value.to_owned())),
        false => Err(Refusal::new(Code::BadPath, format!("{} is not a path in the repository", plain(value)))
            .why("it must be relative, without `..`")
            .next("apps:set APP dockerfile=path/in/the/repository")),
    }
}

/// The name of a stage.
pub(crate) fn target(value: Option<&str>) -> Result<Option<String>, Refusal> {
    let fine = |text: &str| {
        text.len() <= 100 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    match value {
        Some(text) if !fine(text) => Err(Refusal::new(Code::BadTarget, "this is not the name of a stage")
            .next("apps:set APP docker-target=NAME  (from a line FROM image AS NAME)")),
        value => Ok(value.map(str::to_owned)),
    }
}

/// Names of config vars, with commas between.
pub(crate) fn names(value: &str) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> =
        value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    if names.len() > NAMES_MAX {
        return Err(Refusal::new(Code::TooManyNames, format!("more than {NAMES_MAX} names")).next("name fewer"));
    }
    for name in &names {
        name.parse::<crate::VarName>()?;
    }
    Ok(names)
}

/// A port.
pub(crate) fn port(value: Option<&str>) -> Result<Option<u16>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    match value.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        Ok(_) | Err(_) => Err(Refusal::new(Code::BadPort, format!("{} is not a port", plain(value)))
            .why("a port is a number from 1 to 65535")
            .next("apps:set APP port=8080")),
    }
}
