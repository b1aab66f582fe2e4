//! HTTP for the client halves: one connection at a time and one exchange on it, metered, with reconnects.
//!
//! hyper's low-level connection runs on our own socket. The task that waits for the answer drives it, not a task of its
//! own. So a chunk is looked at in the same poll that read it, and its time stamp is its own. Bytes are counted as they
//! crossed the network; the reader of a body gets it decoded.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{self, http1};
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, LOCATION,
    USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::advice::retry_after;
use crate::backoff::{self, Backoff};
use crate::gzip::Gunzip;
use crate::http2;
use crate::meter::Meter;
use crate::stream::Stream;
use crate::tls::NotConnected;
use crate::wire::{BODY_BYTES_MAX, Gap, Outcome, Problem};
use crate::{Compression, HttpVersion, Options, PollConnections, ServerUrl, SubscribeError};

/// Longest time to open a TCP connection: three SYNs of a kernel that repeats after 1 and 3 s.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest time until the head of an answer, or the answer to a short poll, is there.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// First back-off ceiling of transports that have no rule of their own.
pub(crate) const FIRST_CEILING: Duration = Duration::from_millis(500);
/// Most bytes that one read of an HTTP/1.1 connection takes, and most bytes of the head of an answer: the least that hyper
/// allows. Left alone it grows to 400 KiB, for each of thousands of subscribers; 8 KiB hold fifty lines, among which the
/// cost of a read is small.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// Bytes for which a body's memory is taken at once, if the answer says that it is that long: a batch of 512 lines of 100
/// bytes.
const BODY_BYTES_AT_ONCE: usize = 128 << 10;
const USER_AGENT_VALUE: &str = concat!("wirelab/", env!("CARGO_PKG_VERSION"));

/// Error of a request or stream that ended before it was whole, with the reason.
#[derive(Debug)]
pub(crate) struct CutShort(pub(crate) String);

/// An answer that was read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Time at which the last byte of the answer was read.
    pub(crate) at: Instant,
}

impl Answer {
    /// Returns when a long poll may ask again after this answer, which brought nothing to a question that left at `asked`
    /// and allowed a hold of `hold`. If the server held it, that is at once.
    pub(crate) fn next_question(&self, asked: Instant, hold: Duration, unheld: &mut Backoff) -> Instant {
        let held = self.at.saturating_duration_since(asked);
        self.at + unheld.after_nothing(held, hold, retry_after(&self.headers)).unwrap_or_default()
    }
}

/// A body that may still be arriving.
pub(crate) struct Body {
    incoming: Incoming,
    /// Decoder between the network and the reader, if the server encoded the body.
    gunzip: Option<Gunzip>,
}

impl Body {
    fn of(incoming: Incoming, headers: &HeaderMap) -> Result<Self, CutShort> {
        let coding = headers.get(CONTENT_ENCODING).map(|coding| coding.as_bytes().to_ascii_lowercase());
        let gunzip = match coding.as_deref() {
            None | Some(b"identity") => None,
            // `x-gzip` is an old name of `gzip` (RFC 9110 §8.4.1.3).
            Some(b"gzip" | b"x-gzip") => Some(Gunzip::new()),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                return Err(CutShort(format!(
                    "the server sent an answer encoded with {other}, which was not asked for"
                )));
            }
        };
        Ok(Self { incoming, gunzip })
    }
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(conn::http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

struct Connection {
    sender: Sender,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
}

impl Connection {
    /// Runs `future` while the connection reads and writes.
    async fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        drive(&mut self.driver, future).await
    }

    fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }
}

async fn drive<T>(driver: &mut Option<Driver>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // First hand over what an earlier read brought, before another read gets another time stamp.
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if let Some(connection) = driver
            && connection.as_mut().poll(cx).is_ready()
        {
            *driver = None;
        }
        // Then, in the same poll, hand over what was just read.
        future.as_mut().poll(cx)
    })
    .await
}

