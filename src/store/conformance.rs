//! Tests of what every store promises.
//!
//! Each promise is one function over a fresh store; `promises_of!` makes one named test per promise and store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wirelab_clients::wire::{NewLine, Status};

use crate::clock::jump;

use super::{AppendRequest, DeploymentLog, IdempotencyKey, LogStore, ReadLimit, StoreError, Stored};

/// Makes stores for tests; with `retain_lines` above 0 a store keeps only the newest lines.
pub(super) trait StoreUnderTest {
    fn store(&self, retain_lines: u64) -> Arc<dyn LogStore>;
}

/// Makes one named test per promise for the store that `$make` gives.
macro_rules! promises_of {
    ($make:expr) => {
        $crate::store::conformance::promises_of!($make;
            seqs_start_at_one_and_have_no_gap,
            lines_come_back_byte_exact,
            a_read_honours_its_limits_but_gives_one_line,
            a_read_never_waits,
            an_append_is_readable_once_it_returns,
            concurrent_appends_are_whole_and_in_order,
            the_head_moves_with_each_append_and_wakes_waiters,
            a_finished_log_takes_no_more_lines,
            finishing_twice_alike_is_fine_and_differently_is_refused,
            a_key_used_again_gives_the_same_answer,
            a_key_used_again_with_another_body_is_refused,
            a_concurrent_twin_appends_once,
            a_key_still_answers_after_the_end,
            a_deleted_log_is_gone_and_its_readers_know,
            listing_is_newest_first_and_limited,
            the_newest_is_the_one_created_last_whatever_the_wall_clock_does,
            a_logs_times_never_run_backwards,
            a_log_keeps_the_key_of_its_creation,
            an_append_whose_caller_leaves_is_counted,
            running_logs_are_counted_until_they_end_or_are_deleted,
            retention_keeps_the_newest_lines_and_says_what_it_dropped,
            an_unknown_deployment_is_not_found,
            epochs_and_ids_differ,
        );
    };
    ($make:expr; $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::store::conformance::$promise(&$make).await;
            }
        )+
    };
}
pub(super) use promises_of;

const ALL: ReadLimit = ReadLimit { lines: usize::MAX, bytes: usize::MAX };
/// Time limit of one step: no step takes long, and a promise that hangs must fail.
const SOON: Duration = Duration::from_secs(10);

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} took over {SOON:?}"))
}

fn lines(texts: &[&str]) -> AppendRequest {
    AppendRequest::new(texts.iter().map(|&text| NewLine::plain(text)).collect(), None)
}

fn keyed(texts: &[&str], key: &str, digest: u8) -> AppendRequest {
    AppendRequest { key: Some(IdempotencyKey { key: key.to_owned(), digest: [digest; 32] }), ..lines(texts) }
}

async fn new_log(store: &dyn LogStore) -> Arc<dyn DeploymentLog> {
    store.create("test".to_owned(), None).await.unwrap()
}

async fn texts(log: &dyn DeploymentLog, after: u64) -> Vec<String> {
    let read = log.read_after(after, ALL).await.unwrap();
    read.iter().map(|line| line.decode().line.text).collect()
}

pub(super) async fn seqs_start_at_one_and_have_no_gap(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    for i in 0..100 {
        let count = 1 + i % 3;
        log.append(lines(&["x", "y", "z"][..count])).await.unwrap();
    }
    let read = log.read_after(0, ALL).await.unwrap();
    assert!(read.len() > 100);
    for (i, line) in read.iter().enumerate() {
        assert_eq!((line.seq, line.decode().seq), (i as u64 + 1, i as u64 + 1));
    }
}

pub(super) async fn lines_come_back_byte_exact(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    let large = "\0".repeat(1 << 20);
    let given =
        ["", " ", "a\rb\r\nc\nd", "\u{feff}bom", "nul\0", "data: x", "שלום", "👩‍🚀", "\u{2028}", &large];
    log.append(lines(&given)).await.unwrap();
    assert_eq!(texts(&*log, 0).await, given);
}

pub(super) async fn a_read_honours_its_limits_but_gives_one_line(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    log.append(lines(&["a", "b", "c", "d"])).await.unwrap();
    let one = log.read_after(0, ALL).await.unwrap()[0].json.len();
    let count = |lines, bytes| {
        let log = log.clone();
        async move { log.read_after(0, ReadLimit { lines, bytes }).await.unwrap().len() }
    };
    assert_eq!(count(3, usize::MAX).await, 3);
    assert_eq!(count(usize::MAX, 2 * one).await, 2);
    assert_eq!(count(usize::MAX, 2 * one - 1).await, 1);
    assert_eq!(count(usize::MAX, 1).await, 1);
}

pub(super) async fn a_read_never_waits(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    assert!(soon("reading an empty log", log.read_after(0, ALL)).await.unwrap().is_empty());
    log.append(lines(&["a"])).await.unwrap();
    assert!(soon("reading at the end", log.read_after(1, ALL)).await.unwrap().is_empty());
    assert!(soon("reading past the end", log.read_after(99, ALL)).await.unwrap().is_empty());
}

