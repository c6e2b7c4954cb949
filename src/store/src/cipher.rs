//! Seals values before they become rows, and opens them again.
//!
//! ChaCha20-Poly1305. Each value has a key of its own, derived from the installation's by 16 random bytes, and 12 random
//! bytes of nonce: no number of values is too many for random ones. The place of a value (table, row, name) is
//! authenticated with it, so that one cannot be put where another was. The id of the key stands before it in clear.
//! Invariant: nothing here prints a value or a key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::ids::{ConfigVersion, DeployId};
use domain::{AppId, Secret};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use system::fault::Fault;

/// The place of a config var.
pub(super) fn config_place(app: &AppId, version: ConfigVersion, name: &str) -> String {
    format!("configs/{app}/{version}/{name}")
}

/// The place of a value that a job will set.
pub(super) fn deploy_place(deploy: DeployId, name: &str) -> String {
    format!("deploys/{deploy}/{name}")
}

/// The place of a password.
pub(super) fn registry_place(host: &str) -> String {
    format!("registries/{host}")
}

/// Bytes of a key.
const KEY: usize = 32;
const SALT: usize = 16;
/// Before every sealed value; says how it is sealed.
const MARK: &str = "s1";

/// A key and its id, which is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    bytes: Secret<[u8; KEY]>,
}

impl Key {
    /// A new one.
    pub fn random() -> Result<Key, Fault> {
        let mut bytes = [0; KEY];
        SystemRandom::new().fill(&mut bytes).map_err(failed("make a key"))?;
        Ok(Key::of(bytes))
    }

    fn of(bytes: [u8; KEY]) -> Key {
        let mut text = b"id of a key of Hoist: ".to_vec();
        text.extend_from_slice(&bytes);
        let digest = digest::digest(&digest::SHA256, &text);
        let id = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Key { id, bytes: Secret::new(bytes) }
    }

    /// Its id: eight digits that tell nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `ID BASE64`, as it stands in its file.
    pub fn line(&self) -> String {
        format!("{} {}", self.id, STANDARD.encode(self.bytes.reveal()))
    }

    /// Reads such a line; `None` if it is none or was changed.
    pub fn parse(line: &str) -> Option<Key> {
        let (id, text) = line.trim().split_once(' ')?;
        let key = Key::of(STANDARD.decode(text.trim()).ok()?.try_into().ok()?);
        (key.id == id).then_some(key)
    }

    fn of_value(&self, salt: &[u8; SALT]) -> Result<LessSafeKey, Fault> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(self.bytes.reveal());
        let okm = derived.expand(&[b"a value of Hoist"], &CHACHA20_POLY1305).map_err(failed("derive a key"))?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

/// The keys of an installation: the first seals, all open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cipher {
    /// The one that seals.
    pub first: Key,
    /// Older ones, while a rotation is under way.
    pub older: Vec<Key>,
}

impl Cipher {
    /// With one key.
    pub fn of(first: Key) -> Cipher {
        Cipher { first, older: Vec::new() }
    }

    /// All keys, the one that seals first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.older)
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: &str, value: &str) -> Result<String, Fault> {
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE_LEN]);
        let random = SystemRandom::new();
        random.fill(&mut salt).and_then(|()| random.fill(&mut nonce)).map_err(failed("seal a value"))?;
        let mut sealed = value.as_bytes().to_vec();
        self.first
            .of_value(&salt)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(place), &mut sealed)
            .map_err(failed("seal a value"))?;
        let whole: Vec<u8> = salt.into_iter().chain(nonce).chain(sealed).collect();
        Ok(format!("{}{}", mark(&self.first), URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &str, sealed: &str) -> Result<String, Fault> {
        let bad =
            |why: &str| Fault::plain(format!("the secret value of {place} in the database cannot be opened: {why}"));
        let mut parts = sealed.splitn(3, '.');
        let (Some(MARK), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it is not sealed"));
        };
        let key = self.keys().find(|key| key.id == id).ok_or_else(|| bad(&format!("its key {id} is not here")))?;
        let whole = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad("it is damaged"))?;
        let (salt, rest) = whole.split_first_chunk::<SALT>().ok_or_else(|| bad("it is too short"))?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| bad("it is too short"))?;
        let mut bytes = rest.to_vec();
        let value = key
            .of_value(salt)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(place), &mut bytes)
            .map_err(|_| bad("it was changed, or belongs somewhere else"))?;
        String::from_utf8(value.to_vec()).map_err(|_| bad("it is no text"))
    }
}

/// What every value begins with that this key sealed; found nowhere else in one, for a dot is no letter of the rest.
pub fn mark(key: &Key) -> String {
    format!("{MARK}.{}.", key.id)
}

/// ring does not say why.
fn failed(what: &'static str) -> impl Fn(ring::error::Unspecified) -> Fault {
    move |_| Fault::plain(format!("cannot {what}"))
}

fn aad(place: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("hoist {place}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let cipher = Cipher::of(Key::random().unwrap());
        for value in ["", "hunter2", "Zürich\n🚀\0", &"x".repeat(70_000)] {
            let sealed = cipher.seal("configs/a/1/TOKEN", value).unwrap();
            assert!(value.is_empty() || !sealed.contains(value));
            assert_eq!(cipher.open("configs/a/1/TOKEN", &sealed).unwrap(), value);
            for place in ["configs/a/1/OTHER", "configs/a/2/TOKEN", "configs/b/1/TOKEN", "deploys/1/TOKEN", ""] {
                assert!(cipher.open(place, &sealed).is_err(), "{place}");
            }
            assert_ne!(cipher.seal("configs/a/1/TOKEN", value).unwrap(), sealed);
        }
    }

    #[test]
    fn what_was_changed_does_not_open_and_says_no_value() {
        let cipher = Cipher::of(Key::random().unwrap());
        let sealed = cipher.seal("p", "hunter2").unwrap();
        for n in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[n] = if bytes[n] == b'A' { b'B' } else { b'A' };
            let said = cipher.open("p", &String::from_utf8(bytes).unwrap()).unwrap_err().chain();
            assert!(said.contains("cannot be opened") && !said.contains("hunter2"), "{said}");
        }
        for bad in ["", "hunter2", "s1", "s1.", "s1..", &sealed[..20], "s2.a.b"] {
            assert!(cipher.open("p", bad).is_err(), "{bad}");
        }
        let other = Cipher::of(Key::random().unwrap());
        assert!(other.open("p", &sealed).unwrap_err().chain().contains(cipher.first.id()));
        let both = Cipher { older: vec![cipher.first.clone()], ..other };
        assert_eq!(both.open("p", &sealed).unwrap(), "hunter2");
        assert!(both.seal("p", "x").unwrap().starts_with(&mark(&both.first)));
    }

    #[test]
    fn a_keys_line_reads_back_and_a_changed_one_does_not() {
        let key = Key::random().unwrap();
        assert_eq!(Key::parse(&key.line()), Some(key.clone()));
        let line = key.line();
        for bad in ["", "x", &line[..line.len() - 5], &line[1..], &line.replace(key.id(), "00000000")] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
        assert!(!format!("{key:?}").contains(line.split(' ').nth(1).unwrap()));
    }
}
