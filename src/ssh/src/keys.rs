//! Public keys as text: what is accepted, and the fingerprint that is the identity.

use domain::Refusal;
use domain::refusal::Code;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use store::NewKey;

/// Bits that an RSA key must have.
const RSA_BITS_MIN: usize = 2048;
/// Bytes of text in which a key is looked for.
const TEXT_MAX: usize = 16 * 1024;

/// A public key that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyText {
    /// `ssh-ed25519`.
    pub algorithm: String,
    /// The key itself.
    pub base64: String,
    /// What its owner calls it; harmless to a terminal.
    pub comment: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

impl KeyText {
    /// `ssh-ed25519 AAAA…`, as [`super::Shell::identify`] is asked.
    pub fn text(&self) -> String {
        format!("{} {}", self.algorithm, self.base64)
    }
}

/// Reads one public key as `ssh-keygen` writes it: `ssh-ed25519 AAAA… comment`.
pub fn parse_public(text: &str) -> Result<KeyText, Refusal> {
    if text.len() > TEXT_MAX {
        return Err(not_a_key("it is longer than any public key"));
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(Refusal::new(Code::PrivateKey, "that is a private key; nobody but you may have it")
            .why("Send the public one, in the file of the same name that ends in .pub.")
            .next("make a new key, this one has left your machine: ssh-keygen -t ed25519"));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = lines.next() else { return Err(not_a_key("standard input was empty")) };
    if lines.next().is_some() {
        return Err(not_a_key("there is more than one line; add one key at a time"));
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    if !is_algorithm(first) && line.split([' ', '\t']).skip(1).any(is_algorithm) {
        return Err(not_a_key("it begins with options, as in authorized_keys; only the key itself is taken"));
    }
    let key = PublicKey::from_openssh(line).map_err(|err| not_a_key(&format!("{err}")))?;
    acceptable(&key).map_err(|why| {
        Refusal::new(Code::KeyNotAccepted, format!("{first} keys like this one are not accepted: {why}"))
            .next("ssh-keygen -t ed25519")
    })?;
    let comment = words.nth(1).map_or("", |_| line.splitn(3, [' ', '\t']).nth(2).unwrap_or_default());
    let comment: String = domain::text::plain(comment).trim().chars().take(100).collect();
    let (text, fingerprint) = identity(&key).ok_or_else(|| not_a_key("it cannot be written as text"))?;
    let (algorithm, base64) = text.split_once(' ').unwrap_or((&text, ""));
    Ok(KeyText { algorithm: algorithm.to_owned(), base64: base64.to_owned(), comment, fingerprint })
}

/// Reads keys, one a line, as `ssh-keygen` writes them; all are good or the first bad one is named. Empty: none.
pub fn parse_keys(text: &str) -> Result<Vec<NewKey>, Refusal> {
    if text.contains("PRIVATE KEY-----") {
        return parse_public(text).map(|_| Vec::new());
    }
    let lines: Vec<(usize, &str)> =
        (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    let mut keys: Vec<NewKey> = Vec::new();
    for (number, line) in &lines {
        let key = parse_public(line).map_err(|mut no| {
            if lines.len() > 1 {
                no.what = format!("line {number}: {}", no.what);
            }
            no
        })?;
        if !keys.iter().any(|k| k.fingerprint == key.fingerprint) {
            let public = key.text();
            keys.push(NewKey { fingerprint: key.fingerprint, name: key.comment, public });
        }
    }
    Ok(keys)
}

/// Whether a key is of a kind and size that may log in; if not, why.
pub(super) fn acceptable(key: &PublicKey) -> Result<(), &'static str> {
    match key.key_data() {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) => Ok(()),
        KeyData::Rsa(rsa) => {
            let bytes = rsa.n().as_positive_bytes().unwrap_or_default();
            let first = bytes.first().map_or(0, |b| b.leading_zeros() as usize);
            let bits = (bytes.len() * 8).saturating_sub(first);
            if bits >= RSA_BITS_MIN { Ok(()) } else { Err("RSA needs 2048 bits or more") }
        }
        _ => Err("use Ed25519, ECDSA or RSA"),
    }
}

/// Whether signatures by this algorithm count: RSA with SHA-1 does not.
pub(super) fn signs_well(algorithm: &Algorithm) -> bool {
    !matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa)
}

/// A key's text without comment, and its fingerprint.
pub(super) fn identity(key: &PublicKey) -> Option<(String, String)> {
    let bare = PublicKey::new(key.key_data().clone(), "");
    let text = bare.to_openssh().ok()?.trim_end().to_owned();
    Some((text, key.fingerprint(HashAlg::Sha256).to_string()))
}

fn is_algorithm(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-")
}

fn not_a_key(why: &str) -> Refusal {
    Refusal::new(Code::NotAKey, "this is not a public key")
        .why(why)
        .next("keys:add < ~/.ssh/id_ed25519.pub")
        .next("make one: ssh-keygen -t ed25519")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn good_keys() {
        let key = parse_public(&format!("# mine\n{ED25519} ada@example with  spaces\u{1b}[31m\n")).unwrap();
        assert_eq!(key.text(), ED25519);
        assert_eq!(key.comment, "ada@example with  spaces");
        assert_eq!(key.fingerprint, "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
        assert_eq!(parse_public(ED25519).unwrap().comment, "");
    }

    #[test]
    fn bad_keys() {
        let two = format!("{ED25519}\n{ED25519}\n");
        let options = format!("command=\"sh\" {ED25519}");
        let long = "a".repeat(20_000);
        for (text, code) in [
            ("", "not-a-key"),
            ("hello", "not-a-key"),
            ("ssh-ed25519 AAAA", "not-a-key"),
            ("ssh-ed25519 !!!", "not-a-key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "private-key"),
            (two.as_str(), "not-a-key"),
            (options.as_str(), "not-a-key"),
            (long.as_str(), "not-a-key"),
        ] {
            assert_eq!(parse_public(text).unwrap_err().code.as_str(), code, "{text:.40}");
        }
        assert!(parse_public(&options).unwrap_err().why.contains("options"));
    }

    #[test]
    fn several_keys() {
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let keys = parse_keys(&format!("# two\n\n{ED25519} a\n{other} b\n{ED25519} again\n")).unwrap();
        assert_eq!(keys.iter().map(|k| k.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(parse_keys("\n  \n# nothing\n"), Ok(vec![]));
        assert!(parse_keys(&format!("{ED25519}\nhello\n")).unwrap_err().what.starts_with("line 2: "));
        assert_eq!(parse_keys("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").unwrap_err().code, Code::PrivateKey);
    }

    #[test]
    fn keys_made_by_ssh_keygen() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, bits, code) in [
            ("rsa", "2048", None),
            ("rsa", "1024", Some("key-not-accepted")),
            ("ecdsa", "256", None),
            ("ecdsa", "521", None),
            ("ed25519", "256", None),
        ] {
            let path = folder.path().join(format!("{kind}{bits}"));
            super::super::tests::keygen(&path, kind, bits);
            let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
            assert_eq!(parse_public(&text).err().map(|no| no.code.as_str()), code, "{kind} {bits}");
        }
    }
}
