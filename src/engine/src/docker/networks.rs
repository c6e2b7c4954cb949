//! Networks: bridges with a name, subnet and gateway of ours.

use super::{Docker, by_label, failures::fine};
use crate::{EngineError, NetworkSpec};
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};
use std::collections::HashMap;

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const MEMBERS_TALK: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

impl Docker {
    pub(super) async fn network_ensure(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        let _turn = self.network_turn.lock().await;
        match self.network_inspect(&spec.name).await? {
            Some(there) if same(&there, spec) => return Ok(()),
            // Refused by Docker while something is connected to it: the caller learns that from the failure.
            Some(_) => self.network_remove(&spec.name).await?,
            None => {}
        }
        let made =
            self.call("make network", &spec.name, |docker| async move {
                docker.create_network(request(spec)).await.map(drop)
            })
            .await;
        match made {
            Ok(()) => Ok(()),
            // Another control process of this installation (during an upgrade) may have made it meanwhile.
            Err(err @ EngineError::Failed { .. }) => match self.network_inspect(&spec.name).await? {
                Some(there) if same(&there, spec) => Ok(()),
                _ => Err(err),
            },
            Err(err) => Err(err),
        }
    }

    pub(super) async fn network_remove(&self, name: &str) -> Result<(), EngineError> {
        self.call("remove network", name, |docker| async move { fine(docker.remove_network(name).await, &[404]) }).await
    }

    pub(super) async fn network_names(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        let options = ListNetworksOptionsBuilder::default().filters(&by_label(key, value)).build();
        let found =
            self.call("list", "networks", |docker| async move { docker.list_networks(Some(options)).await }).await?;
        let mut names: Vec<String> = found.into_iter().filter_map(|network| network.name).collect();
        names.sort();
        Ok(names)
    }

    async fn network_inspect(&self, name: &str) -> Result<Option<NetworkInspect>, EngineError> {
        self.call("inspect network", name, |docker| async move {
            fine(docker.inspect_network(name, None::<InspectNetworkOptions>).await.map(Some), &[404])
        })
        .await
    }
}

fn options(spec: &NetworkSpec) -> HashMap<String, String> {
    HashMap::from([
        (BRIDGE_NAME.to_owned(), spec.bridge.clone()),
        (MEMBERS_TALK.to_owned(), spec.members_talk.to_string()),
        (MASQUERADE.to_owned(), true.to_string()),
    ])
}

fn request(spec: &NetworkSpec) -> NetworkCreateRequest {
    let (network, prefix) = spec.subnet;
    NetworkCreateRequest {
        name: spec.name.clone(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(format!("{network}/{prefix}")),
                gateway: Some(spec.gateway.to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        options: Some(options(spec)),
        labels: Some(spec.labels.clone().into_iter().collect()),
        ..NetworkCreateRequest::default()
    }
}

/// Whether the network there is the one specified. Labels do not count: they decide nothing inside Docker.
fn same(there: &NetworkInspect, spec: &NetworkSpec) -> bool {
    let (network, prefix) = spec.subnet;
    let config = there.ipam.as_ref().and_then(|ipam| ipam.config.as_ref()).and_then(|all| all.first());
    let addresses = config.is_some_and(|config| {
        config.subnet.as_deref() == Some(format!("{network}/{prefix}").as_str())
            && config.gateway.as_deref() == Some(spec.gateway.to_string().as_str())
    });
    let there_options = there.options.clone().unwrap_or_default();
    addresses && options(spec).iter().all(|(key, value)| there_options.get(key) == Some(value))
}
