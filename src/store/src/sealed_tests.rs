//! Sealed values on the disk: nowhere in clear, after a migration too; rotation from every point at which it may have died.

use super::super::{Ask, NewDeploy, RegistryLogin, Store, path_in, schema};
use super::*;
use domain::config::ConfigChange;
use domain::deploy::Kind;
use domain::ids::{ConfigVersion, DeployId};
use domain::{Timestamp, VarName};

const CANARY: &str = "c4n4ry-5ecret";
const NOW: Timestamp = Timestamp(1_000_000);

fn vars(n: usize) -> ConfigVars {
    let name: VarName = "TOKEN".parse().unwrap();
    [(name, Secret::new(format!("{CANARY}-{n}")))].into()
}

fn app() -> AppId {
    "aaaaaaaa".parse().unwrap()
}

/// Ten versions of config, a job that sets one, a password; in an app.
async fn fill(store: &Store) -> i64 {
    (store
        .write(|tx| {
            tx.add_app(&app(), &"a".parse()?, None, NOW)?;
            for n in 1..=10 {
                tx.add_config(&app(), &vars(n), &Default::default(), NOW)?;
            }
            let login = RegistryLogin {
                host: "r.example".into(),
                user: "ci".into(),
                password: Secret::new(CANARY.into()),
                created: NOW,
            };
            tx.set_registry(&login)?;
            let ask = Ask { config: ConfigChange { set: vars(99), ..ConfigChange::default() }, ..Ask::default() };
            let new = NewDeploy { app: app(), kind: Kind::Config, ask, actor: "ana".into(), owner: "x".into() };
            tx.add_deploy(&new, NOW)
        })
        .await
        .unwrap())
    .0
}

async fn all_there(store: &Store, deploy: DeployId) {
    store
        .read(move |tx| {
            for n in 1..=10 {
                assert_eq!(tx.config(&app(), ConfigVersion(n as i64))?, vars(n));
            }
            assert_eq!(tx.deploy(deploy)?.unwrap().ask.config.set, vars(99));
            assert_eq!(tx.registries()?[0].password.reveal(), CANARY);
            Ok(())
        })
        .await
        .unwrap();
}

/// The files of the database that hold this text.
fn found(dir: &Path, text: &str) -> Vec<String> {
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|w| w == text.as_bytes())
    };
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn no_value_lies_in_clear_and_all_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&path_in(dir.path())).unwrap();
    let deploy = fill(&store).await;
    all_there(&store, DeployId(deploy)).await;
    assert!(dir.path().join("hoist.db-wal").metadata().unwrap().len() > 0);
    assert_eq!(found(dir.path(), CANARY), [""; 0]);
    drop(store);
    assert_eq!(found(dir.path(), CANARY), [""; 0]);
    let store = Store::open(&path_in(dir.path())).unwrap();
    all_there(&store, DeployId(deploy)).await;
    // A row that somebody moves elsewhere does not open there.
    drop(store);
    let conn = Connection::open(path_in(dir.path())).unwrap();
    conn.execute("UPDATE configs SET vars = (SELECT vars FROM configs WHERE version = 2) WHERE version = 1", [])
        .unwrap();
    drop(conn);
    let store = Store::open(&path_in(dir.path())).unwrap();
    let said = store.read(|tx| tx.config(&app(), ConfigVersion(1))).await.unwrap_err();
    assert!(said.to_string().contains("cannot be opened"), "{said}");
}

#[tokio::test]
async fn a_database_of_before_is_sealed_and_wiped_at_the_first_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(dir.path());
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    let before = schema::MIGRATIONS.iter().take_while(|sql| !sql.contains("COLUMN hidden"));
    let version = before.map(|sql| conn.execute_batch(sql).unwrap()).count();
    conn.pragma_update(None, "user_version", u32::try_from(version).unwrap()).unwrap();
    let sql = format!(
        "INSERT INTO apps (id, name, created, subnet) VALUES ('aaaaaaaa', 'a', 1, 1);
         INSERT INTO registries VALUES ('r.example', 'ci', '{CANARY}', 1);
         INSERT INTO deploys (id, app_id, kind, ask, state, actor, created, owner, fence) VALUES (7, 'aaaaaaaa', '\"Config\"',
           '{{\"config\":{{\"set\":{{\"TOKEN\":\"{CANARY}-99\"}},\"unset\":[]}}}}', '\"Received\"', 'ana', 1, 'x', 1);"
    );
    conn.execute_batch(&sql).unwrap();
    // With long values and some rows gone, so that there are free pages with clear text in them.
    for n in 1..=40 {
        let value = if n <= 10 { format!("{CANARY}-{n}") } else { format!("{CANARY}-{}", "x".repeat(20_000)) };
        let sql = "INSERT INTO configs (app_id, version, vars, created) VALUES ('aaaaaaaa', ?1, ?2, 1)";
        conn.execute(sql, params![n, format!("{{\"TOKEN\":\"{value}\"}}")]).unwrap();
    }
    conn.execute("DELETE FROM configs WHERE version > 10", []).unwrap();
    drop(conn);
    assert!(!found(dir.path(), CANARY).is_empty());
    let store = Store::open(&path).unwrap();
    assert_eq!(found(dir.path(), CANARY), [""; 0]);
    all_there(&store, DeployId(7)).await;
    drop(store);
    assert_eq!(found(dir.path(), CANARY), [""; 0]);
    all_there(&Store::open(&path).unwrap(), DeployId(7)).await;
}

