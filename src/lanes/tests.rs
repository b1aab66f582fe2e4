//! Tests which pages are kept, for how long and how many, with a clock of the test's own.

use super::*;

const START: Duration = Duration::from_secs(1_000);

fn tag(page: &str) -> Tag<'_> {
    Tag { page, lane: 1 }
}

/// Returns the ledgers that a new socket is sent.
fn all(watched: &Watched) -> Vec<LaneLedger> {
    watched.page.news(&mut Told::default())
}

/// Closes a page's socket at the moment `now`.
fn leave(watched: Watched, now: Instant) {
    let (lanes, id) = (watched.lanes.clone(), watched.id.clone());
    drop(watched);
    lanes.pages.lock().unwrap().get_mut(&id).unwrap().left = now;
}

#[test]
fn what_is_asked_before_the_socket_opens_is_counted() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    lanes.find(tag("k3x9q2w7"), now).unwrap().asked();
    let almost = now + GRACE - Duration::from_millis(1);
    lanes.find(tag("k3x9q2w7"), almost).unwrap().asked();
    assert_eq!(all(&lanes.watch("k3x9q2w7", almost).unwrap())[0].requests, 2);

    // A page whose socket never opens is forgotten, however long its requests go on.
    lanes.find(tag("nobody00"), now).unwrap().asked();
    let over = now + GRACE;
    lanes.find(tag("nobody00"), over).unwrap().asked();
    assert_eq!(all(&lanes.watch("nobody00", over).unwrap())[0].requests, 1);
}

#[test]
fn tags_alone_take_no_more_than_the_room_there_is() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    let watched = lanes.watch("k3x9q2w7", now).unwrap();
    let found = |number: usize, now| lanes.find(tag(&format!("page{number:04}")), now).is_some();
    assert!((1..PAGES_MAX).all(|number| found(number, now)));
    assert!(!found(PAGES_MAX, now), "another page makes no room for a tag");
    assert_eq!(lanes.pages.lock().unwrap().len(), PAGES_MAX);
    assert!(lanes.watch("another0", now).is_ok(), "a page without a socket makes room for a socket");
    assert!(lanes.find(tag("k3x9q2w7"), now).is_some(), "one with a socket stays");
    assert!(found(PAGES_MAX, now + GRACE), "as does one that is over");
    drop(watched);
}

#[test]
fn counts_outlive_their_socket_by_the_grace_and_no_longer() {
    let (lanes, now) = (Lanes::new(), Instant::now() + START);
    let watched = lanes.watch("k3x9q2w7", now).unwrap();
    let lane = lanes.find(tag("k3x9q2w7"), now).unwrap();
    lane.asked();
    let first_id = watched.page.id.clone();
    leave(watched, now);

    let almost = now + GRACE - Duration::from_millis(1);
    assert!(Arc::ptr_eq(&lane, &lanes.find(tag("k3x9q2w7"), almost).unwrap()), "kept without a socket");
    let watched = lanes.watch("k3x9q2w7", almost).unwrap();
    assert_eq!(watched.page.id, first_id, "and hears that they are the same");
    assert_eq!(all(&watched)[0].requests, 1, "a socket that comes back finds the counts");
    assert!(lanes.find(tag("k3x9q2w7"), almost + 10 * GRACE).is_some(), "kept while a socket is open");

    leave(watched, almost);
    let over = almost + GRACE;
    let anew = lanes.watch("k3x9q2w7", over).unwrap();
    assert!(all(&anew).is_empty(), "counted from nothing");
    assert_ne!(anew.page.id, first_id, "and the page is told");
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
    let ids = [first.page.id.clone(), second.page.id.clone()];
    leave(first, now + Duration::from_secs(1));
    leave(second, now + Duration::from_secs(2));
    let later = now + Duration::from_secs(3);
    let _another = lanes.watch("another0", later).unwrap();
    assert!(lanes.find(tag(&id(3)), later).is_none(), "it left first, and there is no room for it");
    assert!(lanes.find(tag(&id(7)), later).is_some());
    assert_eq!(lanes.pages.lock().unwrap().len(), PAGES_MAX);

    let second = lanes.watch(&id(7), later).unwrap();
    assert_eq!(second.page.id, ids[1], "it was kept");
    leave(second, later);
    let first = lanes.watch(&id(3), later).unwrap();
    assert_ne!(first.page.id, ids[0], "one that made room can tell that its counts are gone");
}

