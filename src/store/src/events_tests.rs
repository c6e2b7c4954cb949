//! An event is there if and only if its change is, once; and stays as long as somebody has still to read it.

use crate::{EventFilter, EventRow, NewKey, Store, Trimmed, Tx, path_in};
use domain::access::{Principal, Role};
use domain::app_settings::AppSettings;
use domain::audit::Keep;
use domain::event::{Crash, Event, KINDS};
use domain::ids::{EventId, SetId};
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::routing::Maintenance;
use domain::{AppId, InstanceId, Refusal, ReleaseNumber, Secret, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000_000_000);
const DAY: i64 = 86_400_000;

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&path_in(dir.path())).unwrap();
    (dir, store)
}

fn id() -> AppId {
    "aaaaaaaa".parse().unwrap()
}

fn all() -> EventFilter {
    EventFilter { max: 1_000, ..EventFilter::default() }
}

async fn seen(store: &Store, filter: EventFilter) -> Vec<EventRow> {
    let mut rows = store.read(move |tx| tx.events(&filter)).await.unwrap();
    rows.reverse();
    rows
}

async fn kinds(store: &Store, filter: EventFilter) -> Vec<&'static str> {
    seen(store, filter).await.into_iter().map(|row| row.event.kind()).collect()
}

/// Everything that a mutator without a job changes.
fn change_everything(tx: &Tx<'_>) -> crate::Result<()> {
    let ana = match tx.user_by_name(&"ana".parse()?)? {
        Some(ana) => ana,
        None => tx.add_user(&"ana".parse()?, Role::Developer, None, NOW)?,
    };
    let app = match tx.app(&id())? {
        Some(app) => app,
        None => tx.add_app(&id(), &"blog".parse()?, None, NOW)?,
    };
    let key = |text: &str| NewKey { fingerprint: format!("SHA256:{text}"), name: text.into(), public: text.into() };
    tx.share(&app.id, &ana, None, NOW)?;
    let settings = AppSettings { deploy_branch: Some("live".into()), ..AppSettings::default() };
    tx.set_settings(&app.id, &settings, NOW)?;
    tx.set_formation(&app.id, &[("web".parse()?, 2)].into(), NOW)?;
    tx.stop(&app.id, NOW)?;
    tx.set_maintenance(&app.id, Some(&Maintenance { page: None }), NOW)?;
    let vars = [("A".parse()?, Secret::new("canary".to_owned()))].into();
    let version = tx.add_config(&app.id, &vars, &Default::default(), NOW)?;
    tx.set_config_version(&app.id, version, NOW)?;
    if tx.keys(None)?.is_empty() {
        tx.add_key(&ana, &key("own"), None, NOW)?;
        tx.add_deploy_key(&app.id, &key("ci"), &Principal::Local, NOW)?;
    }
    Ok(())
}

