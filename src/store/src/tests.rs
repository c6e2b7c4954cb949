//! The store against real files: soundness, migration, the commit point, fences.

use super::*;
use domain::access::Role;
use domain::app_settings::AppSettings;
use domain::deploy::{Deploy, Effect, Kind, Outcome};
use domain::dockerfile::BuildSettings;
use domain::ids::{ConfigVersion, DeployId, SetId, UserId};
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::{AppId, ReleaseNumber, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000);

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&path_in(dir.path())).unwrap();
    (dir, store)
}

fn app_id(text: &str) -> AppId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let (dir, store) = open();
    store.write(|tx| tx.add_user(&"ana".parse()?, Role::Admin, None, NOW)).await.unwrap();
    drop(store);
    let path = path_in(dir.path());
    for damage in [&b"not a database at all, only text"[..], &[0xff; 20_000][..]] {
        std::fs::write(&path, damage).unwrap();
        let err = Store::open(&path).unwrap_err().chain();
        assert!(err.contains("is damaged") && err.contains("left as it is"), "{err}");
        assert_eq!(std::fs::read(&path).unwrap(), damage);
    }
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let (dir, store) = open();
    drop(store);
    let path = path_in(dir.path());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(Store::open(&path).unwrap_err().chain().contains("newer Hoist"));
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing() {
    let (_dir, store) = open();
    let done: system::fault::Result<()> = store
        .write(|tx| {
            tx.set_meta("a", "1")?;
            Err(domain::Refusal::new(Code::Cancelled, "stop").into())
        })
        .await;
    assert!(done.is_err());
    assert_eq!(store.read(|tx| tx.meta("a")).await.unwrap(), None);
}

#[tokio::test]
async fn a_write_whose_caller_has_given_up_is_not_committed() {
    let (_dir, store) = open();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let slow = store.write(move |tx| {
        gate.recv().map_err(|err| Fault::new("wait", err))?;
        tx.set_meta("slow", "1")
    });
    let mut slow = Box::pin(slow);
    assert!(futures_util::poll!(&mut slow).is_pending());
    // One waits for its turn, one is at work: both callers leave.
    let mut queued = Box::pin(store.write(|tx| tx.set_meta("queued", "1")));
    assert!(futures_util::poll!(&mut queued).is_pending());
    drop((slow, queued));
    go.send(()).unwrap();
    store.write(|tx| tx.set_meta("next", "1")).await.unwrap();
    let seen = store.read(|tx| Ok((tx.meta("slow")?, tx.meta("queued")?, tx.meta("next")?))).await.unwrap();
    assert_eq!(seen, (None, None, Some("1".to_owned())));
}

