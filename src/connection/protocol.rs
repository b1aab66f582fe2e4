//! Finds the protocol of a new connection: TLS, HTTP/1.1, or HTTP/2 with prior knowledge.
//!
//! The latter share one port without TLS: a client that knows that the server speaks HTTP/2 begins with the preface (RFC 9113
//! §3.3). The first bytes are looked at in the kernel's buffer and stay there, so that the protocol's own code reads
//! and counts all of them. Nothing is answered here.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use actix_rt::net::TcpStream;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;

/// Preface of HTTP/2 (RFC 9113 §3.4). No method of HTTP/1.1 begins with `PRI `.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// First byte of a handshake of TLS (RFC 8446 §5.1). No method begins with it.
const TLS_HANDSHAKE: u8 = 22;

/// The protocol that the first bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.1, or bytes that its parser will refuse.
    Http1,
    /// HTTP/2: the whole preface is there.
    Http2,
    /// TLS: its handshake has begun.
    Tls,
    /// Too few bytes came in time.
    Nothing,
}

/// Waits at most `patience` for enough bytes to tell the protocol.
pub(crate) async fn spoken(socket: &TcpStream, patience: Duration) -> io::Result<Spoken> {
    timeout(patience, told(socket)).await.unwrap_or(Ok(Spoken::Nothing))
}

async fn told(socket: &TcpStream) -> io::Result<Spoken> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        let looked_at = socket.try_io(Interest::READABLE, || {
            let mut first = [0; PREFACE.len()];
            let count = recv(socket.as_raw_fd(), &mut first, MsgFlags::MSG_PEEK)?;
            // The bytes stay in the buffer. `WouldBlock` makes the socket wait for more instead of finding the same
            // bytes at once.
            recognised(&first[..count]).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        match looked_at {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A closed side stays ready, so this loop would turn for ever, and no more bytes will come.
                if ready.is_read_closed() {
                    return Ok(Spoken::Http1);
                }
            }
            looked_at => return looked_at,
        }
    }
}

/// Returns the protocol; `None` if more bytes are needed. No bytes at all mean the end of the connection.
fn recognised(first: &[u8]) -> Option<Spoken> {
    if first == PREFACE {
        Some(Spoken::Http2)
    } else if first.first() == Some(&TLS_HANDSHAKE) {
        Some(Spoken::Tls)
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
        assert_eq!(recognised(&[22, 3, 1]), Some(Spoken::Tls));
        for other in ["", "G", "PO", "PUT", "PROPFIND", "PRI * HTTP/1.1", "PRI * HTTP/2.0\r\nhost"] {
            assert_eq!(recognised(other.as_bytes()), Some(Spoken::Http1), "{other}");
        }
    }
}
