//! A property of every framing: the bytes that readers share are those that a reader alone would make.

use std::sync::Arc;

use proptest::prelude::*;
use wirelab_clients::wire::{NewLine, Position, Status};

use super::ndjson::Ndjson;
use super::sse::Sse;
use super::websocket::{DeflatedLineFrames, LineFrames};
use crate::reader::{BATCH_LIMIT, FramingName, Json, LineFraming, Reader};
use crate::store::memory::MemoryStore;
use crate::store::{DeploymentLog, LogStore, ReadLimit};

/// Something that happens to one of two logs.
#[derive(Debug, Clone)]
enum Step {
    Append { log: usize, texts: Vec<String> },
    Read { log: usize, reader: usize, lines: usize },
    Finish { log: usize },
}

const READERS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2_usize, prop::collection::vec(".{0,20}", 1..5))
            .prop_map(|(log, texts)| Step::Append { log, texts }),
        8 => (0..2_usize, 0..READERS, prop_oneof![Just(512_usize), 1..4_usize])
            .prop_map(|(log, reader, lines)| Step::Read { log, reader, lines }),
        1 => (0..2_usize).prop_map(|log| Step::Finish { log }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Takes the steps with readers that share their frames, and compares each read with that of a reader alone.
async fn shared_as_alone<F: LineFraming>(steps: Vec<Step>) {
    let (store, frames) = (MemoryStore::new(0), Arc::default());
    let mut logs: Vec<Arc<dyn DeploymentLog>> = Vec::new();
    for name in ["one", "two"] {
        logs.push(store.create(name.to_owned(), None).await.unwrap());
    }
    let opened = |log: usize| Reader::open(logs[log].clone(), Position::Start, Arc::clone(&frames)).unwrap();
    let mut readers: Vec<Vec<Reader>> =
        (0..2).map(|log| (0..READERS).map(|_| opened(log)).collect()).collect();
    for step in steps {
        match step {
            Step::Append { log, texts } => {
                let lines: Vec<_> = texts.iter().map(NewLine::plain).collect();
                // A log that has ended takes no more.
                let _ = logs[log].append(lines.into()).await;
            }
            Step::Finish { log } => logs[log].finish(Status::Succeeded).await.unwrap(),
            Step::Read { log, reader, lines } => {
                let reader = &mut readers[log][reader];
                let before = reader.cursor();
                let shared = reader.read::<F>(ReadLimit { lines, ..BATCH_LIMIT }).await.unwrap();
                // Lines alone may be some that another reader has framed a little earlier.
                let lines = match F::NAME {
                    FramingName::Json => lines,
                    FramingName::Sse
                    | FramingName::Ndjson
                    | FramingName::Websocket
                    | FramingName::WebsocketDeflated => shared.line_count.max(1),
                };
                let limit = ReadLimit { lines, ..BATCH_LIMIT };
                let position = Position::After(before);
                let mut alone = Reader::open(logs[log].clone(), position, Arc::default()).unwrap();
                let own = alone.read::<F>(limit).await.unwrap();
                assert_eq!(shared.bytes, own.bytes);
                let of = |batch: crate::reader::FramedBatch| (batch.line_count, batch.next, batch.finished);
                assert_eq!(of(shared), of(own));
            }
        }
    }
}

proptest! {
    #[test]
    fn shared_bytes_are_those_that_a_reader_alone_would_make(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            shared_as_alone::<Json>(steps.clone()).await;
            shared_as_alone::<Sse>(steps.clone()).await;
            shared_as_alone::<Ndjson>(steps.clone()).await;
            shared_as_alone::<LineFrames>(steps.clone()).await;
            shared_as_alone::<DeflatedLineFrames>(steps).await;
        });
    }
}
