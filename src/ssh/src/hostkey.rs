//! The host keys: made when they are not there, kept in files that only the server reads.
//!
//! The first is Ed25519: every client that knows it is shown it. The others are for clients that do not: ECDSA P-256, made as
//! quickly, and RSA, whose primes take seconds to find. That one is made beside the listening server ([`rsa`]).

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData, RsaKeypair};
use russh::keys::{EcdsaCurve, PrivateKey};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use system::fault::{Act, Fault, Result};

/// What NIST and BSI ask of an RSA key for the years to come; ssh-audit warns of less.
const RSA_BITS: usize = 3072;

/// The host keys that are there at a start.
#[derive(Debug)]
pub struct HostKeys {
    /// In the order that they are offered.
    pub keys: Vec<PrivateKey>,
    /// Where the RSA key is missing: its file, for [`rsa`].
    pub rsa_missing: Option<PathBuf>,
}

/// The keys in `path` and beside it. What can be made at once is made where there is no such file. A file that cannot be read as
/// a key is left alone.
pub fn load_or_make(path: &Path) -> Result<HostKeys> {
    let make = |path: &Path, data: fn() -> Result<KeypairData>| match load(path)? {
        Some(key) => Ok(key),
        None => save(path, data()?),
    };
    let mut keys = vec![make(path, || Ok(Ed25519Keypair::from_seed(&rand::random()).into()))?];
    keys.push(make(&beside(path, "ecdsa"), || {
        let made = EcdsaKeypair::random(&mut russh::keys::key::safe_rng(), EcdsaCurve::NistP256);
        Ok(made.act(|| "cannot make an ECDSA key")?.into())
    })?);
    let rsa = beside(path, "rsa");
    let rsa_missing = match load(&rsa)? {
        Some(key) => {
            keys.push(key);
            None
        }
        None => Some(rsa),
    };
    Ok(HostKeys { keys, rsa_missing })
}

/// Makes the RSA key; takes seconds of one processor.
pub fn rsa(path: &Path) -> Result<PrivateKey> {
    let made = RsaKeypair::random(&mut russh::keys::key::safe_rng(), RSA_BITS).act(|| "cannot make an RSA key")?;
    save(path, made.into())
}

/// `ssh_host_ed25519_key` and `ssh_host_rsa_key`, `host_key` and `host_key_rsa`.
fn beside(path: &Path, kind: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let other = if name.contains("ed25519") { name.replace("ed25519", kind) } else { format!("{name}_{kind}") };
    path.with_file_name(other)
}

fn load(path: &Path) -> Result<Option<PrivateKey>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Fault::new(format!("cannot read the host key {}", path.display()), err).into()),
    };
    let mode = std::fs::metadata(path).act(|| format!("cannot look at {}", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Fault::plain(format!(
            "the host key {} may be read by others (mode {:o}); chmod 600 it if nobody had it, delete it if somebody did",
            path.display(),
            mode & 0o777
        ))
        .into());
    }
    Ok(Some(PrivateKey::from_openssh(text).act(|| format!("{} is not an OpenSSH private key", path.display()))?))
}

fn save(path: &Path, data: KeypairData) -> Result<PrivateKey> {
    let act = || format!("cannot make the host key {}", path.display());
    let key = PrivateKey::new(data, "").act(act)?;
    let text = key.to_openssh(LineEnding::LF).act(act)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).act(act)?;
    }
    system::whole::write(path, text.as_bytes(), 0o600).act(act)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh/host_key");
        let made = load_or_make(&path).unwrap();
        let names = |keys: &HostKeys| keys.keys.iter().map(|key| key.algorithm().to_string()).collect::<Vec<_>>();
        assert_eq!(names(&made), ["ssh-ed25519", "ecdsa-sha2-nistp256"]);
        let missing = made.rsa_missing.clone().unwrap();
        assert_eq!(missing, folder.path().join("ssh/host_key_rsa"));
        let late = rsa(&missing).unwrap();
        let again = load_or_make(&path).unwrap();
        assert_eq!(names(&again), ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]);
        assert_eq!(again.rsa_missing, None);
        let want: Vec<_> = made.keys.iter().chain([&late]).map(PrivateKey::public_key).collect();
        assert_eq!(again.keys.iter().map(PrivateKey::public_key).collect::<Vec<_>>(), want);
        for name in ["host_key", "host_key_ecdsa", "host_key_rsa"] {
            let mode = std::fs::metadata(folder.path().join("ssh").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(beside(Path::new("/d/ssh_host_ed25519_key"), "rsa"), Path::new("/d/ssh_host_rsa_key"));
    }

    #[test]
    fn a_bad_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_key");
        load_or_make(&path).unwrap();
        for name in ["host_key", "host_key_ecdsa", "host_key_rsa"] {
            let bad = folder.path().join(name);
            for (mode, text) in [(0o600, "not a key"), (0o644, "anything")] {
                std::fs::write(&bad, text).unwrap();
                std::fs::set_permissions(&bad, std::fs::Permissions::from_mode(mode)).unwrap();
                assert!(load_or_make(&path).unwrap_err().to_string().contains(name));
                assert_eq!(std::fs::read_to_string(&bad).unwrap(), text);
            }
            std::fs::remove_file(&bad).unwrap();
        }
    }
}
