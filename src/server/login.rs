//! The login of a person with a browser: a token is given once, and a cookie stands for it afterwards.
//!
//! `EventSource` and `WebSocket` of a browser cannot send a header of their own, and a token in a URL would reach logs and
//! histories. So a cookie carries it. Programs send their token with each request and need nothing of this.

use actix_web::dev::RequestHead;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{admission, page};
use crate::access::{Denied, LOGIN_LASTS, Role};
use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::request::{self, one_header};
use crate::exchange::route::{get, no_store, resource};

/// Content type of a form without files (WHATWG URL §5).
const FORM: &str = "application/x-www-form-urlencoded";

/// Answer of `/api/access`: what the one who asks may do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Standing {
    /// Whether the server has tokens. Without them everybody is owner.
    has_tokens: bool,
    /// Role of the one who asks; null without a token and without a login.
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
}

/// Mounts the login and what tells of it.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config
        .service(resource("/login", "GET, HEAD, POST").route(get().to(show)).route(web::post().to(log_in)))
        .service(resource("/logout", "POST").route(web::post().to(log_out)))
        .service(resource("/api/access", "GET, HEAD").route(get().to(standing)));
}

async fn show() -> Result<HttpResponse, Refusal> {
    page::login(StatusCode::OK)
}

/// Takes a token from a form and answers with the cookie.
async fn log_in(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let kind = one_header(request.headers(), &CONTENT_TYPE)?.unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content type {kind:?} is not supported; send token=… as {FORM}, as the page does"),
        ));
    }
    let body = request::body(payload.into_inner()).await?;
    let given = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let Some((_, token)) = given else {
        return Err(Refusal::bad_request("the form has no field token; send token=…"));
    };
    let Some(tokens) = context.options.access.tokens() else {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "this server has no tokens: everybody may do everything without a login",
        ));
    };
    match tokens.log_in(token.trim(), admission::now()) {
        Some(value) => {
            let lasts_s = LOGIN_LASTS.as_secs();
            Ok(seen_elsewhere("/", cookie(&context, &value, lasts_s)))
        }
        None if wants_page(request.head()) => page::login(StatusCode::UNAUTHORIZED).map(|mut response| {
            let challenge = actix_web::http::header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        }),
        None => Err(Denied::UnknownToken.into()),
    }
}

/// Deletes the cookie. The token stays good: it is the owner of the server who takes it from the file.
async fn log_out(context: web::Data<Context>) -> HttpResponse {
    seen_elsewhere("/login", cookie(&context, "", 0))
}

async fn standing(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let asker = match admission::asker(request.head(), &context) {
        // The page of a login that is over is told to log in again.
        Err(Denied::UnknownLogin) => None,
        asker => asker?,
    };
    let standing = Standing {
        has_tokens: context.options.access.tokens().is_some(),
        role: asker.map(|asker| asker.role()),
    };
    Ok(no_store(HttpResponse::Ok()).json(standing))
}

/// Sends the browser to another page, by GET.
fn seen_elsewhere(path: &'static str, cookie: String) -> HttpResponse {
    no_store(HttpResponse::SeeOther())
        .insert_header((LOCATION, path))
        .insert_header((SET_COOKIE, cookie))
        .finish()
}

/// Writes the cookie: scripts cannot read it, no page of another site makes the browser send it, and on a server that
/// speaks TLS it never travels in plain text (RFC 6265bis §4.1.2).
///
/// What a proxy says of TLS counts for nothing: any client could say it, too. A proxy that ends TLS adds `Secure` itself
/// (docs/operations.md).
fn cookie(context: &Context, value: &str, lasts_s: u64) -> String {
    // A server with a certificate refuses everything that does not come over TLS.
    let secure = match context.options.tls {
        Some(_) => "; Secure",
        None => "",
    };
    format!("{}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}", context.cookie)
}

/// Tells whether a browser waits for a page and not a program for a problem document.
fn wants_page(head: &RequestHead) -> bool {
    head.headers
        .get_all(ACCEPT)
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains("text/html"))
}
