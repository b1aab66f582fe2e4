//! The socket of a WebSocket client, from which text frames are taken before the library sees them.
//!
//! Lines come by the million, each in a frame of its own, and the library spends more on a frame than decoding its line
//! takes. So a whole, unmasked text frame that stands alone is offered to the owner of the socket, in place. All else
//! goes to the library: the handshake, control frames, fragments, frames of any other kind or that break a rule (RFC
//! 6455 §5), and every text frame that the owner leaves to it. The library gets no byte beyond the frame that it reads,
//! so it holds no part of the next one. Once the owner closes the socket or the library fails, nothing is offered any
//! more.
//!
//! Where the handshake agreed on compression, messages are decompressed before all of this (`inflating`): owner and
//! library see plain frames.

mod head;
mod inflating;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::head::Head;
use self::inflating::{Inflating, Moved};
use crate::deflate::Takeover;

/// Bytes of one read: all that a socket buffer usually has.
const READ_BYTES_MAX: usize = 64 << 10;
/// Longest text frame that is offered. The library gathers longer ones, within its own bound.
const OFFERED_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer's head that are gathered before the library gets them. It refuses a longer one itself.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// First byte of a frame (RFC 6455 §5.2): whether its message ends with it, and of which kind it is.
const FIN: u8 = 0x80;
const CONTROL: u8 = 0x8;
const TEXT: u8 = 0x1;
/// Second byte: whether a mask follows.
const MASKED: u8 = 0x80;

thread_local! {
    /// Room for one read, shared by all sockets of a thread: one that waits has no buffer.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

/// A socket between its owner and the library.
pub(crate) struct FrameSocket<S> {
    socket: S,
    /// Bytes that were read and neither taken nor passed on.
    received: BytesMut,
    /// Bytes that the library gets next, read or not.
    passing_bytes: u64,
    is_upgraded: bool,
    /// Whether the library has a message whose last fragment has not come.
    is_fragmented: bool,
    has_ended: bool,
    /// Whether everything goes to the library from now on.
    is_closing: bool,
    /// Where bytes are before they are received, if messages are compressed.
    inflating: Option<Box<Inflating>>,
    /// Why nothing more is decompressed, until the library has got it.
    failed: Option<io::Error>,
}

/// What the received bytes begin with.
enum Next {
    /// A text frame for the owner.
    Offered { head_bytes: usize, text_bytes: usize },
    /// This many bytes go to the library.
    Passed(u64),
    /// Too little to tell.
    Unknown,
}

impl<S> FrameSocket<S> {
    /// Stands before a socket on which the handshake comes first.
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            received: BytesMut::new(),
            passing_bytes: 0,
            is_upgraded: false,
            is_fragmented: false,
            has_ended: false,
            is_closing: false,
            inflating: None,
            failed: None,
        }
    }

    /// Decompresses the messages of the server from here on: behind the answer to the handshake.
    pub(crate) fn inflate_messages(&mut self, takeover: Takeover) {
        let received = std::mem::take(&mut self.received);
        self.inflating = Some(Box::new(Inflating::new(takeover, received)));
    }

    /// Tells whether a text frame has come that is offered to the owner.
    pub(crate) fn offers(&self) -> bool {
        matches!(self.next(), Next::Offered { .. })
    }

    /// Offers `take` the text of the frame that has come, if one has. The library gets a frame that it does not take.
    pub(crate) fn take_text<T>(&mut self, take: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        self.refill();
        let Next::Offered { head_bytes, text_bytes } = self.next() else { return None };
        let frame_bytes = head_bytes + text_bytes;
        let taken = take(&self.received[head_bytes..frame_bytes]);
        if taken.is_some() {
            self.received.advance(frame_bytes);
            self.give_back();
        } else {
            self.pass(frame_bytes as u64);
        }
        taken
    }

    /// Offers nothing any more: the library gets everything.
    pub(crate) fn stop_offering(&mut self) {
        self.is_closing = true;
    }

    fn next(&self) -> Next {
        if self.passing_bytes > 0 {
            return Next::Passed(self.passing_bytes);
        }
        if !self.is_upgraded {
            return self.answer();
        }
        if self.is_closing {
            return Next::Passed(u64::MAX);
        }
        let bytes = &self.received[..];
        let Some(head) = Head::of(bytes) else { return Next::Unknown };
        let is_text = head.first == FIN | TEXT && head.is_minimal && !head.is_masked && !self.is_fragmented;
        let whole = head.whole_bytes();
        if !is_text || whole > OFFERED_BYTES_MAX as u64 {
            return Next::Passed(whole);
        }
        if (bytes.len() as u64) < whole {
            return Next::Unknown;
        }
        Next::Offered { head_bytes: head.head_bytes, text_bytes: head.payload_bytes as usize }
    }

    /// Returns what the library gets of the answer to the handshake: the head alone if it upgrades, else all of it.
    fn answer(&self) -> Next {
        const UPGRADES: &[u8] = b"HTTP/1.1 101";
        let bytes = &self.received[..];
        if !bytes.starts_with(&UPGRADES[..bytes.len().min(UPGRADES.len())]) || bytes.len() > HEAD_BYTES_MAX {
            return Next::Passed(u64::MAX);
        }
        match memchr::memmem::find(bytes, b"\r\n\r\n") {
            Some(at) => Next::Passed(at as u64 + 4),
            None => Next::Unknown,
        }
    }

    /// Notes that the library gets what begins here.
    fn pass(&mut self, bytes: u64) {
        self.passing_bytes = bytes;
        if !self.is_upgraded {
            self.is_upgraded = true;
        } else if let Some(first) = self.received.first()
            && first & CONTROL == 0
        {
            self.is_fragmented = first & FIN == 0;
        }
    }

    /// Decompresses until there is a frame to look at, or more must be read.
    fn refill(&mut self) {
        while self.failed.is_none() && (self.received.is_empty() || matches!(self.next(), Next::Unknown)) {
            let Some(inflating) = &mut self.inflating else { return };
            match inflating.move_on(&mut self.received) {
                Ok(Moved::Some) => {}
                Ok(Moved::Nothing) => return,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Gives the buffer back when all of it was used.
    fn give_back(&mut self) {
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
    }
}

impl<S: AsyncRead + Unpin> FrameSocket<S> {
    /// Reads once. The end is kept for the library.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ROOM.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            match &mut self.inflating {
                None => self.received.extend_from_slice(read.filled()),
                Some(inflating) => inflating.push(read.filled()),
            }
            self.has_ended = read.filled().is_empty();
            Poll::Ready(Ok(()))
        })
    }
}

