//! The ledgers of a page's lanes: the server's own counts for each lane.
//!
//! A page shows several transports side by side, each in a lane. It tags the requests of a lane with `lane=<page>.<n>`
//! and reads the counts from the socket in `api::lanes`. `server` finds the lane of each request here; `connection`
//! books bytes and connections on it. A page is kept from its first tag or socket on, as long as it has a socket, and
//! for a while after that. The counters of `/metrics` do not depend on lanes.
//!
//! The same socket shows that the page is there. So `api` and `lab` ask here when a page is gone, to end what it started.

pub(crate) mod tag;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::timeout;
use wirelab_clients::wire::{LaneLedger, Outcome};

use self::tag::Tag;
use crate::exchange::problem::Refusal;

/// Pages that are kept: a lecture hall has as many. A lane takes at most 192 bytes with its place in the tree. If every
/// page uses every number of a tag, lanes take 256 × 999 × 192 B = 47 MiB; their sockets come on top of that.
const PAGES_MAX: usize = 256;
/// Open sockets of one page: the one in use, and two that the server does not yet know to be broken. Each may keep a
/// buffer for the longest frame that it sent, with at most 256 bytes per lane: 256 × 3 × 999 × 256 B = 188 MiB.
const SOCKETS_MAX: usize = 3;
/// Time for which a page without a socket is kept, so that it finds its counts when it reconnects. It covers the
/// longest outage of the lab (30 s) and the longest back-off of a page after it (30 s), with time to spare.
const GRACE: Duration = Duration::from_secs(90);
/// Time in which a page that closed its last socket itself may come back. A page that is loaded again takes less; a page
/// that was closed never comes back.
const RELOAD: Duration = Duration::from_secs(10);
/// `Retry-After` when there is no room for another page or socket, s: by then a dead socket may have been found.
const RETRY_AFTER_S: u64 = 30;

/// Path below which the sockets of ledgers are.
const PATH: &str = "/api/lanes/";

/// The pages of one server.
pub(crate) struct Lanes {
    pages: Mutex<HashMap<Box<str>, Kept>>,
}

/// A page with the state that decides how long it is kept.
struct Kept {
    page: Arc<Page>,
    sockets: usize,
    /// When the last socket closed, or when the first tag came before any socket. Unused while a socket is open.
    left: Instant,
}

impl Kept {
    fn new(now: Instant) -> Self {
        Self { page: Arc::new(Page::new()), sockets: 0, left: now }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.sockets == 0 && now.saturating_duration_since(self.left) >= GRACE
    }
}

