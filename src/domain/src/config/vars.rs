//! The config vars of an app, and how much they may be.

use crate::names::VarName;
use crate::secret::Secret;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// All config vars of an app, in order of name.
pub type ConfigVars = BTreeMap<VarName, Secret<String>>;

/// Config vars that are never shown again, and since when they have their values.
pub type Hidden = BTreeMap<VarName, Timestamp>;

/// Bytes of one value. The kernel takes at most 128 KiB for one variable of a process's environment.
pub const VALUE_MAX: usize = 64 * 1024;
/// Bytes of all names and values together.
pub const TOTAL_MAX: usize = 512 * 1024;
/// Number of config vars.
pub const VARS_MAX: usize = 1_000;
