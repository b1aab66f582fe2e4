//! Long polling: the server waits once.
//!
//! The client asks for lines after its cursor. If there are none, the handler holds the request until the log grows or
//! the hold expires; an expired hold is answered 204. A server that lingers answers a first line a little later,
//! together with the lines that followed it, but never after the hold. No state is kept between requests: the position
//! is in the client's cursor.

use std::time::Duration;

use actix_web::dev::RequestHead;
use actix_web::http::header::HeaderName;
use actix_web::{HttpResponse, web};
use tokio::time::timeout;
use wirelab_clients::wire::{DeploymentId, Outcome, Transport, WAIT_S_DEFAULT, entity_tag};

use super::{batch_answer, tagged};
use crate::context::Context;
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::compression::Coding;
use crate::exchange::problem::Refusal;
use crate::exchange::request::{self, parameter};
use crate::reader::Json;

/// No cache may keep an answer: it is valid only at the moment it is given.
const CACHE_CONTROL: &str = "no-store";
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Answers `GET …/long-poll?from=&wait=&limit=`: 200 with a batch, or 204 when the hold has expired.
pub(super) async fn answer(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let limit = request::limit(asked.head())?;
    let wait = Wait::asked(asked.head(), context.options.hold_max)?;
    let coding = Coding::agreed(asked.request(), context.options.compression);
    let mut reader = context.deployments.reader(&id, request::position(asked.head())?).await?;
    // Nothing of the request is needed while it is held.
    drop(asked);

    let waiting = context.metrics.wait(Transport::LongPoll, reader.cursor().after, reader.head());
    tokio::select! {
        // During a shutdown the poll ends as if its hold had expired; the client asks again later.
        () = context.shutdown.cancelled() => {}
        // What can be read afterwards shows whether a line or the hold ended the wait.
        _ = timeout(wait.hold, reader.wait_and_gather(context.options.linger)) => {}
    }
    let batch = reader.read::<Json>(limit).await?;
    waiting.delivered(batch.next.after, batch.line_count);

    let tag = entity_tag(&batch.next, batch.finished.is_some());
    let mut answer = if batch.line_count == 0 && batch.finished.is_none() {
        let response = tagged(HttpResponse::NoContent(), tag, CACHE_CONTROL, Coding::Never).finish();
        Answer { response, outcome: Outcome::Timeout }
    } else {
        batch_answer(batch, tag, CACHE_CONTROL, coding)
    };
    let response = &mut answer.response;
    if wait.preferred {
        let applied = format!("wait={}", wait.hold.as_secs()).parse().expect("digits are a header value");
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    if context.shutdown.is_cancelled() {
        response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    }
    Ok(answer)
}

/// The hold of one request, and whether the answer must confirm it: the client asked for it by `Prefer`.
#[derive(Debug, PartialEq)]
struct Wait {
    hold: Duration,
    preferred: bool,
}

impl Wait {
    /// Returns the smaller of `wait` (400 if invalid) and `Prefer: wait` (RFC 7240 §4.3; ignored if invalid), at most
    /// `hold_max`.
    fn asked(head: &RequestHead, hold_max: Duration) -> Result<Self, Refusal> {
        let parameter = parameter(head, "wait")?.map(|wait| decimal_seconds(&wait)).transpose()?;
        let preference = head
            .headers
            .get_all(PREFER)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([',', ';']))
            .filter_map(|preference| preference.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
            .find_map(|(_, seconds)| seconds.trim().trim_matches('"').parse::<u32>().ok())
            .map(|seconds| Duration::from_secs(seconds.into()));
        let default = Duration::from_secs_f64(WAIT_S_DEFAULT);
        let asked = match (parameter, preference) {
            (None, None) => default,
            (Some(wait), None) | (None, Some(wait)) => wait,
            (Some(parameter), Some(preference)) => parameter.min(preference),
        };
        let hold = asked.min(hold_max);
        // The header has whole seconds only (RFC 7240 §4.3), so a hold of half a second cannot be confirmed in it.
        Ok(Self { hold, preferred: preference.is_some() && hold.subsec_nanos() == 0 })
    }
}

/// Parses decimal seconds: digits with at most one dot. The parser of `f64` would also accept `inf`, `1e9` and signs.
fn decimal_seconds(text: &str) -> Result<Duration, Refusal> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.starts_with(|c: char| c.is_ascii_digit());
    let seconds = plain.then(|| text.parse::<f64>().ok()).flatten();
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.min(f64::from(u32::MAX))).ok()).ok_or_else(
        || {
            Refusal::bad_request(format!(
                "wait {text:?} is not valid; give decimal seconds from 0, such as 25 or 0.5"
            ))
        },
    )
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn hold(query: &str, prefer: Option<&str>) -> Result<(f64, bool), u16> {
        let mut request = TestRequest::with_uri(&format!("/long-poll{query}"));
        if let Some(prefer) = prefer {
            request = request.insert_header(("prefer", prefer));
        }
        Wait::asked(request.to_request().head(), Duration::from_secs(55))
            .map(|wait| (wait.hold.as_secs_f64(), wait.preferred))
            .map_err(|refusal| refusal.problem().status)
    }

    #[test]
    fn the_smaller_of_parameter_and_preference_holds_clamped() {
        assert_eq!(hold("", None), Ok((25.0, false)));
        assert_eq!(hold("?wait=0", None), Ok((0.0, false)));
        assert_eq!(hold("?wait=0.25", None), Ok((0.25, false)));
        assert_eq!(hold("?wait=1000", None), Ok((55.0, false)));
        assert_eq!(hold("", Some("wait=7")), Ok((7.0, true)));
        assert_eq!(hold("", Some("respond-async, wait=7")), Ok((7.0, true)));
        assert_eq!(hold("?wait=3", Some("wait=7")), Ok((3.0, true)));
        assert_eq!(hold("?wait=9", Some("wait=7")), Ok((7.0, true)));
        assert_eq!(hold("?wait=0.5", Some("wait=7")), Ok((0.5, false)));
        assert_eq!(hold("", Some("wait=soon")), Ok((25.0, false)));
    }

    #[test]
    fn a_wait_that_is_no_decimal_number_is_refused() {
        for wait in ["", "-1", "+1", "1e3", "inf", "nan", "1.2.3", ".5", "1s", "0x1"] {
            assert_eq!(hold(&format!("?wait={wait}"), None), Err(400), "{wait:?}");
        }
        assert_eq!(hold("?wait=1&wait=2", None), Err(400));
    }
}
