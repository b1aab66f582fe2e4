//! A batch until its bytes are there, as each transport frames it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use wirelab::transports::{ndjson, sse};

use crate::logs;

/// Lines of a batch: a paced line, and many that gathered.
const LINES: [usize; 2] = [1, 1_000];

/// WebSocket frames are made with the session: see `session`.
pub(crate) fn frame(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    let mut group = criterion.benchmark_group("frame");
    for count in LINES {
        let batch = logs::batch(&runtime, count);
        group.throughput(Throughput::Elements(count as u64));
        let id = |name| BenchmarkId::new(name, count);
        group.bench_function(id("sse"), |bencher| bencher.iter(|| black_box(sse::events(&batch))));
        group.bench_function(id("ndjson"), |bencher| bencher.iter(|| black_box(ndjson::records(&batch))));
        group.bench_function(id("JSON batch"), |bencher| bencher.iter(|| black_box(batch.json())));
    }
    group.finish();
}
