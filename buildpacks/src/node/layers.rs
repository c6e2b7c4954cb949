//! The layers of a Node.js app: runtime, dependencies for the build, dependencies, app.
//! Invariant: what is kept for other apps (`runtime`) is made without any file, cache or config var of this one.
//! Absent: what the layers hold; npm decides that from the lock file.

use super::package::{LOCKS, Lock, Package};
use super::range::Version;
use super::versions::Versions;
use crate::locking::{self, LOCKED};
use crate::plan::{
    APP, CACHE, ConfigVars, Env, GeneratedFile, Inputs, KeyPart, Layer, Mount, MountMode, Output, Scope, Step,
};
use crate::tree::{Found, Tree};

/// Where Node.js lies, in the image and for the steps of a build.
pub(crate) const NODE: &str = "/opt/node";
/// Fetches npm packages and lays them out as an installation. `$1` is the folder, `$2` and `$3` are package@version.
/// Its folder for npm's cache is its own: what an app's build could have written is never shared.
const FETCH: &str = r#"set -eu
work=$(mktemp -d)
cd "$work"
fetch() {
  mkdir "$work/$1"
  npm pack --silent --ignore-scripts --cache "$work/cache" --pack-destination "$work/$1" "$2"
  mkdir -p "$3"
  tar -xzf "$work/$1"/*.tgz -C "$3" --strip-components=1 --no-same-owner
}
fetch node "$2" "$1"
fetch npm "$3" "$1/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$1/bin/npx"
chmod 0755 "$1/bin/node" "$1/lib/node_modules/npm/bin/npm-cli.js" "$1/lib/node_modules/npm/bin/npx-cli.js"
cd "$1"
rm -rf "$work"
"$1/bin/node" --version
PATH="$1/bin:$PATH" "$1/bin/npm" --version
"#;
/// The file that [`RESOLVE`] makes.
pub(crate) const LOCK: &str = LOCKS[1];
/// Makes package-lock.json, in the folder `$1`. One that is there already is of an earlier build: its versions stay as far as
/// npm keeps them, and are given up where npm finds no way with them.
const RESOLVE: &str = r#"set -eu
resolve() { npm install --package-lock-only --ignore-scripts --include=dev --no-audit --no-fund; }
if [ -e package-lock.json ]; then
  echo "What still fits keeps the version that it has"
  if ! resolve >/tmp/resolved 2>&1; then
    echo "npm finds no way with these versions; choosing all of them anew"
    rm -f package-lock.json
    resolve
  fi
else
  resolve
fi
cp package-lock.json "$1/"
"#;
/// Config vars that npm and the install scripts of well-known packages read, by the start of their name.
const INSTALL_CONFIG: [&str; 9] = [
    "NPM_",
    "NODE_AUTH_TOKEN",
    "npm_config_",
    "PUPPETEER_",
    "PLAYWRIGHT_",
    "CYPRESS_",
    "PRISMA_",
    "SENTRYCLI_",
    "ELECTRON_",
];

pub(crate) struct Make<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) package: &'a Package,
    pub(crate) versions: &'a Versions,
    pub(crate) lock: Option<Lock>,
    pub(crate) config: &'a [String],
    /// The scripts that the app layer runs, in order.
    pub(crate) scripts: Vec<&'static str>,
    /// The folder of the site that the build makes, if that is all the image needs.
    pub(crate) site: Option<String>,
}

impl Make<'_> {
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let launch = self.site.is_none();
        let for_build = self.for_build();
        let mut layers = vec![self.runtime(launch)];
        if let Some(lock) = &self.lock {
            if for_build == "build-dependencies" {
                layers.push(self.install(lock, "build-dependencies", "--include=dev", false));
            }
            let needed = !self.package.dependencies.is_empty() || self.package.workspaces;
            if (launch && needed) || for_build == "dependencies" {
                layers.push(self.install(lock, "dependencies", "--omit=dev", launch));
            }
        }
        layers.push(self.app(for_build));
        layers
    }

    /// The layer whose packages the build sees.
    fn for_build(&self) -> &'static str {
        match (self.scripts.is_empty(), self.package.dev_dependencies.is_empty(), &self.lock) {
            (true, _, _) | (_, _, None) => "",
            (false, true, Some(_)) if !self.package.workspaces => "dependencies",
            (false, _, Some(_)) => "build-dependencies",
        }
    }

    fn runtime(&self, launch: bool) -> Layer {
        let folder = "/layers/runtime".to_owned();
        let Versions { node, npm, package, .. } = self.versions;
        let argv = ["sh", "-c", FETCH, "fetch-node", &folder, &format!("{package}@{node}"), &format!("npm@{npm}")];
        Layer {
            launch,
            key: vec![
                KeyPart::text("node", node),
                KeyPart::text("npm", npm),
                KeyPart::text("package", package),
                KeyPart::Stack,
            ],
            env: vec![Env::set("npm_config_update_notifier", "false")],
            steps: vec![Step::new(format!("Fetching Node.js {node} and npm {npm}"), &argv).at("/tmp")],
            outputs: vec![Output {
                from: folder,
                to: NODE.into(),
                exclude: ["include", "share", "package.json", "README.md", "CHANGELOG.md", "lib/node_modules/npm/man"]
                    .map(str::to_owned)
                    .to_vec(),
            }],
            ..Layer::empty("runtime", Scope::Host)
        }
    }

    fn install(&self, lock: &Lock, name: &str, which: &str, launch: bool) -> Layer {
        let package_json = GeneratedFile {
            path: format!("{APP}/package.json"),
            content: self.package.without_scripts(),
            executable: false,
        };
        let mut files = vec!["package.json".to_owned(), lock.path.to_owned()];
        files.extend(self.tree.has_file(".npmrc").then(|| ".npmrc".to_owned()));
        let mut key = self.versions_key();
        let inputs = match self.whole(lock) {
            Some(_) => {
                key.push(KeyPart::Whole);
                Inputs::Whole
            }
            None => {
                key.push(KeyPart::text("package.json", &package_json.content));
                key.extend(files.iter().filter(|path| *path != "package.json").cloned().map(KeyPart::File));
                Inputs::Files(files)
            }
        };
        let config = self.install_config();
        key.extend(config.iter().cloned().map(KeyPart::Config));
        let folders = std::iter::once("node_modules".to_owned()).chain(lock.nested.iter().cloned());
        let argv = ["npm", "ci", which, "--no-audit", "--no-fund"];
        let title = if launch { "Installing dependencies" } else { "Installing dependencies for the build" };
        Layer {
            launch,
            key,
            inputs,
            input_files: vec![package_json],
            mounts: vec![self.node_mount()],
            config: if config.is_empty() { ConfigVars::None } else { ConfigVars::Named(config) },
            env: self.build_env(),
            steps: vec![Step::new(title, &argv)],
            outputs: folders.map(|folder| Output::of_app(&folder, &[])).collect(),
            ..Layer::empty(name, Scope::App)
        }
    }

    /// Why installing sees all sources, if it does.
    pub(crate) fn whole(&self, lock: &Lock) -> Option<String> {
        self.package.workspaces.then(|| "package.json has workspaces".to_owned()).or_else(|| lock.local.clone())
    }

    /// The layers that make package-lock.json, which look into `files`.
    pub(crate) fn locking(&self, files: Vec<String>, before: Option<String>) -> Vec<Layer> {
        let config = self.install_config();
        let argv = ["sh", "-c", RESOLVE, "resolve", LOCKED];
        let before = before.map(|content| GeneratedFile { path: format!("{APP}/{LOCK}"), content, executable: false });
        let layer = Layer {
            inputs: if self.package.has_local() { Inputs::Whole } else { Inputs::Files(files) },
            input_files: before.into_iter().collect(),
            mounts: vec![self.node_mount()],
            config: if config.is_empty() { ConfigVars::None } else { ConfigVars::Named(config) },
            env: self.build_env(),
            ..locking::layer(vec![Step::new("Choosing versions of dependencies", &argv)])
        };
        vec![self.runtime(self.site.is_none()), layer]
    }

    fn app(&self, for_build: &str) -> Layer {
        let nested = self.lock.iter().flat_map(|lock| lock.nested.iter().cloned());
        let folders: Vec<String> = std::iter::once("node_modules".to_owned()).chain(nested).collect();
        let installed = self.lock.is_some();
        let mut exclude: Vec<&str> = folders.iter().filter(|_| installed).map(String::as_str).collect();
        let mut layer = Layer { key: vec![KeyPart::Whole], inputs: Inputs::Whole, ..Layer::empty("app", Scope::App) };
        if !self.scripts.is_empty() {
            layer.key.extend(self.versions_key());
            layer.key.push(KeyPart::AllConfig);
            layer.config = ConfigVars::All;
            layer.env = self.build_env();
            layer.steps = self
                .scripts
                .iter()
                .map(|name| Step::new(format!("Running npm run {name}"), &["npm", "run", name]))
                .collect();
            layer.mounts.push(self.node_mount());
            exclude.push(".next/cache");
        }
        if let Some(site) = &self.site {
            layer.outputs.push(Output::of_app(site, &[]));
        } else {
            layer.outputs.push(Output::of_app("", &exclude));
        }
        for folder in folders.iter().filter(|_| !for_build.is_empty()) {
            let from = format!("{APP}/{folder}");
            let (layer_name, at) = (for_build.to_owned(), from.clone());
            layer.mounts.push(Mount { layer: layer_name, from, at, mode: MountMode::Overlay });
            if self.site.is_none() {
                layer.outputs.push(Output::of_app(folder, &[".cache", ".vite"]));
            }
        }
        layer
    }

    fn versions_key(&self) -> Vec<KeyPart> {
        vec![KeyPart::text("node", &self.versions.node), KeyPart::text("npm", &self.versions.npm), KeyPart::Stack]
    }

    fn node_mount(&self) -> Mount {
        Mount { layer: "runtime".into(), from: "/layers/runtime".into(), at: NODE.into(), mode: MountMode::ReadOnly }
    }

    fn build_env(&self) -> Vec<Env> {
        // Where node-gyp finds Node's headers; npm warns of the older name since 11.
        let headers = match Version::parse(&self.versions.npm) {
            Some(npm) if npm.major < 11 => "npm_config_nodedir",
            Some(_) | None => "npm_package_config_node_gyp_nodedir",
        };
        vec![
            Env::path("PATH", &format!("{NODE}/bin")),
            Env::default("NODE_ENV", "production"),
            Env::default("HUSKY", "0"),
            Env::set("npm_config_cache", &format!("{CACHE}/npm")),
            Env::set("npm_config_update_notifier", "false"),
            Env::set(headers, NODE),
        ]
    }

    /// The config vars that installing sees: those that .npmrc names, and those of [`INSTALL_CONFIG`].
    fn install_config(&self) -> Vec<String> {
        let npmrc = match self.tree.find(".npmrc") {
            Found::File(content) => String::from_utf8_lossy(content).into_owned(),
            Found::Nothing | Found::NotAFile | Found::Unread => String::new(),
        };
        let named = |name: &str| npmrc.contains(&format!("${{{name}}}")) || npmrc.contains(&format!("${{{name}?}}"));
        let known = |name: &str| INSTALL_CONFIG.iter().any(|start| name.starts_with(start));
        let mut config: Vec<String> = self.config.iter().filter(|name| named(name) || known(name)).cloned().collect();
        config.sort();
        config.dedup();
        config
    }
}
