//! The session of a WebSocket: batches and commands in, frames out.

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput};
use wirelab::transports::websocket::bench::Bench;
use wirelab_clients::wire::{Cursor, DeploymentId};

use crate::logs;

/// Lines of a batch: a paced line, and many that gathered.
const LINES: [usize; 2] = [1, 1_000];

pub(crate) fn handle(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    let mut group = criterion.benchmark_group("websocket session");
    for count in LINES {
        let batch = logs::batch(&runtime, count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("frames of a batch", count), |bencher| {
            let (mut session, mut out) = greeted();
            bencher.iter(|| {
                out.clear();
                session.deliver(batch.clone());
                session.write_frames(&mut out);
                assert!(out.len() > count * logs::LINE_BYTES);
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("a ping and its pong", |bencher| {
        let (mut session, mut out) = greeted();
        bencher.iter(|| {
            out.clear();
            session.receive(r#"{"type":"ping"}"#);
            session.write_frames(&mut out);
            assert!(!out.is_empty());
        });
    });
    group.finish();
}

/// Returns a session that has said hello, and room for its frames.
fn greeted() -> (Bench, BytesMut) {
    let deployment: DeploymentId = "01k3aaaa".parse().unwrap();
    let cursor: Cursor = "k3x9.0".parse().unwrap();
    let (mut session, mut out) = (Bench::greet(deployment, cursor), BytesMut::new());
    session.write_frames(&mut out);
    (session, out)
}
