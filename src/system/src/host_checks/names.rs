//! What the name service says of the base domain.

use domain::doctor::{Dns, Names};
use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Looks the base domain up and a name below it; `None` for names that never leave this machine.
pub async fn names(base: &str) -> Option<Names> {
    if base == "localhost" || base.ends_with(".localhost") {
        return None;
    }
    // One that nobody made: only a wildcard answers for it.
    let below = format!("hoist-doctor.{base}");
    let (itself, below) = tokio::join!(look_up(base), look_up(&below));
    let all = [&itself, &below].into_iter().flatten().flatten().copied();
    let ours = all.filter(|ip| is_ours(*ip)).collect();
    Some(Names { base: base.to_owned(), itself, below, ours })
}

async fn look_up(name: &str) -> Dns {
    match timeout(ANSWERS_WITHIN, lookup_host((name, 0))).await {
        Ok(Ok(found)) => Ok(found.map(|a| a.ip()).collect::<BTreeSet<_>>().into_iter().collect()),
        Ok(Err(err)) => Err(err.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWERS_WITHIN.as_secs())),
    }
}

/// Only an address of this machine can be bound.
fn is_ours(ip: IpAddr) -> bool {
    !ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_need_no_service() {
        assert!(names("localhost").await.is_none() && names("apps.localhost").await.is_none());
        assert!(is_ours([127, 0, 0, 1].into()));
        assert!(!is_ours([192, 0, 2, 200].into()) && !is_ours([0, 0, 0, 0].into()));
    }
}