#[tokio::test]
async fn names_are_unique_and_networks_are_taken_and_freed() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            let a = tx.add_app(&app_id("aaaaaaaa"), &"a".parse()?, None, NOW)?;
            let b = tx.add_app(&app_id("bbbbbbbb"), &"b".parse()?, None, NOW)?;
            assert_eq!((a.network, b.network), (None, None), "none before it runs");
            tx.take_network(&a.id, 1, NOW)?;
            tx.take_network(&b.id, 300, NOW)?;
            assert_eq!(tx.the_app(&b.id)?.network, Some(300));
            assert!(tx.take_network(&b.id, 1, NOW).is_err(), "another app's");
            Ok(())
        })
        .await
        .unwrap();
    store
        .write(|tx| {
            tx.take_network(&app_id("bbbbbbbb"), 2, NOW)?;
            tx.remove_app(&app_id("aaaaaaaa"), NOW)?;
            let have = Networks { used: [2].into(), freed: [(1, NOW), (300, NOW)].into() };
            assert_eq!(tx.networks()?, have);
            let c = tx.add_app(&app_id("cccccccc"), &"c".parse()?, None, NOW)?;
            tx.take_network(&c.id, 1, NOW)?;
            assert_eq!(tx.networks()?.used, [1, 2].into());
            assert!(tx.add_app(&app_id("dddddddd"), &"c".parse()?, None, NOW).is_err());
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_runs_counts_to_its_owner() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            let ana = tx.add_user(&"ana".parse()?, Role::Developer, None, NOW)?;
            let bob = tx.add_user(&"bob".parse()?, Role::Developer, None, NOW)?;
            let a = tx.add_app(&app_id("aaaaaaaa"), &"a".parse()?, Some(ana.id), NOW)?.id;
            let b = tx.add_app(&app_id("bbbbbbbb"), &"b".parse()?, Some(bob.id), NOW)?.id;
            tx.add_app(&app_id("cccccccc"), &"c".parse()?, None, NOW)?;
            assert_eq!((tx.apps_owned(ana.id)?, tx.apps_owned(bob.id)?), (vec![a.clone()], vec![b.clone()]));
            let mut last = 0;
            let mut add = |app: &AppId, process: &str, set: SetId, desire: Desire| {
                last += 1;
                let release = ReleaseNumber(1);
                let new = NewInstance { release, process: process.parse()?, ordinal: last, set, desire, served: false };
                tx.add_instance(app, &new, format!("10.208.0.{last}").parse().unwrap(), NOW)
            };
            // The old set, and the larger one that takes its place; what is on its way out, and a release command.
            add(&a, "web", SetId(1), Desire::Up)?;
            add(&a, "web", SetId(2), Desire::Booting)?;
            add(&a, "worker", SetId(2), Desire::Booting)?;
            add(&a, "release", SetId(2), Desire::Booting)?;
            add(&a, "web", SetId(3), Desire::Retiring)?;
            add(&b, "web", SetId(4), Desire::Up)?;
            let once = add(&a, "run", SetId(0), Desire::Once)?;
            let run = RunRow {
                id: once.id,
                app: a.clone(),
                number: 1,
                release: ReleaseNumber(1),
                command: "x".into(),
                actor: "ana".into(),
                key: String::new(),
                detached: true,
                memory: 77,
                begun: NOW,
                deadline: NOW,
                ended: None,
                why: String::new(),
            };
            tx.add_run(&run)?;
            assert_eq!(tx.instances_owned(ana.id)?, [(a.clone(), 2)].into());
            assert_eq!(tx.instances_owned(bob.id)?, [(b, 1)].into());
            assert_eq!(tx.once_owned(ana.id)?, OnceLoad { count: 1, memory: 77 });
            assert_eq!(tx.once_owned(bob.id)?, OnceLoad::default());
            tx.end_run(once.id, Some(0), "", NOW)?;
            assert_eq!(tx.once_owned(ana.id)?, OnceLoad::default());
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn quotas_are_set_changed_and_go_with_their_user() {
    use domain::quota::What;
    let (_dir, store) = open();
    store
        .write(|tx| {
            let ana = tx.add_user(&"ana".parse()?, Role::Developer, None, NOW)?;
            tx.set_quotas(&ana, &[(What::Apps, Some(3)), (What::Disk, None)].into(), "root", NOW)?;
            tx.set_quotas(&ana, &[(What::Apps, Some(5))].into(), "eve", NOW)?;
            let holder = tx.quota_holder(ana.id)?.unwrap();
            assert_eq!(holder.own, [(What::Apps, Some(5)), (What::Disk, None)].into());
            let apps = Quota { what: What::Apps, limit: Some(5), by: "eve".into() };
            assert!(tx.quotas(ana.id)?.contains(&apps));
            assert!(tx.unset_quota(&ana, What::Apps)? && !tx.unset_quota(&ana, What::Apps)?);
            tx.remove_user(&ana, NOW)?;
            assert_eq!((tx.quota_holder(ana.id)?, tx.quotas(ana.id)?), (None, Vec::new()));
            Ok(())
        })
        .await
        .unwrap();
}

/// Of a file of before, apps that run keep their networks, and those that never did have none.
#[test]
fn networks_and_settings_are_taken_over_from_older_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(dir.path());
    let mut old = rusqlite::Connection::open(&path).unwrap();
    schema::migrate_to(&mut old, &path, schema::before_quotas()).unwrap();
    let rows = "INSERT INTO apps (id, name, created, subnet, current_release) VALUES
                ('aaaaaaaa', 'a', 1, 3, 1), ('bbbbbbbb', 'b', 1, 4, NULL), ('cccccccc', 'c', 1, 256, NULL);
                UPDATE apps SET deploy_branch = 'live', stack = 'deb12', enter = 0,
                build_settings = '{\"port\":8080}' WHERE id = 'aaaaaaaa'";
    old.execute_batch(rows).unwrap();
    drop(old);
    let store = Store::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seen = runtime.block_on(store.write(|tx| {
        tx.add_app(&app_id("dddddddd"), &"d".parse()?, None, NOW)?;
        tx.apps()
    }));
    let apps = seen.unwrap();
    let numbers: Vec<Option<u16>> = apps.iter().map(|app| app.network).collect();
    assert_eq!(numbers, [Some(3), None, None, None]);
    let kept = AppSettings {
        deploy_branch: Some("live".to_owned()),
        stack: Some("deb12".to_owned()),
        enter: false,
        build: BuildSettings { port: Some(8080), ..BuildSettings::default() },
        ..AppSettings::default()
    };
    assert_eq!(apps[0].settings, kept);
    assert!(apps[1..].iter().all(|app| app.settings == AppSettings::default()), "{apps:?}");
}

#[tokio::test]
async fn the_commit_point_flips_everything_at_once_and_fences_hold() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            let app = tx.add_app(&app_id("aaaaaaaa"), &"a".parse()?, None, NOW)?;
            let commit = "1".repeat(40).parse()?;
            let job = NewDeploy {
                app: app.id.clone(),
                kind: Kind::Push,
                ask: Ask::default(),
                actor: "ana".into(),
                owner: "one".into(),
            };
            let id = tx.add_deploy(&job, NOW)?;
            let build = tx.begin_build(&app.id, id, &commit, "ana", NOW)?;
            assert_eq!(tx.begin_build(&app.id, id, &commit, "ana", NOW)?, build);
            let config = tx.add_config(&app.id, &Default::default(), &Default::default(), NOW)?;
            let release = Release {
                app: app.id.clone(),
                number: ReleaseNumber(0),
                build,
                config_version: config,
                description: "Deploy 1".into(),
                status: ReleaseStatus::Pending,
                actor: "ana".into(),
                created: NOW,
                deploy: id,
            };
            let number = tx.cut_release(&release)?;
            assert_eq!(tx.cut_release(&release)?, number);
            let new = NewInstance {
                release: number,
                process: "web".parse()?,
                ordinal: 1,
                set: id.into(),
                desire: Desire::Booting,
                served: true,
            };
            tx.add_instance(&app.id, &new, "10.208.0.2".parse().unwrap(), NOW)?;
            tx.commit_release(&app.id, number, id.into(), NOW)?;
            let now = tx.the_app(&app.id)?;
            assert_eq!(
                (now.current_release, now.current_set, now.config_version),
                (Some(number), Some(id.into()), config)
            );
            assert_eq!(tx.instances(Some(&app.id))?[0].desire, Desire::Up);

            let row = tx.deploy(id)?.unwrap();
            tx.begin_step(&row, Effect::Build, NOW)?;
            tx.take_over("two")?;
            assert!(tx.end_step(&row, &Outcome::Built { build }, &Deploy::Built { build }, NOW).is_err());
            let row = tx.deploy(id)?.unwrap();
            tx.end_step(&row, &Outcome::Built { build }, &Deploy::Built { build }, NOW)?;
            assert_eq!(tx.open_deploys()?.len(), 1);
            assert_eq!(tx.steps(id)?.len(), 1);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_address_rests_when_its_app_is_destroyed_and_another_takes_the_range() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            let a = tx.add_app(&app_id("aaaaaaaa"), &"a".parse()?, None, NOW)?;
            let b = tx.add_app(&app_id("bbbbbbbb"), &"b".parse()?, None, NOW)?;
            let new = NewInstance {
                release: ReleaseNumber(1),
                process: "web".parse()?,
                ordinal: 1,
                set: SetId(1),
                desire: Desire::Booting,
                served: true,
            };
            let address = "10.208.0.66".parse().unwrap();
            let row = tx.add_instance(&a.id, &new, address, NOW)?;
            tx.remove_instance(&row, NOW)?;
            assert!(!tx.addresses_of(&b.id)?.freed.contains_key(&address), "of another app that is there");
            tx.remove_app(&a.id, NOW)?;
            let c = tx.add_app(&app_id("cccccccc"), &"c".parse()?, None, NOW)?;
            assert_eq!(tx.addresses_of(&c.id)?.freed.get(&address), Some(&NOW));
            Ok(())
        })
        .await
        .unwrap();
}

