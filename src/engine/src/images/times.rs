//! When each file of an app came to be what it is, from build to build. Pure.
//!
//! Web servers tell a changed file by its size and time, browsers ask "changed since?": so a path whose content is another
//! than at the last build gets a time that no build of this app has given before, and a later one. What did not change
//! keeps its time, and with it a layer its bytes. Absent: where this is written down, and the clock.

use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Read};

/// The time of what is no app's file: folders on the way, what is fetched for all apps. 2001-09-09.
pub const FIXED: u64 = 1_000_000_000;
/// The first word of what [`Times::render`] writes.
const MAGIC: &str = "hoist-times-1";
/// A text without a key.
const NO_KEY: &str = "-";

/// A path or a content, short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId([u8; 16]);

impl ContentId {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> ContentId {
        ContentId::from_hasher(Sha256::new_with_prefix(bytes))
    }

    /// Of all that a reader gives.
    pub fn read(mut data: impl Read) -> io::Result<ContentId> {
        let mut hash = Sha256::new();
        io::copy(&mut data, &mut hash)?;
        Ok(ContentId::from_hasher(hash))
    }

    fn from_hasher(hasher: Sha256) -> ContentId {
        let mut id = [0; 16];
        id.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
        ContentId(id)
    }

    /// What a folder holds, by the names in it: nothing else of it can be seen from outside.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> ContentId {
        let mut hash = Sha256::new_with_prefix(b"folder\0");
        for name in names {
            hash.update(name);
            hash.update([0]);
        }
        ContentId::from_hasher(hash)
    }

    fn hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    fn parse(text: &str) -> Option<ContentId> {
        let plain = text.len() == 32;
        u128::from_str_radix(text, 16).ok().filter(|_| plain).map(|number| ContentId(number.to_be_bytes()))
    }
}

/// What the last build left: of each path its content and its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// Which build it was: a layer's key.
    pub key: Option<String>,
    /// No time given so far is later.
    pub newest: u64,
    paths: BTreeMap<ContentId, (ContentId, u64)>,
    /// Contents that a path had once, each as the id of both; the oldest first.
    gone: Vec<ContentId>,
}

impl Times {
    /// Reads what [`Times::render`] wrote. Anything else is nothing: all files are new then.
    pub fn parse(text: &str) -> Times {
        let mut lines = text.lines();
        let Some((key, newest)) = lines.next().and_then(head) else { return Times::default() };
        let mut times = Times { key, newest, ..Times::default() };
        let mut end = false;
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["gone", id] => times.gone.extend(ContentId::parse(id)),
                ["end"] => end = true,
                [path, content, time] => {
                    let known = (ContentId::parse(path), ContentId::parse(content), time.parse().ok());
                    let (Some(path), Some(content), Some(time)) = known else { return Times::default() };
                    times.paths.insert(path, (content, time));
                }
                _ => return Times::default(),
            }
        }
        if end { times } else { Times::default() }
    }

    /// Only the key and the newest time of such a text: its first line is enough.
    pub fn head(line: &str) -> Option<(Option<String>, u64)> {
        head(line)
    }

    /// As text.
    pub fn render(&self) -> String {
        let mut text = format!("{MAGIC} {} {}\n", self.key.as_deref().unwrap_or(NO_KEY), self.newest);
        for (path, (content, time)) in &self.paths {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {} {time}", path.hex(), content.hex());
        }
        self.gone.iter().for_each(|id| {
            let _ = writeln!(text, "gone {}", id.hex());
        });
        text.push_str("end\n");
        text
    }

    /// Begins a build at `now`; `newest` is the latest time that any part of the app has.
    pub fn begin(self, now: u64, newest: u64) -> Marking {
        let stamp = now.max(FIXED).max(newest.max(self.newest).saturating_add(1));
        let gone = self.gone.iter().copied().collect();
        Marking { before: self, stamp, after: BTreeMap::new(), gone }
    }
}

fn head(line: &str) -> Option<(Option<String>, u64)> {
    let mut words = line.split(' ');
    let (magic, key, newest) = (words.next()?, words.next()?, words.next()?);
    let key = (key != NO_KEY).then(|| key.to_owned());
    (magic == MAGIC).then(|| newest.parse().ok().map(|newest| (key, newest))).flatten()
}

/// What a file's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Seconds since 1970.
    pub time: u64,
    /// The path had this content before, and another one in between.
    pub returned: bool,
}

/// A build that gives times.
#[derive(Debug, Clone)]
pub struct Marking {
    before: Times,
    stamp: u64,
    after: BTreeMap<ContentId, (ContentId, u64)>,
    gone: HashSet<ContentId>,
}

