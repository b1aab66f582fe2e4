//! Appends to a log, and reads of it: in memory, and in the segments of a disk.
//!
//! An append to a disk is not measured here, because it waits for the device: `cargo bench --bench store_append`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use tokio::runtime::Runtime;
use wirelab::reader::BATCH_LIMIT;
use wirelab::store::disk::DiskStore;
use wirelab::store::{AppendRequest, DeploymentLog, LogStore};

use crate::logs;

/// Lines of a log that is read: several batches.
const READ_LINES: usize = 10_000;
/// Lines of an append, and of one that carries many.
const APPENDS: [usize; 2] = [1, 1_000];

pub(crate) fn append_and_read(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    let mut group = criterion.benchmark_group("store");
    for count in APPENDS {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("append {count} to memory"), |bencher| {
            let log = logs::in_memory(&runtime);
            let request = AppendRequest::new(logs::lines(count), None);
            let append = |request| runtime.block_on(log.append(request)).unwrap();
            bencher.iter_batched(|| request.clone(), append, BatchSize::SmallInput);
        });
    }
    group.throughput(Throughput::Elements(READ_LINES as u64));
    let memory = logs::in_memory(&runtime);
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskStore::open(folder.path().to_owned(), 0).unwrap();
    let disk = runtime.block_on(disk.create("bench".to_owned(), None)).unwrap();
    for (name, log) in [("memory", memory), ("segments of a disk", disk)] {
        logs::append(&runtime, &log, READ_LINES);
        let read = format!("read {READ_LINES} from {name}");
        group.bench_function(read, |bencher| bencher.iter(|| read_all(&runtime, &log)));
    }
    group.finish();
}

/// Reads a log in batches.
fn read_all(runtime: &Runtime, log: &Arc<dyn DeploymentLog>) {
    runtime.block_on(async {
        let mut after = 0;
        while let Some(last) = black_box(log.read_after(after, BATCH_LIMIT).await.unwrap()).last() {
            after = last.seq;
        }
        assert_eq!(after, READ_LINES as u64);
    });
}
