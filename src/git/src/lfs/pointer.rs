//! What stands in a commit for a large file: a few lines that name it.

/// The specification allows no longer pointers, and none is shorter.
pub(crate) const POINTER_MAX: u64 = 1024;
pub(crate) const POINTER_MIN: u64 = 100;
/// The lines that begin a pointer: today's, and those of the program's first years.
const VERSIONS: [&str; 3] =
    ["https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1", "http://git-media.io/v/2"];

/// The name of an object: the SHA-256 of its bytes, 64 small hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(String);

impl ObjectId {
    /// `None` for what is no name.
    pub fn parse(text: &str) -> Option<ObjectId> {
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| ObjectId(text.to_owned()))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file's pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The object.
    pub oid: ObjectId,
    /// Its bytes.
    pub size: u64,
    /// A program of the user's changes the object before it is the file: nobody here can.
    pub extended: bool,
}

impl Pointer {
    /// Reads one as the client does; `None` is a file like any other.
    pub fn parse(content: &[u8]) -> Option<Pointer> {
        let text = std::str::from_utf8(content).ok()?.trim();
        let mut lines = text.lines().filter(|line| !line.is_empty()).map(|line| line.split_once(' '));
        let mut next = || lines.next().flatten();
        match next()? {
            ("version", version) if VERSIONS.contains(&version) => {}
            _ => return None,
        }
        let (mut extended, mut line) = (false, next()?);
        while line.0.starts_with("ext-") {
            (extended, line) = (true, next()?);
        }
        let ("oid", oid) = line else { return None };
        let ("size", size) = next()? else { return None };
        let size = Some(size).filter(|size| size.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let oid = ObjectId::parse(oid.strip_prefix("sha256:")?)?;
        match lines.next() {
            None => Some(Pointer { oid, size, extended }),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    #[test]
    fn pointers_as_the_client_reads_them() {
        let check = |text: &str, want: Option<(u64, bool)>| {
            let text = text.replace("OID", OID);
            let got = Pointer::parse(text.as_bytes());
            assert!(got.as_ref().is_none_or(|pointer| pointer.oid.as_str() == OID));
            assert_eq!(got.map(|pointer| (pointer.size, pointer.extended)), want, "{text}");
        };
        let plain = "version https://git-lfs.github.com/spec/v1\noid sha256:OID\nsize 12345\n";
        check(plain, Some((12345, false)));
        check(&plain.replace('\n', "\r\n"), Some((12345, false)));
        check(plain.trim_end(), Some((12345, false)));
        check(&plain.replace("git-lfs.github", "hawser.github"), Some((12345, false)));
        check("version http://git-media.io/v/2\noid sha256:OID\nsize 0", Some((0, false)));
        check(&plain.replace("oid", "ext-0-crypt sha256:OID\noid"), Some((12345, true)));
        for (from, to) in [
            ("OID", "4D"),
            ("sha256:", "md5:"),
            ("size 12345", "size -1"),
            ("size 12345", "size +1"),
            ("size 12345", "size"),
            ("size 12345\n", ""),
            ("size 12345", "size 99999999999999999999"),
            ("12345\n", "12345\nmore 1\n"),
            ("version", "about"),
            ("spec/v1", "spec/v9"),
            ("oid sha256:OID\n", ""),
        ] {
            check(&plain.replace(from, to), None);
        }
        assert_eq!(Pointer::parse(b"\xff\xfe"), None);
        assert_eq!(Pointer::parse(b""), None);
    }
}
