//! The layers of a Python app: Python, the installer, dependencies, app.
//! Invariant: what is kept for other apps is made without any file, cache or config var of this one; bytecode in the image
//! is valid by its hash, as no file there has a time. The environment that is kept for the app's builds shares files with
//! the app's own cache of uv: steps that change files of that cache in place change both.
//! Absent: which packages; the lock file says that, and uv installs it.

use super::dependencies::{Dependencies, Manager};
use super::version::Python;
use crate::debian::APT;
use crate::locking::{self, LOCKED};
use crate::plan::{
    APP, CACHE, CacheAt, ConfigVars, Env, GeneratedFile, Inputs, KeyPart, Layer, Mount, MountMode, Output, Scope, Step,
};

/// Where Python lies, in the image and for the steps of a build.
pub(crate) const PYTHON: &str = "/opt/python";
const UV: &str = "/opt/uv";
const VENV: &str = "/app/.venv";
/// Where uv's cache lies while dependencies are installed: beside the environment, which gets links to its files.
const UV_CACHE: &str = "/app/.hoist-uv";
/// Where the lines made from Pipfile.lock lie during the build.
const LINES: &str = "/app/.hoist-requirements.txt";
/// Unpacks Debian's Python. `$1` is the suite, `$2` the line, `$3` the folder.
const FETCH: &str = r#": >/tmp/status
apt_for "$1" /tmp/status
cd "$apt/debs"
apt-get -qq download "python$2" "python$2-minimal" "libpython$2-minimal" "libpython$2-stdlib" "libpython$2-dev"
mkdir "$apt/root"
for deb in *.deb; do dpkg-deb -x "$deb" "$apt/root"; done
cd "$apt/root/usr"
rm -rf share/man share/applications share/binfmts share/lintian share/pixmaps lib/binfmt.d src lib/python3
rm -f lib/python"$2"/config-*/*.a lib/*/*.a lib/python"$2"/sitecustomize.py lib/python"$2"/EXTERNALLY-MANAGED
cp -a . "$3"
ln -s "python$2" "$3/bin/python3"
ln -s python3 "$3/bin/python"
"$3/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$3/lib/python$2" >/dev/null || true
"$3/bin/python" --version
"#;
/// Takes pip's names for private registries as well as uv's, then runs the rest.
const WITH_INDEX: &str = r#"[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ -z "${PIP_EXTRA_INDEX_URL:-}" ] || export UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}"
exec "$@"
"#;
/// Config vars that installing sees, by the start of their name.
const INSTALL_CONFIG: [&str; 3] = ["PIP_", "UV_", "POETRY_"];

pub(crate) struct Make<'a> {
    pub(crate) python: &'a Python,
    pub(crate) uv: &'a str,
    pub(crate) poetry: Option<&'a str>,
    pub(crate) dependencies: Option<&'a Dependencies>,
    pub(crate) config: &'a [String],
    /// Names of config vars that the files of the dependencies refer to.
    pub(crate) named: Vec<String>,
    pub(crate) collectstatic: bool,
}

