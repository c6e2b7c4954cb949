//! Layers of an image: the known ones by their record, the others built or packed; then the image's configuration.

use super::keys::{KeyContext, key};
use super::pack::{self, Order};
use super::sandbox::{self, Sandbox};
use super::single_flight::Packing;
use super::sources::{APP_UID, make_folder};
use super::times::Part;
use super::workspace::{Folders, Lent};
use super::{Builder, Work};
use buildpacks::{ConfigVars, Env, EnvOp, Inputs, MountMode, Scope};
use engine::Mount;
use engine::images::{BlobStore, ImageConfig, Layer, Stack, architecture};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use system::fault::{Act, Fault, Result};
use system::host_checks::bytes_below;
use system::layout::GONE;
use system::proc::remove_tree;
use system::tasks::blocking;

/// A layer that was packed: its digest is enough, the engine may have its bytes already.
#[derive(Debug, Serialize, Deserialize)]
struct LayerRecord {
    digest: String,
    size: u64,
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One layer of the plan with its key and where things of it are kept.
struct Item<'a> {
    layer: &'a buildpacks::Layer,
    key: String,
    record: PathBuf,
    kept: PathBuf,
    /// The times of its files, where it is an image's layer and the app's own.
    times: Option<Part>,
    /// Whether a later layer's steps see its outputs.
    mounted: bool,
    /// Whether it is taken as it is where it is there.
    reuse: bool,
}

impl Item<'_> {
    /// What is fetched for any app and needs no other layer: a runtime, an installer.
    fn is_fetched(&self) -> bool {
        self.layer.scope == Scope::Host && self.layer.mounts.is_empty() && !self.layer.steps.is_empty()
    }
    /// Whether nothing of it must be made.
    fn is_there(&self) -> bool {
        self.reuse && (!self.layer.launch || self.known().is_some()) && (!self.mounted || use_kept(&self.kept))
    }
    /// The layer as it was packed, if no other content was packed after it: its files would be older than what browsers got
    /// meanwhile, and many servers then say that nothing changed.
    fn known(&self) -> Option<Layer> {
        let latest = self.times.as_ref().is_none_or(|times| times.latest().as_ref() == Some(&self.key));
        read_record(&self.record).filter(|_| latest)
    }
    /// The bytes of a layer that something else came after. What comes from git alone is packed from there.
    fn outdated(&self, blobs: &BlobStore) -> Option<File> {
        let made = !self.layer.steps.is_empty() && self.known().is_none();
        let layer = read_record(&self.record).filter(|_| made)?;
        File::open(blobs.find(&layer.digest)?).ok()
    }
    /// What packing it takes.
    fn order(&self) -> Order {
        Order { layer: self.layer.clone(), key: self.key.clone(), times: self.times.clone() }
    }
    fn kept_output(&self, from: &str) -> PathBuf {
        let n = self.layer.outputs.iter().position(|o| o.from == from).unwrap_or(0);
        self.kept.join(n.to_string())
    }
}

impl Builder {
    /// The launch layers in order. With `use_known`, known ones are not made again.
    pub(super) async fn layers(&self, work: &Work<'_>, use_known: bool) -> Result<Vec<Layer>> {
        let items = items(work, use_known);
        let needed = needed(&items, use_known, self.registry.blobs());
        let mut made = self.make_together(work, &items, &needed).await?;
        let mut launch = Vec::new();
        for (item, needed) in items.iter().zip(&needed) {
            let known = if item.layer.launch && use_known { item.known() } else { None };
            let layer = match known {
                Some(layer) if !needed => Some(layer),
                Some(_) | None if *needed => match made.remove(&item.layer.name) {
                    Some(layer) => layer,
                    None => self.make(work, &items, item).await?,
                },
                None if item.layer.launch => Some(self.pack_again(item).await?),
                known => known,
            };
            if item.layer.launch {
                launch.push(layer.ok_or_else(|| Fault::plain(format!("the layer {} was not made", item.layer.name)))?);
            }
        }
        Ok(launch)
    }

