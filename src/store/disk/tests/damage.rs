//! Tests of damaged files: what a crash tears is cut; all other damage is refused and left as it is.

use std::fs;

use super::*;

/// Returns where each record of a segment begins and ends.
fn record_bounds(segment: &[u8]) -> Vec<(usize, usize)> {
    let mut end = 0;
    let mut bounds = Vec::new();
    for record in segment.split_inclusive(|byte| *byte == b'\n') {
        bounds.push((end, end + record.len()));
        end += record.len();
    }
    bounds
}

#[tokio::test]
async fn an_append_torn_at_any_byte_is_gone_and_the_next_takes_its_place() {
    let before = [request(&["a"], None), request(&["b", "c"], Some("k")), request(&["d"], Some("l"))];
    let single = request(&["torn"], None);
    let keyed = request(&["torn 1", "torn 2", "torn 3"], Some("torn"));
    for (kept, torn) in [(&before[..], &single), (&before[..], &keyed), (&[], &keyed)] {
        let (data, log_folder) = closed_log(LARGE, kept).await;
        let segment = segment_path(&log_folder, 1);
        let whole = fs::read(&segment).unwrap();
        let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
        let kept = texts(&*log, 0, ALL).await;
        // A torn append was not acknowledged, so the mark is the one before.
        let (mark, mark_before) = (log_folder.join("acknowledged.json"), log_folder.join("mark-before"));
        if mark.exists() {
            fs::copy(&mark, &mark_before).unwrap();
        }
        log.append(torn.clone()).await.unwrap();
        wait_for_new_mark(&mark, &mark_before);
        drop(log);
        let torn_bytes = fs::read(&segment).unwrap();
        assert!(torn_bytes.starts_with(&whole) && torn_bytes.len() > whole.len());

        let after = [&kept[..], &["e".to_owned(), "f".to_owned()]].concat();
        for length in whole.len()..torn_bytes.len() {
            fs::write(&segment, &torn_bytes[..length]).unwrap();
            match mark_before.exists() {
                true => fs::copy(&mark_before, &mark).map(|_| ()).unwrap(),
                false => fs::remove_file(&mark).unwrap(),
            }
            let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
            assert_eq!(texts(&*log, 0, ALL).await, kept, "cut at {length}");
            assert_eq!(fs::read(&segment).unwrap(), whole, "cut at {length}");
            // The key of the torn append counts as new.
            let next = log.append(request(&["e", "f"], Some("torn"))).await.unwrap();
            assert_eq!(next.into_appended().first, kept.len() as u64 + 1);
            wait_for_new_mark(&mark, &mark_before);
            drop(log);
            let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
            assert_eq!(texts(&*log, 0, ALL).await, after, "cut at {length}");
        }
    }
}

/// Waits until the newest append is in the mark. The store writes the mark after it has acknowledged an append, and would
/// overwrite the one that the test puts there.
fn wait_for_new_mark(mark: &Path, before: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read(mark).ok() == fs::read(before).ok() {
        assert!(Instant::now() < deadline, "the append is not marked");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_large_torn_append_leaves_no_trace_in_the_index() {
    let torn = request(&vec!["torn"; 200], None);
    let (data, log_folder) = closed_log(LARGE, &[request(&["0"], None), torn]).await;
    let segment = segment_path(&log_folder, 1);
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(log_folder.join("acknowledged.json")).unwrap();
    let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
    let expected: Vec<_> = (0..150).map(|i| i.to_string()).collect();
    for text in &expected[1..] {
        log.append(request(&[text], None)).await.unwrap();
    }
    // Read from disk: the tail in memory does not have the first line.
    assert_eq!(texts(&*log, 0, ALL).await, expected);
}

#[tokio::test]
async fn a_torn_end_may_be_garbage_of_any_kind() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    let segment = segment_path(&log_folder, 1);
    let whole = fs::read(&segment).unwrap();
    let header = br#"{"append":{"first":2,"last":3},"crc":"#;
    let garbage: [&[u8]; 3] = [&[0; 5_000], &[0xff; 100], header];
    for garbage in garbage {
        fs::write(&segment, [&whole, garbage].concat()).unwrap();
        let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
        assert_eq!(texts(&*log, 0, ALL).await, ["a"]);
        assert_eq!(fs::read(&segment).unwrap(), whole);
    }
}

#[tokio::test]
async fn a_damaged_record_at_the_very_end_is_refused_since_it_was_written_whole() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    let segment = segment_path(&log_folder, 1);
    let whole = fs::read(&segment).unwrap();
    for garbage in [&b"\n"[..], b"\n\n\n", b"{\"seq\":2}\n", &[&[0; 100][..], b"\n"].concat()] {
        let bad = [&whole, garbage].concat();
        fs::write(&segment, &bad).unwrap();
        let refused = reopen(data.path(), 0, LARGE);
        assert!(matches!(refused, Err(StoreError::Corrupt { offset, .. }) if offset == whole.len() as u64));
        assert_eq!(fs::read(&segment).unwrap(), bad);
    }
}

