//! HTTP/2 on one connection: many requests at once, each answered by the application.
//!
//! Drives the `h2` crate itself, because the HTTP/2 half of actix-http 3.20 has five faults. It accepts any number of
//! open requests and lets a held request outlive its client. It waits for ever for a reader that grants no window,
//! hangs on an empty piece of a body, and sends no goodbye. This module depends on no path and no transport. WebSockets
//! stay with HTTP/1.1, so extended CONNECT (RFC 8441) is not offered.
//!
//! A client may open and reset streams in a flood (CVE-2023-44487). Two bounds hold. The crate ends a connection with
//! more than 20 streams that were reset before they were accepted. A request that is reset here ends at once.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, ConnectionType, Payload, Request, Response, ResponseHead};
use actix_web::http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderName, HeaderValue, HttpDate, TRANSFER_ENCODING,
    TryIntoHeaderValue, UPGRADE,
};
use actix_web::http::{Method, StatusCode, Version};
use bytes::Bytes;
use futures_util::stream;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::connection::{Answers, MeteredStream, Terms};

/// Open requests of one connection; RFC 9113 §6.5.2 advises at least this many. The crate refuses one more.
const REQUESTS_MAX: u32 = 100;
/// Bytes of a request's decoded header fields; more is answered 431. Usual cookies and tokens fit several times.
const HEADERS_BYTES_MAX: usize = 64 << 10;
/// What each field counts beside its name and value (RFC 9113 §6.5.2).
const FIELD_BYTES: usize = 32;
/// Bytes of header fields that the crate decodes. It answers 431 beyond them, and from them it derives how many
/// CONTINUATION frames it takes before it ends the connection as a flood: one per 16 KiB and a quarter more, here 30. So
/// a client that cuts [`HEADERS_BYTES_MAX`] into frames of 2 KiB or 30 KB into frames of 1 KiB is answered. Fields
/// between the two bounds are dropped as soon as they are decoded.
const HEADERS_DECODED_BYTES_MAX: u32 = 384 << 10;
/// Bytes of one answer that wait in the crate for the socket, however large a window the client grants.
const UNSENT_BYTES_MAX: usize = 64 << 10;
/// Largest DATA frame unless the client allows more (RFC 9113 §4.2). Progress of a write is noticed in these steps.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// Time for the client to acknowledge a goodbye before the connection is closed.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// Serves one connection until it ends. An error says why it was cut.
pub(crate) async fn serve(
    stream: MeteredStream,
    peer: Option<SocketAddr>,
    app: Rc<impl Answers>,
    terms: &Terms,
) -> Result<(), h2::Error> {
    let ledger = stream.ledger();
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(REQUESTS_MAX)
        .max_header_list_size(HEADERS_DECODED_BYTES_MAX)
        .max_send_buffer_size(UNSENT_BYTES_MAX);
    let Ok(connection) = timeout(terms.head_timeout, settings.handshake(stream)).await else {
        return Ok(());
    };
    let mut connection = connection?;
    let open = Rc::new(OpenRequests { count: Cell::new(0), idle_since: Cell::new(Instant::now()) });
    let leaving = terms.shutdown.child_token();
    let (mut said_goodbye, mut was_asked) = (false, false);
    let mut timer = pin!(sleep(terms.head_timeout));
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                None => return Ok(()),
                Some(accepted) => {
                    let (request, mut respond) = accepted?;
                    if !std::mem::replace(&mut was_asked, true) {
                        timer.as_mut().reset(Instant::now() + terms.keep_alive);
                    }
                    if header_bytes(request.headers()) > HEADERS_BYTES_MAX {
                        let mut refused = http::Response::new(());
                        *refused.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                        // An error means that the client has reset the stream.
                        let _ = respond.send_response(refused, true);
                        continue;
                    }
                    let answered = Answered { is_head: request.method() == Method::HEAD, respond };
                    let request = request_of(request, peer);
                    let (app, ledger, leaving) = (app.clone(), ledger.clone(), leaving.clone());
                    let (opened, write_timeout) = (open.clone().enter(), terms.write_timeout);
                    actix_rt::spawn(async move {
                        let answer = app.answer(request, ledger);
                        answered.by(answer, leaving, write_timeout).await;
                        drop(opened);
                    });
                }
            },
            () = leaving.cancelled(), if !said_goodbye => {
                said_goodbye = true;
                connection.graceful_shutdown();
                timer.as_mut().reset(Instant::now() + GOODBYE_MAX);
            }
            () = &mut timer => {
                let now = Instant::now();
                let idle = open.count.get() == 0;
                let patience = if was_asked { terms.keep_alive } else { Duration::ZERO };
                if said_goodbye {
                    if idle || terms.shutdown.is_cancelled() {
                        return Ok(());
                    }
                    timer.as_mut().reset(now + GOODBYE_MAX);
                } else if !idle {
                    timer.as_mut().reset(now + patience);
                } else if now < open.idle_since.get() + patience {
                    timer.as_mut().reset(open.idle_since.get() + patience);
                } else {
                    leaving.cancel();
                }
            }
        }
    }
}

/// The requests of one connection whose answers are not complete.
struct OpenRequests {
    count: Cell<usize>,
    idle_since: Cell<Instant>,
}