impl Make<'_> {
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let mut layers = vec![self.runtime()];
        if let Some(dependencies) = self.dependencies {
            layers.push(self.installer());
            layers.push(self.install(dependencies));
        }
        layers.push(self.app());
        layers
    }

    fn runtime(&self) -> Layer {
        let Python { version, suite, .. } = self.python;
        let folder = "/layers/runtime";
        let script = format!("{APT}{FETCH}");
        let argv = ["sh", "-c", &script, "fetch-python", suite, &version.line(), folder];
        Layer {
            key: vec![KeyPart::text("python", &version.to_string()), KeyPart::text("suite", suite), KeyPart::Stack],
            steps: vec![Step::new(format!("Fetching Python {version}"), &argv).at("/tmp")],
            outputs: vec![Output { from: folder.into(), to: PYTHON.into(), exclude: vec!["include".into()] }],
            ..Layer::empty("runtime", Scope::Host)
        }
    }

    fn installer(&self) -> Layer {
        let (folder, package) = ("/layers/installer", format!("uv=={}", self.uv));
        let pip = ["python3", "-m", "pip", "install", "-q", "--no-deps", "--no-cache-dir", "--break-system-packages"];
        let argv = [pip.as_slice(), &["--no-compile", "--only-binary=:all:", "--target", folder, &package]].concat();
        Layer {
            launch: false,
            key: vec![KeyPart::text("uv", self.uv), KeyPart::Stack],
            steps: vec![Step::new(format!("Fetching uv {}", self.uv), &argv).at("/tmp")],
            env: vec![Env::set("PIP_DISABLE_PIP_VERSION_CHECK", "1"), Env::set("PIP_ROOT_USER_ACTION", "ignore")],
            outputs: vec![Output { from: folder.into(), to: UV.into(), exclude: Vec::new() }],
            ..Layer::empty("installer", Scope::Host)
        }
    }

    fn install(&self, found: &Dependencies) -> Layer {
        let mut key = self.versions_key();
        let inputs = match found.local {
            Some(_) => {
                key.push(KeyPart::Whole);
                Inputs::Whole
            }
            None => {
                key.extend(found.files.iter().cloned().map(KeyPart::File));
                Inputs::Files(found.files.clone())
            }
        };
        let config = self.install_config();
        // A package of the app's own is built from its whole folder, where nothing else may lie.
        let cache_at = match inputs {
            Inputs::Files(_) => Some(CacheAt { folder: "uv".into(), at: UV_CACHE.into() }),
            Inputs::None | Inputs::Whole => None,
        };
        key.extend(config.iter().cloned().map(KeyPart::Config));
        let title = "Installing dependencies";
        let venv = Step::new("Making the environment", &["uv", "venv", "-q", "--no-project", VENV]);
        let from =
            |file: &str| self.step(title, &["uv", "pip", "install", "--python", VENV, "--no-progress", "-r", file]);
        let steps = match found.manager {
            Manager::Uv => {
                let argv = ["uv", "sync", "--locked", "--no-default-groups", "--no-install-project", "--no-progress"];
                vec![self.step(title, &argv)]
            }
            Manager::Poetry => {
                let tool = format!("poetry=={}", self.poetry.unwrap_or_default());
                let plugin = ["uv", "tool", "run", "-q", "--from", &tool, "--with", "poetry-plugin-export"];
                let export = ["poetry", "export", "--only=main", "-o", "/tmp/requirements.txt"];
                let mut read = self.step("Reading poetry.lock", &[plugin.as_slice(), &export].concat());
                read.env.push(Env::set("UV_COMPILE_BYTECODE", "0"));
                vec![read, venv, from("/tmp/requirements.txt")]
            }
            Manager::Pipenv => vec![venv, from(LINES)],
            Manager::Pip => vec![venv, from("requirements.txt")],
        };
        let made = |(path, content): (&str, &String)| GeneratedFile {
            path: path.to_owned(),
            content: content.clone(),
            executable: false,
        };
        let lists = found.rewritten.iter().map(|(path, text)| (format!("{APP}/{path}"), text));
        let lists: Vec<(String, &String)> = lists.collect();
        Layer {
            key,
            inputs,
            input_files: found
                .requirements
                .iter()
                .map(|text| (LINES, text))
                .chain(lists.iter().map(|(path, text)| (path.as_str(), *text)))
                .map(made)
                .collect(),
            mounts: self.tools(),
            config: if config.is_empty() { ConfigVars::None } else { ConfigVars::Named(config) },
            env: match &cache_at {
                Some(lent) => self.build_env(&lent.at, "hardlink"),
                None => self.build_env(&format!("{CACHE}/uv"), "copy"),
            },
            cache_at,
            steps,
            outputs: vec![Output::of_app(".venv", &[])],
            ..Layer::empty("dependencies", Scope::App)
        }
    }

    /// The layers that make a lock file: uv and Poetry keep the versions of one that is there where they still fit. It sees
    /// these files, or all.
    pub(crate) fn locking(&self, manager: Manager, files: Option<Vec<String>>, before: Option<String>) -> Vec<Layer> {
        let lock = manager.file();
        let tool = format!("poetry=={}", self.poetry.unwrap_or_default());
        let lend = Step::new("Making the environment", &["uv", "venv", "-q", "--no-project", VENV]);
        let title = "Choosing versions of dependencies";
        let mut steps = match manager {
            Manager::Poetry => {
                vec![lend, self.step(title, &["uv", "tool", "run", "-q", "--from", &tool, "poetry", "lock", "-n"])]
            }
            Manager::Uv | Manager::Pipenv | Manager::Pip => vec![self.step(title, &["uv", "lock", "--no-progress"])],
        };
        steps.push(Step::new("Keeping them", &["cp", lock, &format!("{LOCKED}/{lock}")]));
        let config = self.install_config();
        let before = before.map(|content| GeneratedFile { path: format!("{APP}/{lock}"), content, executable: false });
        let layer = Layer {
            inputs: files.map_or(Inputs::Whole, Inputs::Files),
            input_files: before.into_iter().collect(),
            mounts: self.tools(),
            config: if config.is_empty() { ConfigVars::None } else { ConfigVars::Named(config) },
            env: self.build_env(&format!("{CACHE}/uv"), "copy"),
            ..locking::layer(steps)
        };
        vec![self.runtime(), self.installer(), layer]
    }

    fn app(&self) -> Layer {
        let mut layer = Layer { key: vec![KeyPart::Whole], inputs: Inputs::Whole, ..Layer::empty("app", Scope::App) };
        layer.outputs.push(Output::of_app("", &[".venv"]));
        if let Some(found) = self.dependencies.filter(|found| found.package) {
            let argv: &[&str] = match found.manager {
                Manager::Uv => &["uv", "sync", "--frozen", "--no-default-groups", "--no-progress"],
                _ => &["uv", "pip", "install", "--python", VENV, "--no-progress", "--no-deps", "-e", "."],
            };
            layer.steps.push(self.step("Installing the app's own package", argv));
            layer.outputs.push(Output::of_app(".venv", &[]));
        }
        if self.collectstatic {
            let mut step = Step::new("Collecting static files", &["python", "manage.py", "collectstatic", "--noinput"]);
            step.env.push(Env::set("PYTHONDONTWRITEBYTECODE", "1"));
            layer.steps.push(step);
        }
        if !layer.steps.is_empty() {
            layer.key.extend(self.versions_key());
            layer.key.push(KeyPart::AllConfig);
            layer.config = ConfigVars::All;
            layer.env = self.build_env(&format!("{CACHE}/uv"), "copy");
            layer.mounts = self.tools();
            if self.dependencies.is_some() {
                let (from, at) = (VENV.to_owned(), VENV.to_owned());
                layer.mounts.push(Mount { layer: "dependencies".into(), from, at, mode: MountMode::Overlay });
            } else {
                layer.mounts.retain(|mount| mount.layer == "runtime");
            }
        }
        layer
    }

    fn step(&self, title: &str, argv: &[&str]) -> Step {
        let private = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"].iter().any(|name| self.config.iter().any(|c| c == name));
        match private {
            true => Step::new(title, &[&["sh", "-c", WITH_INDEX, "with-index"], argv].concat()),
            false => Step::new(title, argv),
        }
    }

    fn versions_key(&self) -> Vec<KeyPart> {
        let mut key = vec![KeyPart::text("python", &self.python.version.to_string()), KeyPart::text("uv", self.uv)];
        key.extend(self.poetry.map(|version| KeyPart::text("poetry", version)));
        key.push(KeyPart::Stack);
        key
    }

    fn tools(&self) -> Vec<Mount> {
        let mount = |layer: &str, at: &str| Mount {
            layer: layer.into(),
            from: format!("/layers/{layer}"),
            at: at.into(),
            mode: MountMode::ReadOnly,
        };
        vec![mount("runtime", PYTHON), mount("installer", UV)]
    }

    /// The environment of steps, with uv's cache and how it brings files from there.
    fn build_env(&self, cache: &str, link_mode: &str) -> Vec<Env> {
        let headers = format!("{PYTHON}/include/python{}:{PYTHON}/include", self.python.version.line());
        vec![
            Env::path("PATH", &format!("{VENV}/bin:{UV}/bin:{PYTHON}/bin")),
            Env::set("VIRTUAL_ENV", VENV),
            Env::set("UV_PROJECT_ENVIRONMENT", VENV),
            Env::set("UV_PYTHON", &format!("{PYTHON}/bin/python3")),
            Env::set("UV_PYTHON_DOWNLOADS", "never"),
            Env::set("UV_CACHE_DIR", cache),
            Env::set("UV_LINK_MODE", link_mode),
            Env::set("UV_COMPILE_BYTECODE", "1"),
            Env::set("PYC_INVALIDATION_MODE", "UNCHECKED_HASH"),
            // Debian's Python looks for its headers where a package would put them.
            Env::path("CPATH", &headers),
            Env::set("PYTHONUNBUFFERED", "1"),
        ]
    }

    fn install_config(&self) -> Vec<String> {
        let wanted = |name: &str| {
            INSTALL_CONFIG.iter().any(|start| name.starts_with(start)) || self.named.iter().any(|named| named == name)
        };
        let mut config: Vec<String> = self.config.iter().filter(|name| wanted(name)).cloned().collect();
        config.sort();
        config.dedup();
        config
    }
}

/// The environment of every process.
pub(crate) fn launch_env(dependencies: Option<&Dependencies>) -> Vec<Env> {
    let path = match dependencies {
        Some(_) => format!("{VENV}/bin:{PYTHON}/bin"),
        None => format!("{PYTHON}/bin"),
    };
    let mut env = vec![
        Env::path("PATH", &path),
        Env::default("PYTHONUNBUFFERED", "1"),
        Env::path("PYTHONPATH", APP),
        // The router is the only one who reaches an instance.
        Env::default("FORWARDED_ALLOW_IPS", "*"),
    ];
    if dependencies.is_some_and(|found| found.may_have("gunicorn")) {
        env.push(Env::default("WEB_CONCURRENCY", "2"));
    }
    env
}
