//! The metered socket: a TCP connection that counts into a meter, and the way it takes to the server.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Layer, Meter, ORIGIN, last_packets_of};
use crate::delay_line::{DelayedSocket, End};
use crate::route::Route;

/// A TCP connection that counts into a meter and can be cut by it.
pub(crate) struct MeteredSocket {
    /// The TCP socket; `None` once it is cut.
    socket: Option<Carrier>,
    meter: Arc<Meter>,
    /// What its bytes count as.
    layer: Layer,
    /// The meter's cuts when the socket was connected.
    cuts_before: u64,
    read_bytes: u64,
    /// Bytes that came out of the socket and are still in its delay line, as the meter knows it.
    delayed_bytes: u64,
}

/// What carries the bytes.
enum Carrier {
    Direct(TcpStream),
    Delayed(Box<DelayedSocket>),
}

impl Carrier {
    fn descriptor(&self) -> RawFd {
        match self {
            Self::Direct(socket) => socket.as_raw_fd(),
            Self::Delayed(socket) => socket.socket().as_raw_fd(),
        }
    }

    fn delayed_bytes(&self) -> u64 {
        match self {
            Self::Direct(_) => 0,
            Self::Delayed(socket) => socket.unreleased_bytes() as u64,
        }
    }
}

impl MeteredSocket {
    /// Connects to `host:port`, without Nagle's delay. What passes through counts as bytes of `layer`.
    pub(crate) async fn connect(authority: &str, layer: Layer, meter: Arc<Meter>) -> io::Result<Self> {
        let began = Instant::now();
        meter.time(|exchange, _| exchange.connects(began));
        let socket = meter.route.connect(authority).await?;
        socket.set_nodelay(true)?;
        // Counted before it has crossed a delay line: the server counts it now, too, whatever becomes of this future.
        let socket = Self::counted(socket, layer, meter);
        if let Route::Line(line) = &socket.meter.route {
            line.connects().await;
        }
        Ok(socket)
    }

    fn counted(socket: TcpStream, layer: Layer, meter: Arc<Meter>) -> Self {
        meter.connections_opened.fetch_add(1, Ordering::Relaxed);
        let cuts_before = meter.cuts.load(Ordering::Acquire);
        meter.connections().open.push(socket.as_raw_fd());
        let carrier = match &meter.route {
            Route::Direct | Route::Through(_) => Carrier::Direct(socket),
            Route::Line(line) => {
                let counting = meter.clone();
                // Counted where the server will count them: when they enter the socket.
                let wrote = move |bytes: usize| counting.wrote(layer, bytes);
                Carrier::Delayed(Box::new(DelayedSocket::new(socket, line.clone(), End::Client, wrote)))
            }
        };
        Self { socket: Some(carrier), meter, layer, cuts_before, read_bytes: 0, delayed_bytes: 0 }
    }

    /// Closes the socket, after a last look at what TCP did. Returns whether there was one.
    fn close(&mut self) -> bool {
        let Some(carrier) = self.socket.take() else { return false };
        // What is still in the delay line came out of the socket: the server and the kernel have counted it.
        let delayed_bytes = carrier.delayed_bytes();
        if let Carrier::Delayed(socket) = &carrier {
            socket.close();
        }
        let mut connections = self.meter.connections();
        self.meter.bytes(self.layer).down.fetch_add(delayed_bytes, Ordering::Relaxed);
        self.meter.delayed_bytes.fetch_sub(self.delayed_bytes, Ordering::Relaxed);
        self.read_bytes += delayed_bytes;
        // Unlisted before it is closed: afterwards the descriptor's number may belong to another file.
        if let Some(at) = connections.open.iter().position(|open| *open == carrier.descriptor()) {
            let last = last_packets_of(connections.open.swap_remove(at), self.read_bytes);
            connections.ended = connections.ended.zip(last).map(|(ended, last)| ended + last);
        }
        true
    }

    /// Returns the descriptor of the socket, unless it is cut.
    #[cfg(test)]
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.socket.as_ref().map(Carrier::descriptor)
    }

    /// Tells the meter how much is in the delay line.
    fn note_delayed(&mut self) {
        let now = self.socket.as_ref().map_or(0, Carrier::delayed_bytes);
        let before = std::mem::replace(&mut self.delayed_bytes, now);
        // Wraps around where it has become less, which the sum over all connections undoes.
        self.meter.delayed_bytes.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Returns the socket. Closes it and returns an error if it was cut.
    fn socket(&mut self) -> io::Result<&mut Carrier> {
        if self.meter.cuts.load(Ordering::Acquire) != self.cuts_before && self.close() {
            self.meter.connections_cut.fetch_add(1, Ordering::Relaxed);
        }
        match &mut self.socket {
            Some(carrier) => Ok(carrier),
            None => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the cable was cut")),
        }
    }
}

impl Drop for MeteredSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl AsyncRead for MeteredSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before the cuts are looked at: a cut in between is either seen or wakes this task.
        self.meter.reader.register(cx.waker());
        // Looked at before a stall: a subscriber that reads nothing can be cut too.
        self.socket()?;
        if self.meter.stalled.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let meter = self.meter.clone();
        let read = match self.socket()? {
            Carrier::Direct(socket) => Pin::new(socket).poll_read(cx, buf),
            Carrier::Delayed(socket) => {
                // Held until the meter knows what is in the line: the kernel's count of bytes that were read and that of
                // bytes which are still in the line must be of one moment.
                let _connections = meter.connections();
                let read = Pin::new(socket.as_mut()).poll_read(cx, buf);
                self.note_delayed();
                read
            }
        };
        ready!(read)?;
        // Stamped here, before anything is parsed: parsing is the client's time, not the network's. A chunk of a delay
        // line is stamped when it is released.
        let at = ORIGIN.elapsed();
        self.meter.last_read_ns.store(at.as_nanos() as u64, Ordering::Relaxed);
        let read = buf.filled().len() - before;
        self.meter.read(self.layer, read);
        self.read_bytes += read as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.writer.register(cx.waker());
        match self.layer {
            Layer::Http => self.meter.writes(),
            // A handshake is no request.
            Layer::Tls => {}
        }
        match self.socket()? {
            Carrier::Direct(socket) => {
                let wrote = ready!(Pin::new(socket).poll_write(cx, buf))?;
                self.meter.wrote(self.layer, wrote);
                Poll::Ready(Ok(wrote))
            }
            Carrier::Delayed(socket) => Pin::new(socket.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket()? {
            Carrier::Direct(socket) => Pin::new(socket).poll_flush(cx),
            Carrier::Delayed(socket) => Pin::new(socket.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A delay line ends after its last byte: a cut wakes a client that waits for that.
        self.meter.writer.register(cx.waker());
        match self.socket()? {
            Carrier::Direct(socket) => Pin::new(socket).poll_shutdown(cx),
            Carrier::Delayed(socket) => Pin::new(socket.as_mut()).poll_shutdown(cx),
        }
    }
}