#[tokio::test]
async fn one_changed_byte_is_refused_and_nothing_is_touched() {
    let appends = [
        request(&["a"], None),
        request(&["b", "{\"seq\":1}"], Some("k")),
        request(&["c\nd"], Some("l")),
        request(&["e", "f", "g"], None),
        request(&["h"], None),
    ];
    let (data, log_folder) = closed_log(LARGE, &appends).await;
    let segment = segment_path(&log_folder, 1);
    let good = fs::read(&segment).unwrap();
    let records = record_bounds(&good);
    assert_eq!(records.len(), 11);
    for &(begin, end) in &records {
        for position in begin..end {
            for damaged in [good[position] ^ 1, good[position] ^ 0x20, good[position] ^ 0x80, b'\n', 0] {
                if damaged == good[position] {
                    continue;
                }
                let mut bad = good.clone();
                bad[position] = damaged;
                fs::write(&segment, &bad).unwrap();
                match reopen(data.path(), 0, LARGE) {
                    Err(StoreError::Corrupt { path, offset, .. }) => {
                        assert_eq!((path, offset), (segment.clone(), begin as u64), "byte {position}");
                    }
                    Err(other) => panic!("byte {position}: {other}"),
                    Ok(_) => panic!("byte {position} as {damaged:#x} was accepted"),
                }
                assert_eq!(fs::read(&segment).unwrap(), bad, "byte {position}: the file was changed");
            }
        }
    }
    fs::write(&segment, &good).unwrap();
    assert_eq!(texts(&*only(&reopen(data.path(), 0, LARGE).unwrap()).await, 0, ALL).await.len(), 8);
}