/// What the library reads. It waits while a text frame is offered: the owner takes that, and asks the library again.
impl<S: AsyncRead + Unpin> AsyncRead for FrameSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.refill();
            match self.next() {
                Next::Offered { .. } => return Poll::Pending,
                Next::Passed(bytes) if !self.received.is_empty() => {
                    if self.passing_bytes == 0 {
                        self.pass(bytes);
                    }
                    let count = bytes.min(self.received.len() as u64) as usize;
                    let count = count.min(buf.remaining());
                    buf.put_slice(&self.received.split_to(count));
                    self.passing_bytes -= count as u64;
                    self.give_back();
                    return Poll::Ready(Ok(()));
                }
                Next::Passed(_) | Next::Unknown if self.failed.is_some() => {
                    self.has_ended = true;
                    return Poll::Ready(Err(self.failed.take().expect("it is some")));
                }
                // What is cut off in its middle is the library's to judge.
                Next::Unknown if self.has_ended && !self.received.is_empty() => self.pass(u64::MAX),
                Next::Passed(_) | Next::Unknown if self.has_ended => return Poll::Ready(Ok(())),
                Next::Passed(_) | Next::Unknown => ready!(self.poll_more(cx))?,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, poll};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::{Message, protocol::Role};

    use super::*;

    /// What the owner and the library got, in the order in which they got it.
    #[derive(Debug, PartialEq)]
    enum Got {
        Taken(String),
        Message(Message),
        Failed,
    }

    fn text(first: u8, text: &str) -> Vec<u8> {
        let mut frame = vec![first];
        match text.len() {
            length @ 0..126 => frame.push(length as u8),
            length @ 126..65_536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(text.as_bytes());
        frame
    }

    async fn upgraded(capacity: usize) -> (DuplexStream, WebSocketStream<FrameSocket<DuplexStream>>) {
        let (near, mut far) = duplex(capacity);
        let mut socket = FrameSocket::new(near);
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        let mut read = [0; 256];
        let (read, ()) = tokio::join!(tokio::io::AsyncReadExt::read(&mut socket, &mut read), async {
            // Together with the first frame, which must not go to the reader of the head.
            far.write_all(&[head.as_slice(), &text(0x81, "first")].concat()).await.unwrap();
        });
        assert_eq!(read.unwrap(), head.len());
        (far, WebSocketStream::from_raw_socket(socket, Role::Client, None).await)
    }

    /// Takes texts that do not begin with `-` until nothing is left.
    fn got(socket: &mut WebSocketStream<FrameSocket<DuplexStream>>) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let own =
                |text: &[u8]| String::from_utf8(text.to_vec()).ok().filter(|text| !text.starts_with('-'));
            if let Some(text) = socket.get_mut().take_text(own) {
                all.push(Got::Taken(text));
                continue;
            }
            match socket.next().now_or_never() {
                Some(Some(Ok(message))) => all.push(Got::Message(message)),
                Some(Some(Err(_)) | None) => {
                    all.push(Got::Failed);
                    return all;
                }
                None if socket.get_ref().offers() => {}
                None => return all,
            }
        }
    }

    #[tokio::test]
    async fn owner_and_library_get_every_frame_once_and_in_order_however_it_is_cut() {
        let long = "l".repeat(70_000);
        let frames = [
            text(0x81, "second"),
            text(0x81, "-left"),
            text(0x89, "ping"),
            text(0x81, &"m".repeat(300)),
            text(0x01, "in "),
            text(0x8a, "pong"),
            text(0x80, "parts"),
            text(0x82, "binary"),
            text(0x81, &long),
            text(0x81, ""),
            text(0x81, "-left again"),
            text(0x81, "last"),
        ];
        let expected = [
            Got::Taken("first".to_owned()),
            Got::Taken("second".to_owned()),
            Got::Message(Message::text("-left")),
            Got::Message(Message::Ping("ping".into())),
            Got::Taken("m".repeat(300)),
            Got::Message(Message::Pong("pong".into())),
            Got::Message(Message::text("in parts")),
            Got::Message(Message::binary("binary")),
            Got::Message(Message::text(long)),
            Got::Taken(String::new()),
            Got::Message(Message::text("-left again")),
            Got::Taken("last".to_owned()),
        ];
        for piece in [1, 2, 3, 7, 1_000, 100_000] {
            let (mut far, mut socket) = upgraded(200_000).await;
            let mut all = got(&mut socket);
            for bytes in frames.concat().chunks(piece) {
                far.write_all(bytes).await.unwrap();
                // Looking after each byte of the longest text would take long.
                if piece > 1 || bytes[0] != b'l' {
                    all.extend(got(&mut socket));
                }
            }
            all.extend(got(&mut socket));
            assert_eq!(all, expected, "pieces of {piece} bytes");
            assert_eq!(socket.get_ref().received.capacity(), 0, "a socket that waits holds a buffer");
        }
    }

    #[tokio::test]
    async fn a_ping_is_answered_although_lines_follow_it() {
        let (mut far, mut socket) = upgraded(10_000).await;
        far.write_all(&[text(0x89, "x"), text(0x81, "line")].concat()).await.unwrap();
        let all = got(&mut socket);
        assert_eq!(all.last(), Some(&Got::Taken("line".to_owned())), "{all:?}");
        let mut read = [0; 7];
        let reading = poll!(std::pin::pin!(tokio::io::AsyncReadExt::read_exact(&mut far, &mut read)));
        assert!(reading.is_ready(), "no pong");
        assert_eq!(read[0], 0x8a);
    }

    #[tokio::test]
    async fn what_breaks_a_rule_fails_in_the_library() {
        let invalid = [0x81, 1, 0xff];
        // If its mask were not counted, a head would seem to begin in its text.
        let masked = [0x81, 0x84, 0, 0, 0, 0, 0x81, 0x7e, 1, 0];
        let reserved = text(0xc1, "x");
        let inside = [text(0x01, "part"), text(0x81, "whole")].concat();
        let alone = text(0x80, "x");
        let unended = &text(0x81, "whole")[..4];
        for bytes in [&invalid[..], &masked, &reserved, &inside, &alone, unended] {
            let (mut far, mut socket) = upgraded(10_000).await;
            far.write_all(bytes).await.unwrap();
            // The others fail while the socket is open.
            if bytes == unended {
                drop(far);
            }
            assert_eq!(got(&mut socket), [Got::Taken("first".to_owned()), Got::Failed], "{bytes:x?}");
        }
    }

    #[tokio::test]
    async fn a_length_that_could_be_shorter_is_left_to_the_library() {
        for head in [&[0x81, 126, 0, 1][..], &[0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1]] {
            let (mut far, mut socket) = upgraded(10_000).await;
            far.write_all(&[head, b"x"].concat()).await.unwrap();
            let all = got(&mut socket);
            assert!(!all.contains(&Got::Taken("x".to_owned())), "{all:?}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_closes_offers_nothing_and_ends() {
        let (mut far, mut socket) = upgraded(10_000).await;
        assert_eq!(got(&mut socket), [Got::Taken("first".to_owned())]);
        far.write_all(&[text(0x81, "late"), vec![0x88, 0]].concat()).await.unwrap();
        drop(far);
        socket.get_mut().stop_offering();
        let all = got(&mut socket);
        assert_eq!(
            all[..2],
            [Got::Message(Message::text("late")), Got::Message(Message::Close(None))],
            "{all:?}"
        );
    }

    #[tokio::test]
    async fn an_answer_that_refuses_is_passed_whole() {
        let (near, mut far) = duplex(1_000);
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone";
        far.write_all(answer).await.unwrap();
        drop(far);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut FrameSocket::new(near), &mut all).await.unwrap();
        assert_eq!(all, answer);
    }
}
