//! The session of a WebSocket: framed batches and commands in, bytes out.

use criterion::{BenchmarkId, Criterion, Throughput};
use wirelab::reader::{FramedBatch, FramingName};
use wirelab::transports::bench::{WebsocketSession, framed};

use crate::logs;

/// Lines of a batch: a paced line, and many that gathered.
const LINES: [usize; 2] = [1, 1_000];

pub(crate) fn handle(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    let mut group = criterion.benchmark_group("websocket session");
    for count in LINES {
        let (log, batch) = logs::batch(&runtime, count);
        let batch = FramedBatch {
            bytes: framed(FramingName::Websocket, log.id(), &batch),
            line_count: count,
            next: batch.next,
            is_full: false,
            finished: None,
        };
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("deliver a batch", count), |bencher| {
            let mut session = WebsocketSession::greet(log.id().clone(), batch.next.clone());
            assert!(!session.frames().is_empty(), "it says hello");
            bencher.iter(|| {
                session.deliver(batch.clone());
                assert_eq!(session.frames().len(), batch.bytes.len());
            });
        });
    }
    let log = logs::in_memory(&runtime);
    group.throughput(Throughput::Elements(1));
    group.bench_function("a ping and its pong", |bencher| {
        let mut session = WebsocketSession::greet(log.id().clone(), log.info().next);
        bencher.iter(|| {
            session.receive(r#"{"type":"ping"}"#);
            assert!(!session.frames().is_empty());
        });
    });
    group.finish();
}
