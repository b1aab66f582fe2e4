//! What the harness notes of a delivered line: a latency in a histogram, and a receipt in a recorder.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use wirelab_clients::harness::due_table::DueTable;
use wirelab_clients::harness::recorder::Recorder;
use wirelab_clients::latency::LatencyHistogram;

/// Lines that are recorded at once.
const LINES: u64 = 1_000;

pub(crate) fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("latency in a histogram", |bencher| {
        let mut latencies = LatencyHistogram::<u32>::default();
        bencher.iter(|| {
            for i in 0..LINES {
                // Spread over half a second, as those of a short poll.
                latencies.record(Duration::from_micros(i * 7_919 % 500_000));
            }
            black_box(latencies.len())
        });
    });
    group.bench_function("receipt in a recorder", |bencher| {
        let due = vec![Duration::ZERO; LINES as usize];
        let table = Arc::new(DueTable::new(Instant::now(), due, Duration::ZERO));
        bencher.iter_batched_ref(
            || Recorder::new(table.clone()),
            |recorder| recorder.record(1..=LINES, Instant::now()),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
