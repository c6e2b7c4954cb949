//! The network namespace that Dockerfiles are built in: its loopback is empty, and its only cable ends in the bridge of
//! builds, behind the rules that hold for builds.
//!
//! Invariant: what is there is made again as it should be each time, so that a removed bridge or a reboot costs nothing.

use super::Net;
use domain::InstallId;
use domain::addresses::BUILDS;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use system::fault::{Act, Fault, Result};
use system::proc::{Limits, Program, run};

const IP: &str = "ip";
const IP_SECONDS: u64 = 10;
/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";
/// The cable's end inside.
const INSIDE: &str = "eth0";
/// Of the builder among the addresses of builds: the last one, which the engine gives to nobody.
const MEMBER: u32 = 62;
/// The network whose addresses the builder uses inside, for the steps of builds: an app's, which no build ever reaches.
const STEPS: u16 = 1;

/// What the builder's network is called and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderNet {
    /// The namespace's file.
    pub namespace: PathBuf,
    /// The address and prefix length of the bridge that it makes inside for steps.
    pub steps: String,
    name: String,
    cable: String,
    bridge: String,
    address: String,
    gateway: Ipv4Addr,
}

impl Net {
    /// The builder's network, as it should be.
    pub fn builder(&self) -> Result<BuilderNet> {
        let impossible = || Fault::plain("the installation has no addresses for builds");
        let builds = self.subnet(BUILDS).ok_or_else(impossible)?;
        let steps = self.subnet(STEPS).ok_or_else(impossible)?;
        let address = builds.address(MEMBER).ok_or_else(impossible)?;
        let name = name(&self.0.install);
        Ok(BuilderNet {
            namespace: Path::new(NAMES).join(&name),
            steps: format!("{}/{}", steps.gateway(), steps.prefix()),
            name,
            cable: format!("hsv{}", self.0.install),
            bridge: self.build_network()?.bridge,
            address: format!("{address}/{}", builds.prefix()),
            gateway: builds.gateway(),
        })
    }
}

impl BuilderNet {
    /// Makes the namespace and lays the cable; the bridge must be there.
    pub async fn ensure(&self) -> Result<()> {
        if !self.namespace.exists() {
            ip(&["netns", "add", &self.name], "").await?;
        }
        let cable = &self.cable;
        if !Path::new("/sys/class/net").join(cable).exists() {
            ip(&["link", "add", cable, "type", "veth", "peer", "name", INSIDE, "netns", &self.name], "").await?;
        }
        ip(&["-batch", "-"], &format!("link set {cable} master {} up\n", self.bridge)).await?;
        let inside = format!(
            "link set lo up\nlink set {INSIDE} up\naddr replace {} dev {INSIDE}\nroute replace default via {}\n",
            self.address, self.gateway
        );
        ip(&["-n", &self.name, "-batch", "-"], &inside).await
    }

    /// Removes it, cable and all; absent is fine.
    pub async fn remove(&self) -> Result<()> {
        match self.namespace.exists() {
            true => ip(&["netns", "del", &self.name], "").await,
            false => Ok(()),
        }
    }
}

fn name(install: &InstallId) -> String {
    format!("hoist-{install}-builder")
}

async fn ip(args: &[&str], input: &str) -> Result<()> {
    let ask = Program::new(IP, Path::new("/")).args(args);
    let done = run(&ask, input.as_bytes(), Limits::seconds(IP_SECONDS)).await?;
    done.success("cannot set up the network of the builder").act(|| format!("ip {}", args.join(" ")))?;
    Ok(())
}
