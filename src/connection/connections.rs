//! All open connections of a server: how many there may be, and cutting them off.
//!
//! Each is entered by its stream when it opens and leaves when it ends; the lab announces outages. An outage is
//! something that every connection's future is wrapped in from its start, so that nothing is asked while it runs and
//! no protocol or transport has to know: a cut one is dropped where it stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::{AbortHandle, AbortRegistration};

/// Open connections of one server, against its bound. Touched when one opens or ends, never in between.
pub(crate) struct Connections {
    open: Mutex<Open>,
    max: usize,
}

struct Open {
    cuts: HashMap<u64, AbortHandle>,
    opened_count: u64,
    outage: OutageStage,
}

/// How far an outage is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutageStage {
    /// There is none.
    None,
    /// Announced: nothing is cut yet.
    Announced,
    /// Whatever connects is cut.
    Refusing,
}

impl Connections {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let open = Open { cuts: HashMap::new(), opened_count: 0, outage: OutageStage::None };
        Arc::new(Self { open: Mutex::new(open), max })
    }

    /// `None` while there is another outage.
    pub(crate) fn announce_outage(self: &Arc<Self>) -> Option<Outage> {
        let mut open = self.open.lock().expect("no holder panics");
        (open.outage == OutageStage::None).then(|| {
            open.outage = OutageStage::Announced;
            Outage(self.clone())
        })
    }

    /// A connection opens; during an outage it is cut already.
    pub(crate) fn enter(&self) -> Entered {
        let (cut, registration) = AbortHandle::new_pair();
        let mut open = self.open.lock().expect("no holder panics");
        if open.outage == OutageStage::Refusing {
            cut.abort();
        }
        open.opened_count += 1;
        let key = open.opened_count;
        open.cuts.insert(key, cut.clone());
        Entered { key, beyond: open.cuts.len() > self.max, cut, registration }
    }

    /// The connection of this key has ended.
    pub(crate) fn leave(&self, key: u64) {
        self.open.lock().expect("no holder panics").cuts.remove(&key);
    }
}

/// One more connection.
pub(crate) struct Entered {
    pub(crate) key: u64,
    /// Whether it is one too many.
    pub(crate) beyond: bool,
    /// Cuts it.
    pub(crate) cut: AbortHandle,
    /// For whoever serves it, to be ended when it is cut.
    pub(crate) registration: AbortRegistration,
}

/// A time in which the server is as good as unplugged; over when this is dropped.
pub(crate) struct Outage(Arc<Connections>);

impl Outage {
    /// Cuts every open connection and, from now on, whatever connects.
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
