//! One app of a test: a git repository made from a fixture, pushed by one user.

use crate::http::Response;
use crate::proc::{Output, Running};
use crate::user::User;
use crate::world::{World, repository};
use std::path::{Path, PathBuf};

/// A local repository with the remote `hoist`.
#[derive(Debug)]
pub struct App<'w> {
    world: &'w World,
    /// Who pushes.
    pub user: User,
    /// The app's name.
    pub name: String,
    /// The repository's folder.
    pub dir: PathBuf,
}

impl<'w> App<'w> {
    /// A repository in `dir` with the files of `fixture` committed on `main`.
    pub fn new(world: &'w World, user: User, name: &str, fixture: &str, dir: PathBuf) -> App<'w> {
        copy(&repository().join(fixture), &dir);
        let app = App { world, user, name: name.to_owned(), dir };
        app.git(&["init", "-q", "-b", "main"]).ok();
        app.git(&["remote", "add", "hoist", &app.user.remote(name)]).ok();
        // Two repositories made within a second must not have the same commit.
        app.commit(&format!("first in {}", app.dir.display()));
        app
    }

    /// A clone of this repository with its last commit alone, as continuous integration makes it.
    pub fn shallow_clone(&self, name: &str) -> App<'w> {
        let (from, dir) = (format!("file://{}", self.dir.display()), self.dir.with_extension("shallow"));
        self.git(&["clone", "-q", "--depth", "1", &from, dir.to_str().unwrap()]).ok();
        let app = App { world: self.world, user: self.user.clone(), name: name.to_owned(), dir };
        app.git(&["remote", "add", "hoist", &app.user.remote(name)]).ok();
        app
    }

    /// The commit at hand.
    #[track_caller]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).ok().out.trim().to_owned()
    }

    /// `git push hoist main`.
    #[track_caller]
    pub fn push(&self) -> Output {
        self.git(&["push", "hoist", "main"])
    }

    /// Starts git in the repository and goes on; a Ctrl-C can be sent to it.
    #[track_caller]
    pub fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self.user.git_command(&self.dir, args))
    }

    /// Whether the app answers and its page holds this text.
    pub fn answers_with(&self, text: &str) -> bool {
        let got = self.get("/");
        got.status == 200 && got.body.contains(text)
    }

    /// Runs git in the repository.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> Output {
        self.user.git(&self.dir, args)
    }

    /// Writes a file and commits it.
    #[track_caller]
    pub fn commit_change(&self, path: &str, content: &str) {
        let file = self.dir.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
        self.commit(&format!("change {path}"));
    }

    /// Replaces a text in a file and commits it.
    #[track_caller]
    pub fn replace(&self, path: &str, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.dir.join(path)).unwrap();
        assert!(text.contains(old), "{path} does not hold {old:?}");
        self.commit_change(path, &text.replace(old, new));
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]).ok();
        self.git(&["commit", "-q", "--allow-empty", "-m", message]).ok();
    }

    /// Runs a command about this app over SSH: `app.run("ps:scale", &["web=2"])`.
    #[track_caller]
    pub fn run(&self, verb: &str, args: &[&str]) -> Output {
        let words: Vec<&str> = [verb, &self.name].into_iter().chain(args.iter().copied()).collect();
        self.user.ssh(&words)
    }

    /// The app's host name.
    pub fn host(&self) -> String {
        format!("{}.localhost", self.name)
    }

    /// Gets a page of the app.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.world.get(&self.host(), path)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap_or_else(|err| panic!("no fixture {}: {err}", from.display())) {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            std::fs::copy(source, target).unwrap();
        }
    }
}
