//! Calls `nft`: rules on standard input, a deadline.

use std::path::Path;
use system::fault::Result;
use system::proc::{Limits, Program, run};

const NFT_SECONDS: u64 = 10;

/// Runs `nft` and returns what it printed.
pub(super) async fn nft(args: &[&str], input: &str) -> Result<String> {
    let program = Program::new("nft", Path::new("/")).args(args);
    let done = run(&program, input.as_bytes(), Limits::seconds(NFT_SECONDS)).await?;
    Ok(String::from_utf8_lossy(&done.success(format!("cannot run nft {}", args.join(" ")))?.stdout).into_owned())
}
