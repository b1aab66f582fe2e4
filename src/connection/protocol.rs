//! Which protocol a new connection speaks: HTTP/1.1, or HTTP/2 by prior knowledge.
//!
//! Both share one port without TLS: a client that knows that it may speak HTTP/2 begins with its preface (RFC 9113
//! §3.3). The first bytes are looked at in the kernel's buffer and stay there, so that whoever speaks the protocol
//! reads, and counts, all of them. Nothing is answered here.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use actix_rt::net::TcpStream;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;

/// RFC 9113 §3.4. The shortest start that no method of HTTP/1.1 shares is `PRI `.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.1, or something that its parser will refuse.
    Http1,
    /// The whole preface is there.
    Http2,
    /// Neither in time.
    Nothing,
}

/// Waits for enough bytes to tell, at most `patience`.
pub(crate) async fn spoken(socket: &TcpStream, patience: Duration) -> io::Result<Spoken> {
    timeout(patience, told(socket)).await.unwrap_or(Ok(Spoken::Nothing))
}

async fn told(socket: &TcpStream) -> io::Result<Spoken> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        let looked_at = socket.try_io(Interest::READABLE, || {
            let mut first = [0; PREFACE.len()];
            let count = recv(socket.as_raw_fd(), &mut first, MsgFlags::MSG_PEEK)?;
            // What was looked at is still there: waiting for more must not find the same again at once.
            recognised(&first[..count]).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        match looked_at {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A side that has closed stays ready: this would turn for ever, and no more bytes will come.
                if ready.is_read_closed() {
                    return Ok(Spoken::Http1);
                }
            }
            looked_at => return looked_at,
        }
    }
}

/// `None`: too early to tell. No bytes at all are the end of the connection.
fn recognised(first: &[u8]) -> Option<Spoken> {
    if first == PREFACE {
        Some(Spoken::Http2)
    } else if first.is_empty() || !PREFACE.starts_with(first) {
        Some(Spoken::Http1)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_preface_is_http_2_and_only_a_start_of_it_is_waited_for() {
        for count in 1..PREFACE.len() {
            assert_eq!(recognised(&PREFACE[..count]), None, "{count}");
        }
        assert_eq!(recognised(PREFACE), Some(Spoken::Http2));
        for other in ["", "G", "PO", "PUT", "PROPFIND", "PRI * HTTP/1.1", "PRI * HTTP/2.0\r\nhost"] {
            assert_eq!(recognised(other.as_bytes()), Some(Spoken::Http1), "{other}");
        }
    }
}
