//! A network as it stands during a run: the ways of its subscribers and its publisher, and the place of its server.
//!
//! The server of a run, its calibration and everything else that opens a connection ask here which way to take. Nothing
//! here knows what the connections carry.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use tokio::process::{Child, Command};

use super::emulated::{Network, NetworkKind, PublisherPlace};
use crate::delay_line::Line;
use crate::link::InvalidTrace;
use crate::route::Route;

/// A network that stands. It is gone when this value and the routes that it gave are dropped.
#[derive(Debug)]
pub struct Laid {
    /// Way of the subscribers to the server.
    pub subscribers: Route,
    /// Way of what stands beside the server: calls of the harness, probes, and the publisher unless it stands across.
    pub beside: Route,
    /// Way of the publisher to the server.
    pub publisher: Route,
}

/// Error of a network that cannot be laid.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// This process may not make network namespaces with TUN devices.
    #[error(
        "network = \"tun\" is not possible here: {why}; run it as root on Linux, or use network = \"line\""
    )]
    NoTun {
        /// Reason.
        why: String,
    },
    /// A trace file cannot be used.
    #[error(transparent)]
    Trace(#[from] InvalidTrace),
    /// The network was not chosen before the run.
    #[error("network = \"auto\" must be resolved to \"tun\" or \"line\" before a run")]
    Unresolved,
}

impl Laid {
    /// Makes the machine's own network: nothing between the subscribers and the server.
    pub fn direct() -> Self {
        Self { subscribers: Route::Direct, beside: Route::Direct, publisher: Route::Direct }
    }

    /// Lays a network; what is random on its link follows from `seed`.
    pub fn lay(network: &Network, seed: u64) -> Result<Self, NetworkError> {
        let link = network.link.clone().seeded(seed);
        let (subscribers, beside) = match network.kind {
            NetworkKind::None => return Ok(Self::direct()),
            NetworkKind::Line => (Route::Line(Line::new(link)), Route::Direct),
            NetworkKind::Tun => {
                return Err(NetworkError::NoTun { why: "TUN devices are missing".to_owned() });
            }
            NetworkKind::Auto => return Err(NetworkError::Unresolved),
        };
        let publisher = match network.publisher {
            PublisherPlace::Beside => beside.clone(),
            PublisherPlace::Across => subscribers.clone(),
        };
        Ok(Self { subscribers, beside, publisher })
    }

    /// Returns the address on which the server listens, on any free port.
    pub fn server_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
    }

    /// Starts a program at the server's place. Must be called inside a tokio runtime.
    pub fn spawn_beside(&self, mut command: Command) -> io::Result<Child> {
        command.spawn()
    }

    /// Listens at the server's place on a free port. Subscribers reach it as they reach the server.
    pub fn listen_beside(&self) -> io::Result<TcpListener> {
        TcpListener::bind(self.server_address())
    }
}
