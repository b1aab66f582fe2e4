//! The framing of every transport without a connection: what `benches/micro` measures. Nothing in the server calls it.

use bytes::Bytes;
use wirelab_clients::wire::DeploymentId;

use super::ndjson::Ndjson;
use super::sse::Sse;
pub use super::websocket::bench::Bench as WebsocketSession;
use super::websocket::{DeflatedLineFrames, LineFrames};
use crate::reader::{EncodedBatch, FramingName, Json, LineFraming};

/// Writes the lines of a batch.
pub fn framed(framing: FramingName, deployment: &DeploymentId, batch: &EncodedBatch) -> Bytes {
    match framing {
        FramingName::Json => Json::frame(deployment, batch),
        FramingName::Sse => Sse::frame(deployment, batch),
        FramingName::Ndjson => Ndjson::frame(deployment, batch),
        FramingName::Websocket => LineFrames::frame(deployment, batch),
        FramingName::WebsocketDeflated => DeflatedLineFrames::frame(deployment, batch),
    }
}
