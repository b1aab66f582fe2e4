//! A network as it stands during a run: the ways of its subscribers and its publisher, and the place of its server.
//!
//! The server of a run, its calibration and everything else that opens a connection ask here which way to take. Nothing
//! here knows what the connections carry.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::emulated::{Network, NetworkKind, PublisherPlace};
use super::error::NetworkError;
use super::relay::Relay;
#[cfg(target_os = "linux")]
use super::tun::{self, LinkCounts, Tun};
use crate::delay_line::Line;
use crate::link::Link;
use crate::route::Route;

/// A network that stands. It is gone when this value and the routes that it gave are dropped.
#[derive(Debug)]
pub struct Laid {
    /// Way of the subscribers to the server.
    pub subscribers: Route,
    /// Way of what stands beside the server: calls of the harness, probes, and the publisher unless it stands across.
    pub beside: Route,
    publisher: PublisherPlace,
    relay: Option<Relay>,
    /// `None`: everything is in the host's network.
    #[cfg(target_os = "linux")]
    tun: Option<Tun>,
}

/// Place in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server's.
    Beside,
    /// The subscribers'.
    Across,
}

impl Laid {
    /// Makes the machine's own network: nothing between the subscribers and the server.
    pub fn direct() -> Self {
        Self {
            subscribers: Route::Direct,
            beside: Route::Direct,
            publisher: PublisherPlace::Beside,
            relay: None,
            #[cfg(target_os = "linux")]
            tun: None,
        }
    }

    /// Lays a network; what is random on its link follows from `seed`.
    pub fn lay(network: &Network, seed: u64) -> Result<Self, NetworkError> {
        let (link, publisher) = (network.link.clone().seeded(seed), network.publisher);
        match network.kind {
            NetworkKind::None => Ok(Self::direct()),
            NetworkKind::Line => {
                Ok(Self { subscribers: Route::Line(Line::new(link)), publisher, ..Self::direct() })
            }
            NetworkKind::Tun => Self::tun(&link, publisher),
            NetworkKind::Auto => Err(NetworkError::Unresolved),
        }
    }

    #[cfg(target_os = "linux")]
    fn tun(link: &Link, publisher: PublisherPlace) -> Result<Self, NetworkError> {
        let tun = Tun::lay(link)?;
        let (subscribers, beside) = (tun.across(), tun.beside());
        Ok(Self { subscribers, beside, publisher, relay: None, tun: Some(tun) })
    }

    #[cfg(not(target_os = "linux"))]
    fn tun(_: &Link, _: PublisherPlace) -> Result<Self, NetworkError> {
        Err(NetworkError::NoTun { why: "only Linux has network namespaces".to_owned() })
    }

    /// Tells whether this process can lay a network of packets: lays one.
    pub fn can_lay_tun() -> Result<(), NetworkError> {
        Self::tun(&Link::default(), PublisherPlace::Beside).map(drop)
    }

    /// Reads the trace files of a network, so that a wrong one is refused before the first run.
    pub fn check_traces(network: &Network) -> Result<(), NetworkError> {
        #[cfg(target_os = "linux")]
        for trace in [&network.link.up, &network.link.down].into_iter().filter_map(|way| way.trace.as_ref()) {
            tun::read_trace(trace)?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = network;
        Ok(())
    }

    /// Returns the address on which the server listens, on any free port.
    pub fn server_address(&self) -> SocketAddr {
        #[cfg(target_os = "linux")]
        if self.tun.is_some() {
            return (tun::SERVER, 0).into();
        }
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
    }

    /// Returns the address of `server` for the publisher, and its way there. Must be called inside a tokio runtime.
    pub async fn to_server(&mut self, server: SocketAddr) -> io::Result<(SocketAddr, Route)> {
        match (self.publisher, &self.subscribers) {
            (PublisherPlace::Beside, _) => Ok((server, self.beside.clone())),
            (PublisherPlace::Across, Route::Direct | Route::Through(_)) => {
                Ok((server, self.subscribers.clone()))
            }
            (PublisherPlace::Across, Route::Line(line)) => {
                let relay = Relay::start(line.clone(), server).await?;
                Ok((self.relay.insert(relay).address(), Route::Direct))
            }
        }
    }

    /// Does a job at a place: sockets that it makes and processes that it starts belong there. It must be short: other
    /// connections wait behind it.
    pub fn run_at<T: Send + 'static>(
        &self,
        place: Place,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        #[cfg(target_os = "linux")]
        if let Some(tun) = &self.tun {
            return match place {
                Place::Beside => tun.run_beside(job),
                Place::Across => tun.run_across(job),
            };
        }
        // Both places are the host's.
        let _ = place;
        Ok(job())
    }

    /// Starts a program beside the server. Must be called inside a tokio runtime.
    pub fn spawn_beside(&self, mut command: Command) -> io::Result<Child> {
        let runtime = Handle::current();
        let spawn = move || {
            let _entered = runtime.enter();
            command.spawn()
        };
        self.run_at(Place::Beside, spawn)?
    }

    /// Listens beside the server on a free port. Subscribers reach it as they reach the server.
    pub fn listen_beside(&self) -> io::Result<TcpListener> {
        let address = self.server_address();
        self.run_at(Place::Beside, move || TcpListener::bind(address))?
    }

    /// Returns what happened on a link of packets so far. `None`: there is no such link.
    #[cfg(target_os = "linux")]
    pub fn counts(&self) -> Option<LinkCounts> {
        self.tun.as_ref().map(Tun::counts)
    }

    /// Tells whether the link failed: it has carried nothing since.
    pub fn has_failed(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.counts().is_some_and(|counts| counts.has_failed);
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Counts the packets that were dropped although the link would have delivered them: this machine was too slow.
    pub fn unplanned_count(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return self.counts().map_or(0, |counts| counts.unplanned_count());
        #[cfg(not(target_os = "linux"))]
        0
    }
}
