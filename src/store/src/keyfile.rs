//! `secret.key`, beside the database: the key that its secret values are sealed with; two while a rotation is under way.
//!
//! Invariant: a file that is there is never written over but by a rotation that read it, and then as a whole.

use super::cipher::{Cipher, Key};
use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use system::fault::{Act, Fault};

const HEADER: &str = "# Hoist's key for the secret values in hoist.db. Who has both can read them; without it nobody can.\n\
     # Keep a copy, and keep it apart from backups of the database.\n";
/// No key file is longer.
const FILE_MAX: u64 = 4_096;

/// Where it lies for a database.
pub fn beside(database: &Path) -> PathBuf {
    database.with_file_name("secret.key")
}

/// Reads the keys. `wanted`: the ids of those that rows were sealed with; none for a database without sealed rows, which
/// gets a key if there is no file.
pub fn load(path: &Path, wanted: &[String]) -> Result<Cipher, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == ErrorKind::NotFound && wanted.is_empty() => {
            let cipher = Cipher::of(Key::random()?);
            write(path, &cipher)?;
            return Ok(cipher);
        }
        Err(err) if err.kind() == ErrorKind::NotFound => {
            return Err(refused(
                path,
                &format!("is not there, and values were sealed with its key {}", wanted.join(", ")),
            ));
        }
        Err(err) => return Err(Fault::new(format!("cannot read {}", path.display()), err)),
    };
    let about = file.metadata().act(|| format!("cannot read {}", path.display()))?;
    if !about.is_file() || about.len() > FILE_MAX {
        return Err(refused(path, "is no file of keys"));
    }
    let text = std::io::read_to_string(&file).map_err(|_| refused(path, "is damaged"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut keys = Vec::new();
    for line in lines {
        keys.push(
            Key::parse(line).ok_or_else(|| refused(path, "is damaged: a line in it is too short or was changed"))?,
        );
    }
    if keys.is_empty() {
        return Err(refused(path, "has no key in it"));
    }
    if let Some(missing) = wanted.iter().find(|id| !keys.iter().any(|key| key.id() == id.as_str())) {
        return Err(refused(path, &format!("has not the key {missing} that values were sealed with: it is another's")));
    }
    // It may have come from a copy.
    if about.permissions().mode() & 0o077 != 0 {
        tracing::warn!("{} was open to others; closed", path.display());
        file.set_permissions(Permissions::from_mode(0o600)).act(|| format!("cannot close {}", path.display()))?;
    }
    let first = keys.remove(0);
    Ok(Cipher { first, older: keys })
}

fn refused(path: &Path, what: &str) -> Fault {
    Fault::plain(format!(
        "{} {what}; nothing was changed. Put the secret.key that belongs to this hoist.db in its place, from where you keep \
         its copy, then start again; running apps keep being served. If it is lost for good, so are the values, and only \
         they: hoist --data {} forget-secrets --confirm",
        path.display(),
        path.parent().unwrap_or(Path::new(".")).display()
    ))
}

/// Writes the file as a whole, on the disk when this returns.
pub fn write(path: &Path, cipher: &Cipher) -> Result<(), Fault> {
    let text: String = cipher.keys().map(|key| format!("{}\n", key.line())).collect();
    let written = system::whole::write(path, format!("{HEADER}{text}").as_bytes(), 0o600);
    written.act(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_closed_to_others_and_refused_where_it_is_not_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("hoist.db"));
        let cipher = load(&path, &[]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let wanted = [cipher.first.id().to_owned()];
        assert_eq!(load(&path, &[]).unwrap(), cipher);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load(&path, &wanted).unwrap(), cipher);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let good = std::fs::read(&path).unwrap();
        let other = format!("{}\n", Key::random().unwrap().line());
        for bad in [&good[..good.len() - 9], b"", b"# nothing\n", &[0xff; 99], &[b'x'; 9_000], other.as_bytes()] {
            std::fs::write(&path, bad).unwrap();
            let said = load(&path, &wanted).unwrap_err().chain();
            assert!(said.contains("secret.key") && said.contains("nothing was changed"), "{said}");
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
        std::fs::remove_file(&path).unwrap();
        let said = load(&path, &wanted).unwrap_err().chain();
        assert!(said.contains("is not there") && said.contains(&wanted[0]), "{said}");
        assert!(!path.exists());
    }
}