fn take_everything_back(tx: &Tx<'_>) -> crate::Result<()> {
    let Some(ana) = tx.user_by_name(&"ana".parse()?)? else { return Ok(()) };
    tx.set_maintenance(&id(), None, NOW)?;
    tx.unshare(&id(), &ana, NOW)?;
    tx.remove_key("SHA256:own", &ana, NOW)?;
    tx.remove_deploy_key(&id(), "SHA256:ci", NOW)?;
    let admin = crate::User { role: Role::Admin, ..ana.clone() };
    tx.set_role(&ana, Role::Admin, NOW)?;
    tx.set_role(&admin, Role::Admin, NOW)?;
    let app = tx.the_app(&id())?;
    tx.rename_app(&app, &"news".parse()?, NOW)?;
    tx.rename_app(&tx.the_app(&id())?, &"news".parse()?, NOW)?;
    for _ in 0..2 {
        tx.transfer_app(&tx.the_app(&id())?, &ana, NOW)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_change_is_told_once_and_what_changes_nothing_is_not() {
    let (_dir, store) = open();
    for _ in 0..2 {
        store.write(change_everything).await.unwrap();
    }
    let made = [
        "user-added",
        "app-created",
        "access-given",
        "settings-changed",
        "scaled",
        "app-stopped",
        "maintenance-on",
        "config-changed",
        "key-added",
        "deploy-key-added",
    ];
    assert_eq!(kinds(&store, all()).await, made);
    store.write(take_everything_back).await.unwrap();
    let undone = [
        "maintenance-off",
        "access-taken",
        "key-removed",
        "deploy-key-removed",
        "role-changed",
        "app-renamed",
        "app-transferred",
    ];
    assert_eq!(kinds(&store, all()).await[made.len()..], undone);
    let before = made.len() + undone.len();
    let end = |tx: &Tx<'_>| {
        let ana = tx.the_user(&"ana".parse()?)?;
        tx.share(&id(), &ana, None, NOW)?;
        tx.remove_user(&ana, NOW)?;
        tx.remove_app(&id(), NOW)?;
        tx.remove_app(&id(), NOW)
    };
    store.write(end).await.unwrap();
    let last = seen(&store, all()).await.split_off(before);
    let kinds: Vec<&str> = last.iter().map(|row| row.event.kind()).collect();
    assert_eq!(kinds, ["access-given", "access-taken", "user-removed", "app-destroyed"]);
    // The name it had then, although there is no such app any more.
    let name = |row: &EventRow| (row.app.clone(), row.app_name.as_ref().map(ToString::to_string));
    assert_eq!(name(&last[3]), (Some(id()), Some("news".to_owned())));
    assert_eq!(name(&last[2]), (None, None));
    let first = seen(&store, all()).await.swap_remove(1);
    assert_eq!(name(&first), (Some(id()), Some("blog".to_owned())));
    let text = serde_json::to_string(&seen(&store, all()).await.into_iter().map(|r| r.event).collect::<Vec<_>>());
    assert!(!text.unwrap().contains("canary"));
}

#[tokio::test]
async fn what_is_rolled_back_did_not_happen_and_rings_nobody() {
    let (_dir, store) = open();
    let mut news = store.news();
    let done: system::fault::Result<()> = store
        .write(|tx| {
            change_everything(tx)?;
            Err(Refusal::new(Code::Cancelled, "stop").into())
        })
        .await;
    assert!(done.is_err() && !news.has_changed().unwrap());
    assert_eq!(kinds(&store, all()).await, [""; 0]);
    store.write(|tx| tx.set_meta("a", "1")).await.unwrap();
    assert!(!news.has_changed().unwrap(), "nothing happened");
    store.write(change_everything).await.unwrap();
    assert!(news.has_changed().unwrap());
    news.mark_unchanged();
    store.write(change_everything).await.unwrap();
    assert!(!news.has_changed().unwrap(), "nothing happened that had not before");
}

#[tokio::test]
async fn an_instance_crashes_and_comes_up_once() {
    let (_dir, store) = open();
    let app = |tx: &Tx<'_>| {
        tx.add_app(&id(), &"blog".parse()?, None, NOW)?;
        let (release, desire) = (ReleaseNumber(3), Desire::Up);
        let new =
            crate::NewInstance { release, process: "web".parse()?, ordinal: 2, set: SetId(1), desire, served: true };
        Ok(tx.add_instance(&id(), &new, "10.208.0.2".parse().unwrap(), NOW)?.id)
    };
    let one: InstanceId = store.write(app).await.unwrap();
    let crash = move |tx: &Tx<'_>| tx.note_crash(one, 2, Crash::Exited { code: Some(1) }, NOW);
    let up = move |tx: &Tx<'_>| tx.note_up(one, NOW);
    let gone = Event::InstanceGone { instance: "web.2".parse().unwrap(), release: ReleaseNumber(3) };
    for _ in 0..2 {
        store.write(up).await.unwrap();
    }
    for _ in 0..2 {
        store.write(crash).await.unwrap();
    }
    store.write(move |tx| tx.note_start(one, NOW)).await.unwrap();
    store.write(up).await.unwrap();
    for _ in 0..2 {
        let gone = gone.clone();
        store.write(move |tx| tx.note_down(one, Some(&gone), NOW)).await.unwrap();
    }
    store.write(up).await.unwrap();
    store.write(move |tx| tx.note_down(one, None, NOW)).await.unwrap();
    let told: Vec<Event> = seen(&store, all()).await.into_iter().skip(1).map(|row| row.event).collect();
    let (instance, release) = (|| "web.2".parse().unwrap(), ReleaseNumber(3));
    let up = || Event::InstanceUp { instance: instance(), release };
    let crashed = Event::InstanceCrashed {
        instance: instance(),
        release,
        cause: Crash::Exited { code: Some(1) },
        crashes: 2,
        again_ms: 1_000,
    };
    assert_eq!(told, [up(), crashed, up(), gone, up()]);
}

