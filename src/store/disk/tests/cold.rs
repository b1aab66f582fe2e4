//! Tests of what logs give up beyond the store's bounds on memory and descriptors: nothing is lost by it.

use super::*;

fn bounded(path: &Path, warm_bytes_max: usize, writes: usize) -> DiskStore {
    let descriptors = DescriptorBudget { writes, accesses: 2 };
    let bounds = Bounds { retain_lines: 0, segment_bytes: 10_000, warm_bytes_max, descriptors };
    DiskStore::with_bounds(path.to_owned(), bounds).unwrap()
}

/// Returns the names of the segment files that this process has open below `folder`.
fn open_segments(folder: &Path) -> Vec<PathBuf> {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let paths = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    paths.filter(|path| path.starts_with(folder)).filter(|path| path.extension().is_some()).collect()
}

#[tokio::test]
async fn cold_logs_give_their_memory_back_and_lose_nothing() {
    let data = folder();
    const WARM_BYTES: usize = 100_000;
    let store = bounded(data.path(), WARM_BYTES, 4);
    let line = "x".repeat(1_000);
    let mut logs = Vec::new();
    for i in 0..40 {
        let log = store.create("test".to_owned(), None).await.unwrap();
        let appended = log.append(request(&[&line; 20], Some("k"))).await.unwrap().into_appended();
        if i % 2 == 0 {
            log.finish(Status::Succeeded).await.unwrap();
        }
        let warm = store.shared.joint.warmth.bytes();
        assert!((20_000..=WARM_BYTES).contains(&warm), "{warm} bytes after {i} logs");
        logs.push((log, appended));
    }
    for (log, appended) in &logs {
        assert_eq!(texts(&**log, 0, ALL).await, vec![line.clone(); 20]);
        let again = log.append(request(&[&line; 20], Some("k"))).await.unwrap();
        assert_eq!(again, Stored::Repeated(appended.clone()), "a cold log forgot its key");
        assert!(store.shared.joint.warmth.bytes() <= WARM_BYTES);
    }
    for (log, _) in &logs {
        store.delete(log.id()).await.unwrap();
    }
    assert_eq!(store.shared.joint.warmth.bytes(), 0);
}

#[tokio::test]
async fn an_ended_log_answers_its_keys_after_a_restart() {
    let data = folder();
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let log = store.create("test".to_owned(), None).await.unwrap();
    let appended = log.append(request(&["a"], Some("k"))).await.unwrap().into_appended();
    log.finish(Status::Succeeded).await.unwrap();
    drop((store, log));
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let log = only(&store).await;
    let repeats = (0..8).map(|_| {
        let log = log.clone();
        tokio::spawn(async move { log.append(request(&["a"], Some("k"))).await.unwrap() })
    });
    for repeat in repeats.collect::<Vec<_>>() {
        assert_eq!(repeat.await.unwrap(), Stored::Repeated(appended.clone()));
    }
    assert!(matches!(log.append(request(&["b"], Some("k2"))).await, Err(StoreError::Ended { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_logs_are_written_at_once_than_files_may_be_open() {
    let data = folder();
    let store = bounded(data.path(), WARM_BYTES_MAX, 3);
    let mut writers = Vec::new();
    for _ in 0..24 {
        let log = store.create("test".to_owned(), None).await.unwrap();
        writers.push(tokio::spawn(async move {
            for i in 0..30 {
                log.append(request(&[format!("{i} {}", "x".repeat(1_000))], None)).await.unwrap();
            }
            log
        }));
    }
    let mut most = 0;
    for writer in writers {
        while !writer.is_finished() {
            // A reader of a full segment is not among the writers here, so each open segment has a lease.
            most = most.max(open_segments(data.path()).len());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(writer.await.unwrap().read_after(0, ALL).await.unwrap().len(), 30);
    }
    // The folder of a rotating log is no segment. A read of the lines above may have one more open.
    assert!((1..=3 + 1).contains(&most), "{most} segments were open");
}

#[tokio::test]
async fn a_deleted_or_ended_log_keeps_no_file_open() {
    let data = folder();
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let (ended, deleted) = (
        store.create("a".to_owned(), None).await.unwrap(),
        store.create("b".to_owned(), None).await.unwrap(),
    );
    for log in [&ended, &deleted] {
        log.append(request(&["a"], None)).await.unwrap();
    }
    ended.finish(Status::Failed).await.unwrap();
    store.delete(deleted.id()).await.unwrap();
    // The writer's thread may still be on its way out.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !open_segments(data.path()).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", open_segments(data.path()));
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn deployments_that_are_older_than_the_order_come_before_all_others() {
    let data = folder();
    let store = reopen(data.path(), 0, LARGE).unwrap();
    let old = store.create("old".to_owned(), None).await.unwrap().id().clone();
    drop(store);
    // As a manifest was before it had an order, of a clock that was an hour ahead.
    let path = data.path().join(old.as_str()).join("deployment.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(manifest.as_object_mut().unwrap().remove("order").is_some());
    manifest["created_us"] = (manifest["created_us"].as_u64().unwrap() + 3_600_000_000).into();
    fs::write(&path, manifest.to_string()).unwrap();
    for _ in 0..2 {
        let store = reopen(data.path(), 0, LARGE).unwrap();
        let new = store.create("new".to_owned(), None).await.unwrap();
        let listed = store.list(9).await.unwrap();
        assert_eq!((listed[0].id(), listed[listed.len() - 1].id()), (new.id(), &old));
        if let Some(second) = listed.get(1).filter(|_| listed.len() == 3) {
            assert_eq!(second.info().name, "new");
        }
        // What goes on after the clock was set right: no time is before the creation.
        let log = store.open(&old).await.unwrap();
        log.append(request(&["a"], None)).await.unwrap();
        let at_us = log.read_after(0, ALL).await.unwrap().last().unwrap().decode().at_us;
        assert!(at_us >= log.info().created_us);
    }
}