    /// What is fetched is made at the same time, in one place: it mostly waits for the network.
    async fn make_together(
        &self,
        work: &Work<'_>,
        items: &[Item<'_>],
        needed: &[bool],
    ) -> Result<BTreeMap<String, Option<Layer>>> {
        let needed = items.iter().zip(needed).filter(|(_, needed)| **needed);
        let fetched: Vec<&Item<'_>> = needed.map(|(item, _)| item).filter(|item| item.is_fetched()).collect();
        if fetched.len() < 2 {
            return Ok(BTreeMap::new());
        }
        for item in &fetched {
            self.await_flight(work, item).await?;
        }
        let _slot = self.slot(work.p, work.ask, work.job).await?;
        let layers = fetched.iter().map(|item| self.make_here(work, items, item));
        let layers = futures_util::future::try_join_all(layers).await?;
        Ok(fetched.iter().map(|item| item.layer.name.clone()).zip(layers).collect())
    }

    /// Makes what is fetched and not there, for nobody yet. Says what it was.
    pub(super) async fn fetched_layers(&self, work: &Work<'_>) -> Result<Vec<String>> {
        let items = items(work, true);
        let missing: Vec<&Item<'_>> = items.iter().filter(|item| item.is_fetched() && !item.is_there()).collect();
        let making = missing.iter().map(|item| self.make_here(work, &items, item));
        futures_util::future::try_join_all(making).await?;
        let title = |title: &str| title.strip_prefix("Fetching ").unwrap_or(title).to_owned();
        Ok(missing.iter().flat_map(|item| &item.layer.steps).map(|step| title(&step.title)).collect())
    }

    async fn make(&self, work: &Work<'_>, items: &[Item<'_>], item: &Item<'_>) -> Result<Option<Layer>> {
        let blobs = Arc::clone(self.registry.blobs());
        if item.layer.steps.is_empty() {
            let (sources, order) = (Arc::clone(&work.sources), item.order());
            let packed = blocking("pack the app", move || pack::sources(&blobs, &order, &sources)).await?;
            write_record(&item.record, &packed).await?;
            return Ok(Some(packed));
        }
        self.await_flight(work, item).await?;
        let _slot = self.slot(work.p, work.ask, work.job).await?;
        self.make_here(work, items, item).await
    }

    /// A layer that something else came after, with the times that its files have from now on.
    async fn pack_again(&self, item: &Item<'_>) -> Result<Layer> {
        let (blobs, order) = (Arc::clone(self.registry.blobs()), item.order());
        let Some(bytes) = item.outdated(&blobs) else {
            return Err(Fault::plain("a layer's bytes went away meanwhile").transient().into());
        };
        let packed = blocking("pack a layer again", move || pack::again(&blobs, &order, bytes)).await?;
        write_record(&item.record, &packed).await?;
        Ok(packed)
    }

    /// Waits until nobody else makes this layer, before there is a place to take: the one who makes it may need it.
    async fn await_flight(&self, work: &Work<'_>, item: &Item<'_>) -> Result<()> {
        if item.layer.scope == Scope::App {
            return Ok(());
        }
        let say = || {
            item.layer.steps.iter().for_each(|step| work.job.head(&step.title));
            work.job.detail("This is being fetched already; waiting for it");
        };
        match tokio::time::timeout_at(work.ask.ends(), self.flights.enter(&item.kept, say)).await {
            Ok(_over) => Ok(()),
            Err(_) => Err(sandbox::too_long(work.p).into()),
        }
    }

