//! The socket of one connection, which enters the server's link while there is one.
//!
//! The lab sets the link for all connections of a server. A connection that is open enters it at its next read or write.
//! Without a link a read or a write costs one atomic load more.
//!
//! Some requests pass beside the link, so that the page which sets it can still be used: those of the lab, and the
//! socket of a page's ledgers, whose clock must stay exact. Browsers send the requests of all tabs over the same six
//! connections of HTTP/1.1, so a whole connection cannot be exempt: its next request may be a poll. So the bytes that
//! begin a request decide, while they are still in the kernel's buffer. They hold until the next request begins. They
//! are not looked at while there is no link, so the request says it again when it has been read: a link may be set while
//! it lasts. A client that sends a request before it has the last answer, as browsers do not, moves the rest of that
//! answer, too. A WebSocket is a connection of its own, and its only request decides for good. Over HTTP/2 requests
//! share their connection at the same time, and none passes beside the link.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::time::sleep;
use wirelab_clients::delay_line::{DelayedSocket, End, Line};
use wirelab_clients::link::Link;

use super::Ledger;

/// Paths beside the link: those that begin so, and `LAB` with all that is below it.
const LEDGERS: &[u8] = b"/api/lanes/";
const LAB: &[u8] = b"/api/lab";
/// Bytes that tell whether a request passes beside the link: the longest method, the longer path, and one more.
const LOOKED_AT_BYTES: usize = 24;

/// Time between two looks whether a client that waits for the end of a silence is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The line of those that pass beside the link.
static BESIDE: LazyLock<Arc<Line>> = LazyLock::new(|| Line::new(Link::default()));

/// A socket on its way through the server's link, or beside it.
pub(super) struct LinkedSocket {
    way: Way,
    line: Arc<Line>,
    /// When the connection was accepted, if the link was there: a connection pays for its opening then.
    accepted: Option<Instant>,
    /// Number of the request whose first bytes were looked at last.
    looked_at: Option<u64>,
    ledger: Arc<Ledger>,
}

/// What became of a connection that opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It is open.
    Open,
    /// Its client left before.
    Left,
}

enum Way {
    /// The machine's own network.
    Plain(TcpStream),
    /// The server's link.
    Delayed(Box<DelayedSocket>),
    /// Neither: the socket is moved from one to the other, or gone.
    Gone,
}

impl LinkedSocket {
    pub(super) fn new(socket: TcpStream, line: Arc<Line>, ledger: Arc<Ledger>) -> Self {
        let accepted = line.is_active().then(Instant::now);
        Self { way: Way::Plain(socket), line, accepted, looked_at: None, ledger }
    }

    /// Returns the socket for a look at it.
    pub(super) fn socket(&self) -> &TcpStream {
        match &self.way {
            Way::Plain(socket) => socket,
            Way::Delayed(socket) => socket.socket(),
            Way::Gone => unreachable!("it is moved within one call"),
        }
    }

    /// Opens the connection, whose first bytes are there: over a link it takes a round trip, after a silence that is on. A
    /// client that leaves in the silence keeps no place.
    pub(super) async fn open(&mut self) -> Opening {
        if !self.line.is_active() {
            return Opening::Open;
        }
        poll_fn(|cx| self.poll_look(cx, 0)).await;
        if self.ledger.passes_beside() {
            return Opening::Open;
        }
        let mut opens = self.accepted;
        if self.line.is_silent() {
            // The client would ask again for the connection until it is answered.
            let heard = tokio::select! {
                heard = self.line.until_heard() => heard,
                () = ended(self.socket()) => return Opening::Left,
            };
            opens = opens.map(|_| heard);
        }
        self.enter();
        if let (Some(opens), Way::Delayed(socket)) = (opens, &mut self.way) {
            socket.opens_at(opens + self.line.link().round_trip());
        }
        Opening::Open
    }

    /// Enters the link, or goes beside it, as the last request does. Does nothing while there is none.
    fn enter(&mut self) {
        if !self.line.is_active() {
            return;
        }
        let is_beside = self.ledger.passes_beside();
        self.way = match std::mem::replace(&mut self.way, Way::Gone) {
            Way::Plain(socket) if !is_beside => {
                let ledger = self.ledger.clone();
                let wrote = move |bytes| ledger.wrote(bytes);
                Way::Delayed(DelayedSocket::new(socket, self.line.clone(), End::Server, wrote).into())
            }
            Way::Delayed(mut socket) => {
                socket.follow(if is_beside { &BESIDE } else { &self.line });
                Way::Delayed(socket)
            }
            way @ (Way::Plain(_) | Way::Gone) => way,
        };
    }