#[tokio::test]
async fn a_line_that_decays_while_the_server_runs_is_an_error_not_an_answer() {
    let appends: Vec<_> = (0..5).map(|i| request(&[format!("line {i}")], None)).collect();
    let (data, log_folder) = closed_log(LARGE, &appends).await;
    let segment = segment_path(&log_folder, 1);
    let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
    let good = fs::read(&segment).unwrap();
    let record = good.len() as u64 / 5;

    let mut bad = good.clone();
    bad[2 * record as usize + 40] ^= 1;
    fs::write(&segment, &bad).unwrap();
    let read = log.read_after(0, ALL).await;
    assert!(
        matches!(&read, Err(StoreError::Corrupt { path, offset, .. }) if *path == segment && *offset == 2 * record),
        "{read:?}"
    );
    assert_eq!(log.read_after(0, ReadLimit { lines: 2, ..ALL }).await.unwrap().len(), 2);

    fs::write(&segment, &good[..good.len() - 10]).unwrap();
    assert!(matches!(log.read_after(0, ALL).await, Err(StoreError::Corrupt { .. })));

    // The records are whole, but in the wrong order.
    fs::write(&segment, [&good[record as usize..], &good[..record as usize]].concat()).unwrap();
    assert!(matches!(log.read_after(0, ALL).await, Err(StoreError::Corrupt { offset: 0, .. })));
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let appends: Vec<_> = (0..6).map(|i| request(&[format!("line {i}")], None)).collect();
    let (data, log_folder) = closed_log(100, &appends).await;
    let names = segment_names(&log_folder);
    assert!(names.len() >= 3, "{names:?}");
    let missing = log_folder.join(&names[1]);
    let aside = log_folder.join("aside");
    fs::rename(&missing, &aside).unwrap();
    let opened = reopen(data.path(), 0, 100).err();
    assert!(matches!(&opened, Some(StoreError::Unusable { path, .. }) if *path == missing), "{opened:?}");

    fs::rename(&aside, &missing).unwrap();
    drop(reopen(data.path(), 0, 100).unwrap());
    for name in &names {
        fs::remove_file(log_folder.join(name)).unwrap();
    }
    let opened = reopen(data.path(), 0, 100).err();
    assert!(matches!(opened, Some(StoreError::Unusable { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_torn_segment_before_the_last_is_refused() {
    let appends: Vec<_> = (0..6).map(|i| request(&[format!("line {i}")], None)).collect();
    let (data, log_folder) = closed_log(100, &appends).await;
    let first = segment_path(&log_folder, 1);
    let torn = fs::read(&first).unwrap();
    fs::write(&first, &torn[..torn.len() - 5]).unwrap();
    let opened = reopen(data.path(), 0, 100).err();
    assert!(matches!(&opened, Some(StoreError::Corrupt { path, .. }) if *path == first), "{opened:?}");
    assert_eq!(fs::read(&first).unwrap(), torn[..torn.len() - 5]);
}

#[tokio::test]
async fn a_damaged_manifest_is_refused() {
    let (data, log_folder) = closed_log(LARGE, &[]).await;
    let manifest = log_folder.join("deployment.json");
    let good = fs::read_to_string(&manifest).unwrap();
    let id = log_folder.file_name().unwrap().to_str().unwrap();
    for bad in [String::new(), "{}".to_owned(), good[..20].to_owned(), good.replace(id, "another00")] {
        fs::write(&manifest, &bad).unwrap();
        let opened = reopen(data.path(), 0, LARGE).err();
        assert!(
            matches!(&opened, Some(StoreError::Unusable { path, .. }) if *path == manifest),
            "{opened:?}"
        );
        assert!(!opened.unwrap().to_string().contains("at that byte"), "a manifest cannot be cut");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), bad);
    }
    fs::remove_file(&manifest).unwrap();
    let opened = reopen(data.path(), 0, LARGE).err().unwrap().to_string();
    assert!(
        opened.contains(manifest.to_str().unwrap()) && opened.contains("is missing: restore"),
        "{opened}"
    );
    assert!(
        !opened.contains("writable for this user"),
        "a missing file was taken for a permission: {opened}"
    );
}

#[tokio::test]
async fn a_segment_cut_before_acknowledged_lines_is_refused_wherever_it_is_cut() {
    let appends = [request(&["a"], None), request(&["b", "c"], Some("k")), request(&["d"], None)];
    let (data, log_folder) = closed_log(LARGE, &appends).await;
    let log = only(&reopen(data.path(), 0, LARGE).unwrap()).await;
    log.finish(Status::Succeeded).await.unwrap();
    drop(log);
    let segment = segment_path(&log_folder, 1);
    let good = fs::read(&segment).unwrap();
    for length in 0..good.len() {
        fs::write(&segment, &good[..length]).unwrap();
        let opened = reopen(data.path(), 0, LARGE).err();
        assert!(
            matches!(&opened, Some(StoreError::Corrupt { path, offset, .. })
                if *path == segment && *offset as usize <= length),
            "cut at {length}: {opened:?}"
        );
        assert_eq!(fs::read(&segment).unwrap(), good[..length], "cut at {length}: the file was changed");
    }
    // What the message advises to those who accept the loss.
    let end = record_bounds(&good)[0].1;
    fs::write(&segment, &good[..end]).unwrap();
    fs::remove_file(log_folder.join("acknowledged.json")).unwrap();
    assert_eq!(texts(&*only(&reopen(data.path(), 0, LARGE).unwrap()).await, 0, ALL).await, ["a"]);
}

#[tokio::test]
async fn a_changed_last_line_end_is_refused_even_without_a_mark() {
    let appends = [request(&["a"], None), request(&["b", "c"], Some("k"))];
    let (data, log_folder) = closed_log(LARGE, &appends).await;
    fs::remove_file(log_folder.join("acknowledged.json")).unwrap();
    let segment = segment_path(&log_folder, 1);
    let good = fs::read(&segment).unwrap();
    let (last, whole) = good.split_last().unwrap();
    assert_eq!(*last, b'\n');
    for damaged in [0x0b_u8, b' ', b'}', 0xff] {
        let bad = [whole, &[damaged]].concat();
        fs::write(&segment, &bad).unwrap();
        let opened = reopen(data.path(), 0, LARGE).err();
        assert!(matches!(opened, Some(StoreError::Corrupt { .. })), "{damaged:#x}: {opened:?}");
        assert_eq!(fs::read(&segment).unwrap(), bad);
    }
}

#[tokio::test]
async fn a_mark_that_cannot_be_read_proves_nothing() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    let mark = log_folder.join("acknowledged.json");
    let good = fs::read(&mark).unwrap();
    for bad in [&b""[..], &good[..20], &[0; 128], b"{}\n"] {
        fs::write(&mark, bad).unwrap();
        assert_eq!(texts(&*only(&reopen(data.path(), 0, LARGE).unwrap()).await, 0, ALL).await, ["a"]);
    }
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused_by_name_and_hangs_nothing() {
    let (data, log_folder) = closed_log(LARGE, &[request(&["a"], None)]).await;
    let aside = data.path().join("aside");
    for name in ["deployment.json", "00000000000000000001.ndjson", "acknowledged.json", "keys.ndjson"] {
        let path = log_folder.join(name);
        let was_there = fs::rename(&path, &aside).is_ok();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let opened = reopen(data.path(), 0, LARGE).err();
        assert!(matches!(&opened, Some(StoreError::Unusable { path: at, .. }) if *at == path), "{opened:?}");
        fs::remove_file(&path).unwrap();
        if was_there {
            fs::rename(&aside, &path).unwrap();
        }
    }
    // The old lock is no file of a deployment: a pipe there does no harm.
    let lock = data.path().join("lock");
    fs::remove_file(&lock).unwrap();
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(reopen(data.path(), 0, LARGE).unwrap());
    let id = log_folder.file_name().unwrap();
    let elsewhere = folder();
    fs::rename(&log_folder, elsewhere.path().join(id)).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join(id), &log_folder).unwrap();
    let opened = reopen(data.path(), 0, LARGE).err();
    assert!(matches!(&opened, Some(StoreError::Unusable { path, .. }) if *path == log_folder), "{opened:?}");
}