impl Lanes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { pages: Mutex::default() })
    }

    /// Returns the lane of a request with this path and query, if it has a tag and there is room for its page.
    ///
    /// A malformed tag is refused whether or not there is room. The socket of ledgers has no lane: its own bytes would
    /// change the ledgers, which would be sent again, without end.
    pub(crate) fn of(&self, path: &str, query: &str) -> Result<Option<Arc<Lane>>, Refusal> {
        let Some(given) = tag::given(query)? else { return Ok(None) };
        let tag = Tag::parse(&given)?;
        Ok(if path.starts_with(PATH) { None } else { self.find(tag, Instant::now()) })
    }

    /// Finds or makes the lane of a tag. A page that is not known yet is counted, too: after a restart of the server, a
    /// stream may come back before its page's socket. A tag alone removes no other page to make room.
    fn find(&self, tag: Tag<'_>, now: Instant) -> Option<Arc<Lane>> {
        let mut pages = self.pages.lock().expect("no holder panics");
        let page = match pages.get(tag.page).filter(|kept| !kept.is_over(now)) {
            Some(kept) => kept.page.clone(),
            None => {
                pages.retain(|_, kept| !kept.is_over(now));
                if pages.len() == PAGES_MAX {
                    return None;
                }
                pages.entry(tag.page.into()).or_insert_with(|| Kept::new(now)).page.clone()
            }
        };
        drop(pages);
        Some(page.lane(tag.lane))
    }

    /// Registers an open socket. The page is kept until the socket is closed, and [`GRACE`] longer.
    pub(crate) fn watch(self: &Arc<Self>, page: &str, now: Instant) -> Result<Watched, Refusal> {
        let mut pages = self.pages.lock().expect("no holder panics");
        let kept = keep(&mut pages, page, now)?;
        if kept.sockets == SOCKETS_MAX {
            return Err(busy(format!(
                "page {page} has {SOCKETS_MAX} sockets open, which is the limit; close one of them"
            )));
        }
        kept.sockets += 1;
        kept.page.presence.send_replace(Presence::Here);
        Ok(Watched { lanes: self.clone(), id: page.into(), page: kept.page.clone(), goes: Presence::Lost })
    }

    /// Returns a future that ends when the page is gone: [`RELOAD`] after it closed its last socket itself, or [`GRACE`]
    /// after its last socket broke. A page that never had a socket has [`GRACE`] to open one.
    pub(crate) fn end_of(
        &self,
        page: &str,
        now: Instant,
    ) -> Result<impl Future<Output = ()> + Send + use<>, Refusal> {
        let mut pages = self.pages.lock().expect("no holder panics");
        let page = keep(&mut pages, page, now)?.page.clone();
        Ok(async move {
            let mut presence = page.presence.subscribe();
            loop {
                let patience = match *presence.borrow_and_update() {
                    Presence::Here => None,
                    Presence::Left => Some(RELOAD),
                    Presence::Lost => Some(GRACE),
                };
                let changed = presence.changed();
                let is_gone = match patience {
                    None => changed.await.is_err(),
                    Some(patience) => timeout(patience, changed).await.is_err(),
                };
                if is_gone {
                    return;
                }
            }
        })
    }

    fn leave(&self, page: &str, goes: Presence, now: Instant) {
        let mut pages = self.pages.lock().expect("no holder panics");
        let kept = pages.get_mut(page).expect("a page with a socket is kept");
        kept.sockets -= 1;
        kept.left = now;
        if kept.sockets == 0 {
            kept.page.presence.send_replace(goes);
        }
    }
}

/// Finds or makes a page. The page that left first makes room for it.
fn keep<'a>(
    pages: &'a mut HashMap<Box<str>, Kept>,
    page: &str,
    now: Instant,
) -> Result<&'a mut Kept, Refusal> {
    pages.retain(|_, kept| !kept.is_over(now));
    if !pages.contains_key(page) && pages.len() == PAGES_MAX {
        let left = pages.iter().filter(|(_, kept)| kept.sockets == 0);
        let oldest = left.min_by_key(|(_, kept)| kept.left).map(|(page, _)| page.clone());
        let oldest = oldest.ok_or_else(|| {
            busy(format!("{PAGES_MAX} pages are open, which is the limit; close one of them"))
        })?;
        pages.remove(&oldest);
    }
    Ok(pages.entry(page.into()).or_insert_with(|| Kept::new(now)))
}

/// Whether a page is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// It has an open socket.
    Here,
    /// It closed its last socket itself.
    Left,
    /// Its last socket broke, or it has had none yet.
    Lost,
}

fn busy(detail: String) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
}

/// A page with an open socket.
pub(crate) struct Watched {
    lanes: Arc<Lanes>,
    id: Box<str>,
    page: Arc<Page>,
    /// What the page is without this socket, if it is the last one.
    goes: Presence,
}

impl Watched {
    /// Notes that the page closes the socket itself.
    pub(crate) fn says_goodbye(&mut self) {
        self.goes = Presence::Left;
    }

    /// Returns the id of the page's counts. When the id changes, all counts have begun again at zero.
    pub(crate) fn ledgers_id(&self) -> String {
        self.page.id.clone()
    }

    /// Returns a watch that wakes when a ledger of the page may have changed.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.page.changed.subscribe()
    }

    /// Returns the ledgers that changed since the last call with `told`.
    pub(crate) fn news(&self, told: &mut Told) -> Vec<LaneLedger> {
        self.page.news(told)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.lanes.leave(&self.id, self.goes, Instant::now());
    }
}

