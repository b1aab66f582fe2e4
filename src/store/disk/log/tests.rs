//! Tests of one log: what it holds, and what happens when its disk is slow or its writer panics.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::timeout;
use wirelab_clients::wire::NewLine;

use super::*;
use crate::store::{IdempotencyKey, LogStore, disk::DiskStore};

/// Makes an append of 18 MiB of JSON in 3 MiB of text: two of them exceed the bound of what is held.
fn large() -> AppendRequest {
    AppendRequest::new(vec![NewLine::plain("\0".repeat(1 << 20)); 3], None)
}

fn small(key: Option<&str>) -> AppendRequest {
    let key = key.map(|key| IdempotencyKey { key: key.to_owned(), digest: [7; 32] });
    AppendRequest::new(vec![NewLine::plain("a")], key)
}

/// Makes an empty log, with its store and folder.
async fn new_log() -> (tempfile::TempDir, DiskStore, Arc<DiskLog>) {
    let data = tempfile::TempDir::new().unwrap();
    let store = DiskStore::open(data.path().to_owned(), 0).unwrap();
    let id = store.create("test".to_owned(), None).await.unwrap().info().id;
    let log = store.shared.find(&id).unwrap();
    (data, store, log)
}

/// Blocks every write until the returned function is called.
fn slow_disk(log: &DiskLog) -> impl FnOnce() {
    let (blocked, is_blocked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let shared = log.0.clone();
    let disk = std::thread::spawn(move || {
        let _writer = shared.writer();
        blocked.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    is_blocked.recv().unwrap();
    move || {
        go_on.send(()).unwrap();
        disk.join().unwrap();
    }
}

#[tokio::test]
async fn publishers_wait_when_the_disk_is_slower_than_they_are() {
    let (_data, _store, log) = new_log().await;
    let go_on = slow_disk(&log);
    let mut appends: Vec<_> = (0..4).map(|_| log.append(large())).collect();
    for append in &mut appends {
        assert!(timeout(Duration::ZERO, append).await.is_err());
    }
    assert_eq!(log.0.queue().pending_line_count(), 3, "only the first append fits");

    go_on();
    for append in appends {
        timeout(Duration::from_secs(60), append).await.unwrap().unwrap();
    }
    assert_eq!(log.0.head.borrow().last, 12);
    // A batch is dropped under the queue's lock, and its reservation with it.
    let _queue = log.0.queue();
    assert!(log.0.capacity.is_unused() && log.0.home.joint.capacity.is_unused());
}

#[tokio::test]
async fn nothing_is_acknowledged_or_readable_before_it_is_written() {
    let (_data, _store, log) = new_log().await;
    let go_on = slow_disk(&log);
    let (mut first, mut twin) = (log.append(small(Some("k"))), log.append(small(Some("k"))));
    let (mut end, mut end_again) = (log.finish(Status::Failed), log.finish(Status::Failed));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err());
    assert!(timeout(Duration::ZERO, &mut twin).await.is_err(), "a twin got ahead of its first use");
    assert!(timeout(Duration::ZERO, &mut end).await.is_err());
    assert!(timeout(Duration::ZERO, &mut end_again).await.is_err());
    assert_eq!(*log.0.head.borrow(), Head { first: 0, last: 0, ended: None, deleted: false });

    go_on();
    let soon = Duration::from_secs(10);
    let (first, twin) = (timeout(soon, first).await.unwrap(), timeout(soon, twin).await.unwrap());
    let Stored::Fresh(first) = first.unwrap() else { panic!("the first use appended nothing") };
    assert_eq!(twin.unwrap(), Stored::Repeated(first));
    timeout(soon, end).await.unwrap().unwrap();
    timeout(soon, end_again).await.unwrap().unwrap();
    let head = *log.0.head.borrow();
    assert_eq!((head.last, head.ended), (1, Some(Status::Failed)));
}

#[tokio::test]
async fn what_a_deletion_overtook_is_not_acknowledged() {
    let (data, _store, log) = new_log().await;
    let overtaken = log.0.queue().append(small(None)).unwrap();
    log.bury(&data.path().join(".deleted-test")).unwrap();
    assert!(log.0.queue().claim_writer());
    log.0.commit_pending();
    assert!(matches!(log.settled(overtaken.committed).await, Err(StoreError::NotFound(_))));
    assert_eq!(log.0.head.borrow().last, 0);
}
