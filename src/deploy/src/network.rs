//! An app's network: it takes a number when it first runs, of another share of the pool where those it has are used up, and
//! the engine makes the network then.

use crate::Parts;
use domain::instance::INSTALL_LABEL;
use domain::refusal::Code;
use domain::{AppId, Refusal};
use engine::{EngineError, NetworkSpec};
use net::Net;
use std::collections::BTreeSet;
use store::Store;
use system::clock::now;
use system::fault::{Error, Result};

/// Makes sure that the app has a network's number, and that rules for it are there.
pub async fn ensure_number(p: &Parts, app: &AppId) -> Result<()> {
    let before = p.net.shares();
    number_of(&p.store, &p.net, app).await?;
    if p.net.shares() > before
        && let Err(err) = p.net.ensure_firewall().await
    {
        // Everything of ours is closed by the rules that there are; the reconciler opens what an app's own network needs.
        tracing::error!("the firewall does not know the new range yet: {}", err.chain());
    }
    Ok(())
}

/// The app's number; chosen if it has none, or one that lies in no share any more.
async fn number_of(store: &Store, net: &Net, app: &AppId) -> Result<u16> {
    let mut exhausted = false;
    loop {
        let (have, id, chooser) = (net.shares(), app.clone(), net.clone());
        let chosen = store.write(move |tx| {
            let row = tx.the_app(&id)?;
            if let Some(number) = row.network.filter(|number| chooser.has_network(*number)) {
                return Ok(Some(number));
            }
            let chosen = chooser.choose_network(&tx.networks()?, now(), exhausted);
            if let Some(number) = chosen {
                tx.take_network(&id, number, now())?;
            }
            Ok(chosen)
        });
        match chosen.await? {
            Some(number) => return Ok(number),
            None if exhausted => return Err(full(net)),
            None => match net.grow(have).await {
                Ok(()) => {}
                // The last chance: what an app left a moment ago.
                Err(Error::Refused(no)) => {
                    tracing::warn!("{no}");
                    exhausted = true;
                }
                Err(fault) => return Err(fault),
            },
        }
    }
}

fn full(net: &Net) -> Error {
    Refusal::new(Code::NoNetwork, "all networks are taken: no further app can run")
        .why(format!("each app that ran has a network of its own; the pool {} has no more", net.pool()))
        .next("apps:destroy NAME --confirm NAME, one that is not needed, then push again")
        .next("an administrator: set a larger pool in the server's configuration")
        .into()
}

/// Makes sure that the engine has the network. Where one that an app left is in its way, that one goes first.
pub async fn ensure_network(p: &Parts, network: &NetworkSpec) -> Result<()> {
    match p.engine.ensure_network(network).await {
        Err(EngineError::Failed { .. }) if remove_leftovers(p).await? > 0 => {
            Ok(p.engine.ensure_network(network).await?)
        }
        other => Ok(other?),
    }
}

/// Removes the networks of ours whose apps are gone; how many there were.
pub async fn remove_leftovers(p: &Parts) -> Result<usize> {
    // Listed before the apps are read: the network of an app made meanwhile is not among them.
    let there = p.engine.networks(INSTALL_LABEL, p.install.as_str()).await?;
    let apps = p.store.read(|tx| tx.apps()).await?;
    let mut wanted: BTreeSet<String> = apps.iter().map(|app| p.net.app_network_name(&app.id)).collect();
    wanted.insert(p.net.build_network()?.name);
    let mut removed = 0;
    for name in there.iter().filter(|name| !wanted.contains(*name)) {
        p.engine.remove_network(name).await?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;
    use domain::addresses::NETWORKS_PER_SHARE;
    use store::path_in;

    /// As many apps as there are networks for in a share, the number of builds left out.
    const FULL: u16 = NETWORKS_PER_SHARE - 1;

    struct World {
        data: tempfile::TempDir,
        host: tempfile::TempDir,
        store: Store,
        net: Net,
    }

    impl World {
        fn new(pool: &str) -> World {
            let (data, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let store = Store::open(&path_in(data.path())).unwrap();
            let net = Net::claim_for_tests(host.path(), data.path(), pool.parse().unwrap());
            World { data, host, store, net }
        }
        async fn apps(&self, from: u16, to: u16) {
            let make = move |tx: &store::Tx<'_>| {
                (from..=to).try_for_each(|n| {
                    let name = format!("app{n}").parse()?;
                    tx.add_app(&id(n), &name, None, Timestamp(0)).map(drop)
                })
            };
            self.store.write(make).await.unwrap();
        }
        /// Gives the first apps the networks of the same numbers.
        async fn fill(&self) {
            let take = |tx: &store::Tx<'_>| (1..=FULL).try_for_each(|n| tx.take_network(&id(n), n, Timestamp(0)));
            self.store.write(take).await.unwrap();
        }
        async fn number(&self, app: u16) -> Result<u16> {
            number_of(&self.store, &self.net, &id(app)).await
        }
        async fn destroy(&self, app: u16) {
            self.store.write(move |tx| tx.remove_app(&id(app), now())).await.unwrap();
        }
    }

    fn id(n: u16) -> AppId {
        format!("app{n:05}").parse().unwrap()
    }

    #[tokio::test]
    async fn apps_that_never_ran_use_no_network() {
        let world = World::new("10.240.0.0/18");
        world.apps(1, 400).await;
        assert_eq!(world.number(400).await.unwrap(), 1);
        assert_eq!(world.number(400).await.unwrap(), 1, "it keeps its own");
        assert_eq!(world.number(7).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_full_pool_refuses_until_an_app_is_destroyed() {
        let world = World::new("10.240.64.0/18");
        world.apps(1, FULL + 2).await;
        world.fill().await;
        assert_eq!(world.number(FULL).await.unwrap(), FULL);
        for late in [FULL + 1, FULL + 2] {
            let Err(Error::Refused(no)) = world.number(late).await else { panic!("there was one more") };
            assert_eq!(no.code, Code::NoNetwork);
        }
        world.destroy(17).await;
        assert_eq!(world.number(FULL + 2).await.unwrap(), 17, "though it was freed a moment ago");
        assert!(world.number(FULL + 1).await.is_err());
        world.destroy(FULL + 2).await;
        assert_eq!(world.number(FULL + 1).await.unwrap(), 17);
    }

    #[tokio::test]
    async fn another_share_is_claimed_before_a_number_rests_too_short() {
        let world = World::new("10.240.128.0/17");
        world.apps(1, FULL + 2).await;
        world.fill().await;
        world.destroy(5).await;
        assert_eq!((world.number(FULL + 1).await.unwrap(), world.net.shares()), (NETWORKS_PER_SHARE, 2));
        let app = world.store.read(|tx| tx.the_app(&id(FULL + 1))).await.unwrap();
        let network = world.net.app_network(&app).unwrap();
        assert!(network.bridge.len() <= 15 && network.bridge.ends_with("74"), "{}", network.bridge);
        // The next start has both, and the app its number.
        let again = Net::claim_for_tests(world.host.path(), world.data.path(), world.net.pool());
        assert_eq!(again.app_network(&app).unwrap(), network);
        // A number that lies in no share of this installation any more is changed for one that does.
        let (id, far) = (id(FULL + 2), 40_000);
        world.store.write(move |tx| tx.take_network(&id, far, now())).await.unwrap();
        assert_eq!(world.number(FULL + 2).await.unwrap(), NETWORKS_PER_SHARE + 1);
    }
}
