//! Tests of what only the disk store promises: what survives, what is freed, what is refused.

mod cold;
mod damage;
mod faults;
mod model;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wirelab_clients::wire::{NewLine, Source, Status};

use super::super::conformance::{StoreUnderTest, promises_of};
use super::mark::Mark;
use super::segments::segment_path;
use super::*;
use crate::store::{AppendRequest, EncodedLine, IdempotencyKey, ReadLimit, Shortage, Stored};

struct Disk(TempDir);

impl StoreUnderTest for Disk {
    fn store(&self, retain_lines: u64) -> Arc<dyn LogStore> {
        Arc::new(DiskStore::open(self.0.path().join("data"), retain_lines).unwrap())
    }
}

promises_of!(Disk(folder()));

const ALL: ReadLimit = ReadLimit { lines: usize::MAX, bytes: usize::MAX };
const LARGE: u64 = u64::MAX;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// Opens a store again as soon as the writer of the last one, which may still be ending, has released it.
fn reopen(path: &Path, retain_lines: u64, segment_bytes: u64) -> Result<DiskStore, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match DiskStore::with_segment_bytes(path.to_owned(), retain_lines, segment_bytes) {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn request(texts: &[impl AsRef<str>], key: Option<&str>) -> AppendRequest {
    let lines = texts.iter().map(|text| NewLine::plain(text.as_ref())).collect();
    AppendRequest::new(lines, key.map(|key| IdempotencyKey { key: key.to_owned(), digest: [7; 32] }))
}

async fn texts(log: &dyn DeploymentLog, after: u64, limit: ReadLimit) -> Vec<String> {
    let read = log.read_after(after, limit).await.unwrap();
    let text = |(seq, line): (u64, &Arc<EncodedLine>)| {
        let decoded = line.decode();
        assert_eq!((line.seq, decoded.seq), (seq, seq));
        decoded.line.text
    };
    (after + 1..).zip(&read).map(text).collect()
}

/// Returns the only log of a store.
async fn only(store: &DiskStore) -> Arc<dyn DeploymentLog> {
    let logs = store.list(2).await.unwrap();
    assert_eq!(logs.len(), 1);
    logs[0].clone()
}

/// Makes and closes a store with one log of these appends. Returns its folder and the log's.
async fn closed_log(segment_bytes: u64, appends: &[AppendRequest]) -> (TempDir, PathBuf) {
    let data = folder();
    let store = reopen(data.path(), 0, segment_bytes).unwrap();
    let log = store.create("test".to_owned(), None).await.unwrap();
    for append in appends {
        log.append(append.clone()).await.unwrap();
    }
    let folder = data.path().join(log.info().id.as_str());
    // The mark is written after an append was answered.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !appends.is_empty() && !is_marked(&folder) {
        assert!(Instant::now() < deadline, "the last append is not marked");
        std::thread::yield_now();
    }
    (data, folder)
}

/// Tells whether the mark stands at the end of the newest segment.
fn is_marked(folder: &Path) -> bool {
    let newest = segment_names(folder).pop().expect("a log has a segment");
    let bytes = fs::metadata(folder.join(&newest)).unwrap().len();
    let is_there =
        |mark: Mark| mark.bytes == bytes && segment_path(folder, mark.segment) == folder.join(&newest);
    Mark::read(folder).unwrap().is_some_and(is_there)
}

fn segment_names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".ndjson") && name.starts_with('0')).collect();
    names.sort();
    names
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let data = folder();
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let source = Some(Source::Generate { rate_hz: 0.1, for_s: 60.0 });
    let log = store.create("web \"42\"\n".to_owned(), source.clone()).await.unwrap();
    let single = log.append(request(&["a"], None)).await.unwrap().into_appended();
    let keyed = log.append(request(&["b"], Some("k1"))).await.unwrap().into_appended();
    let full = NewLine {
        text: "c".to_owned(),
        stream: Some(wirelab_clients::wire::Stream::Stderr),
        level: Some("warn".to_owned()),
    };
    log.append(AppendRequest::new(vec![full, NewLine::plain("d")], None)).await.unwrap();
    log.finish(Status::Cancelled).await.unwrap();
    let (info, lines) = (log.info(), log.read_after(0, ALL).await.unwrap());
    assert_eq!((single.last, keyed.last, lines.len()), (1, 2, 4));
    drop((store, log));

    let store = reopen(data.path(), 0, LARGE).unwrap();
    let log = store.open(&info.id).await.unwrap();
    assert_eq!(log.info(), info);
    assert_eq!(log.source(), source);
    assert_eq!(log.read_after(0, ALL).await.unwrap(), lines);
    assert_eq!(log.append(request(&["b"], Some("k1"))).await.unwrap(), Stored::Repeated(keyed));
    assert!(matches!(log.append(request(&["e"], None)).await, Err(StoreError::Ended { .. })));
    log.finish(Status::Cancelled).await.unwrap();
}