impl OpenRequests {
    fn enter(self: Rc<Self>) -> Opened {
        self.count.set(self.count.get() + 1);
        Opened(self)
    }
}

/// An open request, counted until it is dropped.
struct Opened(Rc<OpenRequests>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}

/// Counts header fields as RFC 9113 §6.5.2 does.
fn header_bytes(headers: &http::HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum()
}

/// Returns the body of a request, if it has one.
fn payload_of(body: RecvStream) -> Payload {
    if body.is_end_stream() {
        return Payload::None;
    }
    let payload: BoxedPayloadStream = Box::pin(stream::unfold(body, |mut body| async move {
        let received = body.data().await?;
        let released = received.and_then(|bytes| {
            body.flow_control().release_capacity(bytes.len())?;
            Ok(bytes)
        });
        Some((released.map_err(PayloadError::Http2Payload), body))
    }));
    Payload::Stream { payload }
}

/// Converts a request of the `h2` crate to one of the application.
fn request_of(request: http::Request<RecvStream>, peer: Option<SocketAddr>) -> Request {
    let (parts, body) = request.into_parts();
    let mut request = Request::with_payload(payload_of(body));
    let head = request.head_mut();
    head.headers = parts.headers.into();
    // `:authority` stands for `Host` of HTTP/1.1 (RFC 9113 §8.3.1). A `Host` that differs stays beside it, and two names
    // are refused.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        if head.headers.get_all(HOST).all(|given| given.as_bytes().eq_ignore_ascii_case(host.as_bytes())) {
            head.headers.remove(HOST);
        }
        head.headers.append(HOST, host);
    }
    head.uri = parts.uri;
    head.method = parts.method;
    head.version = parts.version;
    head.peer_addr = peer;
    request
}

/// One stream of a connection, waiting for its answer.
struct Answered {
    is_head: bool,
    respond: SendResponse<Bytes>,
}

impl Answered {
    /// Answers the request. Ends early when the client resets the stream or is gone.
    async fn by(
        mut self,
        answer: impl Future<Output = Response<BoxBody>>,
        leaving: CancellationToken,
        write_timeout: Duration,
    ) {
        let answer = tokio::select! {
            answer = answer => answer,
            _ = poll_fn(|cx| self.respond.poll_reset(cx)) => return,
        };
        let (answer, body) = answer.into_parts();
        let size = body_size(answer.status(), body.size());
        let has_body = !self.is_head && !size.is_eof();
        let said = self.respond.send_response(head_of(answer.head(), size), !has_body);
        let Ok(mut stream) = said else { return };
        if has_body {
            send(body, size, &mut stream, write_timeout).await;
        }
        // HTTP/1.1 would say so in a header; here the connection is closed gracefully.
        if answer.head().connection_type() == ConnectionType::Close {
            leaving.cancel();
        }
    }
}

/// Returns the size of the body. Some answers have none, whatever their builder says (RFC 9110 §6.4.1).
fn body_size(status: StatusCode, size: BodySize) -> BodySize {
    match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => BodySize::None,
        _ => size,
    }
}

/// Makes the head of an answer without the fields that belong to a connection of HTTP/1.1 (RFC 9113 §8.2.2).
fn head_of(head: &ResponseHead, size: BodySize) -> http::Response<()> {
    let of_connection = [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    let mut response = http::Response::new(());
    *response.status_mut() = head.status;
    *response.version_mut() = Version::HTTP_2;
    let headers = response.headers_mut();
    for (name, value) in head.headers() {
        if !of_connection.contains(name) {
            headers.append(name, value.clone());
        }
    }
    if let BodySize::Sized(length) = size {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let now = HttpDate::from(SystemTime::now()).try_into_value();
    headers.insert(DATE, now.expect("a date is a header value"));
    response
}

/// Sends a body piece by piece, within the window that the client grants.
async fn send(body: BoxBody, size: BodySize, stream: &mut SendStream<Bytes>, write_timeout: Duration) {
    let mut body = pin!(body);
    let mut sent = 0;
    loop {
        let piece = tokio::select! {
            piece = poll_fn(|cx| body.as_mut().poll_next(cx)) => piece,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return,
        };
        let mut piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(_)) => return stream.send_reset(Reason::INTERNAL_ERROR),
            None => {
                // An error means that the client has gone, so it needs no end of the stream.
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
        };
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len().min(FRAME_BYTES_MAX));
            let capacity = match stream.capacity() {
                0 => timeout(write_timeout, poll_fn(|cx| stream.poll_capacity(cx))).await,
                capacity => Ok(Some(Ok(capacity))),
            };
            let capacity = match capacity {
                // The capacity was assigned and taken away again before this poll; an empty frame would bring no
                // progress.
                Ok(Some(Ok(0))) => continue,
                Ok(Some(Ok(capacity))) => capacity,
                Ok(Some(Err(_)) | None) => return,
                Err(_) => return stream.send_reset(Reason::CANCEL),
            };
            let bytes = piece.split_to(capacity.min(piece.len()));
            sent += bytes.len() as u64;
            let ends = size == BodySize::Sized(sent);
            if stream.send_data(bytes, ends).is_err() || ends {
                return;
            }
        }
    }
}