    /// Runs the steps of the plan's last layer, after making what they need, and hands over the folder where it left what it
    /// makes. Nothing of it is kept.
    pub(super) async fn made<T: Send + 'static>(
        &self,
        work: &Work<'_>,
        take: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let items = items(work, true);
        let (last, others) = items.split_last().ok_or_else(|| Fault::plain("a plan without layers"))?;
        let needed: Vec<bool> = others.iter().map(|item| !item.is_there()).collect();
        let mut made = self.make_together(work, others, &needed).await?;
        for (item, needed) in others.iter().zip(needed) {
            if needed && made.remove(&item.layer.name).is_none() {
                self.make(work, &items, item).await?;
            }
        }
        let _slot = self.slot(work.p, work.ask, work.job).await?;
        let stack = self.stack(work.p, work.stack, last.layer.base, work.job).await?;
        sandbox::clear(work.p, work.ask, &last.layer.name).await?;
        let (folders, _lent) = prepare(work, last.layer, &stack, self.packs.begin(work.ask.deploy)).await?;
        let sandbox = self.sandbox(work, &items, last, &folders, &stack)?;
        sandbox::run(work.p, work.ask, work.job, &sandbox).await?;
        let (layer, packing) = (last.layer.clone(), self.packs.begin(work.ask.deploy));
        blocking("take what a build made", move || {
            let _packing = packing;
            let from = layer.outputs.first().map_or("", |output| output.from.as_str());
            let folder = folders.made(&layer, from)?.ok_or_else(|| Fault::plain(format!("nothing is at {from}")))?;
            let taken = take(&folder);
            folders.remove();
            taken
        })
        .await
    }

    /// The same in a place that is taken.
    async fn make_here(&self, work: &Work<'_>, items: &[Item<'_>], item: &Item<'_>) -> Result<Option<Layer>> {
        let (layer, blobs) = (item.layer.clone(), Arc::clone(self.registry.blobs()));
        let _flight = match layer.scope {
            Scope::App => None,
            Scope::Host => {
                let flight = self.flights.enter(&item.kept, || ()).await;
                // Somebody else may have made it since it was looked for.
                if item.is_there() {
                    return Ok(item.known().filter(|_| layer.launch));
                }
                Some(flight)
            }
        };
        let stack = self.stack(work.p, work.stack, layer.base, work.job).await?;
        sandbox::clear(work.p, work.ask, &layer.name).await?;
        let (folders, lent) = prepare(work, &layer, &stack, self.packs.begin(work.ask.deploy)).await?;
        let sandbox = self.sandbox(work, items, item, &folders, &stack)?;
        sandbox::run(work.p, work.ask, work.job, &sandbox).await?;
        drop(lent);
        let (order, kept, mounted) = (item.order(), item.kept.clone(), item.mounted);
        // The work goes on where nobody waits for it any more; the folder stays until then.
        let packing = self.packs.begin(work.ask.deploy);
        let packed = blocking("pack a layer", move || {
            let _packing = packing;
            let packed = if layer.launch { Some(pack::outputs(&blobs, &order, &folders)?) } else { None };
            if mounted {
                keep_outputs(&folders, &layer, &kept)?;
            }
            folders.remove();
            Ok(packed)
        })
        .await?;
        if let Some(packed) = &packed {
            write_record(&item.record, packed).await?;
        }
        Ok(packed)
    }

    fn sandbox(
        &self,
        work: &Work<'_>,
        items: &[Item<'_>],
        item: &Item<'_>,
        folders: &Folders,
        stack: &Stack,
    ) -> Result<Sandbox> {
        let layer = item.layer;
        let bind = |host: PathBuf, at: &str, writable| Mount::Bind { host, at: at.to_owned(), writable };
        let own = format!("/layers/{}", layer.name);
        let mut mounts = vec![
            bind(folders.app(), buildpacks::APP, true),
            bind(folders.own(), &own, true),
            Mount::Tmpfs { at: "/tmp".to_owned(), size: 2_000_000_000 },
            Mount::Tmpfs { at: "/var/tmp".to_owned(), size: 2_000_000_000 },
        ];
        let mut watched = vec![folders.root().to_path_buf()];
        if layer.scope == Scope::App {
            let cache = work.p.layout.app_cache(&work.ask.app);
            mounts.push(bind(cache.clone(), buildpacks::CACHE, true));
            watched.push(cache);
        }
        for (n, mount) in layer.mounts.iter().enumerate() {
            let earlier = items.iter().find(|i| i.layer.name == mount.layer).ok_or_else(|| {
                Fault::plain(format!("the layer {} needs {}, which is not there", layer.name, mount.layer))
            })?;
            let lower = earlier.kept_output(&mount.from);
            mounts.push(match mount.mode {
                MountMode::ReadOnly => bind(lower, &mount.at, false),
                MountMode::Overlay => {
                    Mount::Overlay { lower, upper: folders.upper(n), work: folders.scratch(n), at: mount.at.clone() }
                }
            });
        }
        Ok(Sandbox {
            part: layer.name.clone(),
            image: stack.image.clone(),
            steps: folders.steps(),
            titles: layer.steps.iter().map(|s| s.title.clone()).collect(),
            mounts,
            watched,
        })
    }
}

