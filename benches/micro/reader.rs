//! The wake-up of readers: from the append of one line until each of many readers at the tail has read it.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::future::join_all;
use wirelab::reader::{BATCH_LIMIT, Frames, Json, Reader};
use wirelab::store::AppendRequest;
use wirelab_clients::wire::Position;

use crate::logs;

/// Readers of one log.
const READERS: [usize; 3] = [1, 100, 1_000];

pub(crate) fn wake_up(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    let mut group = criterion.benchmark_group("reader");
    for count in READERS {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("append until all have read", count), |bencher| {
            let log = logs::in_memory(&runtime);
            let frames = Arc::new(Frames::default());
            let open = |_| {
                let opened = Reader::open(log.clone(), Position::Now, frames.clone());
                opened.unwrap_or_else(|error| panic!("{error:?}"))
            };
            let mut readers: Vec<_> = (0..count).map(open).collect();
            let request = AppendRequest::new(logs::lines(1), None);
            bencher.iter(|| {
                runtime.block_on(async {
                    let reading = join_all(readers.iter_mut().map(|reader| async move {
                        reader.wait().await;
                        let read = reader.read::<Json>(BATCH_LIMIT).await;
                        assert_eq!(read.unwrap_or_else(|error| panic!("{error:?}")).line_count, 1);
                    }));
                    // Readers are polled first, so that each waits when the line comes.
                    let (_, appended) = tokio::join!(reading, log.append(request.clone()));
                    appended.unwrap();
                });
            });
        });
    }
    group.finish();
}
