//! The client halves of the transports: how lines reach a subscriber.
//!
//! Each transport has one file, with the stem of its server half in `src/transports/`. The file explains its protocol
//! step by step where it happens, and can be read alone. Connections and their meters are in `http`.

mod long_poll;
mod ndjson;
mod short_poll;
mod sse;
mod websocket;

pub use long_poll::LongPoll;
pub use ndjson::Ndjson;
pub use short_poll::ShortPoll;
pub use sse::Sse;
pub(crate) use websocket::FIRST_CEILING as WEBSOCKET_FIRST_CEILING;
pub use websocket::Websocket;

use std::time::{Duration, Instant};

use crate::wire::{Batch, Cursor, Line, Position, Transport};
use crate::{Received, SubscribeError, Target};

/// Longest silence of a stream: two heartbeats of a server that keeps to 15 s, and some. A stream silent for longer is
/// dead.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(35);

/// Returns `/api/deployments/{id}/{transport}?from=…`, with `more` parameters in the query.
pub(crate) fn path(transport: Transport, target: &Target, more: &[(&str, String)]) -> String {
    let mut path = transport.path().replace("{id}", target.deployment.as_str());
    let from = match &target.from {
        Position::Start => None,
        Position::Now => Some(("from", "now".to_owned())),
        Position::After(cursor) => Some(("from", cursor.to_string())),
    };
    for (i, (name, value)) in from.iter().chain(more).enumerate() {
        path.push(if i == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        path.push_str(value);
    }
    path
}

/// One question of a poll.
pub(crate) struct PollRequest {
    /// The path with its query.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
}

/// What the client half of a poll asks when it is not to be held: what calibrations weigh. `tag` is the entity tag of
/// its last answer. `None`: a stream asks once, and no question of it is repeated.
pub(crate) fn poll_request(transport: Transport, target: &Target, tag: Option<&str>) -> Option<PollRequest> {
    match transport {
        Transport::ShortPoll => Some(short_poll::request(target, tag)),
        Transport::LongPoll => Some(long_poll::request(target, Duration::ZERO)),
        Transport::Sse | Transport::Ndjson | Transport::Websocket => None,
    }
}

/// Makes a batch of a stream's lines. The cursor moves with the batch that is returned.
fn received(
    cursor: &mut Option<Cursor>,
    lines: Vec<Line>,
    finished: bool,
    at: Instant,
) -> Result<Received, SubscribeError> {
    let Some(position) = cursor else {
        let early = "the server sent a line before it said where the stream starts".to_owned();
        return Err(SubscribeError::Contract(early));
    };
    position.after = lines.last().map_or(position.after, |line| line.seq);
    Ok(Received { batch: Batch { lines, next: position.clone(), more: false, finished }, at })
}

/// Returns the batch that a subscriber returns from now on, if `received` was the end.
fn end_of(received: &Received) -> Option<Received> {
    let Batch { lines: _, next, more, finished } = &received.batch;
    let end = || Batch { lines: Vec::new(), next: next.clone(), more: *more, finished: true };
    finished.then(|| Received { batch: end(), at: received.at })
}
