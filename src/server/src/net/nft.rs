//! Calls `nft`: an argument list, rules on standard input, a clean environment, a deadline.

use crate::fault::{Act, Fault};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const NFT_MAX: Duration = Duration::from_secs(10);
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Of what `nft` says when it fails, so much goes into the fault.
const SAID_MAX: usize = 500;

/// Runs `nft` and returns what it printed.
pub(super) async fn nft(args: &[&str], input: &str) -> Result<String, Fault> {
    let act = || format!("cannot run nft {}", args.join(" "));
    let run = async {
        #[allow(clippy::disallowed_methods, reason = "arguments, clean environment, deadline: all here")]
        let mut child = Command::new("nft")
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // An nft that has ended says why on its standard error.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let done = tokio::time::timeout(NFT_MAX, run).await.act(act)?.act(act)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said: String = String::from_utf8_lossy(&done.stderr).chars().take(SAID_MAX).collect();
    Err(Fault::new(act(), said.trim()))
}