/// Sends the requests of one subscriber to its server.
pub(crate) struct Http {
    server: ServerUrl,
    meter: Arc<Meter>,
    backoff: Backoff,
    version: HttpVersion,
    connections: PollConnections,
    compression: Compression,
    connection: Option<Connection>,
    /// Why the server is not trusted, if it is not.
    mistrusted: Option<String>,
}

impl Http {
    pub(crate) fn new(server: ServerUrl, meter: Arc<Meter>, options: &Options) -> Self {
        let Options { http: version, connections, compression, .. } = *options;
        let backoff = Backoff::new(FIRST_CEILING, options);
        Self { server, meter, backoff, version, connections, compression, connection: None, mistrusted: None }
    }

    /// Sends a GET and waits for the head of its answer, on the open connection if there is one.
    ///
    /// A call that is cancelled half-way drops the connection: the answer to an abandoned request is of no use.
    pub(crate) async fn open(
        &mut self,
        path: &str,
        headers: &[(&str, String)],
        time_limit: Duration,
    ) -> Result<Response<Body>, CutShort> {
        self.ask(path, headers, PollConnections::KeepAlive, time_limit).await
    }

    async fn ask(
        &mut self,
        path: &str,
        headers: &[(&str, String)],
        afterwards: PollConnections,
        time_limit: Duration,
    ) -> Result<Response<Body>, CutShort> {
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_open() => connection,
            // In a box of its own, which is gone while an answer is waited for.
            _ => Box::pin(self.connect()).await?,
        };
        let request = self.request(path, headers, afterwards)?;
        let Connection { sender, driver } = &mut connection;
        let answered = timeout(time_limit, drive(driver, sender.send(request)));
        let response = match answered.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.cut(format!("no answer: {error}"))),
            Err(_) => return Err(self.cut(format!("no answer within {time_limit:?}"))),
        };
        self.meter.opened();
        let (head, incoming) = response.into_parts();
        let body = Body::of(incoming, &head.headers).map_err(|CutShort(why)| self.cut(why))?;
        self.connection = Some(connection);
        Ok(Response::from_parts(head, body))
    }

    fn request(
        &self,
        path: &str,
        headers: &[(&str, String)],
        afterwards: PollConnections,
    ) -> Result<Request<Empty<Bytes>>, CutShort> {
        let authority = self.server.authority();
        let mut request = match self.version {
            // HTTP/1.1 sends the path alone, and the host in a header (RFC 9112 §3.2.1).
            HttpVersion::Http1 => Request::get(path).header(HOST, authority),
            // HTTP/2 sends scheme, authority and path as fields before the headers (RFC 9113 §8.3.1).
            HttpVersion::Http2 => Request::get(format!("{}{path}", self.server)),
        };
        request = request.header(USER_AGENT, USER_AGENT_VALUE);
        if let Some(authorization) = self.server.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        match (afterwards, self.version) {
            // The server then closes the connection too, after its answer (RFC 9112 §9.6).
            (PollConnections::PerRequest, HttpVersion::Http1) => {
                request = request.header(CONNECTION, "close")
            }
            // HTTP/2 has no such header (RFC 9113 §8.2.2): the client just closes the connection.
            (PollConnections::PerRequest, HttpVersion::Http2) | (PollConnections::KeepAlive, _) => {}
        }
        match self.compression {
            Compression::Gzip => request = request.header(ACCEPT_ENCODING, Compression::Gzip.name()),
            // Messages of a WebSocket are deflated, no bodies.
            Compression::Identity | Compression::Deflate | Compression::DeflateNoContextTakeover => {}
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(Empty::new()).map_err(|error| CutShort(error.to_string()))
    }

    /// Sends a GET and reads its whole answer, at most [`BODY_BYTES_MAX`]. Then keeps or closes the connection, as the
    /// options say.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, String)],
        time_limit: Duration,
    ) -> Result<Answer, CutShort> {
        let deadline = tokio::time::Instant::now() + time_limit;
        let response = self.ask(path, headers, self.connections, time_limit).await?;
        let read = tokio::time::timeout_at(deadline, self.read_all(response)).await;
        let answer = read
            .unwrap_or_else(|_| Err(CutShort(format!("the answer was not complete within {time_limit:?}"))));
        match (&answer, self.connections) {
            (Ok(_), PollConnections::KeepAlive) => {}
            (Ok(_), PollConnections::PerRequest) | (Err(_), _) => self.disconnect(),
        }
        answer.inspect(|answer| self.meter.answered(answer.at)).map_err(|CutShort(why)| self.cut(why))
    }

    async fn read_all(&mut self, response: Response<Body>) -> Result<Answer, CutShort> {
        let (head, mut incoming) = response.into_parts();
        let announced = incoming.incoming.size_hint().lower().try_into().unwrap_or(usize::MAX);
        let mut body = BytesMut::with_capacity(announced.min(BODY_BYTES_AT_ONCE));
        while let Some((chunk, _)) = self.chunk(&mut incoming).await? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(CutShort(format!("the answer has more than {BODY_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let at = self.meter.last_read();
        Ok(Answer { status: head.status, headers: head.headers, body: body.freeze(), at })
    }

    /// Reads the rest of a refusal, which may hold a problem document.
    pub(crate) async fn refusal(&mut self, response: Response<Body>) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        let read = timeout(CONNECT_TIMEOUT, self.read_all(response)).await;
        let at = self.meter.last_read();
        // The status says enough when the rest does not arrive.
        read.ok().and_then(Result::ok).unwrap_or(Answer { status, headers, body: Bytes::new(), at })
    }

    /// Returns the next piece of a body, decoded, and when it was read; `None` at its proper end. Cancel-safe.
    pub(crate) async fn chunk(&mut self, body: &mut Body) -> Result<Option<(Bytes, Instant)>, CutShort> {
        let Some(connection) = &mut self.connection else {
            return Err(CutShort("the connection is gone".to_owned()));
        };
        let cut = |error: &dyn std::fmt::Display| CutShort(format!("the body was cut: {error}"));
        let Body { incoming, gunzip } = body;
        loop {
            let frame = connection.drive(incoming.frame()).await.transpose().map_err(|error| cut(&error))?;
            match (frame, &mut *gunzip) {
                (None, None) => return Ok(None),
                (None, Some(gunzip)) => return gunzip.finish().map(|()| None).map_err(|error| cut(&error)),
                (Some(frame), gunzip) => {
                    let Ok(chunk) = frame.into_data() else { continue };
                    let text = match gunzip {
                        Some(gunzip) => gunzip.push(&chunk).map_err(|error| cut(&error))?,
                        None => chunk,
                    };
                    if !text.is_empty() {
                        return Ok(Some((text, self.meter.last_read())));
                    }
                }
            }
        }
    }

    /// Sleeps until `at` and drives the idle connection meanwhile, so that its end is noticed now and not by the next
    /// request.
    pub(crate) async fn sleep_until(&mut self, at: Instant) {
        let sleep = tokio::time::sleep_until(at.into());
        match &mut self.connection {
            Some(connection) => connection.drive(sleep).await,
            None => sleep.await,
        }
    }

    /// Closes the connection, if there is one.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Notes that the server answered well.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.meter.succeeded();
    }

    /// Notes that a stream said hello: the server is there, but whether the stream works is still to be seen.
    pub(crate) fn greeted(&mut self) {
        self.backoff.greeted();
        self.meter.succeeded();
    }

    /// Notes that a stream which said hello brought a line.
    pub(crate) fn delivered(&mut self) {
        self.backoff.succeeded();
    }

    /// Waits for a while after a failure, at least as long as the server advised. Returns an error when there were too many
    /// failures in a row, or the server cannot be trusted.
    pub(crate) async fn back_off(
        &mut self,
        why: &str,
        advised: Option<Duration>,
    ) -> Result<(), SubscribeError> {
        if let Some(why) = self.mistrusted.take() {
            return Err(SubscribeError::Mistrusted { server: self.server.to_string(), why });
        }
        let delay = self.backoff.after(why, advised, &self.server, &self.meter)?;
        self.sleep_until(Instant::now() + delay).await;
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection, CutShort> {
        let connecting = Stream::connect(&self.server, self.version, &self.meter);
        let socket = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(NotConnected::Mistrusted(why))) => {
                self.mistrusted = Some(why.clone());
                return Err(CutShort(why));
            }
            Ok(Err(NotConnected::Passing(error))) => {
                return Err(CutShort(format!("cannot connect: {error}")));
            }
            Err(_) => return Err(CutShort(format!("no connection within {CONNECT_TIMEOUT:?}"))),
        };
        let failed = |error: hyper::Error| CutShort(error.to_string());
        let (sender, driver): (_, Driver) = match self.version {
            HttpVersion::Http1 => {
                let mut connection = http1::Builder::new();
                connection.max_buf_size(READ_BUFFER_BYTES);
                let (sender, driver) = connection.handshake(TokioIo::new(socket)).await.map_err(failed)?;
                // The caller that waits for an answer learns how the connection ended; between requests there is none.
                let driver = Box::pin(async { drop(driver.await) });
                (Sender::Http1(sender), driver)
            }
            HttpVersion::Http2 => {
                let (sender, driver) = http2::handshake(socket).await.map_err(failed)?;
                (Sender::Http2(sender), Box::pin(driver))
            }
        };
        Ok(Connection { sender, driver: Some(driver) })
    }

    fn cut(&self, why: String) -> CutShort {
        self.meter.count(Outcome::Error);
        CutShort(why)
    }
}