pub(super) async fn an_append_is_readable_once_it_returns(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    for i in 1..=50_u64 {
        let appended = log.append(lines(&["x"])).await.unwrap().into_appended();
        assert_eq!((appended.first, appended.last, appended.cursor.after), (i, i, i));
        assert_eq!(log.head().borrow().last, i);
        assert_eq!(log.read_after(i - 1, ALL).await.unwrap().len(), 1);
    }
}

pub(super) async fn concurrent_appends_are_whole_and_in_order(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                for turn in 0..25 {
                    let text = format!("{writer}.{turn}");
                    log.append(lines(&[&text, &text, &text])).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let read = texts(&*log, 0).await;
    assert_eq!(read.len(), 8 * 25 * 3);
    let mut next_turn = [0; 8];
    for append in read.chunks(3) {
        assert!(append.iter().all(|text| *text == append[0]), "an append was torn: {append:?}");
        let (writer, turn) = append[0].split_once('.').unwrap();
        let writer: usize = writer.parse().unwrap();
        assert_eq!(turn, next_turn[writer].to_string(), "one writer's appends changed order");
        next_turn[writer] += 1;
    }
}

pub(super) async fn the_head_moves_with_each_append_and_wakes_waiters(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    let mut head = log.head();
    let waiter =
        tokio::spawn(async move { head.wait_for(|head| head.last == 2).await.map(|head| *head).unwrap() });
    log.append(lines(&["a"])).await.unwrap();
    log.append(lines(&["b"])).await.unwrap();
    let head = soon("waking a waiter", waiter).await.unwrap();
    assert_eq!((head.first, head.ended, head.deleted), (0, None, false));
}

pub(super) async fn a_finished_log_takes_no_more_lines(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    log.append(lines(&["a"])).await.unwrap();
    log.finish(Status::Failed).await.unwrap();
    assert_eq!(log.head().borrow().ended, Some(Status::Failed));
    let info = log.info();
    assert_eq!((info.ended, info.lines), (Some(Status::Failed), 1));
    assert!(info.finished_us >= Some(info.created_us));
    assert!(matches!(log.append(lines(&["b"])).await, Err(StoreError::Ended { status: Status::Failed, .. })));
    assert_eq!(texts(&*log, 0).await, ["a"]);
}

pub(super) async fn finishing_twice_alike_is_fine_and_differently_is_refused(
    under_test: &dyn StoreUnderTest,
) {
    let log = new_log(&*under_test.store(0)).await;
    log.finish(Status::Succeeded).await.unwrap();
    let finished_us = log.info().finished_us;
    log.finish(Status::Succeeded).await.unwrap();
    assert_eq!(log.info().finished_us, finished_us);
    assert!(matches!(
        log.finish(Status::Failed).await,
        Err(StoreError::Ended { status: Status::Succeeded, .. })
    ));
}

pub(super) async fn a_key_used_again_gives_the_same_answer(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    let first = log.append(keyed(&["a", "b"], "k1", 1)).await.unwrap();
    assert!(matches!(first, Stored::Fresh(_)), "{first:?}");
    log.append(lines(&["c"])).await.unwrap();
    let again = log.append(keyed(&["a", "b"], "k1", 1)).await.unwrap();
    assert_eq!(again, Stored::Repeated(first.into_appended()));
    assert_eq!(texts(&*log, 0).await, ["a", "b", "c"]);
}

pub(super) async fn a_key_used_again_with_another_body_is_refused(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    log.append(keyed(&["a"], "k1", 1)).await.unwrap();
    let again = log.append(keyed(&["b"], "k1", 2)).await;
    assert!(matches!(again, Err(StoreError::KeyReused(key)) if key == "k1"));
    assert_eq!(texts(&*log, 0).await, ["a"]);
}

pub(super) async fn a_concurrent_twin_appends_once(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    let twins: Vec<_> = (0..16)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.append(keyed(&["a"], "k1", 1)).await.unwrap() })
        })
        .collect();
    let mut fresh_count = 0;
    for twin in twins {
        let stored = soon("a twin", twin).await.unwrap();
        fresh_count += usize::from(matches!(stored, Stored::Fresh(_)));
        assert_eq!(stored.into_appended().last, 1);
    }
    assert_eq!(fresh_count, 1, "one of them appended");
    assert_eq!(texts(&*log, 0).await, ["a"]);
}

pub(super) async fn a_key_still_answers_after_the_end(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    let first = log.append(keyed(&["a"], "k1", 1)).await.unwrap();
    log.finish(Status::Succeeded).await.unwrap();
    let again = log.append(keyed(&["a"], "k1", 1)).await.unwrap();
    assert_eq!(again, Stored::Repeated(first.into_appended()));
}

