//! The stream of one connection: HTTP on a metered socket, perhaps inside of TLS.
//!
//! Every client half connects by it. Inside of TLS it counts the bytes of HTTP, and the socket those of TLS. A connection
//! is there when the handshake is done.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::meter::{Layer, Meter, MeteredSocket};
use crate::tls::NotConnected;
use crate::{HttpVersion, ServerUrl};

/// A connection to a server.
pub(crate) enum Stream {
    /// Without TLS. The socket counts.
    Plain(MeteredSocket),
    /// Inside of TLS.
    Secure(Box<Secure>),
}

/// A stream inside of TLS.
pub(crate) struct Secure {
    session: TlsStream<MeteredSocket>,
    meter: Arc<Meter>,
}

impl Stream {
    /// Connects to a server, and does the handshake of TLS if its URL says so. Offers this version of HTTP.
    pub(crate) async fn connect(
        server: &ServerUrl,
        http: HttpVersion,
        meter: &Arc<Meter>,
    ) -> Result<Self, NotConnected> {
        let layer = if server.tls().is_some() { Layer::Tls } else { Layer::Http };
        let socket = MeteredSocket::connect(server.authority(), layer, meter.clone()).await?;
        let stream = match server.tls() {
            None => Self::Plain(socket),
            Some(tls) => {
                let session = tls.handshake(server.authority(), http, meter.sessions(tls), socket).await?;
                Self::Secure(Box::new(Secure { session, meter: meter.clone() }))
            }
        };
        meter.connected(Instant::now());
        Ok(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Secure(secure) => {
                let before = buf.filled().len();
                ready!(Pin::new(&mut secure.session).poll_read(cx, buf))?;
                secure.meter.read(Layer::Http, buf.filled().len() - before);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Secure(secure) => {
                secure.meter.writes();
                let wrote = ready!(Pin::new(&mut secure.session).poll_write(cx, buf))?;
                secure.meter.wrote(Layer::Http, wrote);
                Poll::Ready(Ok(wrote))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut secure.session).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut secure.session).poll_shutdown(cx),
        }
    }
}