fn audit_row(actor: &str, at: i64) -> AuditRow {
    AuditRow {
        at: Timestamp(NOW.0 + at),
        actor: actor.into(),
        key: format!("SHA256:{actor}"),
        key_name: String::new(),
        origin: "local".into(),
        app: None,
        verb: "ps".into(),
        line: "ps blog".into(),
        exit_code: Some(0),
        repeats: None,
        last_at: None,
    }
}

#[tokio::test]
async fn a_flood_of_one_person_pushes_out_nobody_elses_rows() {
    let (dir, store) = open();
    let keep = domain::audit::Keep { days: 365, rows: 100 };
    let left = store
        .write(move |tx| {
            let ana = tx.add_user(&"ana".parse()?, Role::Developer, None, NOW)?;
            let eve = tx.add_user(&"eve".parse()?, Role::Developer, None, NOW)?;
            let key =
                |name: &str| NewKey { fingerprint: format!("SHA256:{name}"), name: name.into(), public: name.into() };
            tx.add_key(&ana, &key("ana"), None, NOW)?;
            tx.add_key(&eve, &key("eve"), None, NOW)?;
            let app = tx.add_app(&app_id("aaaaaaaa"), &"a".parse()?, Some(eve.id), NOW)?;
            // Her deploy keys are no other persons.
            let who = tx.principal_by_key("SHA256:eve")?.unwrap();
            for n in 0..3 {
                tx.add_deploy_key(&app.id, &key(&format!("ci{n}")), &who, NOW)?;
            }
            for n in 0..30 {
                tx.add_audit(&audit_row("ana", n), None)?;
            }
            for n in 0..1_000 {
                tx.add_audit(&audit_row(["eve", "ci0", "ci1", "ci2"][n % 4], 30 + n as i64), None)?;
            }
            while tx.trim_audit(keep, NOW)? > 0 {}
            tx.audit(&AuditFilter { max: 10_000, ..AuditFilter::default() })
        })
        .await
        .unwrap();
    let of = |actor: &str| left.iter().filter(|(_, row)| row.actor == actor).count();
    assert_eq!((left.len(), of("ana")), (100, 30));
    assert!(left.iter().all(|(_, row)| row.actor == "ana" || row.at.0 >= NOW.0 + 30 + 930), "the oldest went");
    // The promise holds below the floors only.
    let by_hand = rusqlite::Connection::open(path_in(dir.path())).unwrap();
    for sql in [
        "DELETE FROM audit",
        "DELETE FROM audit WHERE actor = 'ana' AND id = 1",
        "UPDATE audit SET actor = 'ana' WHERE actor = 'eve'",
        "UPDATE audit SET person = 0 WHERE actor = 'eve'",
        "UPDATE audit SET repeats = 5",
        "UPDATE audit SET exit_code = 1",
    ] {
        let err = by_hand.execute(sql, []).unwrap_err().to_string();
        assert!(err.contains("audit rows are only added"), "{sql}: {err}");
    }
}