#[tokio::test]
async fn what_is_not_known_is_a_fault_that_names_it() {
    for (kind, data) in [
        ("app-eaten", r#"{"kind":"app-eaten"}"#),
        ("app-stopped", r#"{"kind":"maintenance-off"}"#),
        ("app-stopped", "stopped"),
        ("instance-up", r#"{"kind":"instance-up","instance":"web.1"}"#),
    ] {
        let (dir, store) = open();
        store.write(|tx| tx.happened(None, &Event::RouterBack, NOW)).await.unwrap();
        let raw = rusqlite::Connection::open(path_in(dir.path())).unwrap();
        let sql = "INSERT INTO events (at, kind, data) VALUES (1, ?1, ?2)";
        raw.execute(sql, [kind, data]).unwrap();
        assert!(raw.execute("UPDATE events SET at = 2", []).is_err(), "events are only added");
        let err = store.read(|tx| tx.events_after(EventId(0), 10)).await.unwrap_err().chain();
        assert!(err.contains("cannot use the database"), "{err}");
        assert!(store.read(|tx| tx.events(&all())).await.is_err(), "{kind}");
    }
}

#[tokio::test]
async fn events_are_found_by_app_kind_person_and_time() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            tx.add_app(&id(), &"blog".parse()?, None, NOW)?;
            for n in 1..=6 {
                let by = if n % 2 == 0 { "ana" } else { "bob" }.to_owned();
                let (release, deploy) = (ReleaseNumber(n), i64::from(n).into());
                let event = Event::ReleaseCut { release, deploy, description: "x".into(), by };
                tx.happened(Some(&id()), &event, NOW.plus_millis(i64::from(n) * DAY))?;
            }
            tx.happened(None, &Event::RouterBack, NOW)
        })
        .await
        .unwrap();
    let check = async |filter: EventFilter, want: &[i64]| {
        let got: Vec<i64> = seen(&store, filter.clone()).await.into_iter().map(|row| row.seq.0).collect();
        assert_eq!(got, want, "{filter:?}");
    };
    check(all(), &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    check(EventFilter { app: Some(id()), ..all() }, &[1, 2, 3, 4, 5, 6, 7]).await;
    check(EventFilter { by: Some("ana".into()), ..all() }, &[3, 5, 7]).await;
    check(EventFilter { kinds: Some(vec!["router-back", "app-created"]), ..all() }, &[1, 8]).await;
    check(EventFilter { kinds: Some(Vec::new()), ..all() }, &[]).await;
    check(EventFilter { since: Some(NOW.plus_millis(5 * DAY)), ..all() }, &[6, 7]).await;
    check(EventFilter { before: Some(EventId(4)), max: 2, ..all() }, &[2, 3]).await;
    check(EventFilter { app: Some("bbbbbbbb".parse().unwrap()), ..all() }, &[]).await;
    let every = Some(KINDS.iter().map(|(kind, _)| *kind).collect());
    check(EventFilter { kinds: every, max: 1, ..all() }, &[8]).await;
}

#[tokio::test]
async fn readers_go_on_and_nothing_goes_that_one_has_to_read() {
    let (dir, store) = open();
    store
        .write(|tx| {
            (0..20).try_for_each(|n| tx.happened(None, &Event::RouterBack, NOW.plus_millis(n)))?;
            assert_eq!((tx.event_reader("log")?, tx.event_reader("new")?), (EventId(0), EventId(20)));
            tx.advance_reader("log", EventId(7))?;
            tx.advance_reader("log", EventId(5))?;
            assert_eq!(tx.event_reader("log")?, EventId(7));
            let next: Vec<i64> = tx.events_after(EventId(7), 2)?.iter().map(|row| row.seq.0).collect();
            assert_eq!(next, [8, 9]);
            // Young and few: all stay. Old: those that were read go. Many: the same.
            let later = NOW.plus_millis(2 * DAY);
            assert_eq!(tx.trim_events(Keep { days: 3, rows: 100 }, later)?, Trimmed::default());
            assert_eq!(tx.trim_events(Keep { days: 3, rows: 16 }, later)?.rows, 4);
            assert_eq!(tx.trim_events(Keep { days: 1, rows: 100 }, later)?.rows, 3);
            assert_eq!(tx.trim_events(Keep { days: 1, rows: 2 }, later)?, Trimmed::default());
            assert_eq!(tx.events(&all())?.len(), 13);
            tx.advance_reader("log", EventId(20))?;
            assert_eq!(tx.trim_events(Keep { days: 1, rows: 100 }, later)?.rows, 13);
            assert_eq!((tx.events(&all())?.len(), tx.newest_event()?), (0, EventId(20)));
            // Numbers are never used twice.
            tx.happened(None, &Event::RouterBack, NOW)?;
            assert_eq!(tx.newest_event()?, EventId(21));
            Ok(())
        })
        .await
        .unwrap();
    drop(store);
    let raw = rusqlite::Connection::open(path_in(dir.path())).unwrap();
    raw.execute("UPDATE sqlite_sequence SET seq = 100020 WHERE name = 'events'", []).unwrap();
    drop(raw);
    let store = Store::open(&path_in(dir.path())).unwrap();
    let trim = |tx: &Tx<'_>| tx.trim_events(Keep { days: 1, rows: 100 }, NOW);
    assert_eq!(store.write(trim).await.unwrap(), Trimmed::default());
    store.write(|tx| tx.happened(None, &Event::RouterBack, NOW)).await.unwrap();
    let trimmed = store.write(trim).await.unwrap();
    assert_eq!(trimmed, Trimmed { rows: 0, lost: vec![("log".to_owned(), 1)] }, "it is said");
    assert_eq!(store.read(|tx| tx.event_reader("log")).await.unwrap(), EventId(21));
}

#[tokio::test]
async fn who_has_most_events_loses_the_oldest() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            tx.add_app(&id(), &"blog".parse()?, None, NOW)?;
            (0..9).try_for_each(|_| tx.happened(Some(&id()), &Event::AppStopped, NOW))?;
            (0..3).try_for_each(|_| tx.happened(None, &Event::RouterBack, NOW))?;
            tx.advance_reader("log", tx.newest_event()?)?;
            assert_eq!(tx.trim_events(Keep { days: 1, rows: 8 }, NOW)?.rows, 5);
            let left: Vec<i64> = tx.events(&all())?.iter().map(|row| row.seq.0).collect();
            assert_eq!(left, [13, 12, 11, 10, 9, 8, 7, 6]);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn health_is_told_when_it_changes_also_after_a_restart() {
    let (dir, store) = open();
    let away = Event::RouterUnreachable { why: "gone".to_owned() };
    let note = move |well: bool| {
        let away = away.clone();
        move |tx: &Tx<'_>| tx.note_health("router", well, if well { &Event::RouterBack } else { &away }, NOW)
    };
    for well in [true, false, false] {
        store.write(note(well)).await.unwrap();
    }
    drop(store);
    let store = Store::open(&path_in(dir.path())).unwrap();
    for well in [false, true, true, false] {
        store.write(note(well)).await.unwrap();
    }
    assert_eq!(kinds(&store, all()).await, ["router-unreachable", "router-back", "router-unreachable"]);
}