/// The lanes of one page, from its first tag or socket until it is forgotten.
struct Page {
    /// A random id: after a reconnect, a page must not take these counts for those of a forgotten page or of another
    /// process.
    id: String,
    lanes: Mutex<BTreeMap<u16, Arc<Lane>>>,
    changed: watch::Sender<()>,
    presence: watch::Sender<Presence>,
}

impl Page {
    fn new() -> Self {
        let id = format!("{:016x}", rand::rng().random::<u64>());
        let presence = watch::Sender::new(Presence::Lost);
        Self { id, lanes: Mutex::default(), changed: watch::Sender::default(), presence }
    }

    fn lane(&self, number: u16) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().expect("no holder panics");
        let lane = lanes.entry(number).or_insert_with(|| {
            let (ledger, changes) = (LaneLedger::new(number).into(), AtomicU32::new(0));
            Arc::new(Lane { ledger, changes, changed: self.changed.clone() })
        });
        lane.clone()
    }

    /// Returns the ledgers that changed since the last call with `told`. Unchanged ledgers are not locked, so a page
    /// with many lanes and one busy one costs one comparison per lane.
    fn news(&self, told: &mut Told) -> Vec<LaneLedger> {
        let lanes = self.lanes.lock().expect("no holder panics");
        let news = lanes.iter().filter_map(|(&number, lane)| {
            // Loaded before the ledger is read: a change in between is sent twice, never lost.
            let changes = lane.changes.load(Ordering::Acquire);
            told.is_news(number, changes).then(|| *lane.ledger.lock().expect("no holder panics"))
        });
        news.collect()
    }
}

/// The number of changes of each lane when it was sent last, by the lane's number: all that a socket remembers of
/// lanes.
#[derive(Default)]
pub(crate) struct Told(Vec<u32>);

impl Told {
    /// Tells whether the lane has changed since it was sent last, and remembers it as sent.
    fn is_news(&mut self, number: u16, changes: u32) -> bool {
        let index = usize::from(number);
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        std::mem::replace(&mut self.0[index], changes) != changes
    }
}

/// One lane: its ledger, and the watch that tells of changes.
pub(crate) struct Lane {
    ledger: Mutex<LaneLedger>,
    /// Number of changes of the ledger, modulo 2^32: it is compared only with its value a moment ago.
    changes: AtomicU32,
    changed: watch::Sender<()>,
}

impl Lane {
    /// Counts a request that begins.
    pub(crate) fn asked(&self) {
        self.change(|ledger| ledger.requests += 1);
    }

    /// Counts the outcome of a request that was counted with [`Self::asked`].
    pub(crate) fn answered(&self, outcome: Outcome) {
        self.change(|ledger| {
            *match outcome {
                Outcome::Data => &mut ledger.data,
                Outcome::Empty => &mut ledger.empty,
                Outcome::Timeout => &mut ledger.timeout,
                Outcome::Refused => &mut ledger.refused,
                Outcome::Error => &mut ledger.error,
            } += 1;
        });
    }

    /// Counts a connection that carries a request of this lane for the first time.
    pub(crate) fn connected(&self) {
        self.change(|ledger| {
            ledger.connections += 1;
            ledger.connections_open += 1;
        });
    }

    /// Counts a connection as open that carries this lane again, after another lane.
    pub(crate) fn regained(&self) {
        self.change(|ledger| ledger.connections_open += 1);
    }

    /// Counts a connection that has ended, or now carries another lane, as no longer open.
    pub(crate) fn lost(&self) {
        self.change(|ledger| ledger.connections_open -= 1);
    }

    /// Counts bytes on the lane's connections.
    pub(crate) fn moved(&self, bytes_up: u64, bytes_down: u64) {
        self.change(|ledger| {
            ledger.bytes_up += bytes_up;
            ledger.bytes_down += bytes_down;
        });
    }

    fn change(&self, change: impl FnOnce(&mut LaneLedger)) {
        change(&mut self.ledger.lock().expect("no holder panics"));
        self.changes.fetch_add(1, Ordering::Release);
        self.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests;