fn items<'a>(work: &'a Work<'_>, reuse: bool) -> Vec<Item<'a>> {
    let mut earlier = BTreeMap::new();
    let mut items: Vec<Item<'a>> = Vec::new();
    for layer in &work.plan.layers {
        let context =
            KeyContext { sources: &work.sources, config: &work.config, stacks: &work.stacks, earlier: &earlier };
        let key = key(layer, &context);
        let scope = match layer.scope {
            Scope::Host => "host",
            Scope::App => work.ask.app.as_str(),
        };
        let name = format!("{}-{key}", layer.name);
        let mounted = work.plan.layers.iter().any(|l| l.mounts.iter().any(|m| m.layer == layer.name));
        let records = work.p.layout.layer_records(scope);
        let timed = layer.launch && layer.scope == Scope::App;
        items.push(Item {
            layer,
            times: timed.then(|| Part::new(&records, &layer.name)),
            record: records.join(format!("{name}.json")),
            kept: work.p.layout.kept(scope).join(&name),
            key: key.clone(),
            mounted,
            reuse,
        });
        earlier.insert(layer.name.clone(), key);
    }
    items
}

/// Which layers must be made: launch layers that are not known, and what their steps need and is not kept.
fn needed(items: &[Item<'_>], use_known: bool, blobs: &BlobStore) -> Vec<bool> {
    let is_packed = |item: &Item<'_>| item.known().is_some() || item.outdated(blobs).is_some();
    let mut needed: Vec<bool> = items.iter().map(|i| i.layer.launch && !(use_known && is_packed(i))).collect();
    for at in (0..items.len()).rev() {
        if !needed.get(at).copied().unwrap_or(false) {
            continue;
        }
        let mounts = items.get(at).map(|i| i.layer.mounts.as_slice()).unwrap_or_default();
        for mount in mounts {
            for (item, flag) in items.iter().zip(needed.iter_mut()).take(at) {
                if item.layer.name == mount.layer && !(use_known && use_kept(&item.kept)) {
                    *flag = true;
                }
            }
        }
    }
    needed
}

/// Whether a kept layer is there; its time says when it was last used, which keeps it from being swept.
fn use_kept(kept: &Path) -> bool {
    std::fs::File::open(kept).and_then(|folder| folder.set_modified(std::time::SystemTime::now())).is_ok()
}

async fn prepare(
    work: &Work<'_>,
    layer: &buildpacks::Layer,
    stack: &Stack,
    laying: Packing,
) -> Result<(Folders, Option<Lent>)> {
    let steps = steps_file(work, layer, stack);
    let (builds, deploy, layer) = (work.p.layout.builds(), work.ask.deploy, layer.clone());
    let (sources, cache) = (Arc::clone(&work.sources), work.p.layout.app_cache(&work.ask.app));
    let (cache_max, job) = (work.p.settings.build_disk / 2, work.job.clone());
    blocking("lay out a build", move || {
        let _laying = laying;
        let folders = Folders::fresh(&builds, deploy, &layer)?;
        match &layer.inputs {
            Inputs::None => {}
            Inputs::Files(names) => {
                sources.lay(&folders.app(), Some(&names.iter().cloned().collect::<BTreeSet<_>>()))?
            }
            Inputs::Whole => sources.lay(&folders.app(), None)?,
        }
        for file in &layer.input_files {
            super::sources::write_file(&folders.host_path(&layer, &file.path)?, &file.content, file.executable)?;
        }
        if layer.scope == Scope::App {
            // A cache that leaves a build no room would fail every build from here on.
            if bytes_below(&cache, cache_max) > cache_max {
                job.detail("The build cache is larger than half the disk limit; starting with an empty one");
                remove_tree(&cache).act(|| format!("cannot empty {}", cache.display()))?;
            }
            make_folder(&cache)?;
        }
        write_whole(&folders.steps(), steps.as_bytes())?;
        let lent = folders.lend(&layer, &cache)?;
        Ok((folders, lent))
    })
    .await
}

/// The steps with their whole environment: base, config vars, the layer's, the step's.
fn steps_file(work: &Work<'_>, layer: &buildpacks::Layer, stack: &Stack) -> String {
    let mut base = sandbox::base_env(work.p, work.ask, stack);
    for (name, value) in &work.config {
        let seen = match &layer.config {
            ConfigVars::None => false,
            ConfigVars::Named(names) => names.iter().any(|n| n == name.as_str()),
            ConfigVars::All => true,
        };
        if seen {
            base.insert(name.to_string(), value.reveal().clone());
        }
    }
    apply_env(&mut base, &layer.env);
    let steps: Vec<serde_json::Value> = layer
        .steps
        .iter()
        .map(|step| {
            let mut env = base.clone();
            apply_env(&mut env, &step.env);
            serde_json::json!({"name": layer.name, "title": step.title, "argv": step.argv, "cwd": step.cwd, "env": env})
        })
        .collect();
    serde_json::json!({ "steps": steps }).to_string()
}

fn apply_env(env: &mut BTreeMap<String, String>, changes: &[Env]) {
    for change in changes {
        let old = env.get(&change.name).cloned();
        let new = match (&change.op, old) {
            (EnvOp::Set, _) | (EnvOp::Default | EnvOp::Prepend(_) | EnvOp::Append(_), None) => change.value.clone(),
            (EnvOp::Default, Some(old)) => old,
            (EnvOp::Prepend(between), Some(old)) => format!("{}{between}{old}", change.value),
            (EnvOp::Append(between), Some(old)) => format!("{old}{between}{}", change.value),
        };
        env.insert(change.name.clone(), new);
    }
}

/// Moves outputs to where later builds find them; the move of the whole folder is the last act.
fn keep_outputs(folders: &Folders, layer: &buildpacks::Layer, kept: &Path) -> Result<()> {
    let parent = kept.parent().ok_or_else(|| Fault::plain("a kept layer without a folder"))?;
    let staging = folders.root().join("kept");
    let act = || format!("cannot keep the layer {}", layer.name);
    std::fs::create_dir_all(&staging).act(act)?;
    for (n, output) in layer.outputs.iter().enumerate() {
        let to = staging.join(n.to_string());
        match folders.made(layer, &output.from)? {
            Some(host) => std::fs::rename(&host, &to).act(act)?,
            None if layer.scope == Scope::Host => {
                return Err(Fault::plain(format!("nothing is at {} of the layer {}", output.from, layer.name)).into());
            }
            None => make_folder(&to)?,
        }
    }
    std::fs::create_dir_all(parent).act(act)?;
    match layer.scope {
        // A build of another app may have it mounted: it goes by the sweep, when that is over.
        Scope::Host if kept.exists() => {
            let aside = kept.with_file_name(format!("{GONE}{:08x}", rand::random::<u32>()));
            std::fs::rename(kept, &aside).act(act)?;
            use_kept(&aside);
        }
        Scope::Host => {}
        Scope::App => remove_tree(kept).act(act)?,
    }
    std::fs::rename(&staging, kept).act(act)?;
    Ok(())
}

fn read_record(path: &Path) -> Option<Layer> {
    let record: LayerRecord = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(Layer { digest: record.digest.parse().ok()?, size: record.size })
}

async fn write_record(path: &Path, layer: &Layer) -> Result<()> {
    let record = LayerRecord { digest: layer.digest.to_string(), size: layer.size };
    let (path, text) = (path.to_path_buf(), serde_json::to_string(&record).act(|| "cannot write down a layer")?);
    blocking("remember a layer", move || write_whole(&path, text.as_bytes())).await
}

/// Writes a file of ours with its folder, closed to others.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let act = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).act(act)?;
    }
    Ok(system::whole::write(path, bytes, 0o600).act(act)?)
}

/// The image: the stack's layer below ours, the plan's environment.
pub(super) fn image_config(work: &Work<'_>, run: &Stack, layers: &[Layer]) -> ImageConfig {
    let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned()), ("HOME".to_owned(), "/app".to_owned())]);
    env.insert("LANG".to_owned(), "C.UTF-8".to_owned());
    apply_env(&mut env, &work.plan.launch_env);
    ImageConfig {
        env,
        workdir: "/app".to_owned(),
        user: format!("{APP_UID}:{APP_UID}"),
        labels: BTreeMap::from([
            (domain::instance::INSTALL_LABEL.to_owned(), work.p.install.to_string()),
            ("hoist.app".to_owned(), work.ask.app.to_string()),
        ]),
        cmd: Vec::new(),
        exposed_port: Some(domain::instance::PORT),
        created: work.sources.time.rfc3339(),
        layers: std::iter::once(run.layer.clone()).chain(layers.iter().cloned()).collect(),
        architecture: architecture().to_owned(),
    }
}