#[tokio::test]
async fn reads_cross_segment_borders() {
    let appends: Vec<_> = (0..30).map(|i| request(&vec![format!("line {i}"); 1 + i % 4], None)).collect();
    let all: Vec<_> =
        appends.iter().flat_map(|append| append.lines.iter().map(|line| line.text.clone())).collect();
    let (data, log_folder) = closed_log(300, &appends).await;
    assert!(segment_names(&log_folder).len() > 5);
    let log = only(&reopen(data.path(), 0, 300).unwrap()).await;
    for after in 0..=all.len() {
        for lines in [1, 2, 7, usize::MAX] {
            let read = texts(&*log, after as u64, ReadLimit { lines, ..ALL }).await;
            assert_eq!(read, all[after..all.len().min(after.saturating_add(lines))]);
        }
    }
}

#[tokio::test]
async fn a_read_from_disk_honours_its_limits_over_many_pieces() {
    // Lines of 1 B to 1 MiB: many index entries, lines larger than a piece, and several pieces.
    let sizes = [1, 100, 1 << 20, 20_000, 1, 400_000, 1 << 20, 7, 90_000, 1 << 20];
    let line = |i: usize| "x".repeat(sizes[i % sizes.len()]);
    let appends: Vec<_> = (0..20).map(|i| request(&[line(i)], None)).collect();
    let (data, _) = closed_log(LARGE, &appends).await;
    let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
    let all = log.read_after(0, ALL).await.unwrap();
    assert_eq!(all.len(), 20);
    for after in 0..20 {
        for bytes in [1, 1_000, 256 << 10, 3 << 20] {
            let read = log.read_after(after as u64, ReadLimit { lines: 512, bytes }).await.unwrap();
            let mut total = 0;
            let fitting = all[after..].iter().take_while(|line| {
                total += line.json.len();
                total <= bytes
            });
            let count = fitting.count().max(1);
            assert_eq!(read, all[after..after + count], "after {after}, {bytes} bytes");
        }
    }
}

#[tokio::test]
async fn retention_frees_whole_segments_and_holds_after_a_restart() {
    let data = folder();
    let store = reopen(data.path(), 10, 400).unwrap();
    let log = store.create("test".to_owned(), None).await.unwrap();
    let log_folder = data.path().join(log.info().id.as_str());
    for i in 0..100 {
        log.append(request(&[format!("line {i}")], Some(&format!("k{i}")))).await.unwrap();
    }
    assert_eq!((log.head().borrow().first, log.head().borrow().last), (90, 100));
    // The writer removes files after it has answered, so the files that this append drops may still be there.
    let kept = log.append(request(&["line 100"], Some("k100"))).await.unwrap().into_appended();
    let (info, names) = (log.info(), segment_names(&log_folder));
    assert!(names.len() <= 12 && names[0] > format!("{:020}.ndjson", 80), "{names:?}");
    drop((store, log));

    let store = reopen(data.path(), 10, 400).unwrap();
    let log = only(&store).await;
    assert_eq!(log.info(), info);
    assert!(matches!(log.read_after(90, ALL).await, Err(StoreError::Trimmed { first: 91 })));
    assert_eq!(texts(&*log, 91, ALL).await.len(), 10);
    assert_eq!(log.append(request(&["line 100"], Some("k100"))).await.unwrap(), Stored::Repeated(kept));
    drop((store, log));

    // Without retention, all lines that are still on disk are kept.
    let log = only(&reopen(data.path(), 0, 400).unwrap()).await;
    let first = log.head().borrow().first;
    assert!((80..=91).contains(&first));
    assert_eq!(texts(&*log, first, ALL).await.len() as u64, 101 - first);
}

#[tokio::test]
async fn a_second_server_is_refused_the_folder() {
    let data = folder();
    let _store = DiskStore::open(data.path().to_owned(), 0).unwrap();
    let second = DiskStore::open(data.path().to_owned(), 0).err().unwrap();
    assert!(matches!(second, StoreError::InUse { .. }));
    assert!(second.to_string().contains(data.path().to_str().unwrap()), "{second}");
}

#[tokio::test]
async fn a_second_server_is_refused_even_after_its_lock_file_was_removed() {
    let data = folder();
    let _store = DiskStore::open(data.path().to_owned(), 0).unwrap();
    fs::remove_file(data.path().join("lock")).unwrap();
    assert!(matches!(DiskStore::open(data.path().to_owned(), 0).err(), Some(StoreError::InUse { .. })));
}

#[tokio::test]
async fn keys_outlive_the_segments_that_retention_removes_and_a_restart() {
    let data = folder();
    let mut store = reopen(data.path(), 2, 300).unwrap();
    let mut log = store.create("test".to_owned(), None).await.unwrap();
    let id = log.info().id;
    for i in 0..40 {
        log.append(request(&[format!("line {i}")], Some(&format!("k{i}")))).await.unwrap();
        if i % 13 == 12 {
            drop((log, store));
            store = reopen(data.path(), 2, 300).unwrap();
            log = store.open(&id).await.unwrap();
        }
    }
    assert!(segment_names(&data.path().join(id.as_str())).len() < 5);
    for i in 0..40 {
        let again = log.append(request(&[format!("line {i}")], Some(&format!("k{i}")))).await.unwrap();
        assert!(matches!(again, Stored::Repeated(appended) if appended.first == i + 1), "k{i} was forgotten");
    }
    assert_eq!(log.head().borrow().last, 40);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let data = folder();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("data"), file.clone()] {
        let refused = DiskStore::open(path, 0).err().unwrap().to_string();
        assert!(refused.contains(file.to_str().unwrap()) && refused.contains("it is no folder"), "{refused}");
    }
}

