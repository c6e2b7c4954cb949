//! Fetches the commits that submodules name, in a sandbox: the network of builds, its user, its limits, and no rights of the
//! server's. What it made is a pack that git looks through before anything reads it.
//!
//! Invariant: only the commit that is named is taken, whatever the other side has. Absent: logins.

use super::asked::Asked;
use super::sandbox::{self, Sandbox};
use super::sources::make_folder;
use super::{BuildAsk, Builder, assemble};
use buildpacks::Base;
use domain::push::{
    SUBMODULES_DEEP, judge_tree, submodule_address, submodule_unreachable, submodules_too_deep, submodules_with_lfs,
    too_many_submodules,
};
use domain::{Commit, text};
use engine::Mount;
use engine::images::Stack;
use git::Gitlink;
use jobs::Job;
use std::path::{Path, PathBuf};
use system::fault::{Act, Error, Result};
use system::proc::remove_tree;
use system::tasks::blocking;

/// Where the sandbox leaves packs.
const OUT: &str = "/out";
/// One commit of one repository, with the files that it has: the commit alone where the other side gives that, else from all
/// branches and tags. `$1` address, `$2` commit, `$3` where to.
const FETCH: &str = r#"set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https
rm -rf "$3.git" && git init -q --bare "$3.git" && cd "$3.git"
fetch() { git -c gc.auto=0 -c maintenance.auto=false fetch -q --no-tags --no-write-fetch-head "$@"; }
fetch --depth 1 -- "$1" "$2" 2>/dev/null || fetch -- "$1" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*'
git cat-file -e "$2^{commit}" 2>/dev/null || { echo "the commit $2 is in no branch and no tag there" >&2; exit 1; }
git rev-list --objects --no-walk "$2" | git pack-objects -q --stdout >"$3.pack"
rm -rf "$3.git"
"#;

/// One to fetch.
struct Wanted {
    path: String,
    commit: Commit,
    address: String,
}

impl Builder {
    /// Fetches what is missing, and what the fetched names in turn.
    pub(super) async fn fetch_submodules(&self, ask: &BuildAsk, job: &Job, asked: &Asked) -> Result<()> {
        let p = &self.p;
        p.repos.make_room_for_submodules(&ask.app).await?;
        let mut fetched = 0;
        for _ in 0..=SUBMODULES_DEEP {
            let wanted = self.missing(ask, asked.sources.root()).await?;
            if wanted.is_empty() {
                break;
            }
            fetched += wanted.len();
            too_many_submodules(fetched)?;
            let _slot = self.slot(p, ask, job).await?;
            let stack = self.stack(p, asked.settings.stack, Base::Build, job).await?;
            for one in &wanted {
                self.fetch_submodule(ask, job, &stack, one).await?;
            }
        }
        let (repos, app, commit) = (p.repos.clone(), ask.app.clone(), ask.commit.clone());
        let facts = blocking("inspect submodules", move || repos.reader(&app)?.inspect(&commit, true)).await?;
        // Those of the app's own were here before its push was taken.
        if let Some(path) = facts.lfs_pointers.iter().chain(&facts.lfs_extended).next() {
            return Err(submodules_with_lfs(path).into());
        }
        Ok(judge_tree(&facts)?)
    }

    async fn missing(&self, ask: &BuildAsk, root: &str) -> Result<Vec<Wanted>> {
        let (repos, app, commit, root) = (self.p.repos.clone(), ask.app.clone(), ask.commit.clone(), root.to_owned());
        let look = move || repos.reader(&app)?.missing_submodules(&commit, &root);
        let missing = blocking("look for submodules", look).await?;
        too_many_submodules(missing.len())?;
        let mut wanted = Vec::new();
        for Gitlink { path, commit, inside, gitmodules, depth } in missing {
            if depth > SUBMODULES_DEEP {
                return Err(submodules_too_deep(&path).into());
            }
            let address = submodule_address(&path, &inside, &gitmodules)?;
            wanted.push(Wanted { path, commit, address });
        }
        Ok(wanted)
    }

    async fn fetch_submodule(&self, ask: &BuildAsk, job: &Job, stack: &Stack, one: &Wanted) -> Result<()> {
        let (p, part) = (&self.p, "submodule");
        let folder = p.layout.builds().join(format!("{}-{part}", ask.deploy));
        let (out, steps) = (folder.join("out"), folder.join("steps.json"));
        let title = format!("Fetching submodule {}", text::plain(&one.path));
        sandbox::clear(p, ask, part).await?;
        lay_out(&folder, &out, &steps, self.steps(ask, stack, &title, one)).await?;
        let sandbox = Sandbox {
            part: part.to_owned(),
            image: stack.image.clone(),
            steps,
            titles: vec![title],
            mounts: vec![
                Mount::Bind { host: out.clone(), at: OUT.to_owned(), writable: true },
                Mount::Tmpfs { at: "/tmp".to_owned(), size: 100_000_000 },
            ],
            watched: vec![out.clone()],
        };
        match sandbox::run(p, ask, job, &sandbox).await {
            Ok(()) => {}
            Err(Error::Refused(no)) if no.code == domain::refusal::Code::BuildFailed => {
                return Err(submodule_unreachable(&one.path, &one.address).into());
            }
            Err(err) => return Err(err),
        }
        p.repos.take_submodule(&ask.app, &out.join("one.pack")).await?;
        job.detail(format!("{} from {}", one.commit.short(), text::plain(&one.address)));
        blocking("remove a submodule's folder", move || {
            remove_tree(&folder).act(|| format!("cannot remove {}", folder.display()))?;
            Ok(())
        })
        .await
    }

    fn steps(&self, ask: &BuildAsk, stack: &Stack, title: &str, one: &Wanted) -> String {
        let argv = ["/bin/sh", "-c", FETCH, "fetch", &one.address, one.commit.as_str(), "/out/one"];
        let env = sandbox::base_env(&self.p, ask, stack);
        let step = serde_json::json!({"name": "submodule", "title": title, "argv": argv, "cwd": "/tmp", "env": env});
        serde_json::json!({ "steps": [step] }).to_string()
    }
}

async fn lay_out(folder: &Path, out: &Path, steps: &Path, text: String) -> Result<()> {
    let (folder, out, steps): (PathBuf, PathBuf, PathBuf) = (folder.to_owned(), out.to_owned(), steps.to_owned());
    blocking("lay out a submodule", move || {
        remove_tree(&folder).act(|| format!("cannot empty {}", folder.display()))?;
        std::fs::create_dir_all(&folder).act(|| format!("cannot make {}", folder.display()))?;
        make_folder(&out)?;
        assemble::write_whole(&steps, text.as_bytes())
    })
    .await
}