impl Marking {
    /// The time of what is at this path: as before where it is the same, otherwise this build's.
    pub fn mark(&mut self, path: &[u8], content: ContentId) -> Mark {
        let path = ContentId::of(path);
        let time = match self.before.paths.get(&path) {
            Some((same, time)) if *same == content => *time,
            Some(_) | None => self.stamp,
        };
        self.after.insert(path, (content, time));
        Mark { time, returned: !self.gone.is_empty() && self.gone.contains(&both(path, content)) }
    }

    /// The time that this path got.
    pub fn given(&self, path: &[u8]) -> u64 {
        self.after.get(&ContentId::of(path)).map_or(FIXED, |(_, time)| *time)
    }

    /// What to remember. `gone_max`: how many earlier contents.
    pub fn end(self, key: Option<String>, gone_max: usize) -> Times {
        let changed = self.after.values().any(|(_, time)| *time == self.stamp);
        let newest = if changed { self.stamp } else { self.before.newest };
        let mut gone = self.before.gone;
        let remembered = self.before.paths.iter().filter(|_| gone_max > 0);
        for (path, (content, _)) in remembered {
            let pair = both(*path, *content);
            if self.after.get(path).is_none_or(|(now, _)| now != content) && !self.gone.contains(&pair) {
                gone.push(pair);
            }
        }
        let surplus = gone.len().saturating_sub(gone_max);
        gone.drain(..surplus);
        Times { key, newest, paths: self.after, gone }
    }
}

fn both(path: ContentId, content: ContentId) -> ContentId {
    ContentId::of(&[path.0, content.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One build of these files: the times in order, and `!` after those that came back.
    fn build(times: &mut Times, now: u64, files: &[(&str, &str)]) -> String {
        let mut marking = std::mem::take(times).begin(now, 0);
        let marks: Vec<Mark> =
            files.iter().map(|(path, text)| marking.mark(path.as_bytes(), ContentId::of(text.as_bytes()))).collect();
        // As it is when a server was started in between.
        *times = Times::parse(&marking.end(Some("k1".to_owned()), 100).render());
        let shown = |mark: &Mark| format!("{}{}", mark.time, if mark.returned { "!" } else { "" });
        marks.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_changed_is_later_than_anything_before() {
        let (mut times, base) = (Times::default(), 1_700_000_000);
        let mut push = |now: u64, files: &[(&str, &str)]| build(&mut times, base + now, files);
        assert_eq!(push(0, &[("a", "1"), ("b", "1")]), "1700000000 1700000000");
        assert_eq!(push(50, &[("a", "1"), ("b", "1")]), "1700000000 1700000000", "built again");
        assert_eq!(push(60, &[("a", "1"), ("b", "2")]), "1700000000 1700000060");
        // The same second, and a clock that was put back.
        assert_eq!(push(60, &[("a", "1"), ("b", "3")]), "1700000000 1700000061");
        assert_eq!(push(10, &[("a", "2"), ("b", "3")]), "1700000062 1700000061");
        // Content that comes back is new all the same.
        assert_eq!(push(90, &[("a", "2"), ("b", "1")]), "1700000062 1700000090!");
        assert_eq!(push(95, &[("a", "2"), ("b", "1")]), "1700000062 1700000090!");
        // So is what was away.
        assert_eq!(push(99, &[("a", "2")]), "1700000062");
        assert_eq!(push(100, &[("a", "2"), ("b", "1")]), "1700000062 1700000100!");
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let mut marking = Times::default().begin(1_800_000_000, 1_900_000_000);
        assert_eq!(marking.mark(b"a", ContentId::of(b"1")).time, 1_900_000_001, "later than any other part of the app");
        let text = marking.end(None, 0).render();
        assert_eq!(Times::parse(&text).render(), text);
        assert_eq!(Times::head(text.lines().next().unwrap()), Some((None, 1_900_000_001)));
        let cut = text.get(..text.len() - 5).unwrap().to_owned();
        for bad in ["", "x", "hoist-times-1 k x\nend\n", &cut, &text.replace(" 1900000001\n", " soon\n")] {
            assert_eq!(Times::parse(bad), Times::default(), "{bad}");
        }
        // A clock that knows no date gives none before 1980.
        assert_eq!(Times::default().begin(0, 0).mark(b"a", ContentId::of(b"")).time, FIXED);
    }

    #[test]
    fn only_so_many_earlier_contents_are_remembered() {
        let mut times = Times::default();
        for n in 0..5 {
            let mut marking = times.begin(1_700_000_000, 0);
            marking.mark(b"a", ContentId::of(&[n]));
            times = marking.end(None, 2);
        }
        let mut marking = times.begin(1_700_000_000, 0);
        let came_back = [0, 1, 2, 3].map(|n| marking.mark(b"a", ContentId::of(&[n])).returned);
        assert_eq!(came_back, [false, false, true, true]);
    }
}