pub(super) async fn a_deleted_log_is_gone_and_its_readers_know(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let log = new_log(&*store).await;
    let other = new_log(&*store).await;
    log.append(lines(&["a"])).await.unwrap();
    let (id, head) = (log.info().id, log.head());
    store.delete(&id).await.unwrap();
    assert!(head.borrow().deleted);
    assert!(matches!(store.open(&id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.delete(&id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(log.append(lines(&["b"])).await, Err(StoreError::NotFound(_))));
    assert!(matches!(log.finish(Status::Failed).await, Err(StoreError::NotFound(_))));
    let kept: Vec<_> = store.list(10).await.unwrap().iter().map(|log| log.info().id).collect();
    assert_eq!(kept, [other.info().id]);
}

pub(super) async fn listing_is_newest_first_and_limited(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, new_log(&*store).await.info().id);
    }
    let listed: Vec<_> = store.list(4).await.unwrap().iter().map(|log| log.info().id).collect();
    assert_eq!(listed, ids[..4]);
}

/// An hour, by which the wall clock is set back.
const HOUR_US: i64 = 3_600_000_000;

pub(super) async fn the_newest_is_the_one_created_last_whatever_the_wall_clock_does(
    under_test: &dyn StoreUnderTest,
) {
    let store = under_test.store(0);
    let before = new_log(&*store).await;
    jump::by(-HOUR_US);
    let after = new_log(&*store).await;
    jump::by(0);
    assert!(after.info().created_us < before.info().created_us, "the wall clock was set back");
    let listed: Vec<_> = store.list(2).await.unwrap().iter().map(|log| log.id().clone()).collect();
    assert_eq!(listed, [after.id().clone(), before.id().clone()]);
}

pub(super) async fn a_logs_times_never_run_backwards(under_test: &dyn StoreUnderTest) {
    let log = new_log(&*under_test.store(0)).await;
    jump::by(HOUR_US);
    log.append(lines(&["a"])).await.unwrap();
    jump::by(-HOUR_US);
    log.append(lines(&["b"])).await.unwrap();
    log.finish(Status::Succeeded).await.unwrap();
    jump::by(0);
    let (info, read) = (log.info(), log.read_after(0, ALL).await.unwrap());
    let times = [info.created_us, read[0].decode().at_us, read[1].decode().at_us, info.finished_us.unwrap()];
    assert!(times.is_sorted(), "{times:?}");
}

pub(super) async fn a_log_keeps_the_key_of_its_creation(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let key = IdempotencyKey { key: "k\"1".to_owned(), digest: [9; 32] };
    let keyed = store.create_keyed("test".to_owned(), None, Some(key.clone())).await.unwrap();
    assert_eq!(keyed.creation_key(), Some(key));
    assert_eq!(new_log(&*store).await.creation_key(), None);
}

pub(super) async fn an_append_whose_caller_leaves_is_counted(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let log = new_log(&*store).await;
    let mut head = log.head();
    // It may have ended at once.
    let _ = timeout(Duration::ZERO, log.append(lines(&["a", "b"]))).await;
    soon("the append", head.wait_for(|head| head.last == 2)).await.unwrap();
    let counted = async {
        while store.tally().lines_appended().get() < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon("counting", counted).await;
    log.append(keyed(&["c"], "k1", 1)).await.unwrap();
    log.append(keyed(&["c"], "k1", 1)).await.unwrap();
    assert_eq!(store.tally().lines_appended().get(), 3, "a repeated append brings no line");
}

pub(super) async fn running_logs_are_counted_until_they_end_or_are_deleted(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let (finished, deleted, both) = (new_log(&*store).await, new_log(&*store).await, new_log(&*store).await);
    let _running = new_log(&*store).await;
    assert_eq!(store.tally().running_count(), 4);
    for log in [&finished, &both] {
        log.finish(Status::Failed).await.unwrap();
        log.finish(Status::Failed).await.unwrap();
    }
    assert_eq!(store.tally().running_count(), 2);
    for log in [&deleted, &both] {
        store.delete(log.id()).await.unwrap();
    }
    assert_eq!(store.tally().running_count(), 1);
}

pub(super) async fn retention_keeps_the_newest_lines_and_says_what_it_dropped(
    under_test: &dyn StoreUnderTest,
) {
    let log = new_log(&*under_test.store(3)).await;
    log.append(lines(&["a", "b"])).await.unwrap();
    assert_eq!(log.head().borrow().first, 0);
    log.append(lines(&["c", "d", "e"])).await.unwrap();
    let head = *log.head().borrow();
    assert_eq!((head.first, head.last), (2, 5));
    let info = log.info();
    assert_eq!((info.first.after, info.next.after, info.lines), (2, 5, 5));
    assert_eq!(texts(&*log, 2).await, ["c", "d", "e"]);
    assert!(matches!(log.read_after(1, ALL).await, Err(StoreError::Trimmed { first: 2 })));
}

pub(super) async fn an_unknown_deployment_is_not_found(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let id = "01k3aaaaaaaa".parse().unwrap();
    assert!(matches!(store.open(&id).await, Err(StoreError::NotFound(missing)) if missing == id));
}

pub(super) async fn epochs_and_ids_differ(under_test: &dyn StoreUnderTest) {
    let store = under_test.store(0);
    let (a, b) = (new_log(&*store).await.info(), new_log(&*store).await.info());
    assert_ne!(a.id, b.id);
    assert_ne!(a.next.epoch, b.next.epoch);
}