#[tokio::test]
async fn a_row_that_counts_is_completed_once() {
    let (dir, store) = open();
    let count = |times| domain::flood::Count { times, last: NOW, code: Some(1) };
    store
        .write(move |tx| {
            let open = AuditRow { exit_code: None, repeats: Some(0), ..audit_row("ana", 0) };
            let id = tx.add_audit(&open, None)?;
            tx.end_counting(id, &count(7))?;
            // Completed before: nothing is left to complete.
            tx.end_counting(id, &count(8))?;
            let rows = tx.audit(&AuditFilter { max: 10, ..AuditFilter::default() })?;
            assert_eq!((rows[0].1.repeats, rows[0].1.exit_code, rows[0].1.last_at), (Some(7), Some(1), Some(NOW)));
            tx.add_audit(&AuditRow { exit_code: None, repeats: Some(0), ..audit_row("ana", 1) }, None)?;
            Ok(())
        })
        .await
        .unwrap();
    let by_hand = rusqlite::Connection::open(path_in(dir.path())).unwrap();
    for sql in
        ["UPDATE audit SET repeats = 3 WHERE exit_code IS NULL", "UPDATE audit SET repeats = 3 WHERE exit_code = 1"]
    {
        let err = by_hand.execute(sql, []).unwrap_err().to_string();
        assert!(err.contains("audit rows are only added"), "{sql}: {err}");
    }
}