#[tokio::test(start_paused = true)]
async fn a_page_is_gone_soon_after_it_says_goodbye_and_later_when_its_socket_broke() {
    let lanes = Lanes::new();
    let gone = || lanes.end_of("k3x9q2w7", Instant::now()).unwrap();
    // How long it takes, rounded to what the clock of the test can tell.
    let wait = async |end: &mut (dyn Future<Output = ()> + Unpin + Send)| {
        let begin = tokio::time::Instant::now();
        end.await;
        begin.elapsed().as_secs()
    };

    let mut never_came = Box::pin(gone());
    assert_eq!(wait(&mut never_came).await, GRACE.as_secs());

    let mut watched = lanes.watch("k3x9q2w7", Instant::now()).unwrap();
    let mut end = Box::pin(gone());
    assert!(timeout(10 * GRACE, &mut end).await.is_err(), "it is there");
    watched.says_goodbye();
    drop(watched);
    assert!(timeout(RELOAD / 2, &mut end).await.is_err(), "it may be loaded again");
    let broken = lanes.watch("k3x9q2w7", Instant::now()).unwrap();
    assert!(timeout(10 * GRACE, &mut end).await.is_err(), "it was loaded again");
    drop(broken);
    assert!(timeout(2 * RELOAD, &mut end).await.is_err(), "a server that cut it hears from it later");
    assert_eq!(wait(&mut end).await, (GRACE - 2 * RELOAD).as_secs());

    let (mut first, second) =
        (lanes.watch("k3x9q2w7", Instant::now()).unwrap(), lanes.watch("k3x9q2w7", Instant::now()).unwrap());
    let mut end = Box::pin(gone());
    first.says_goodbye();
    drop(first);
    assert!(timeout(10 * GRACE, &mut end).await.is_err(), "another tab of it is open");
    drop(second);
    assert_eq!(wait(&mut end).await, GRACE.as_secs());
}

#[test]
fn a_page_has_a_bounded_number_of_sockets() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    let mut open: Vec<_> = (0..SOCKETS_MAX).map(|_| lanes.watch("k3x9q2w7", now).unwrap()).collect();
    assert_eq!(lanes.watch("k3x9q2w7", now).map(drop).unwrap_err().problem().status, 503);
    leave(open.remove(0), now);
    assert!(lanes.watch("k3x9q2w7", now).is_ok(), "a closed one makes room");
}

#[test]
fn each_socket_is_told_the_lanes_that_changed_since_it_was_told() {
    let (lanes, now) = (Lanes::new(), Instant::now());
    let watched = lanes.watch("k3x9q2w7", now).unwrap();
    let (mut one, mut another) = (Told::default(), Told::default());
    let told = |told: &mut Told| -> Vec<_> {
        watched.page.news(told).iter().map(|ledger| (ledger.lane, ledger.requests)).collect()
    };
    for number in [999, 2, 1] {
        watched.page.lane(number).asked();
    }
    assert_eq!(told(&mut one), [(1, 1), (2, 1), (999, 1)]);
    assert_eq!(told(&mut one), []);
    watched.page.lane(2).asked();
    assert_eq!(told(&mut one), [(2, 2)]);
    assert_eq!(told(&mut another), [(1, 1), (2, 2), (999, 1)], "what one was told, the other was not");
}

#[test]
fn a_lane_takes_no_more_than_the_bounds_say() {
    // An `Arc` has two counts; the allocator has a head; a node of the tree has 11 keys and pointers at half use.
    let (counts, head) = (2 * size_of::<usize>(), 2 * size_of::<usize>());
    let place = 2 * (size_of::<u16>() + 2 * size_of::<usize>());
    let lane = size_of::<Lane>() + counts + head + place;
    assert!(lane <= 192, "{lane} bytes");

    let (count, bytes) = (9_999_999_999, 999_999_999_999_999);
    let told = serde_json::to_vec(&LaneLedger {
        lane: 999,
        requests: count,
        data: count,
        empty: count,
        timeout: count,
        refused: count,
        error: count,
        connections: count,
        connections_open: count,
        bytes_up: bytes,
        bytes_down: bytes,
    });
    let told = told.unwrap().len();
    assert!(told <= 256, "{told} bytes");
}