    /// Looks at the first bytes of request `number`, once they are there.
    fn poll_look(&mut self, cx: &mut Context<'_>, number: u64) -> Poll<()> {
        let mut first = [0; LOOKED_AT_BYTES];
        let mut first = ReadBuf::new(&mut first);
        // An error or the end is found again by the read that follows.
        let _ = ready!(self.socket().poll_peek(cx, &mut first));
        self.looked_at = Some(number);
        self.ledger.set_beside(begins_beside(first.filled()));
        Poll::Ready(())
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.line.is_active() {
            let next = self.ledger.between_requests();
            if let Some(number) = next.filter(|number| self.looked_at != Some(*number) && self.can_look()) {
                ready!(self.poll_look(cx, number));
            }
            self.enter();
        }
        match &mut self.way {
            Way::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Way::Delayed(socket) => Pin::new(&mut **socket).poll_read(cx, buf),
            Way::Gone => unreachable!("it is moved within one call"),
        }
    }

    /// Tells whether the next bytes in the kernel's buffer begin a request. Earlier ones may be on their way to the
    /// reader. Where bytes were lost, no request follows: only the reader notices when the connection breaks.
    fn can_look(&self) -> bool {
        match &self.way {
            Way::Delayed(socket) => socket.unreleased_bytes() == 0 && !socket.has_lost(),
            Way::Plain(_) | Way::Gone => true,
        }
    }

    /// Writes. The ledger counts the bytes when they are in the socket.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.enter();
        match &mut self.way {
            Way::Plain(socket) => {
                let wrote = Pin::new(socket).poll_write(cx, buf);
                self.count(wrote)
            }
            Way::Delayed(socket) => Pin::new(&mut **socket).poll_write(cx, buf),
            Way::Gone => unreachable!("it is moved within one call"),
        }
    }

    /// Like [`Self::poll_write`], from several pieces.
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.enter();
        match &mut self.way {
            Way::Plain(socket) => {
                let wrote = Pin::new(socket).poll_write_vectored(cx, bufs);
                self.count(wrote)
            }
            Way::Delayed(socket) => Pin::new(&mut **socket).poll_write_vectored(cx, bufs),
            Way::Gone => unreachable!("it is moved within one call"),
        }
    }

    pub(super) fn is_write_vectored(&self) -> bool {
        self.socket().is_write_vectored()
    }

    fn count(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &wrote {
            self.ledger.wrote(*bytes);
        }
        wrote
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Way::Delayed(socket) => Pin::new(&mut **socket).poll_flush(cx),
            Way::Gone => unreachable!("it is moved within one call"),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Way::Delayed(socket) => Pin::new(&mut **socket).poll_shutdown(cx),
            Way::Gone => unreachable!("it is moved within one call"),
        }
    }
}

impl Drop for LinkedSocket {
    fn drop(&mut self) {
        if self.ledger.is_cut() {
            // The connection is closed as by a pulled cable: no goodbye, unsent bytes are lost, also those on the way,
            // and the client gets RST. The socket may be closed already.
            let _ = self.socket().set_zero_linger();
        } else if let Way::Delayed(socket) = std::mem::replace(&mut self.way, Way::Gone) {
            socket.leave();
        }
    }
}

/// Waits until the client has ended what it sends. Its request waits in the kernel's buffer, so the socket is readable all
/// the time and nothing but a look from time to time tells.
async fn ended(socket: &TcpStream) {
    while socket.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        sleep(LOOK_EVERY).await;
    }
}

/// Tells whether a request that begins with these bytes passes beside the link.
fn begins_beside(first: &[u8]) -> bool {
    let Some(space) = first.iter().position(|byte| *byte == b' ') else { return false };
    let rest = &first[space + 1..];
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'?'));
    // More of a path that is not over may follow.
    passes_beside(&rest[..end.unwrap_or(rest.len())]) && (end.is_some() || rest != LAB)
}

/// Tells whether a request of this path passes beside the link.
pub(super) fn passes_beside(path: &[u8]) -> bool {
    let is_of_the_lab = path.strip_prefix(LAB).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
    is_of_the_lab || path.starts_with(LEDGERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_and_ledgers_pass_beside_the_link_and_nothing_else() {
        for beside in
            ["GET /api/lab HTTP/1.1", "DELETE /api/lab/network?page=x", "PUT /api/lab?", "GET /api/lanes/a"]
        {
            assert!(begins_beside(&beside.as_bytes()[..beside.len().min(LOOKED_AT_BYTES)]), "{beside}");
        }
        for through in
            ["GET / HTTP/1.1", "GET /api/laboratory", "GET /api/lab", "PRI * HTTP/2.0", "", "/api/lab/"]
        {
            assert!(!begins_beside(through.as_bytes()), "{through}");
        }
    }
}
