//! A request from its bytes to the bytes of its answer: codec, what holds for every request, routing and handler, without
//! a socket.

use std::sync::Arc;

use criterion::Criterion;
use wirelab::context::ServerOptions;
use wirelab::deployments::Deployments;
use wirelab::server::bench::Bench;
use wirelab::store::memory::MemoryStore;
use wirelab::store::{AppendRequest, LogStore};

use crate::logs;

/// Recordings that a deployment could replay; none does here.
const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/recordings");

pub(crate) fn answer(criterion: &mut Criterion) {
    let runtime = logs::runtime();
    // Handlers may spawn tasks that stay on their thread.
    let tasks = tokio::task::LocalSet::new();
    let (mut bench, log) = tasks.block_on(&runtime, async {
        let store = Arc::new(MemoryStore::new(0));
        let log = store.create("bench".to_owned(), None).await.unwrap();
        log.append(AppendRequest::new(logs::lines(10), None)).await.unwrap();
        let deployments = Deployments::new(store, RECORDINGS.into()).await.unwrap();
        (Bench::new(deployments, ServerOptions::default()).await, log)
    });
    let info = log.info();
    let poll = |from: &str| format!("/api/deployments/{}/short-poll?from={from}", info.id);
    let mut group = criterion.benchmark_group("request");
    for (name, path, status) in [
        ("healthz", "/healthz".to_owned(), "200"),
        ("short poll with 10 lines", poll("start"), "200"),
        ("short poll with nothing new", poll(&info.next.to_string()), "200"),
        ("no such path", "/nothing/here".to_owned(), "404"),
    ] {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: */*\r\n\r\n");
        let expected = format!("HTTP/1.1 {status}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answer = tasks.block_on(&runtime, bench.answer(head.as_bytes()));
                assert!(answer.starts_with(expected.as_bytes()), "{answer:?}");
            });
        });
    }
    group.finish();
}
