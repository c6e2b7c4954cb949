//! `hoist --data DIR forget-secrets --confirm`: the way out where `secret.key` is lost for good. Works without the server,
//! which refuses to start then.

use std::fs::File;
use std::path::Path;
use store;
use system::fault::{Act, Fault, Result};
use system::layout::Layout;

/// Removes every value that nobody can open any more; what to say then.
pub fn forget_secrets(data: &Path) -> Result<String, Fault> {
    let database = store::path_in(data);
    if !database.exists() {
        return Err(Fault::plain(format!(
            "there is no database in {}; name the data folder: --data DIR",
            data.display()
        )));
    }
    let path = Layout::new(data).run().join("serve.lock");
    let lock =
        File::options().create(true).write(true).truncate(false).open(&path).act(|| "cannot open the server's lock")?;
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Fault::plain(format!(
            "a server runs on {0}, so its key is there; for a new key: hoist --data {0} secrets:rotate",
            data.display()
        )));
    }
    let rows = store::forget_secrets(&database)?;
    Ok(format!(
        "Removed {rows} rows with values that were sealed: config vars of all apps and logins to registries.\n\
         Start the server, then set them anew: config:set APP NAME=VALUE, registry:login HOST USER"
    ))
}