#[tokio::test]
async fn what_a_column_holds_that_nobody_knows_is_a_fault() {
    let (_dir, store) = open();
    let app = store
        .write(|tx| {
            let ana = tx.add_user(&"ana".parse()?, Role::Developer, None, NOW)?;
            let app = tx.add_app(&app_id("aaaaaaaa"), &"blog".parse()?, Some(ana.id), NOW)?;
            let build = tx.queue_build(&app.id, DeployId(1), &"0".repeat(40).parse()?, "ana", NOW)?;
            let process = "web".parse()?;
            let release = ReleaseNumber(1);
            let new = NewInstance { release, process, ordinal: 1, set: SetId(1), desire: Desire::Up, served: true };
            tx.add_instance(&app.id, &new, "10.208.0.2".parse().unwrap(), NOW)?;
            tx.cut_release(&Release {
                app: app.id.clone(),
                number: release,
                build,
                config_version: ConfigVersion(0),
                description: "x".into(),
                status: ReleaseStatus::Pending,
                actor: "ana".into(),
                created: NOW,
                deploy: DeployId(1),
            })?;
            tx.set_quotas(&ana, &[(domain::quota::What::Apps, Some(1))].into(), "root", NOW)?;
            Ok(app.id)
        })
        .await
        .unwrap();
    type Read = fn(&Tx<'_>, &AppId) -> Result<()>;
    let instances: Read = |tx, app| tx.instances(Some(app)).map(drop);
    let builds: Read = |tx, app| tx.builds(app, 9).map(drop);
    let releases: Read = |tx, app| tx.releases(app, 9).map(drop);
    let apps: Read = |tx, app| tx.app(app).map(drop);
    let users: Read = |tx, _| tx.users().map(drop);
    let quotas: Read = |tx, _| tx.quotas(UserId(1)).map(drop);
    for (table, column, read) in [
        ("instances", "desire", instances),
        ("instances", "address", instances),
        ("builds", "status", builds),
        ("builds", "processes", builds),
        ("releases", "status", releases),
        ("apps", "settings", apps),
        ("users", "role", users),
        ("quotas", "what", quotas),
    ] {
        let app = app.clone();
        let told = store
            .write(move |tx| -> Result<()> {
                read(tx, &app)?;
                assert_eq!(tx.0.execute(&format!("UPDATE {table} SET {column} = 'frozen'"), [])?, 1, "{table}");
                // Its failure takes the damage back.
                read(tx, &app)
            })
            .await
            .expect_err(&format!("{table}.{column}"));
        assert!(matches!(told, system::fault::Error::Fault(_)), "{table}.{column}: {told}");
    }
}

#[tokio::test]
async fn who_waits_is_woken_by_a_write_and_not_by_time() {
    let (_dir, store) = open();
    let look = |tx: &Tx<'_>| tx.meta("there");
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(3_600);
    let there = async {
        store.write(|tx| tx.set_meta("other", "1")).await.unwrap();
        store.write(|tx| tx.set_meta("there", "yes")).await.unwrap();
    };
    let (found, ()) = tokio::join!(store.wait_for(until, look), there);
    assert_eq!(found.unwrap().as_deref(), Some("yes"));
    let soon = tokio::time::Instant::now() + std::time::Duration::from_millis(20);
    assert_eq!(store.wait_for(soon, |tx| tx.meta("never")).await.unwrap(), None);
}
