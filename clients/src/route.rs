//! Routes: the way that a client's connections take to the server.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::delay_line::Line;

/// The way that a client's connections take to the server.
#[derive(Debug, Clone, Default)]
pub enum Route {
    /// The machine's own network.
    #[default]
    Direct,
    /// The machine's own network, behind a delay line in the client's socket.
    Line(Arc<Line>),
    /// Sockets that something else makes: those of another network namespace.
    Through(Arc<dyn Sockets>),
}

/// Maker of sockets.
pub trait Sockets: fmt::Debug + Send + Sync {
    /// Makes a TCP socket that can be connected to `to`. The socket does not block.
    fn socket(&self, to: SocketAddr) -> io::Result<TcpSocket>;
}

impl Route {
    /// Opens a TCP connection to `host:port`. A delay line adds its round trip to an open connection; this does not.
    pub(crate) async fn connect(&self, authority: &str) -> io::Result<TcpStream> {
        let sockets = match self {
            Self::Direct | Self::Line(_) => return TcpStream::connect(authority).await,
            Self::Through(sockets) => sockets,
        };
        let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("{authority} has no address"));
        for address in lookup_host(authority).await? {
            let connected = async { sockets.socket(address)?.connect(address).await };
            match connected.await {
                Ok(stream) => return Ok(stream),
                // The next address may work: one of IPv6, perhaps, where the other network has none.
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Opens a TCP connection that blocks, within `limit`. A delay line adds nothing to it.
    pub(crate) fn connect_blocking(
        &self,
        to: SocketAddr,
        limit: Duration,
    ) -> io::Result<std::net::TcpStream> {
        match self {
            Self::Direct | Self::Line(_) => std::net::TcpStream::connect_timeout(&to, limit),
            Self::Through(sockets) => {
                let socket = sockets.socket(to)?.as_fd().try_clone_to_owned()?;
                let socket = socket2::Socket::from(socket);
                // Afterwards it blocks.
                socket.connect_timeout(&to.into(), limit)?;
                Ok(socket.into())
            }
        }
    }
}
