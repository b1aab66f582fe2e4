//! NDJSON: the server waits for ever, one JSON object per line of an endless body.
//!
//! The first record tells where the stream starts; then every line of the log is one record; the last record tells why
//! the stream ended. A blank line is a sign of life. A body that ends without such a last record was cut: the client
//! reconnects from its cursor.

use actix_web::web;
use bytes::{BufMut, Bytes, BytesMut};
use wirelab_clients::wire::{DeploymentId, Finished, Gap, Hello, NdjsonControl, Transport};

use super::endless::{self, Framing};
use crate::context::Context;
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::reader::{EncodedBatch, FramingName, LineFraming};

/// Answers `GET …/ndjson?from=` with a stream.
pub(super) async fn answer(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let reader = context.deployments.reader(&id, request::position(asked.head())?).await?;
    Ok(endless::respond(&asked, reader, Ndjson, context))
}

pub(super) struct Ndjson;

impl LineFraming for Ndjson {
    const NAME: FramingName = FramingName::Ndjson;

    fn frame(_: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        let bytes = batch.lines.iter().map(|line| line.json.len() + 1).sum();
        let mut records = BytesMut::with_capacity(bytes);
        for line in &batch.lines {
            records.put_slice(&line.json);
            records.put_u8(b'\n');
        }
        records.freeze()
    }
}

impl Framing for Ndjson {
    const TRANSPORT: Transport = Transport::Ndjson;
    const CONTENT_TYPE: &'static str = "application/x-ndjson";

    fn hello(&self, hello: &Hello) -> Bytes {
        record(&NdjsonControl::Hello(hello.clone()))
    }

    fn finished(&self, finished: &Finished) -> Bytes {
        record(&NdjsonControl::Finished(finished.clone()))
    }

    fn gap(&self, gap: &Gap) -> Bytes {
        record(&NdjsonControl::Gap(gap.clone()))
    }

    fn deleted(&self) -> Bytes {
        record(&NdjsonControl::Deleted {})
    }

    fn heartbeat(&self) -> Bytes {
        Bytes::from_static(b"\n")
    }

    fn goodbye(&self) -> Bytes {
        // A clean end of the body is enough.
        Bytes::new()
    }
}

fn record(control: &NdjsonControl) -> Bytes {
    let mut json = serde_json::to_vec(control).expect("a record has no key that JSON refuses");
    json.push(b'\n');
    json.into()
}
