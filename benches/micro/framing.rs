//! A batch until its bytes are there, as each transport frames it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use wirelab::reader::FramingName;
use wirelab::transports::bench::framed;

use crate::logs;

/// Lines of a batch: a paced line, and many that gathered.
const LINES: [usize; 2] = [1, 500];
const FRAMINGS: [(&str, FramingName); 5] = [
    ("JSON batch", FramingName::Json),
    ("sse", FramingName::Sse),
    ("ndjson", FramingName::Ndjson),
    ("websocket", FramingName::Websocket),
    ("websocket deflated", FramingName::WebsocketDeflated),
];

pub(crate) fn frame(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    let mut group = criterion.benchmark_group("frame");
    for count in LINES {
        let (log, batch) = logs::batch(&runtime, count);
        group.throughput(Throughput::Elements(count as u64));
        for (name, framing) in FRAMINGS {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| black_box(framed(framing, log.id(), &batch)));
            });
        }
    }
    group.finish();
}