/// Meaning of an answer that brings no lines.
pub(crate) enum NoLines {
    /// Asking again would change nothing.
    Final(SubscribeError),
    /// Ask again, not before the advised time.
    Later { why: String, advised: Option<Duration> },
}

impl From<CutShort> for NoLines {
    fn from(CutShort(why): CutShort) -> Self {
        Self::Later { why, advised: None }
    }
}

impl From<SubscribeError> for NoLines {
    fn from(error: SubscribeError) -> Self {
        Self::Final(error)
    }
}

/// Counts a refusal and sorts it: [what passes by itself](backoff::passes) is asked again, anything else is final.
pub(crate) fn refused(answer: &Answer, meter: &Meter) -> NoLines {
    let status = answer.status.as_u16();
    meter.count(Outcome::of_refusal(status));
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    if backoff::passes(status) {
        let why = problem.map_or_else(|| answer.status.to_string(), |problem| problem.detail);
        return NoLines::Later { why, advised: retry_after(&answer.headers) };
    }
    NoLines::Final(match problem {
        Some(Problem { earliest: Some(earliest), latest: Some(latest), .. }) if status == 410 => {
            SubscribeError::Gap(Gap { earliest, latest })
        }
        Some(problem) => SubscribeError::Refused { status, detail: problem.detail },
        None => SubscribeError::Refused { status, detail: undocumented(&answer.headers) },
    })
}

/// Says what came in place of a problem document.
fn undocumented(headers: &HeaderMap) -> String {
    match headers.get(LOCATION).and_then(|location| location.to_str().ok()) {
        Some(location) => format!("the answer points to {location:?}, and redirects are not followed"),
        None => format!("the answer is not a problem document but {}", content_type(headers)),
    }
}

/// Checks that a stream is one: its content type is `expected`, whatever its parameters. Anything else is final, since
/// the same answer would come again.
pub(crate) fn check_type(headers: &HeaderMap, expected: &str) -> Result<(), SubscribeError> {
    let found = content_type(headers);
    if is_type(&found, expected) {
        return Ok(());
    }
    Err(SubscribeError::OtherAnswer { expected: expected.to_owned(), found })
}

/// Whether a content type is `expected`, whatever its parameters.
pub(crate) fn is_type(content_type: &str, expected: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// Returns an answer's content type for a message.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    match headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes())) {
        Some(kind) if !kind.trim().is_empty() => kind.trim().to_owned(),
        Some(_) | None => "no content type".to_owned(),
    }
}
