//! All open connections of a server: their bound, and cutting them off.
//!
//! A connection is entered by its stream when it opens and removed when it ends. The lab announces outages. Every
//! connection's future is wrapped in its abort handle from the start, and a cut drops the future where it is. So a
//! running connection checks nothing, and no protocol or transport has to know of outages.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::future::{AbortHandle, AbortRegistration};

use wirelab_clients::delay_line::Line;

use super::Network;
use crate::access::addresses::{AddressBounds, Addresses, Standing, Visit};
use crate::exchange::arriving::{ArrivingBounds, Pool, Share};

/// The open connections of one server, with their bound. Locked only when a connection opens or ends.
pub(crate) struct Connections {
    open: Mutex<Open>,
    max: usize,
    /// Open sockets, those of refused connections included.
    sockets_max: usize,
    arriving: Arc<Pool>,
    addresses: Addresses,
    network: Arc<Network>,
}

struct Open {
    cuts: HashMap<u64, AbortHandle>,
    opened_count: u64,
    outage: OutageStage,
}

/// Stage of an outage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutageStage {
    /// There is no outage.
    None,
    /// An outage is announced; no connection is cut yet.
    Announced,
    /// Every new connection is cut.
    Refusing,
}

impl Connections {
    pub(crate) fn new(
        max: usize,
        sockets_max: usize,
        arriving: ArrivingBounds,
        address: AddressBounds,
    ) -> Arc<Self> {
        let open = Open { cuts: HashMap::new(), opened_count: 0, outage: OutageStage::None };
        Arc::new(Self {
            open: Mutex::new(open),
            max,
            sockets_max,
            arriving: Pool::new(arriving),
            addresses: Addresses::new(address),
            network: Network::new(),
        })
    }

    /// Returns the network that all connections go through.
    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    pub(super) fn line(&self) -> Arc<Line> {
        self.network.line()
    }

    /// Announces an outage; `None` while there is another one.
    pub(crate) fn announce_outage(self: &Arc<Self>) -> Option<Outage> {
        let mut open = self.open.lock().expect("no holder panics");
        (open.outage == OutageStage::None).then(|| {
            open.outage = OutageStage::Announced;
            Outage(self.clone())
        })
    }

    /// Enters a connection from `peer` that opens. During an outage it is cut at once, and so is one beyond the bound on
    /// sockets or far beyond that of its address.
    pub(crate) fn enter(&self, peer: Option<IpAddr>) -> Entered {
        let (cut, registration) = AbortHandle::new_pair();
        let visit = self.addresses.visit(peer, Instant::now());
        let mut open = self.open.lock().expect("no holder panics");
        if open.outage == OutageStage::Refusing
            || open.cuts.len() >= self.sockets_max
            || visit.standing() == Standing::FarBeyond
        {
            cut.abort();
        }
        open.opened_count += 1;
        let key = open.opened_count;
        open.cuts.insert(key, cut.clone());
        Entered { key, beyond: open.cuts.len() > self.max, visit, cut, registration }
    }

    /// Returns what a new connection may hold of bodies and messages that have not ended.
    pub(super) fn share(&self) -> Share {
        self.arriving.share()
    }

    /// Removes the connection with this key, which has ended.
    pub(crate) fn leave(&self, key: u64) {
        self.open.lock().expect("no holder panics").cuts.remove(&key);
    }
}

/// A connection that was entered.
pub(crate) struct Entered {
    pub(crate) key: u64,
    /// Whether the connection is beyond the bound.
    pub(crate) beyond: bool,
    /// The connection among those of its address.
    pub(crate) visit: Visit,
    /// Handle that cuts the connection.
    pub(crate) cut: AbortHandle,
    /// Registration for the future that serves the connection: it ends when the connection is cut.
    pub(crate) registration: AbortRegistration,
}

/// An outage: while it lasts, the server is as good as unplugged. Dropping it ends the outage.
pub(crate) struct Outage(Arc<Connections>);

impl Outage {
    /// Cuts every open connection and, from now on, every new one.
    pub(crate) fn begin(&self) {
        let mut open = self.0.open.lock().expect("no holder panics");
        open.outage = OutageStage::Refusing;
        for cut in open.cuts.values() {
            cut.abort();
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.0.open.lock().expect("no holder panics").outage = OutageStage::None;
    }
}
