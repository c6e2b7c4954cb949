//! Where everything lies in the data folder.

use domain::{AppId, InstanceId};
use std::path::{Path, PathBuf};

/// How the names of kept layers begin that another took the place of.
pub const GONE: &str = "gone-";

/// The router's control socket, below its folder.
pub const ROUTER_SOCKET: &str = "run/router.sock";
/// The spools of the router's access lines, below its folder.
pub const ROUTER_SPOOLS: &str = "spool";

/// The data folder of one installation.
#[derive(Debug, Clone)]
pub struct Layout {
    data: PathBuf,
    router: PathBuf,
}

impl Layout {
    /// The layout of `data`, with the router's folder in it.
    pub fn new(data: &Path) -> Layout {
        Layout { data: data.to_path_buf(), router: data.join("router") }
    }
    /// The same with the router's folder elsewhere.
    pub fn with_router(data: &Path, router: &Path) -> Layout {
        Layout { data: data.to_path_buf(), router: router.to_path_buf() }
    }
    /// The folder itself.
    pub fn data(&self) -> &Path {
        &self.data
    }
    /// Sockets.
    pub fn run(&self) -> PathBuf {
        self.data.join("run")
    }
    /// The sockets of instances, a folder each: mounted there, for root only.
    pub fn ios(&self) -> PathBuf {
        self.run().join("io")
    }
    /// The folder of one instance's socket.
    pub fn io(&self, id: InstanceId) -> PathBuf {
        self.ios().join(id.to_string())
    }
    /// Folders of instances that are being removed.
    pub fn trash(&self) -> PathBuf {
        self.run().join("gone")
    }
    /// The admin socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.run().join("admin.sock")
    }
    /// The one folder that the router reads and writes: its table, its control socket, its access lines. It belongs to
    /// the router's user; nothing else here does.
    pub fn router(&self) -> &Path {
        &self.router
    }
    /// The router's control socket.
    pub fn router_socket(&self) -> PathBuf {
        self.router.join(ROUTER_SOCKET)
    }
    /// The spools of the router's access lines.
    pub fn router_spools(&self) -> PathBuf {
        self.router.join(ROUTER_SPOOLS)
    }
    /// What the router says of itself.
    pub fn router_log(&self) -> PathBuf {
        self.data.join("logs").join("router.log")
    }
    /// Bare repositories.
    pub fn repos(&self) -> PathBuf {
        self.data.join("repos")
    }
    /// Hook shims.
    pub fn hooks(&self) -> PathBuf {
        self.data.join("hooks")
    }
    /// Log store and spools.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }
    /// An app's log.
    pub fn app_log(&self, app: &AppId) -> PathBuf {
        self.logs().join("apps").join(app.as_str())
    }
    /// Spools of instances and builds.
    pub fn spools(&self) -> PathBuf {
        self.logs().join("spool")
    }
    /// What deploys said, a file each.
    pub fn job_logs(&self) -> PathBuf {
        self.logs().join("jobs")
    }
    /// Image layers until they are pulled.
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs")
    }
    /// Records of layers that are known, by key.
    pub fn layer_records(&self, scope: &str) -> PathBuf {
        self.data.join("cache").join("layers").join(scope)
    }
    /// Outputs of layers kept for later builds, by key.
    pub fn kept(&self, scope: &str) -> PathBuf {
        self.data.join("cache").join("kept").join(scope)
    }
    /// An app's own cache folder.
    pub fn app_cache(&self, app: &AppId) -> PathBuf {
        self.data.join("cache").join("apps").join(app.as_str())
    }
    /// Lock files that builds made for an app's commits that have none, by key.
    pub fn locks(&self, app: &AppId) -> PathBuf {
        self.data.join("locks").join(app.as_str())
    }
    /// Facts fetched for plans.
    pub fn facts(&self) -> PathBuf {
        self.data.join("cache").join("facts")
    }
    /// Working folders of builds; each is removed when its layer is packed, or its deploy is undone.
    pub fn builds(&self) -> PathBuf {
        self.data.join("builds")
    }
    /// The init that is mounted into instances, by digest.
    pub fn bin(&self) -> PathBuf {
        self.data.join("bin")
    }
    /// The builder of Dockerfiles: its images and results of steps, its socket, its log.
    pub fn builder(&self) -> PathBuf {
        self.data.join("builder")
    }
    /// The SSH host key.
    pub fn host_key(&self) -> PathBuf {
        self.data.join("ssh_host_ed25519_key")
    }

    /// Makes the folders, closed to others. The data folder itself must be ours or new.
    pub fn create(&self) -> std::io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        for dir in [
            self.data.clone(),
            self.run(),
            self.repos(),
            self.hooks(),
            self.spools(),
            self.job_logs(),
            self.blobs(),
            self.facts(),
            self.builds(),
            self.bin(),
        ] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        }
        std::fs::set_permissions(&self.data, std::fs::Permissions::from_mode(0o700))
    }
}
