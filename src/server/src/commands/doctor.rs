//! `doctor`: what an operator would check, with the fix.

use super::show::List;
use super::{Ask, Commands};
use crate::fault::Result;
use crate::io::Io;
use serde_json::json;

/// One finding.
struct Finding {
    what: &'static str,
    ok: bool,
    seen: String,
    fix: &'static str,
}

/// Less free space than this is a finding.
const FREE_MIN: u64 = 2_000_000_000;

pub async fn doctor(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let mut found = engine(c).await;
    found.push(Finding {
        what: "firewall",
        ok: c.p.net.firewall_holds().await,
        seen: "our nftables table".to_owned(),
        fix: "install nftables; the server puts its table back within seconds",
    });
    found.push(Finding {
        what: "router",
        ok: c.p.routes.state().await.is_some(),
        seen: format!("listens on port {}", c.p.http_port),
        fix: "look at the router's log in the data folder",
    });
    for stack in [crate::build::RUN_STACK, crate::build::BUILD_STACK] {
        let there = c.p.settings.stacks.join(format!("{stack}.json")).exists();
        found.push(Finding {
            what: "stack",
            ok: there,
            seen: stack.to_owned(),
            fix: "run scripts/stacks on the server",
        });
    }
    let free = rustix::fs::statvfs(c.p.layout.data()).map(|s| s.f_bavail * s.f_frsize).unwrap_or(0);
    found.push(Finding {
        what: "disk",
        ok: free > FREE_MIN,
        seen: format!("{} free for the data folder", domain::text::human_bytes(free)),
        fix: "free space, or move the data folder",
    });
    found.push(git(c).await);
    let bad = found.iter().any(|f| !f.ok);
    let word = |f: &Finding| if f.ok { "ok" } else { "PROBLEM" };
    let fix = |f: &Finding| if f.ok { String::new() } else { f.fix.to_owned() };
    let list = List {
        columns: &["CHECK", "STATE", "SEEN", "FIX"],
        rows: found.iter().map(|f| vec![f.what.to_owned(), word(f).to_owned(), f.seen.clone(), fix(f)]).collect(),
        json: found.iter().map(|f| json!({"check": f.what, "ok": f.ok, "seen": f.seen, "fix": fix(f)})).collect(),
        empty: String::new(),
    };
    list.print(ask.what().format, io).await;
    Ok(u8::from(bad))
}

async fn engine(c: &Commands) -> Vec<Finding> {
    match c.p.engine.version().await {
        Ok(version) => vec![
            Finding {
                what: "docker",
                ok: true,
                seen: format!("{} (API {}, store {})", version.version, version.api, version.store),
                fix: "",
            },
            Finding {
                what: "live-restore",
                ok: version.live_restore,
                seen: if version.live_restore { "on" } else { "off: apps die with Docker" }.to_owned(),
                fix: "put \"live-restore\": true into /etc/docker/daemon.json and send dockerd SIGHUP",
            },
        ],
        Err(err) => {
            vec![Finding { what: "docker", ok: false, seen: err.to_string(), fix: "start Docker: scripts/docker-up" }]
        }
    }
}

async fn git(c: &Commands) -> Finding {
    match c.p.repos.version().await {
        Ok((major, minor)) => Finding {
            what: "git",
            ok: (major, minor) >= (2, 29),
            seen: format!("{major}.{minor}"),
            fix: "install git 2.29 or later",
        },
        Err(_) => Finding { what: "git", ok: false, seen: "not found".to_owned(), fix: "install git" },
    }
}
