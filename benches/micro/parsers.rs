//! The clients' parsers: the bytes of a batch until each line is there as a value.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use wirelab_clients::event_stream::EventStreamParser;
use wirelab_clients::wire::{Batch, Line, NdjsonRecord, ServerFrame};

use crate::logs::LINE_BYTES;

/// Lines of a batch.
const LINES: usize = 100;

pub(crate) fn parse(criterion: &mut Criterion) {
    let text = "x".repeat(LINE_BYTES);
    let line = |seq| format!("{{\"seq\":{seq},\"at_us\":1788000000000000,\"text\":\"{text}\"}}");
    let lines: Vec<String> = (1..=LINES).map(line).collect();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(LINES as u64));

    let events: String =
        lines.iter().enumerate().map(|(i, line)| format!("id: k3x9.{}\ndata: {line}\n\n", i + 1)).collect();
    group.bench_function("sse", |bencher| {
        let mut parser = EventStreamParser::new("");
        let mut events_read = Vec::new();
        bencher.iter(|| {
            events_read.clear();
            parser.push(events.as_bytes(), &mut events_read).unwrap();
            assert_eq!(events_read.len(), LINES);
            for event in &events_read {
                black_box(serde_json::from_str::<Line>(&event.data).unwrap());
            }
        });
    });
    group.bench_function("ndjson", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                black_box(serde_json::from_str::<NdjsonRecord>(line).unwrap());
            }
        });
    });
    let batch = format!(
        "{{\"lines\":[{}],\"next\":\"k3x9.{LINES}\",\"more\":false,\"finished\":false}}",
        lines.join(",")
    );
    group.bench_function("JSON batch", |bencher| {
        bencher.iter(|| black_box(serde_json::from_str::<Batch>(&batch).unwrap()));
    });
    let frames: Vec<String> = lines
        .iter()
        .map(|line| format!("{{\"type\":\"line\",\"deployment\":\"01k3aaaa\",\"line\":{line}}}"))
        .collect();
    group.bench_function("websocket", |bencher| {
        bencher.iter(|| {
            for frame in &frames {
                black_box(serde_json::from_str::<ServerFrame>(frame).unwrap());
            }
        });
    });
    group.finish();
}
