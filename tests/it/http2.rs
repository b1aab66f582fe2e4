//! HTTP/2 by prior knowledge, through the client of the `h2` crate: its answers have the types of `http`.
//!
//! Independent of wirelab's clients. It counts the bytes of its socket and returns the socket at the end. So a test
//! can read what the server still sent, or leave without a goodbye.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::http::{Answer, Headers, SOON};

/// RFC 9113 §3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of RFC 9113 §4.1.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&[0, length[0], length[1], kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A request: GET of http at localhost, names from the static table (RFC 7541, appendix A); the stream ends.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(1, 5, stream, &get_fields(path))
}

/// The coded fields of such a request.
pub(crate) fn get_fields(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).ok().filter(|length| *length < 127).expect("a short path");
    [&[0x82, 0x86, 0x01, 9], b"localhost".as_slice(), &[0x04, length], path.as_bytes()].concat()
}

/// Windows of a client that would take anything; a stream's own stays at 64 KiB.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// One connection.
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    /// What requests call the server.
    pub(crate) authority: String,
    driver: JoinHandle<Result<(), h2::Error>>,
    counted: Arc<Counted>,
    socket: oneshot::Receiver<TcpStream>,
}

#[derive(Default)]
pub(crate) struct Counted {
    up: AtomicU64,
    down: AtomicU64,
}

impl Http2 {
    pub(crate) async fn open(authority: &str) -> Self {
        let socket = TcpStream::connect(authority).await.expect("the server accepts");
        socket.set_nodelay(true).expect("an open socket can be set");
        let counted = Arc::<Counted>::default();
        let (give_back, socket_back) = oneshot::channel();
        let counting =
            Counting { socket: Some(socket), counted: counted.clone(), give_back: Some(give_back) };
        let handshake =
            Builder::new().initial_connection_window_size(CONNECTION_WINDOW_BYTES).handshake(counting);
        let (requests, connection) = handshake.await.expect("settings can be written");
        let driver = tokio::spawn(connection);
        Self { requests, authority: authority.to_owned(), driver, counted, socket: socket_back }
    }

    /// A request whose answer is waited for later. An error says that the server takes no more.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<ResponseFuture, h2::Error> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
            .version(http::Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        std::future::poll_fn(|cx| self.requests.poll_ready(cx)).await?;
        let request = request.body(()).expect("a request can be made of it");
        let (answer, mut stream) = self.requests.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            // A server that has answered already takes no body any more.
            let _ = stream.send_data(Bytes::copy_from_slice(body), true);
        }
        Ok(answer)
    }

    /// A request with its whole answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Answer {
        let answer = self.send(method, path, headers, body).await.expect("the server takes requests");
        Streamed::of(answer).await.expect("the server answers").whole().await.expect("the body comes whole")
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    /// The head of an answer, its body to be read.
    pub(crate) async fn stream(&mut self, path: &str, headers: Headers<'_>) -> Streamed {
        let answer = self.send("GET", path, headers, b"").await.expect("the server takes requests");
        Streamed::of(answer).await.expect("the server answers")
    }

    /// Waits until the server has ended the connection by itself; how.
    pub(crate) async fn ended(self) -> Result<(), h2::Error> {
        let Self { requests: _kept, driver, .. } = self;
        timeout(SOON, driver).await.expect("the server ends the connection").expect("it does not panic")
    }

    /// Says goodbye, reads to the end; the bytes that went up and came down.
    pub(crate) async fn close(self) -> (u64, u64) {
        let Self { requests, driver, counted, socket, .. } = self;
        drop(requests);
        let closed = timeout(SOON, driver).await.expect("it ends").expect("it does not panic");
        closed.expect("it ends well");
        let mut rest = Vec::new();
        let mut socket = socket.await.expect("the driver is gone");
        let read = timeout(SOON, socket.read_to_end(&mut rest)).await.expect("the server closes");
        read.expect("it closes properly");
        counted.down.fetch_add(rest.len() as u64, Ordering::Relaxed);
        (counted.up.load(Ordering::Relaxed), counted.down.load(Ordering::Relaxed))
    }

    /// Stops where it is, without a word.
    pub(crate) async fn abandon(self) -> TcpStream {
        self.driver.abort();
        self.socket.await.expect("the driver is gone")
    }
}

/// An answer whose head has come.
pub(crate) struct Streamed {
    pub(crate) head: Answer,
    body: RecvStream,
    bytes: Vec<u8>,
}

impl Streamed {
    pub(crate) async fn of(answer: ResponseFuture) -> Result<Self, h2::Error> {
        let answer = timeout(SOON, answer).await.expect("the head comes soon")?;
        let (parts, body) = answer.into_parts();
        let text = |value: &http::HeaderValue| value.to_str().expect("it is ASCII").to_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Self { head: Answer::of(parts.status.as_u16(), headers, Vec::new()), body, bytes: Vec::new() })
    }

    /// The next piece, which stays in the client's window until [`Self::take`].
    pub(crate) async fn piece(&mut self) -> Option<Result<usize, h2::Error>> {
        let piece = timeout(SOON, self.body.data()).await.expect("something comes soon")?;
        Some(piece.map(|piece| {
            self.bytes.extend_from_slice(&piece);
            piece.len()
        }))
    }

    /// Lets the server send as many bytes more.
    pub(crate) fn take(&mut self, count: usize) {
        self.body.flow_control().release_capacity(count).expect("they were received");
    }

    /// Reads until `needle` has arrived; everything so far.
    pub(crate) async fn until(&mut self, needle: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.bytes).into_owned();
            if text.contains(needle) {
                return text;
            }
            match self.piece().await {
                Some(Ok(count)) => self.take(count),
                end => panic!("{needle:?} never came but {end:?} after {text:?}"),
            }
        }
    }

    /// The whole answer, if its body ends properly. Behind an answer that did not wait for the request's body a server
    /// may reset the stream without an error, and the answer stands (RFC 9113 §8.1).
    pub(crate) async fn whole(mut self) -> Result<Answer, h2::Error> {
        while let Some(piece) = self.piece().await {
            match piece {
                Ok(count) => self.take(count),
                Err(error)
                    if error.reason() == Some(h2::Reason::NO_ERROR) && self.is_as_long_as_announced() =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.head.body = self.bytes;
        Ok(self.head)
    }

    fn is_as_long_as_announced(&self) -> bool {
        self.head.header("content-length").is_some_and(|length| length == self.bytes.len().to_string())
    }
}

/// A socket that counts, and that is given back when the connection is done with it.
struct Counting {
    socket: Option<TcpStream>,
    counted: Arc<Counted>,
    give_back: Option<oneshot::Sender<TcpStream>>,
}

impl Counting {
    fn socket(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.socket.as_mut().expect("it is given back at the end"))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let (Some(socket), Some(give_back)) = (self.socket.take(), self.give_back.take()) {
            // Who does not want it back is done with it.
            let _ = give_back.send(socket);
        }
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.socket().poll_read(cx, buf))?;
        self.counted.down.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket().poll_write(cx, buf))?;
        self.counted.up.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(cx)
    }
}
