//! Where this installation and its apps answer, as people type it.

use crate::base::BaseDomain;
use domain::AppName;

/// Names and ports.
#[derive(Debug, Clone)]
pub struct Sites {
    /// The base domain in force.
    pub base: BaseDomain,
    /// The host in remotes that the configuration names.
    pub ssh_host: String,
    /// The user of the host's sshd, where its port is shared.
    pub ssh_share: Option<String>,
    /// The port that HTTP is really served on.
    pub http_port: u16,
    /// Whether a proxy in front answers at `https://`.
    pub tls_proxy: bool,
    /// The port that SSH is really served on.
    pub ssh_port: u16,
}

impl Sites {
    /// An app's default host name.
    pub fn domain(&self, app: &AppName) -> String {
        format!("{app}.{}", self.base.get())
    }

    /// The URL of an app's default host name.
    pub fn url(&self, app: &AppName) -> String {
        self.host_url(&self.domain(app))
    }

    /// The URL of a host name.
    pub fn host_url(&self, host: &str) -> String {
        match self.tls_proxy {
            true => format!("https://{host}/"),
            false => domain::routing::url(host, self.http_port),
        }
    }

    /// The host in remotes that are printed: the one of the configuration, else the base domain in force.
    pub fn ssh_host(&self) -> String {
        if self.ssh_host == self.base.configured() { self.base.get().to_string() } else { self.ssh_host.clone() }
    }

    /// The git remote of an app.
    pub fn remote(&self, app: &AppName) -> String {
        let host = self.ssh_host();
        match (&self.ssh_share, self.ssh_port) {
            (Some(user), _) => format!("{user}@{host}:{app}"),
            (None, 22) => format!("ssh://hoist@{host}/{app}"),
            (None, port) => format!("ssh://hoist@{host}:{port}/{app}"),
        }
    }

    /// How a command is typed from elsewhere, before the command's words.
    pub fn ssh_command(&self) -> String {
        let host = self.ssh_host();
        match (&self.ssh_share, self.ssh_port) {
            (Some(user), _) => format!("ssh {user}@{host}"),
            (None, 22) => format!("ssh hoist@{host}"),
            (None, port) => format!("ssh -p {port} hoist@{host}"),
        }
    }
}
