//! The door's books, whatever connections do.

use super::*;

fn door(connections: usize, per_source: usize) -> (Rc<Door>, mpsc::Receiver<String>) {
    let limits = Limits { connections, per_source, per_source_requests: 2, ..Limits::default() };
    let (notes, told) = mpsc::channel(4);
    let trusted: Arc<[Network]> = vec!["10.0.0.0/8".parse().unwrap()].into();
    (Rc::new(Door::new(&limits, (0, 1), trusted, Arc::new(Census::new(1)), notes)), told)
}

fn empty(door: &Door) {
    assert_eq!((door.inside.get(), door.waiting.get(), door.able.get()), (0, 0, Able::Room));
    assert!(door.census.is_empty());
    assert!(door.crowds.borrow().is_empty() && door.seats.borrow().all.is_empty());
}

#[tokio::test]
async fn the_books_balance_whatever_happens() {
    let (door, mut told) = door(8, 100);
    let crowd: Vec<Guest> = (0..8).map(|_| door.enter([192, 0, 2, 1].into()).unwrap()).collect();
    crowd[0].turn(At::Busy);
    crowd[1].turn(At::Head);
    let v6 = door.enter("2001:db8::1".parse().unwrap()).unwrap();
    let proxy = door.enter([10, 0, 0, 1].into()).unwrap();
    // The oldest idle ones went, none at work and none within a head.
    let away: Vec<bool> = crowd.iter().map(|g| g.seat.away.get()).collect();
    assert_eq!(away, [false, false, true, true, false, false, false, false]);
    crowd[2].sent_away().await;
    // One comes back: its request was there already.
    crowd[3].turn(At::Busy);
    assert_eq!((door.inside.get(), door.waiting.get()), (9, 7));
    for guest in &crowd {
        guest.turn(At::Busy);
    }
    assert_eq!((door.inside.get(), door.waiting.get()), (10, 2));
    assert!(door.enter([192, 0, 2, 9].into()).is_some(), "one that waits makes room");
    for guest in [&v6, &proxy] {
        guest.turn(At::Busy);
    }
    assert!(door.enter([192, 0, 2, 9].into()).is_none(), "all are at work");
    drop((crowd, v6, proxy));
    empty(&door);
    door.report();
    let line = told.try_recv().unwrap();
    assert!(line.starts_with("closed 3 waiting connections to make room: 192.0.2.1/32 2, 2001:db8::/56 1"), "{line}");
    assert!(line.ends_with("; refused 1 connections: all that may be open are at work"), "{line}");
    door.report();
    assert!(told.try_recv().is_err(), "nothing new, nothing said");
}

#[test]
fn the_next_connection_is_for_the_worker_that_can_do_most() {
    let limits = Limits { connections: 4, ..Limits::default() };
    let census = Arc::new(Census::new(2));
    let door = |n| Rc::new(Door::new(&limits, (n, 2), Arc::from([]), census.clone(), mpsc::channel(1).0));
    let (one, two) = (door(0), door(1));
    let leave = || (one.leaves_to_others(), two.leaves_to_others());
    let enter = |door: &Rc<Door>| door.enter([192, 0, 2, 1].into()).unwrap();
    let mut inside = vec![enter(&one), enter(&one)];
    assert_eq!(leave(), (true, false), "the other has a free place: nobody is closed");
    inside.extend([enter(&two), enter(&two)]);
    assert_eq!(leave(), (false, false), "each can close one that waits");
    inside[0].turn(At::Busy);
    inside[1].turn(At::Busy);
    assert_eq!(leave(), (true, false), "only the other can");
    inside[2].turn(At::Busy);
    inside[3].turn(At::Busy);
    assert_eq!(leave(), (false, false), "nobody can: one of them says so");
    assert!(two.enter([192, 0, 2, 2].into()).is_none());
    inside[3].turn(At::Idle);
    assert_eq!(leave(), (true, false));
    drop(inside);
    empty(&one);
    empty(&two);
}

#[test]
fn a_source_and_a_site_have_limits_and_a_trusted_proxy_none() {
    let (door, _told) = door(1000, 4);
    let busy = |address: &str| {
        let guest = door.enter(address.parse().unwrap())?;
        guest.turn(At::Busy);
        Some(guest)
    };
    let mut inside: Vec<Guest> = (0..40).filter_map(|_| busy("192.0.2.1")).collect();
    assert!((2..=4).contains(&inside.len()), "{}", inside.len());
    inside.extend((0..40).filter_map(|_| busy("10.0.0.1")));
    assert!(inside.len() >= 42);
    // 40 lines of one site; its limit is four times that of a line.
    let lines: Vec<Guest> = (0..40).filter_map(|n| busy(&format!("2001:db8:0:{:x}::1", n << 8))).collect();
    assert!((8..=16).contains(&lines.len()), "{}", lines.len());
    assert!(busy("2001:db8:1::1").is_some(), "another site");
    drop((inside, lines));
    empty(&door);
    // Idle ones of a source make room for its next, and for nobody else's.
    let other = door.enter([192, 0, 2, 2].into()).unwrap();
    let idle: Vec<Guest> = (0..9).map(|_| door.enter([192, 0, 2, 1].into()).unwrap()).collect();
    assert_eq!(idle.iter().filter(|g| !g.seat.away.get()).count(), 4);
    assert!(!other.seat.away.get());
}

#[test]
fn requests_of_a_source_are_counted_wherever_they_come_in() {
    let (door, _told) = door(10, 10);
    let (one, two) = (door.enter([10, 0, 0, 1].into()).unwrap(), door.enter([10, 0, 0, 2].into()).unwrap());
    let source = Some(Source::of([192, 0, 2, 1].into()));
    let first = one.begin(source).unwrap();
    let second = two.begin(source).unwrap();
    assert!(one.begin(source).is_err());
    assert!(one.begin(Some(Source::of([192, 0, 2, 2].into()))).is_ok() && one.begin(None).is_ok());
    one.serves(source.map(|s| (s, 7)));
    assert_eq!((door.at_work_on(source, 7), door.at_work_on(source, 8), door.at_work_on(None, 7)), (1, 0, 0));
    drop(first);
    assert!(two.begin(source).is_ok());
    drop((second, one, two));
    empty(&door);
}
