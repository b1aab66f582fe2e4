//! A request as the calls get it that are asked most: those on the lines of a deployment.
//!
//! The server finds these calls by a look at the path and hands the request over as it came, without a router. All
//! other calls are handlers of actix-web.

use std::sync::Arc;

use actix_http::Request;
use actix_web::HttpResponse;
use actix_web::dev::{Payload, RequestHead};
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use wirelab_clients::wire::Outcome;

use super::arriving::Share;
use super::problem::Refusal;
use crate::access::Role;

/// A request, with what its connection may hold of bodies and messages that have not ended.
pub(crate) struct Asked {
    request: Request,
    share: Arc<Share>,
    role: Role,
}

impl Asked {
    /// Wraps a request of the connection that owns `share`, from one who has this role.
    pub(crate) fn new(request: Request, share: Arc<Share>, role: Role) -> Self {
        Self { request, share, role }
    }

    /// Returns the request.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the method, the target and the headers.
    pub(crate) fn head(&self) -> &RequestHead {
        self.request.head()
    }

    /// Returns the role of the one who asks.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Returns the body, or what follows the handshake of a WebSocket, with the connection's share. The head is given
    /// up: a held answer needs no memory for it.
    pub(crate) fn into_payload(mut self) -> (Payload, Arc<Share>) {
        (std::mem::replace(self.request.payload(), Payload::None), self.share)
    }
}

/// What is answered, with the outcome that the counters need. The status alone does not always tell it.
pub(crate) struct Answer {
    pub(crate) response: HttpResponse,
    pub(crate) outcome: Outcome,
}

impl Answer {
    /// Makes an answer whose outcome is what its status says.
    pub(crate) fn by_status(response: HttpResponse) -> Self {
        let status = response.status();
        let failed = status.is_client_error() || status.is_server_error();
        let outcome = if failed { Outcome::of_refusal(status.as_u16()) } else { Outcome::Data };
        Self { response, outcome }
    }
}

impl From<&Refusal> for Answer {
    fn from(refusal: &Refusal) -> Self {
        Self::by_status(actix_web::ResponseError::error_response(refusal))
    }
}

/// Tells whether a method asks for an answer that changes nothing: GET, or HEAD, which is GET without the body.
pub(crate) fn gets(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Makes the refusal of a method that a path does not allow; `allowed` lists those that it does.
pub(crate) fn not_allowed(head: &RequestHead, allowed: &'static str) -> Refusal {
    let detail = format!("{} does not allow {}; use {allowed}", head.uri.path(), head.method);
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail).with_header(ALLOW, HeaderValue::from_static(allowed))
}
