//! Refusals: every error that the server answers, as a problem document (RFC 9457).
//!
//! Handlers return [`Refusal`]. This file alone decides which HTTP status stands for an error of another module. No
//! refusal names a path of the server: such an error is said in full on stderr instead.

use std::error::Error;
use std::{fmt, io};

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use wirelab_clients::recording::RecordingError;
use wirelab_clients::wire::{Gap, InvalidToken, Problem};

use crate::access::Denied;
use crate::access::addresses::Bounded;
use crate::deployments::AppendError;
use crate::reader::{OpenError, ReadError};
use crate::store::{Shortage, StoreError, Unwritten};
use crate::terminal::complain;

/// `Retry-After` when nothing could be written, s: room on a disk is made by people or by other programs.
const UNWRITTEN_RETRY_AFTER_S: u64 = 5;
/// `Retry-After` when too many appends wait for the disk, s: a disk that works is done with them by then.
const CROWDED_RETRY_AFTER_S: u64 = 1;

/// A problem document with its headers, on its way to the client.
#[derive(Debug, Clone)]
pub struct Refusal {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// Makes a refusal from a status and a sentence. The sentence names the thing and the remedy.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            problem: Box::new(Problem {
                kind: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or("Error").to_owned(),
                status: status.as_u16(),
                detail: detail.into(),
                earliest: None,
                latest: None,
            }),
            headers: Vec::new(),
        }
    }

    /// Makes a refusal with 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Makes a refusal with 410 and the cursors that still work.
    pub fn gone(gap: Gap, detail: impl Into<String>) -> Self {
        let mut refusal = Self::new(StatusCode::GONE, detail);
        refusal.problem.earliest = Some(gap.earliest);
        refusal.problem.latest = Some(gap.latest);
        refusal
    }

    /// Makes a refusal with 503 from an error of the store, whatever it is answered elsewhere.
    pub fn unavailable(error: StoreError) -> Self {
        let refusal = Self::from(error);
        let unavailable = Self::new(StatusCode::SERVICE_UNAVAILABLE, refusal.problem.detail);
        Self { headers: refusal.headers, ..unavailable }
    }

    /// Adds a header, such as `Allow` or `Retry-After`.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the problem document.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.problem.status, self.problem.title, self.problem.detail)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).expect("made from a StatusCode")
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CACHE_CONTROL, "no-store"));
        for header in self.headers.clone() {
            response.insert_header(header);
        }
        let json = serde_json::to_vec(&self.problem).expect("a problem has no key that JSON refuses");
        response.content_type("application/problem+json").body(json)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        // RFC 6750 §3: a challenge says that a token is wanted, and whether the one that was sent is wrong.
        let challenge = match denied {
            Denied::Insufficient { .. } => return Self::new(StatusCode::FORBIDDEN, denied.to_string()),
            Denied::Missing { .. } | Denied::UnknownLogin => "Bearer",
            Denied::UnknownToken | Denied::Unreadable => "Bearer error=\"invalid_token\"",
        };
        Self::new(StatusCode::UNAUTHORIZED, denied.to_string())
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

impl From<Bounded> for Refusal {
    fn from(bounded: Bounded) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, bounded.to_string())
            .with_header(RETRY_AFTER, HeaderValue::from(bounded.retry_s()))
    }
}

impl From<InvalidToken> for Refusal {
    fn from(error: InvalidToken) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            StoreError::Ended { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            StoreError::Trimmed { .. } => Self::new(StatusCode::GONE, error.to_string()),
            StoreError::KeyReused(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            StoreError::NotWritten(Unwritten { shortage, .. }) => passing(*shortage, error.to_string()),
            StoreError::Crowded => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                .with_header(RETRY_AFTER, HeaderValue::from(CROWDED_RETRY_AFTER_S)),
            StoreError::WriteFailed { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            StoreError::Io { error: cause, .. } => of_access(cause, &error),
            StoreError::Corrupt { .. }
            | StoreError::Unusable { .. }
            | StoreError::InUse { .. }
            | StoreError::NoLocks { .. } => unusable(&error),
        }
    }
}

impl From<RecordingError> for Refusal {
    fn from(error: RecordingError) -> Self {
        match &error {
            RecordingError::Io { error: cause, .. } => of_access(cause, &error),
            RecordingError::Malformed { .. } => unusable(&error),
            RecordingError::Unknown { .. } | RecordingError::InvalidName(_) => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

/// Makes the refusal of an access that the operating system refused: `whole` names the file, which the client is not
/// told.
fn of_access(cause: &io::Error, whole: &dyn Error) -> Refusal {
    match Shortage::of(cause) {
        Shortage::Other => unusable(whole),
        shortage => passing(shortage, format!("a file of the server could not be used: {cause}; try again")),
    }
}

/// Makes the refusal of a file that cannot be used until a person has done something about it.
fn unusable(whole: &dyn Error) -> Refusal {
    complain(whole.to_string());
    let detail = "a file of the server cannot be used; the server says on its stderr which, and why";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// Makes the refusal of a trouble that passes by itself.
fn passing(shortage: Shortage, detail: String) -> Refusal {
    let status = match shortage {
        Shortage::Room => StatusCode::INSUFFICIENT_STORAGE,
        Shortage::Descriptors | Shortage::Other => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, detail).with_header(RETRY_AFTER, HeaderValue::from(UNWRITTEN_RETRY_AFTER_S))
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Sourced(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            AppendError::Store(error) => error.into(),
        }
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Gone { gap, asked } => {
                let detail = format!(
                    "cursor {asked} is not in this log, which keeps the lines after {} up to {}; start from one of these two cursors",
                    gap.earliest, gap.latest
                );
                Self::gone(gap, detail)
            }
            OpenError::Store(error) => error.into(),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gap(gap) => {
                let detail =
                    format!("retention dropped lines before they were read; go on from {}", gap.earliest);
                Self::gone(gap, detail)
            }
            ReadError::Deleted(id) => StoreError::NotFound(id).into(),
            ReadError::Store(error) => error.into(),
        }
    }
}
