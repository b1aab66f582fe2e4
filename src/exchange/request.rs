//! What a request asks for: query parameters, positions, bounds. Parsed here once, trusted afterwards.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;
use wirelab_clients::wire::{
    BATCH_BYTES_MAX, BATCH_LINES_MAX, BODY_BYTES_MAX, DeploymentId, InvalidToken, Position,
};

use crate::exchange::problem::Refusal;
use crate::store::ReadLimit;

/// A query parameter, decoded; given twice it is refused, since two positions are none.
pub(crate) fn parameter(request: &HttpRequest, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned());
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Refusal::bad_request(format!("parameter {name} is given twice; give it once"))),
    }
}

/// The deployment of the path. A malformed id is as unknown as a missing one.
pub(crate) fn deployment_id(request: &HttpRequest) -> Result<DeploymentId, Refusal> {
    parse_deployment_id(request.match_info().query("id"))
}

/// A deployment's id, wherever it was named.
pub(crate) fn parse_deployment_id(id: &str) -> Result<DeploymentId, Refusal> {
    id.parse().map_err(|error: InvalidToken| {
        Refusal::new(StatusCode::NOT_FOUND, format!("there is no such deployment: {error}"))
    })
}

/// Where to start: `Last-Event-ID` wins over `from`; absent both, the first kept line.
pub(crate) fn position(request: &HttpRequest) -> Result<Position, Refusal> {
    if let Some(id) = one_header(request.headers(), "last-event-id")?
        && !id.is_empty()
    {
        return Ok(Position::After(id.parse()?));
    }
    parse_position(parameter(request, "from")?.as_deref())
}

/// What `from` says, wherever it was given.
pub(crate) fn parse_position(from: Option<&str>) -> Result<Position, Refusal> {
    from.map_or(Ok(Position::Start), |from| Ok(from.parse()?))
}

/// How many lines a poll wants: 1 to [`BATCH_LINES_MAX`], larger is clamped.
pub(crate) fn limit(request: &HttpRequest) -> Result<ReadLimit, Refusal> {
    let lines = match parameter(request, "limit")? {
        None => BATCH_LINES_MAX,
        Some(limit) => count(&limit, "limit")?.min(BATCH_LINES_MAX),
    };
    Ok(ReadLimit { lines, bytes: BATCH_BYTES_MAX })
}

/// A whole number from 1; one too large for the machine is as good as the largest.
pub(crate) fn count(text: &str, name: &str) -> Result<usize, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let count = if digits { text.parse().unwrap_or(usize::MAX) } else { 0 };
    match count {
        0 => Err(Refusal::bad_request(format!("{name} {text:?} is not valid: a whole number from 1"))),
        count => Ok(count),
    }
}

/// A header that may stand once.
pub(crate) fn one_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name);
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("header {name} is given twice; give it once")));
    }
    value
        .map(|value| value.to_str())
        .transpose()
        .map_err(|_| Refusal::bad_request(format!("header {name} holds bytes other than visible ASCII")))
}

/// The whole body, at most [`BODY_BYTES_MAX`].
pub(crate) async fn body(payload: web::Payload) -> Result<web::Bytes, Refusal> {
    match payload.to_bytes_limited(BODY_BYTES_MAX).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body did not arrive whole: {error}"))),
        Err(_) => Err(too_large(format!(
            "the body is larger than {BODY_BYTES_MAX} bytes; send it in several requests"
        ))),
    }
}

/// A value written as a JSON object. serde alone would also take an array, member by member.
pub(crate) fn json_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    if json.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(json)
    } else {
        Err(serde::de::Error::custom("it is no JSON object"))
    }
}

/// 413.
pub(crate) fn too_large(detail: String) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Whether the asker has the answer of this tag already, by `If-None-Match`: a list of tags compared weakly, or `*` (RFC 9110 §13.1.2).
pub(crate) fn knows(request: &HttpRequest, tag: &str) -> bool {
    let values = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    // Our tags hold no comma, so splitting there cannot split one of ours.
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}