#[tokio::test]
async fn what_a_crash_left_of_creations_and_deletions_is_removed() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    for name in [".creating-01k3aaaaaaaa", ".deleted-01k3aaaaaaaa", "01k3bbbbbbbb.damaged"] {
        fs::create_dir(data.path().join(name)).unwrap();
        fs::write(data.path().join(name).join("deployment.json"), "{").unwrap();
    }
    let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
    let mut left: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    let mut expected = [log_folder, data.path().join("01k3bbbbbbbb.damaged"), data.path().join("lock")];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(texts(&*log, 0, ALL).await, ["a"]);
}

#[tokio::test]
async fn a_deleted_deployment_stays_deleted() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let log = only(&store).await;
    store.delete(&log.info().id).await.unwrap();
    assert!(!log_folder.exists());
    assert!(matches!(log.read_after(0, ALL).await, Err(StoreError::NotFound(_))));
    drop((store, log));
    assert!(reopen(data.path(), 0, LARGE).unwrap().list(1).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_stops_busy_publishers() {
    let data = folder();
    let store = reopen(data.path(), 0, 2_000).unwrap();
    let log = store.create("test".to_owned(), None).await.unwrap();
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                loop {
                    if let Err(error) = log.append(request(&["a", "b"], None)).await {
                        return (error, log.head().borrow().last);
                    }
                }
            })
        })
        .collect();
    log.head().wait_for(|head| head.last > 100).await.unwrap();
    store.delete(&log.info().id).await.unwrap();
    let last = log.head().borrow().last;
    for publisher in publishers {
        let (error, seen) = tokio::time::timeout(Duration::from_secs(10), publisher).await.unwrap().unwrap();
        assert!(matches!(error, StoreError::NotFound(_)), "{error}");
        assert!(seen <= last, "a line was acknowledged after the deletion");
    }
}

#[tokio::test]
async fn a_full_disk_passes_and_loses_nothing() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    let (segment, aside) = (segment_path(&log_folder, 1), log_folder.join("aside"));
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let log = only(&store).await;
    fs::rename(&segment, &aside).unwrap();
    std::os::unix::fs::symlink("/dev/full", &segment).unwrap();
    for (i, key) in [None, Some("k"), Some("k")].into_iter().enumerate() {
        let refused = log.append(request(&["b", "c"], key)).await.err().unwrap();
        let StoreError::NotWritten(unwritten) = &refused else { panic!("{refused}") };
        // The device cannot be cut, so the second fails at that.
        assert!(i > 0 || unwritten.shortage == Shortage::Room, "{refused}");
        assert!(!refused.to_string().contains(data.path().to_str().unwrap()), "{refused}");
    }
    assert!(log.finish(Status::Failed).await.err().unwrap().passes());
    assert_eq!((log.head().borrow().last, log.head().borrow().ended), (1, None));
    fs::rename(&aside, &segment).unwrap();
    assert_eq!(texts(&*log, 0, ALL).await, ["a"]);

    store.check().await.unwrap();
    assert_eq!(log.append(request(&["b"], Some("k"))).await.unwrap().into_appended().first, 2);
    log.finish(Status::Failed).await.unwrap();
    drop((store, log));
    let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
    assert_eq!(texts(&*log, 0, ALL).await, ["a", "b"]);
    assert_eq!(log.info().ended, Some(Status::Failed));
}

#[tokio::test]
async fn a_caller_that_goes_away_stalls_nobody() {
    let data = folder();
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let log = store.create("test".to_owned(), None).await.unwrap();
    for i in 0..50 {
        let abandoned = log.append(request(&[format!("abandoned {i}")], Some(&i.to_string())));
        drop(tokio::time::timeout(Duration::ZERO, abandoned).await);
        let twin = log.append(request(&[format!("abandoned {i}")], Some(&i.to_string())));
        let twin = tokio::time::timeout(Duration::from_secs(10), twin).await.unwrap().unwrap();
        assert_eq!(twin.into_appended().last, i + 1);
    }
}

#[tokio::test]
async fn a_log_keeps_no_file_open_after_its_end() {
    let data = folder();
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let open_segments = || {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.starts_with(data.path()) && link.extension().is_some()).count()
    };
    let log = store.create("test".to_owned(), None).await.unwrap();
    assert_eq!(open_segments(), 0);
    log.append(request(&["a"], None)).await.unwrap();
    assert_eq!(open_segments(), 1);
    log.finish(Status::Succeeded).await.unwrap();
    assert_eq!(open_segments(), 0);
}
