//! HTTP/1.1 for the client halves: one connection at a time, metered, with reconnects.
//!
//! hyper's low-level connection, on our own socket. It is driven by the task that waits for the answer and not by
//! a task of its own: then a chunk is looked at in the same poll that read it, and its stamp is its own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::meter::{Meter, MeteredSocket};
use crate::wire::{BODY_BYTES_MAX, Gap, Outcome, Problem};
use crate::{ServerUrl, SubscribeError};

/// How long a TCP connection may take: three SYNs of a kernel that repeats after 1 and 3 s.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
const USER_AGENT_VALUE: &str = concat!("wirelab/", env!("CARGO_PKG_VERSION"));

/// A request or stream that ended before it was whole.
#[derive(Debug)]
pub(crate) struct Cut(pub(crate) String);

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When its last byte was read.
    pub(crate) at: Instant,
}

type Driver = Pin<Box<http1::Connection<TokioIo<MeteredSocket>, Empty<Bytes>>>>;

struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
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
        if let Some(connection) = driver
            && connection.as_mut().poll(cx).is_ready()
        {
            // How it ended reaches whoever waits for an answer; nobody does between requests.
            *driver = None;
        }
        // Polled after the driver, in the same breath: what was just read is handed over now.
        future.as_mut().poll(cx)
    })
    .await
}

/// One subscriber's way to its server.
pub(crate) struct Http {
    server: ServerUrl,
    meter: Arc<Meter>,
    backoff: Backoff,
    connection: Option<Connection>,
}

impl Http {
    pub(crate) fn new(server: ServerUrl, meter: Arc<Meter>, backoff: Backoff) -> Self {
        Self { server, meter, backoff, connection: None }
    }

    /// Sends a GET and waits for the head of its answer, on the open connection if there is one.
    ///
    /// Cancelled half-way it drops the connection: an answer to a question nobody remembers is of no use.
    pub(crate) async fn open(
        &mut self,
        path: &str,
        headers: &[(&str, String)],
        time_limit: Duration,
    ) -> Result<Response<Incoming>, Cut> {
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_open() => connection,
            _ => self.connect().await?,
        };
        let mut request =
            Request::get(path).header(HOST, self.server.authority()).header(USER_AGENT, USER_AGENT_VALUE);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Empty::new()).map_err(|error| Cut(error.to_string()))?;
        let Connection { sender, driver } = &mut connection;
        let answered = timeout(
            time_limit,
            drive(driver, async {
                sender.ready().await?;
                sender.send_request(request).await
            }),
        );
        let response = match answered.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.cut(format!("no answer: {error}"))),
            Err(_) => return Err(self.cut(format!("no answer within {time_limit:?}"))),
        };
        self.meter.opened();
        self.connection = Some(connection);
        Ok(response)
    }

    /// A GET with its whole answer, at most [`BODY_BYTES_MAX`].
    pub(crate) async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, String)],
        time_limit: Duration,
    ) -> Result<Answer, Cut> {
        let deadline = tokio::time::Instant::now() + time_limit;
        let response = self.open(path, headers, time_limit).await?;
        let read = tokio::time::timeout_at(deadline, self.read_all(response)).await;
        read.unwrap_or_else(|_| Err(Cut(format!("no whole answer within {time_limit:?}"))))
            .map_err(|Cut(why)| {
                self.connection = None;
                self.cut(why)
            })
            .inspect(|answer| self.meter.answered(answer.at))
    }

    async fn read_all(&mut self, response: Response<Incoming>) -> Result<Answer, Cut> {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        while let Some((chunk, _)) = self.chunk(&mut incoming).await? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Cut(format!("an answer of more than {BODY_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let at = self.meter.last_read();
        Ok(Answer { status: head.status, headers: head.headers, body: body.freeze(), at })
    }

    /// The rest of a refusal, for its problem document.
    pub(crate) async fn refusal(&mut self, response: Response<Incoming>) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        let read = timeout(CONNECT_TIMEOUT, self.read_all(response)).await;
        let at = self.meter.last_read();
        // The status says enough when the rest does not arrive.
        read.ok().and_then(Result::ok).unwrap_or(Answer { status, headers, body: Bytes::new(), at })
    }

    /// The next piece of a body and when it was read; `None` at its proper end. Cancel-safe.
    pub(crate) async fn chunk(&mut self, body: &mut Incoming) -> Result<Option<(Bytes, Instant)>, Cut> {
        let Some(connection) = &mut self.connection else {
            return Err(Cut("the connection is gone".to_owned()));
        };
        loop {
            match connection.drive(body.frame()).await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some((chunk, self.meter.last_read())));
                    }
                }
                Some(Err(error)) => return Err(Cut(format!("the body was cut: {error}"))),
            }
        }
    }

    /// Sleeps while watching the idle connection, so that its end is noticed now and not by the next request.
    pub(crate) async fn sleep_until(&mut self, at: Instant) {
        let sleep = tokio::time::sleep_until(at.into());
        match &mut self.connection {
            Some(connection) => connection.drive(sleep).await,
            None => sleep.await,
        }
    }

    /// Gives the connection up.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// The server answered well.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.meter.succeeded();
    }

    /// Stays away for a while after a failure; errors when there were too many in a row.
    pub(crate) async fn back_off(
        &mut self,
        why: &str,
        advised: Option<Duration>,
    ) -> Result<(), SubscribeError> {
        self.meter.failed(why);
        match self.backoff.failed(advised) {
            Some(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            None => Err(SubscribeError::Unreachable {
                server: self.server.to_string(),
                failures: self.backoff.failures() - 1,
                last: why.to_owned(),
            }),
        }
    }

    async fn connect(&self) -> Result<Connection, Cut> {
        let connecting = MeteredSocket::connect(self.server.authority(), self.meter.clone());
        let socket = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(Cut(format!("cannot connect: {error}"))),
            Err(_) => return Err(Cut(format!("no connection within {CONNECT_TIMEOUT:?}"))),
        };
        let (sender, driver) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|error| Cut(error.to_string()))?;
        Ok(Connection { sender, driver: Some(Box::pin(driver)) })
    }

    fn cut(&self, why: String) -> Cut {
        self.meter.count(Outcome::Error);
        Cut(why)
    }
}

/// What an answer that brings no lines means for its subscriber.
pub(crate) enum Refusal {
    /// Nothing will change by asking again.
    Final(SubscribeError),
    /// Ask again, not before the advised time.
    Later { why: String, advised: Option<Duration> },
}

/// Sorts a refusal: overload, a late request and server errors pass, the others are final. Counts it.
pub(crate) fn refused(answer: &Answer, meter: &Meter) -> Refusal {
    let status = answer.status.as_u16();
    meter.count(Outcome::of_refusal(status));
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    // 408: the request came too slowly, which another one may not (RFC 9110 §15.5.9).
    if matches!(status, 408 | 429) || answer.status.is_server_error() {
        let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let why = problem.map_or_else(|| answer.status.to_string(), |problem| problem.detail);
        return Refusal::Later { why, advised: seconds.map(Duration::from_secs) };
    }
    Refusal::Final(match problem {
        Some(Problem { earliest: Some(earliest), latest: Some(latest), .. }) if status == 410 => {
            SubscribeError::Gap(Gap { earliest, latest })
        }
        problem => SubscribeError::Refused {
            status,
            detail: problem.map_or_else(|| "the answer is no problem document".to_owned(), |p| p.detail),
        },
    })
}
