//! Tests of the frames: what is given again, and what is kept.

use std::sync::Arc;

use wirelab_clients::wire::{BATCH_BYTES_MAX, NewLine, Position};

use super::*;
use crate::reader::{BATCH_LIMIT, ReadError, Reader};
use crate::store::memory::MemoryStore;
use crate::store::{DeploymentLog, LogStore};

/// A framing that says which lines it was given.
enum Seqs {}

impl LineFraming for Seqs {
    const NAME: FramingName = FramingName::Ndjson;

    fn frame(_: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        let seqs: Vec<String> = batch.lines.iter().map(|line| line.seq.to_string()).collect();
        seqs.join(" ").into()
    }
}

async fn log(store: &MemoryStore) -> Arc<dyn DeploymentLog> {
    store.create("test".to_owned(), None).await.unwrap()
}

async fn append(log: &Arc<dyn DeploymentLog>, count: usize) {
    log.append(vec![NewLine::plain("x"); count].into()).await.unwrap();
}

fn open(log: &Arc<dyn DeploymentLog>, frames: &Arc<Frames>) -> Reader {
    Reader::open(log.clone(), Position::Start, frames.clone()).unwrap()
}

async fn read(reader: &mut Reader) -> Bytes {
    reader.read::<Seqs>(BATCH_LIMIT).await.unwrap().bytes
}

/// Returns the number of frames that are kept; checks that each has its place in the order, and the sum of their bytes.
fn kept_count(frames: &Frames) -> usize {
    let kept = frames.kept();
    assert_eq!(kept.bytes, kept.frames.values().map(|frame| frame.bytes.len()).sum::<usize>());
    assert!(kept.order.iter().all(|key| kept.frames.contains_key(key)));
    assert_eq!(kept.order.len(), kept.frames.len());
    kept.order.len()
}

fn key(after: Seq) -> FrameKey {
    let log = "01k3aaaaaa".parse().unwrap();
    FrameKey { log, after, limit: BATCH_LIMIT, framing: FramingName::Sse }
}

fn frame_of(bytes: usize) -> Frame {
    Frame { bytes: vec![b'x'; bytes].into(), line_count: 1, last: 1, is_full: false, finished: None }
}

#[tokio::test]
async fn readers_at_one_cursor_share_the_bytes() {
    let (log, frames) = (log(&MemoryStore::new(0)).await, Arc::default());
    let (mut one, mut other) = (open(&log, &frames), open(&log, &frames));
    append(&log, 3).await;
    let (first, second) = (read(&mut one).await, read(&mut other).await);
    assert_eq!((&first[..], first.as_ptr()), (&b"1 2 3"[..], second.as_ptr()));
    assert_eq!(one.cursor(), other.cursor());
    assert_eq!(kept_count(&frames), 1);
}

#[tokio::test]
async fn readers_stay_together_although_lines_come_while_they_wake() {
    let (log, frames) = (log(&MemoryStore::new(0)).await, Arc::default());
    let (mut one, mut other) = (open(&log, &frames), open(&log, &frames));
    append(&log, 4).await;
    read(&mut one).await;
    append(&log, 4).await;
    assert_eq!(read(&mut other).await, "1 2 3 4");
    assert_eq!(other.finished(), None);
    // There is more at once: the other reader needs no new line to go on.
    other.wait().await;
    assert_eq!((read(&mut other).await, read(&mut one).await), ("5 6 7 8".into(), "5 6 7 8".into()));
}

#[tokio::test]
async fn a_reader_that_was_away_gets_all_lines_at_once() {
    let (log, frames) = (log(&MemoryStore::new(0)).await, Arc::default());
    let (mut one, mut away) = (open(&log, &frames), open(&log, &frames));
    for _ in 0..9 {
        append(&log, 1).await;
        read(&mut one).await;
    }
    assert_eq!(read(&mut away).await, "1 2 3 4 5 6 7 8 9");
    assert_eq!(kept_count(&frames), 9, "the frame of line 1 was replaced");
}

#[tokio::test]
async fn the_json_of_a_batch_is_as_new_as_its_head() {
    let (log, frames) = (log(&MemoryStore::new(0)).await, Arc::default());
    let json = async || {
        let read = open(&log, &frames).read::<crate::reader::Json>(BATCH_LIMIT).await.unwrap();
        serde_json::from_slice::<wirelab_clients::wire::Batch>(&read.bytes).unwrap()
    };
    append(&log, 2).await;
    assert_eq!((json().await.lines.len(), json().await.more), (2, false));
    append(&log, 1).await;
    assert_eq!((json().await.lines.len(), json().await.finished), (3, false));
    log.finish(Status::Succeeded).await.unwrap();
    assert!(json().await.finished);
}

#[tokio::test]
async fn logs_and_limits_never_mix() {
    let (store, frames) = (MemoryStore::new(0), Arc::default());
    let (one, two) = (log(&store).await, log(&store).await);
    append(&one, 2).await;
    append(&two, 3).await;
    assert_eq!(read(&mut open(&one, &frames)).await, "1 2");
    assert_eq!(read(&mut open(&two, &frames)).await, "1 2 3");
    let limit = ReadLimit { lines: 1, ..BATCH_LIMIT };
    let cut = open(&two, &frames).read::<Seqs>(limit).await.unwrap();
    assert_eq!((cut.bytes, cut.is_full), ("1".into(), true));
    assert_eq!(read(&mut open(&two, &frames)).await, "1 2 3");
}

#[tokio::test]
async fn trimmed_and_deleted_lines_are_not_given_again() {
    let (store, frames) = (MemoryStore::new(2), Arc::default());
    let (log, other) = (log(&store).await, log(&store).await);
    append(&log, 2).await;
    append(&other, 2).await;
    let (mut before, mut late) = (open(&log, &frames), open(&log, &frames));
    read(&mut before).await;
    read(&mut open(&other, &frames)).await;
    append(&log, 1).await;
    assert!(matches!(late.read::<Seqs>(BATCH_LIMIT).await, Err(ReadError::Gap(_))));
    assert_eq!(kept_count(&frames), 1, "the frame of the trimmed line has left");
    read(&mut before).await;
    assert_eq!(kept_count(&frames), 2);

    store.delete(log.id()).await.unwrap();
    assert!(matches!(before.read::<Seqs>(BATCH_LIMIT).await, Err(ReadError::Deleted(_))));
    frames.forget(log.id());
    assert_eq!(kept_count(&frames), 1, "the frame of the other log has stayed");
}

#[test]
fn the_frames_are_bounded_in_number_and_in_bytes() {
    let frames = Frames::default();
    for after in 0..2 * FRAMES_MAX as u64 {
        frames.keep(key(after), &frame_of(1));
    }
    assert_eq!(kept_count(&frames), FRAMES_MAX);
    assert!(frames.kept().frames.contains_key(&key(2 * FRAMES_MAX as u64 - 1)), "the newest stay");

    let full = FRAMES_BYTES_MAX / BATCH_BYTES_MAX;
    for after in 0..2 * full as u64 {
        frames.keep(key(after), &frame_of(BATCH_BYTES_MAX));
    }
    assert_eq!(kept_count(&frames), full);

    // A frame in place of another one, and one that is too large by itself.
    frames.keep(key(2 * full as u64 - 1), &frame_of(7));
    assert_eq!((kept_count(&frames), frames.kept().bytes), (full, FRAMES_BYTES_MAX - BATCH_BYTES_MAX + 7));
    frames.keep(key(0), &frame_of(FRAMES_BYTES_MAX + 1));
    assert_eq!((kept_count(&frames), frames.kept().bytes), (0, 0));
}
