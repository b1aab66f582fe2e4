//! What scripts of listed origins may send and read (WHATWG Fetch, "CORS protocol"). Pure.
//!
//! The application asks for each request, also for those that it refuses, so that a page can read refusals, too.
//!
//! Credentials are let through for those origins alone that are listed for it: a page that may send the cookie of a login
//! acts in the name of the person.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};

use crate::exchange::asked::Answer;
use crate::exchange::problem::Refusal;

/// Methods that such a script may use, as the header lists them.
const METHODS: &str = "GET, HEAD, POST, DELETE";
/// Headers that such a script may send.
const SENT: [&str; 8] = [
    "accept",
    "authorization",
    "cache-control",
    "content-type",
    "if-none-match",
    "last-event-id",
    "idempotency-key",
    "prefer",
];
/// Headers of answers that such a script may read.
const READ: HeaderValue = HeaderValue::from_static("etag, location, retry-after, preference-applied");
/// Time for which a browser keeps the answer to a preflight, s: ten minutes.
const MAX_AGE_S: u64 = 600;
/// What an answer depends on, for caches.
const VARIES_BY: [HeaderName; 3] = [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS];

/// The listed origins, at least one.
pub(super) struct Cors {
    origins: Vec<String>,
    /// Those whose pages may send credentials.
    with_credentials: Vec<String>,
}

impl Cors {
    /// Takes the listed origins, and those that may also send credentials; `None` if there is none.
    pub(super) fn of(plain: &[String], with_credentials: &[String]) -> Option<Self> {
        let origins = [plain, with_credentials].concat();
        (!origins.is_empty()).then(|| Self { origins, with_credentials: with_credentials.to_vec() })
    }

    /// Returns the origin of a request if it is listed.
    pub(super) fn allowed(&self, head: &RequestHead) -> Option<HeaderValue> {
        let origin = head.headers.get(ORIGIN)?;
        let listed = self.origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
        listed.then(|| origin.clone())
    }

    /// Answers a preflight: the question of a browser whether a script may send a request. `None` if this is none.
    pub(super) fn preflight(&self, head: &RequestHead) -> Option<Answer> {
        let method = head
            .headers
            .get(ACCESS_CONTROL_REQUEST_METHOD)
            .filter(|_| head.method == Method::OPTIONS && head.headers.contains_key(ORIGIN))?;
        let may_use = METHODS.split(", ").any(|allowed| allowed.as_bytes() == method.as_bytes());
        let asked = head.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
        let may_send = asked.into_iter().all(|names| {
            let names = names.to_str().unwrap_or("\u{fffd}").split(',').map(str::trim);
            names.filter(|name| !name.is_empty()).all(may_be_sent)
        });
        if self.allowed(head).is_none() || !may_use || !may_send {
            return Some(Answer::from(&Refusal::bad_request(
                "the preflight asks for an origin, a method or a header that is not allowed; list the origin with \
                 --allow-origin, and send the headers that docs/protocol.md names",
            )));
        }
        let response = HttpResponse::Ok()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, SENT.join(", ")))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_S))
            .finish();
        Some(Answer::by_status(response))
    }

    /// Adds to any answer what a browser must know before it lets a script of the origin `allowed` read it. Callers that
    /// are not listed are told nothing; caches are told what the answer depends on.
    pub(super) fn tell(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) {
        if let Some(origin) = allowed {
            if self.with_credentials.iter().any(|listed| listed.as_bytes() == origin.as_bytes()) {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
        for name in VARIES_BY {
            headers.append(VARY, name.into());
        }
    }
}

fn may_be_sent(name: &str) -> bool {
    SENT.iter().any(|sent| sent.eq_ignore_ascii_case(name))
}
