//! A link of packets: two network namespaces, joined by two TUN devices and a queue of this program.
//!
//! The server lives in one namespace and the subscribers in the other; the host's own network is untouched. TCP sees
//! real packets that are late or lost, so SYNs, acknowledgements, windows and retransmissions are its own. Linux only,
//! and only for a process that may make namespaces.
//!
//! Namespaces and devices have no name outside of this process. The kernel removes them when it ends, however it does,
//! so that there is nothing to sweep. A server that outlives this process keeps its namespace until it ends too.

mod counts;
mod mover;
mod namespace;
mod passage;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::sync::Arc;

pub use self::counts::{Amount, LinkCounts, WayCounts};
use self::mover::{Ends, Mover};
use self::namespace::Namespace;
use self::passage::Passage;
use super::error::NetworkError;
use crate::link::{InvalidTrace, Link, OneWay, Trace};
use crate::os;
use crate::route::Route;

/// Address of the server, of the range for tests of networks (RFC 2544, appendix C.2.2).
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Address of the subscribers.
const SUBSCRIBERS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Mask of a network with two addresses.
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 252);
/// Largest packet: that of an Ethernet.
const MTU_BYTES: u16 = 1_500;
/// Name of the device in each namespace.
const DEVICE: &str = "link";
/// Most bytes of a trace file: its most lines with seven digits each.
const TRACE_BYTES_MAX: u64 = 32 << 20;

/// A link of packets that stands. It is gone when this value is dropped, and a namespace when its sockets are closed.
#[derive(Debug)]
pub(super) struct Tun {
    mover: Mover,
    server: Arc<Namespace>,
    subscribers: Arc<Namespace>,
}

impl Tun {
    /// Joins two new namespaces by a link.
    pub(super) fn lay(link: &Link) -> Result<Self, NetworkError> {
        let passage = |way: &OneWay, stream| {
            let trace = way.trace.as_deref().map(read_trace).transpose()?;
            Ok::<_, NetworkError>(Passage::new(way.clone(), trace, way.draws(link.seed, stream)))
        };
        let (up, down) = (passage(&link.up, 0)?, passage(&link.down, 1)?);
        Self::join(up, down).map_err(|error| NetworkError::NoTun { why: error.to_string() })
    }

    fn join(up: Passage, down: Passage) -> io::Result<Self> {
        let server = Arc::new(Namespace::make("beside-server")?);
        let subscribers = Arc::new(Namespace::make("across-link")?);
        let ends = Ends {
            subscribers: subscribers.run(|| device(SUBSCRIBERS))??,
            server: server.run(|| device(SERVER))??,
            up,
            down,
        };
        Ok(Self { mover: Mover::start(ends)?, server, subscribers })
    }

    /// Returns the way that begins in the server's namespace.
    pub(super) fn beside(&self) -> Route {
        Route::Through(self.server.clone())
    }

    /// Returns the way that begins in the subscribers' namespace.
    pub(super) fn across(&self) -> Route {
        Route::Through(self.subscribers.clone())
    }

    /// Does a job in the server's namespace.
    pub(super) fn run_beside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.server.run(job)
    }

    /// Does a job in the subscribers' namespace.
    pub(super) fn run_across<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.subscribers.run(job)
    }

    /// Returns what has happened on the link so far.
    pub(super) fn counts(&self) -> LinkCounts {
        let mut counts = self.mover.counts();
        for (way, namespace) in [(&mut counts.up, &self.subscribers), (&mut counts.down, &self.server)] {
            // A namespace whose thread is gone has no packets either.
            way.not_taken_count = namespace.run(dropped_count).ok().flatten().unwrap_or_default();
        }
        counts
    }
}

/// Creates the device of the calling thread's namespace.
fn device(address: Ipv4Addr) -> io::Result<File> {
    let device = os::tun::tun_device(DEVICE)?;
    os::tun::address_interface(DEVICE, address, NETMASK, MTU_BYTES)?;
    os::tun::switch_interface_on(DEVICE)?;
    Ok(device)
}

/// Counts the packets that the device of the calling thread's namespace dropped, because they were not taken in time
/// (proc_net(5), `dev`: the fourth count of what was sent).
fn dropped_count() -> Option<u64> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").ok()?;
    let row = table.lines().find_map(|row| row.trim().strip_prefix(DEVICE)?.strip_prefix(':'))?;
    row.split_whitespace().nth(11)?.parse().ok()
}

/// Reads a trace file.
pub(super) fn read_trace(path: &str) -> Result<Trace, InvalidTrace> {
    let unreadable = |error: io::Error| InvalidTrace::new(path, format!("it cannot be read: {error}"));
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(TRACE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > TRACE_BYTES_MAX {
        return Err(InvalidTrace::new(path, format!("it has more than {TRACE_BYTES_MAX} bytes")));
    }
    Trace::parse(path, &text)
}
