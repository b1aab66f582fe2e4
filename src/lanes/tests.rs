//! What is kept, for how long, and how much of it: with a clock of the test's own.

use super::*;

const START: Duration = Duration::from_secs(1_000);

fn tag(page: &str) -> Tag<'_> {
    Tag { page, lane: 1 }
}

/// A page leaves at a moment of the test's choosing.
fn leave(watched: Watched, now: Instant) {
    let (lanes, id) = (watched.lanes.clone(), watched.id.clone());
    drop(watched);
    lanes.pages.lock().unwrap().get_mut(&id).unwrap().left = now;
}

#[test]
fn a_tag_of_a_page_that_nobody_watches_leaves_nothing() {
    let lanes = Lanes::new();
    assert!(lanes.of("lane=k3x9q2w7.1").unwrap().is_none());
    assert!(lanes.pages.lock().unwrap().is_empty());
}

#[test]
fn counts_outlive_their_socket_by_the_grace_and_no_longer() {
    let (lanes, now) = (Lanes::new(), Instant::now() + START);
    let watched = lanes.watch("k3x9q2w7", now).unwrap();
    let lane = lanes.find(tag("k3x9q2w7"), now).unwrap();
    lane.asked();
    leave(watched, now);

    let almost = now + GRACE - Duration::from_millis(1);
    assert!(Arc::ptr_eq(&lane, &lanes.find(tag("k3x9q2w7"), almost).unwrap()), "kept without a socket");
    let watched = lanes.watch("k3x9q2w7", almost).unwrap();
    assert_eq!(watched.page.ledgers()[0].requests, 1, "a socket that comes back finds the counts");
    assert!(lanes.find(tag("k3x9q2w7"), almost + 10 * GRACE).is_some(), "kept while a socket is open");

    leave(watched, almost);
    let over = almost + GRACE;
    assert!(lanes.find(tag("k3x9q2w7"), over).is_none(), "forgotten");
    assert!(lanes.watch("k3x9q2w7", over).unwrap().page.ledgers().is_empty(), "a new life of the page");
}

#[test]
fn one_of_two_sockets_that_closes_takes_nothing_with_it() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    let first = lanes.watch("k3x9q2w7", now).unwrap();
    let _second = lanes.watch("k3x9q2w7", now).unwrap();
    leave(first, now);
    assert!(lanes.find(tag("k3x9q2w7"), now + 2 * GRACE).is_some());
}

#[test]
fn the_page_that_left_first_makes_room_and_an_open_one_does_not() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    let id = |number: usize| format!("page{number:04}");
    let mut open: Vec<_> = (0..PAGES_MAX).map(|number| lanes.watch(&id(number), now).unwrap()).collect();
    let refused = lanes.watch("another0", now).map(drop).unwrap_err();
    assert_eq!(refused.problem().status, 503);
    assert!(refused.problem().detail.contains("close one"), "{refused}");

    let (second, first) = (open.swap_remove(7), open.swap_remove(3));
    leave(first, now + Duration::from_secs(1));
    leave(second, now + Duration::from_secs(2));
    let later = now + Duration::from_secs(3);
    let _another = lanes.watch("another0", later).unwrap();
    assert!(lanes.find(tag(&id(3)), later).is_none(), "it left first");
    assert!(lanes.find(tag(&id(7)), later).is_some());
    assert_eq!(lanes.pages.lock().unwrap().len(), PAGES_MAX);
}

#[test]
fn a_page_has_a_bounded_number_of_sockets() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    let mut open: Vec<_> = (0..SOCKETS_MAX).map(|_| lanes.watch("k3x9q2w7", now).unwrap()).collect();
    assert_eq!(lanes.watch("k3x9q2w7", now).map(drop).unwrap_err().problem().status, 503);
    leave(open.remove(0), now);
    assert!(lanes.watch("k3x9q2w7", now).is_ok(), "a closed one makes room");
}
