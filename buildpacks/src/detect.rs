//! Which language builds these files.
//! Invariant: the app's setting wins; then the surest claim of a language.
//! Absent: what makes a claim sure, which each language says; Dockerfiles, which the engine builds; buildpacks by address.

use crate::aptfile;
use crate::language::{Claim, Language, Languages, Look};
use crate::plan::Settings;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{FILE_MAX, Kind, TOOL_VERSIONS, Tree};

/// What an app's buildpack setting calls a build by its Dockerfile, and the other words for it.
pub(crate) const DOCKERFILE: (&str, &[&str]) = ("dockerfile", &["docker"]);
/// The files that are looked for, whatever the language.
const ANY: [Look; 3] = [Look::There("Dockerfile"), aptfile::LOOK, Look::Into(TOOL_VERSIONS, FILE_MAX)];

impl Languages {
    /// A buildpack's own name for what may be typed for it.
    pub(crate) fn name(&self, text: &str) -> Option<&'static str> {
        let rows = self.rows.iter().map(|row| (row.name, row.aliases)).chain([DOCKERFILE]);
        rows.into_iter().find(|(name, aliases)| *name == text || aliases.contains(&text)).map(|(name, _)| name)
    }

    /// Whether the content of this file must be there before the languages are asked anything.
    pub(crate) fn reads(&self, path: &str, size: u64) -> bool {
        self.looks().any(|look| look.reads(path, size))
    }

    /// The language of these files.
    pub(crate) fn choose(&self, tree: &Tree, settings: &Settings) -> Result<&'static Language, Refusal> {
        if let Some(text) = settings.buildpack.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            let row = self.name(text).and_then(|name| self.rows.iter().find(|row| row.name == name));
            return row.copied().ok_or_else(|| self.unknown(text));
        }
        let mut best: (Claim, Option<&'static Language>) = (Claim::None, None);
        for row in self.rows {
            let claim = (row.claim)(tree)?;
            if claim > best.0 {
                best = (claim, Some(row));
            }
        }
        match best {
            // Commands of an announced language do not run without it.
            (Claim::Commands, _) if self.later(tree).next().is_some() => Err(self.nothing(tree)),
            (_, Some(row)) => Ok(row),
            (_, None) => Err(self.nothing(tree)),
        }
    }

    /// What any app should be told.
    pub(crate) fn warnings(&self, tree: &Tree) -> Vec<String> {
        let spelling = self.misspelt(tree).into_iter();
        let mut warnings: Vec<String> = spelling
            .map(|(is, should)| format!("{is} is not read: its name must be {should} (`git mv {is} {should}`)"))
            .collect();
        let submodules = tree.0.iter().filter(|(_, entry)| entry.kind == Kind::Submodule);
        warnings.extend(submodules.take(5).map(|(path, _)| {
            format!("{} is a submodule: its files are not in the push and not in the image", quote(path))
        }));
        warnings
    }

    fn looks(&self) -> impl Iterator<Item = &Look> {
        self.rows.iter().flat_map(|row| row.looks).chain(&ANY)
    }

    /// The files that an app is told to be looked for by.
    fn signs(&self) -> impl Iterator<Item = &'static str> {
        ["Dockerfile"].into_iter().chain(self.rows.iter().flat_map(|row| row.signs.iter().copied()))
    }

    /// What apps of announced languages are called whose files are here.
    fn later(&self, tree: &Tree) -> impl Iterator<Item = &'static str> {
        self.announced.iter().filter(|(file, _)| tree.0.contains_key(*file)).map(|(_, what)| *what)
    }

    fn unknown(&self, text: &str) -> Refusal {
        let rows = self.rows.iter().map(|row| row.name);
        let known: Vec<&str> = rows.chain([DOCKERFILE.0]).collect();
        let why = format!("the app's buildpack setting is {}; there are: {}", quote(text), known.join(", "));
        let next = "set the buildpack to one of them, or remove the setting to let the files decide";
        Refusal::new(Code::UnknownBuildpack, "there is no such buildpack", why, next)
    }

    fn nothing(&self, tree: &Tree) -> Refusal {
        const WHAT: &str = "nothing here can be built";
        let looked = format!("looked for: {}", self.signs().collect::<Vec<_>>().join(", "));
        if tree.0.is_empty() {
            let next = "commit the app's files (`git add .`, `git commit`) and push";
            return Refusal::new(Code::NothingToBuild, WHAT, format!("the commit has no files. {looked}"), next);
        }
        let later: Vec<&str> = self.later(tree).collect();
        let spelling = self.misspelt(tree).into_iter();
        let mut next: Vec<String> = spelling.map(|(is, should)| format!("git mv {is} {should}")).collect();
        next.extend(self.in_folder(tree));
        let adds: Vec<&str> = self.rows.iter().map(|row| row.add).collect();
        next.push(format!("add {} or a Dockerfile, commit and push", adds.join(", ")));
        let why = match later.is_empty() {
            true => looked,
            false => format!("{} cannot be built yet. {looked}", later.join(" and ")),
        };
        Refusal { code: Code::NothingToBuild, what: WHAT.into(), why, next }
    }

    /// An app that lies in a folder of the repository.
    fn in_folder(&self, tree: &Tree) -> Option<String> {
        let plain =
            |folder: &str| folder.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        let holds = |path: &String| {
            let (folder, name) = path.rsplit_once('/')?;
            (self.signs().any(|sign| sign == name) && plain(folder)).then(|| folder.to_owned())
        };
        let folder = tree.0.keys().find_map(holds)?;
        Some(format!("the app is in {folder}/? apps:set APP root={folder}"))
    }

    /// Files that are named almost like one that is looked for: as they are, as they should be.
    fn misspelt(&self, tree: &Tree) -> Vec<(String, &'static str)> {
        let names: Vec<&'static str> = self.signs().chain(self.looks().filter_map(Look::name)).collect();
        let at_root = tree.0.keys().filter(|path| !path.contains('/'));
        let right = |path: &String| {
            let should = names.iter().find(|name| name.eq_ignore_ascii_case(path))?;
            (*should != path && !tree.0.contains_key(*should)).then(|| (path.clone(), *should))
        };
        at_root.filter_map(right).collect()
    }
}
