//! The host key: made at the first start, kept in a file that only the server reads.

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use system::fault::{Act, Fault, Result};

/// The key in `path`; a new Ed25519 key if there is no such file. A file that cannot be read as a key is left alone.
pub fn load_or_make(path: &Path) -> Result<PrivateKey> {
    match std::fs::read(path) {
        Ok(text) => {
            let mode =
                std::fs::metadata(path).act(|| format!("cannot look at {}", path.display()))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(Fault::plain(format!(
                    "the host key {} may be read by others (mode {:o}); chmod 600 it if nobody had it, delete it if somebody did",
                    path.display(),
                    mode & 0o777
                ))
                .into());
            }
            Ok(PrivateKey::from_openssh(text).act(|| format!("{} is not an OpenSSH private key", path.display()))?)
        }
        Err(err) if err.kind() == ErrorKind::NotFound => make(path),
        Err(err) => Err(Fault::new(format!("cannot read the host key {}", path.display()), err).into()),
    }
}

fn make(path: &Path) -> Result<PrivateKey> {
    let act = || format!("cannot make the host key {}", path.display());
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&rand::random()));
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
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_make(&path).unwrap().public_key(), made.public_key());
    }

    #[test]
    fn a_bad_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host_key");
        for (mode, text) in [(0o600, "not a key"), (0o644, "anything")] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(load_or_make(&path).unwrap_err().to_string().contains("host_key"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
