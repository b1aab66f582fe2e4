//! Refusals: every error that the server answers, as a problem document (RFC 9457).
//!
//! Handlers return [`Refusal`]. This file alone decides which HTTP status stands for an error of another module.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use wirelab_clients::wire::{Gap, InvalidToken, Problem};

use crate::deployments::AppendError;
use crate::reader::{OpenError, ReadError};
use crate::store::StoreError;

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

impl From<InvalidToken> for Refusal {
    fn from(error: InvalidToken) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound(_) => StatusCode::NOT_FOUND,
            StoreError::Ended { .. } => StatusCode::CONFLICT,
            StoreError::Trimmed { .. } => StatusCode::GONE,
            StoreError::KeyReused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            StoreError::WriteFailed { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Io { .. }
            | StoreError::InUse { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
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
