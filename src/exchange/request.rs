//! Parses requests: query parameters, headers, positions, bounds. Parsed here once, trusted afterwards.

use actix_web::dev::{Payload, RequestHead};
use std::borrow::Cow;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use actix_web::{HttpRequest, web};
use futures_util::stream::StreamExt;
use memchr::memchr2;
use serde::de::DeserializeOwned;
use wirelab_clients::wire::{
    BATCH_BYTES_MAX, BATCH_LINES_MAX, BODY_BYTES_MAX, DeploymentId, InvalidToken, Position,
};

use crate::exchange::arriving::Hindrance;
use crate::exchange::problem::Refusal;
use crate::store::ReadLimit;

/// `Retry-After` of a server without room for more unfinished bodies, s. Bodies end or are given up in steps of some
/// seconds.
const NO_ROOM_RETRY_S: u64 = 5;
/// Header by which a browser's EventSource resumes.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Returns a query parameter, decoded. A parameter that is given twice is refused, since one of the values would be
/// ignored.
pub(crate) fn parameter<'a>(head: &'a RequestHead, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let query = head.uri.query().unwrap_or_default();
    if memchr2(b'%', b'+', query.as_bytes()).is_some() {
        return only(form_urlencoded::parse(query.as_bytes()), name);
    }
    // The same pairs, without a decoder: few queries have escapes.
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    only(pairs.map(|(key, value)| (key.into(), value.into())), name)
}

fn only<'a>(
    pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    name: &str,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Refusal::bad_request(format!("parameter {name} is given twice; give it once"))),
    }
}

/// Returns the deployment's id in the path of a handler of actix-web. A malformed id is answered like an unknown one.
pub(crate) fn deployment_id(request: &HttpRequest) -> Result<DeploymentId, Refusal> {
    parse_deployment_id(request.match_info().query("id"))
}

/// Parses a deployment's id from any part of a request; an invalid one is refused with 404.
pub(crate) fn parse_deployment_id(id: &str) -> Result<DeploymentId, Refusal> {
    id.parse().map_err(no_such_deployment)
}

/// Makes the refusal of an id that no deployment can have.
pub(crate) fn no_such_deployment(error: InvalidToken) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no deployment with this id: {error}"))
}

/// Returns the position at which to start: `Last-Event-ID` if it is there, else `from`, else the first kept line. Beside
/// a `Last-Event-ID`, `from` is not looked at: it is what a browser's EventSource asked for long ago.
pub(crate) fn position(head: &RequestHead) -> Result<Position, Refusal> {
    if let Some(id) = one_header(&head.headers, &LAST_EVENT_ID)?
        && !id.is_empty()
    {
        return Ok(Position::After(id.parse()?));
    }
    parse_position(parameter(head, "from")?.as_deref())
}

/// Parses the value of `from` from any part of a request; without it reading starts at the first kept line.
pub(crate) fn parse_position(from: Option<&str>) -> Result<Position, Refusal> {
    from.map_or(Ok(Position::Start), |from| Ok(from.parse()?))
}

/// Returns how many lines a poll wants: 1 to [`BATCH_LINES_MAX`]; a larger number counts as the largest.
pub(crate) fn limit(head: &RequestHead) -> Result<ReadLimit, Refusal> {
    let lines = match parameter(head, "limit")? {
        None => BATCH_LINES_MAX,
        Some(limit) => count(&limit, "limit")?.min(BATCH_LINES_MAX),
    };
    Ok(ReadLimit { lines, bytes: BATCH_BYTES_MAX })
}

/// Parses a whole number from 1. A number too large for `usize` counts as the largest `usize`.
pub(crate) fn count(text: &str, name: &str) -> Result<usize, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let count = if digits { text.parse().unwrap_or(usize::MAX) } else { 0 };
    match count {
        0 => Err(Refusal::bad_request(format!("{name} {text:?} is not valid; give a whole number from 1"))),
        count => Ok(count),
    }
}

/// Returns a header that may be given once.
pub(crate) fn one_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name);
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("header {name} is given twice; give it once")));
    }
    value.map(|value| value.to_str()).transpose().map_err(|_| {
        Refusal::bad_request(format!("header {name} holds bytes other than visible ASCII; remove them"))
    })
}

/// Reads the whole body, at most [`BODY_BYTES_MAX`]. A body that comes in one piece, as most do, is not copied.
pub(crate) async fn body(mut payload: Payload) -> Result<web::Bytes, Refusal> {
    let Some(first) = payload.next().await else { return Ok(web::Bytes::new()) };
    let first = first.map_err(|error| incomplete(&error))?;
    if first.len() > BODY_BYTES_MAX {
        return Err(too_long());
    }
    let Some(mut next) = payload.next().await else { return Ok(first) };
    let mut body = web::BytesMut::from(first);
    loop {
        let piece = next.map_err(|error| incomplete(&error))?;
        if body.len() + piece.len() > BODY_BYTES_MAX {
            return Err(too_long());
        }
        body.extend_from_slice(&piece);
        match payload.next().await {
            None => return Ok(body.freeze()),
            Some(piece) => next = piece,
        }
    }
}

/// Returns the refusal of a body that did not come as a whole.
fn incomplete(error: &PayloadError) -> Refusal {
    let hindrance = match error {
        PayloadError::Io(error) => error.get_ref().and_then(|error| error.downcast_ref()),
        _ => None,
    };
    match hindrance {
        Some(Hindrance::TooLong) => too_long(),
        Some(Hindrance::TooSlow) => Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body came too slowly; send the request again, faster or in several requests",
        ),
        Some(Hindrance::NoRoom) => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "the server, or this connection, holds as many bytes of unfinished bodies as it may; try again in \
                 {NO_ROOM_RETRY_S} s"
            ),
        )
        .with_header(RETRY_AFTER, HeaderValue::from(NO_ROOM_RETRY_S)),
        None => Refusal::bad_request(format!(
            "the body did not arrive as a whole: {error}; send the request again"
        )),
    }
}

fn too_long() -> Refusal {
    too_large(format!("the body is larger than {BODY_BYTES_MAX} bytes; send it in several requests"))
}

/// Removes one byte order mark before JSON, which a parser may ignore (RFC 8259 §8.1). Editors and shells of Windows
/// write it.
pub(crate) fn without_mark(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json)
}

/// Parses a JSON object. serde alone would also accept an array and assign its values to the members in order.
pub(crate) fn json_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    if json.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(json)
    } else {
        Err(serde::de::Error::custom("it is not a JSON object"))
    }
}

/// Makes a refusal with 413.
pub(crate) fn too_large(detail: String) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Tells whether the client has the answer of this tag already. `If-None-Match` holds a list of tags, which are
/// compared weakly, or `*` (RFC 9110 §13.1.2).
pub(crate) fn knows(head: &RequestHead, tag: &str) -> bool {
    let values = head.headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    // No tag of ours holds a comma, so splitting at commas cannot split one.
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}