#[tokio::test]
async fn a_rotation_goes_on_from_wherever_it_died() {
    for died_after in ["the file", "some rows", "all rows", "nothing"] {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        let store = Store::open(&path).unwrap();
        let deploy = fill(&store).await;
        let file = keyfile::beside(&path);
        let old = keyfile::load(&file, &[]).unwrap().first;
        if died_after == "nothing" {
            let (was, new, rows) = store.rotate_key().await.unwrap();
            assert_eq!((was.as_str(), rows), (old.id(), 12));
            assert_ne!(new, old.id());
            all_there(&store, DeployId(deploy)).await;
            drop(store);
        } else {
            drop(store);
            let cipher = Cipher { first: Key::random().unwrap(), older: vec![old.clone()] };
            keyfile::write(&file, &cipher).unwrap();
            let mut conn = super::super::connect(&path).unwrap();
            let rows: &[i64] = match died_after {
                "some rows" => &[1, 2, 3],
                _ => &[],
            };
            write(&mut conn, &cipher, |tx| {
                for version in rows {
                    let place = |name: &str| config_place(&app(), ConfigVersion(*version), name);
                    let sealed =
                        serde_json::to_string(&tx.seal_all(&tx.config(&app(), ConfigVersion(*version))?, place)?)?;
                    tx.0.execute("UPDATE configs SET vars = ?1 WHERE version = ?2", params![sealed, version])?;
                }
                Ok(())
            })
            .unwrap();
            if died_after == "all rows" {
                seal_anew(&mut conn, &cipher).unwrap();
            }
            drop(conn);
        }
        let store = Store::open(&path).unwrap();
        all_there(&store, DeployId(deploy)).await;
        let keys = keyfile::load(&file, &[]).unwrap();
        assert!(keys.older.is_empty() && keys.first.id() != old.id(), "{died_after}");
        drop(store);
        // Neither the old key's values nor the old key are left.
        assert_eq!(found(dir.path(), &mark(&old)), [""; 0], "{died_after}");
        assert_eq!(found(dir.path(), old.line().split(' ').nth(1).unwrap()), [""; 0], "{died_after}");
    }
}

#[tokio::test]
async fn without_its_key_a_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(dir.path());
    drop(Store::open(&path).unwrap());
    let file = keyfile::beside(&path);
    let good = std::fs::read(&file).unwrap();
    let database = std::fs::read(&path).unwrap();
    let other = tempfile::tempdir().unwrap();
    drop(Store::open(&path_in(other.path())).unwrap());
    let wrong = std::fs::read(keyfile::beside(&path_in(other.path()))).unwrap();
    for bad in [None, Some(&good[..good.len() - 7]), Some(&wrong[..])] {
        match bad {
            None => std::fs::remove_file(&file).unwrap(),
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
        }
        let said = Store::open(&path).unwrap_err().chain();
        assert!(said.contains("secret.key") && said.contains("start again"), "{said}");
        assert_eq!(std::fs::read(&path).unwrap(), database);
        assert_eq!(std::fs::read(&file).ok().as_deref(), bad);
    }
    std::fs::write(&file, good).unwrap();
    Store::open(&path).unwrap();
}

#[tokio::test]
async fn where_the_key_is_lost_the_values_go_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(dir.path());
    let store = Store::open(&path).unwrap();
    let deploy = fill(&store).await;
    drop(store);
    std::fs::write(keyfile::beside(&path), "lost\n").unwrap();
    Store::open(&path).unwrap_err();
    assert_eq!(super::super::forget_secrets(&path).unwrap(), 12);
    assert_eq!(std::fs::read_to_string(dir.path().join("secret.key.forgotten")).unwrap(), "lost\n");
    let store = Store::open(&path).unwrap();
    store
        .write(move |tx| {
            assert!(tx.config(&app(), ConfigVersion(1))?.is_empty() && tx.registries()?.is_empty());
            assert!(tx.deploy(DeployId(deploy))?.unwrap().ask.config.set.is_empty());
            assert_eq!(tx.the_app(&app())?.name.as_str(), "a");
            let version = tx.add_config(&app(), &vars(1), &Default::default(), NOW)?;
            assert_eq!(tx.config(&app(), version)?, vars(1));
            Ok(())
        })
        .await
        .unwrap();
}
