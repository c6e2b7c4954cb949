//! Where the times of an app's files are written down, from build to build: a file for each layer that is the app's own, one
//! for what a Dockerfile's build gets.
//!
//! Invariant: what is given now is later than all that was given before, in whichever of these files.

use domain::Timestamp;
use engine::images::{Marking, Times};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use system::fault::{Act, Result};

const PREFIX: &str = "times-";
/// Larger ones are not ours: a million files have 80 MB.
const SIZE_MAX: u64 = 200 << 20;

/// The times of one part of an app.
#[derive(Debug, Clone)]
pub struct Part {
    folder: PathBuf,
    name: String,
}

impl Part {
    /// The part `name` of the app whose records lie in `folder`.
    pub fn new(folder: &Path, name: &str) -> Part {
        Part { folder: folder.to_owned(), name: format!("{PREFIX}{name}") }
    }

    /// The key of the layer that had times last.
    pub fn latest(&self) -> Option<String> {
        head(&self.folder.join(&self.name))?.0
    }

    /// Begins to give times. Blocking.
    pub fn begin(&self, now: Timestamp) -> Marking {
        let path = self.folder.join(&self.name);
        let small = path.metadata().is_ok_and(|about| about.len() <= SIZE_MAX);
        let text = small.then(|| std::fs::read_to_string(&path).ok()).flatten().unwrap_or_default();
        let parts = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let ours = parts.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
        let newest = ours.filter_map(|entry| head(&entry.path())).map(|(_, newest)| newest).max().unwrap_or(0);
        Times::parse(&text).begin(u64::try_from(now.0 / 1_000_000).unwrap_or(0), newest)
    }

    /// Writes down what was given. What a power cut takes is given anew, and later. Blocking.
    pub fn keep(&self, times: &Times) -> Result<()> {
        let act = || format!("cannot write {}", self.folder.join(&self.name).display());
        std::fs::create_dir_all(&self.folder).act(act)?;
        Ok(system::whole::write_unsynced(&self.folder.join(&self.name), times.render().as_bytes(), 0o600).act(act)?)
    }
}

fn head(path: &Path) -> Option<(Option<String>, u64)> {
    let mut line = String::new();
    BufReader::new(std::fs::File::open(path).ok()?).read_line(&mut line).ok()?;
    Times::head(line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::images::ContentId;

    #[test]
    fn each_part_is_later_than_all_others() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp(1_700_000_000_000_000);
        let give = |part: &str, content: &[u8]| {
            let part = Part::new(dir.path(), part);
            let mut marking = part.begin(now);
            let time = marking.mark(b"app/page", ContentId::of(content)).time;
            part.keep(&marking.end(Some("k".to_owned()), 0)).unwrap();
            time
        };
        assert_eq!(give("app", b"1"), 1_700_000_000);
        assert_eq!(give("dockerfile", b"2"), 1_700_000_001);
        assert_eq!(give("app", b"1"), 1_700_000_000);
        assert_eq!(give("app", b"3"), 1_700_000_002);
        assert_eq!(Part::new(dir.path(), "app").latest().as_deref(), Some("k"));
        assert_eq!(Part::new(dir.path(), "none").latest(), None);
    }
}
