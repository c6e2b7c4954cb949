//! Builds `hoist-init` as a static binary for the server to embed: `include_bytes!(env!("HOIST_INIT_PATH"))`.
//!
//! By a second cargo, because flags for static linking hold for everything that one cargo builds. It has a target
//! folder of its own, so the two never wait for each other's lock.

// One call of cargo at build time: the server's own way to run programs does not exist here.
#![allow(clippy::disallowed_methods)]

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

/// What a user may have set about the network and the registry; everything else of the outer cargo would make the
/// inner build another one (its flags, its target folder, clippy as the compiler).
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];

fn main() -> Result<(), Box<dyn Error>> {
    for source in ["../init/src", "../init/Cargo.toml", "../../Cargo.lock", "../../Cargo.toml", "build.rs"] {
        println!("cargo:rerun-if-changed={source}");
    }
    let (cargo, target) = (env::var("CARGO")?, env::var("TARGET")?);
    let folder = Path::new(&env::var("OUT_DIR")?).join("init");

    let mut command = Command::new(cargo);
    for (key, _) in env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("CARGO_") && !KEPT.iter().any(|it| key.starts_with(it)) {
            command.env_remove(&*key);
        }
    }
    command.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("RUSTC").env_remove("RUSTDOC");
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.args(["build", "--quiet", "--locked", "--release", "-p", "hoist-init", "--target", &target]);
    command.arg("--target-dir").arg(&folder);
    let status = command.status()?;
    if !status.success() {
        return Err(format!("building hoist-init ended with {status}: the reason is above").into());
    }
    let binary = folder.join(target).join("release/hoist-init");
    println!("cargo:rustc-env=HOIST_INIT_PATH={}", binary.display());
    Ok(())
}
