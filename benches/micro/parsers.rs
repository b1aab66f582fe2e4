//! The clients' parsers: the bytes of a batch until each line is there as a value.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use wirelab_clients::decode::{self, LineFrame};
use wirelab_clients::event_stream::{EventRef, EventStreamParser};

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
        bencher.iter(|| {
            let mut count = 0;
            let take = |event: EventRef<'_>| {
                black_box(decode::line(event.data).unwrap());
                count += 1;
            };
            parser.push_each(events.as_bytes(), take).unwrap();
            assert_eq!(count, LINES);
        });
    });
    group.bench_function("ndjson", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                black_box(decode::ndjson_record(line.as_bytes()).unwrap());
            }
        });
    });
    let batch = format!(
        "{{\"lines\":[{}],\"next\":\"k3x9.{LINES}\",\"more\":false,\"finished\":false}}",
        lines.join(",")
    );
    group.bench_function("JSON batch", |bencher| {
        bencher.iter(|| assert_eq!(decode::batch(batch.as_bytes()).unwrap().lines.len(), LINES));
    });
    let frames: Vec<String> = lines
        .iter()
        .map(|line| format!("{{\"type\":\"line\",\"deployment\":\"01k3aaaa\",\"line\":{line}}}"))
        .collect();
    group.bench_function("websocket", |bencher| {
        let room = LineFrame::of(&"01k3aaaa".parse().unwrap());
        bencher.iter(|| {
            for frame in &frames {
                black_box(room.line(frame).unwrap());
            }
        });
    });
    group.finish();
}
