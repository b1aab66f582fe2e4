//! The ledgers of a page's lanes: what each has asked, by the server's own count.
//!
//! A page that shows transports side by side tags what it asks with `lane=<page>.<n>` and reads the counts from the
//! socket in `api::lanes`. `server` finds the lane of each request here, `connection` books bytes and connections on it. A
//! page is kept from its first tag or socket on, while it has a socket, and a while longer. The counters of `/metrics`
//! know nothing of this.

pub(crate) mod tag;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use rand::RngExt;
use tokio::sync::watch;
use wirelab_clients::wire::{LaneLedger, Outcome};

use self::tag::Tag;
use crate::exchange::problem::Refusal;

/// Pages that are kept: a lecture hall has as many. A lane takes 192 bytes at most, with its place in the tree, so pages
/// with a lane for every number of a tag take 256 × 999 × 192 B = 47 MiB; their sockets come to that.
const PAGES_MAX: usize = 256;
/// Open sockets of one page: it has one, and two that the server has not yet seen break. Each may keep a buffer for the
/// longest frame that it sent, which tells every lane in 256 bytes at most: 256 × 3 × 999 × 256 B = 188 MiB.
const SOCKETS_MAX: usize = 3;
/// How long a page is kept without a socket, so that one that connects finds its counts: after the longest outage that
/// the lab makes (30 s) and the longest wait of a page's back-off behind it (30 s), with time to spare.
const GRACE: Duration = Duration::from_secs(90);
/// `Retry-After` when there is no room for another page or socket, s: until one may have been found dead.
const RETRY_AFTER_S: u64 = 30;

/// Below it are the ledgers' sockets.
const PATH: &str = "/api/lanes/";

/// The pages of one server.
pub(crate) struct Lanes {
    pages: Mutex<HashMap<Box<str>, Kept>>,
}

/// A page, and for how long.
struct Kept {
    page: Arc<Page>,
    sockets: usize,
    /// When the last socket went, or the first tag came before any; of no meaning while there is a socket.
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

    /// The lane of a request with this path and query, if it has a tag and there is room for its page. A malformed tag is
    /// refused, whether anybody would have counted or not. A socket of ledgers has no lane: its own bytes would be news to
    /// tell, and so on for ever.
    pub(crate) fn of(&self, path: &str, query: &str) -> Result<Option<Arc<Lane>>, Refusal> {
        let Some(given) = tag::given(query)? else { return Ok(None) };
        let tag = Tag::parse(&given)?;
        Ok(if path.starts_with(PATH) { None } else { self.find(tag, Instant::now()) })
    }

    /// A stream that comes back to a server that was restarted may be there before its page's socket is: it is counted all
    /// the same. For a tag alone no other page makes room.
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

    /// A socket opens: the page is kept until it is closed, and [`GRACE`] longer.
    pub(crate) fn watch(self: &Arc<Self>, page: &str, now: Instant) -> Result<Watched, Refusal> {
        let mut pages = self.pages.lock().expect("no holder panics");
        pages.retain(|_, kept| !kept.is_over(now));
        if !pages.contains_key(page) && pages.len() == PAGES_MAX {
            let left = pages.iter().filter(|(_, kept)| kept.sockets == 0);
            let oldest = left.min_by_key(|(_, kept)| kept.left).map(|(page, _)| page.clone());
            let oldest = oldest.ok_or_else(|| {
                busy(format!("the server counts for {PAGES_MAX} pages, and all are open; close one of them"))
            })?;
            pages.remove(&oldest);
        }
        let kept = pages.entry(page.into()).or_insert_with(|| Kept::new(now));
        if kept.sockets == SOCKETS_MAX {
            return Err(busy(format!(
                "page {page} has {SOCKETS_MAX} of these sockets open; close one of them"
            )));
        }
        kept.sockets += 1;
        Ok(Watched { lanes: self.clone(), id: page.into(), page: kept.page.clone() })
    }

    fn leave(&self, page: &str, now: Instant) {
        let mut pages = self.pages.lock().expect("no holder panics");
        let kept = pages.get_mut(page).expect("a page with a socket is kept");
        kept.sockets -= 1;
        kept.left = now;
    }
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
}

impl Watched {
    /// Names the page's counts: another value than before has counted from nothing.
    pub(crate) fn ledgers_id(&self) -> String {
        self.page.id.clone()
    }

    /// Wakes when a ledger of the page may have changed.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.page.changed.subscribe()
    }

    /// Returns the ledgers that changed since they were `told`.
    pub(crate) fn news(&self, told: &mut Told) -> Vec<LaneLedger> {
        self.page.news(told)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.lanes.leave(&self.id, Instant::now());
    }
}

/// One page's lanes, from the moment that the page is known until it is forgotten.
struct Page {
    /// Random: whoever reconnects must not take these counts for those of a page that was forgotten, or of another process.
    id: String,
    lanes: Mutex<BTreeMap<u16, Arc<Lane>>>,
    changed: watch::Sender<()>,
}

impl Page {
    fn new() -> Self {
        let id = format!("{:016x}", rand::rng().random::<u64>());
        Self { id, lanes: Mutex::default(), changed: watch::Sender::default() }
    }

    fn lane(&self, number: u16) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().expect("no holder panics");
        let lane = lanes.entry(number).or_insert_with(|| {
            let (ledger, changes) = (LaneLedger::new(number).into(), AtomicU32::new(0));
            Arc::new(Lane { ledger, changes, changed: self.changed.clone() })
        });
        lane.clone()
    }

    /// The ledgers that changed since they were `told`. Of the others none is locked: while one lane is busy, its
    /// page's many cost a look each.
    fn news(&self, told: &mut Told) -> Vec<LaneLedger> {
        let lanes = self.lanes.lock().expect("no holder panics");
        let news = lanes.iter().filter_map(|(&number, lane)| {
            // Before the ledger is read: what changes in between is told once more, and never left out.
            let changes = lane.changes.load(Ordering::Acquire);
            told.is_news(number, changes).then(|| *lane.ledger.lock().expect("no holder panics"))
        });
        news.collect()
    }
}

/// How often each lane had changed when it was told last, by its number: all that a socket remembers of lanes.
#[derive(Default)]
pub(crate) struct Told(Vec<u32>);

impl Told {
    /// Whether the lane has changed since, which counts as told from now on.
    fn is_news(&mut self, number: u16, changes: u32) -> bool {
        let index = usize::from(number);
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        std::mem::replace(&mut self.0[index], changes) != changes
    }
}

/// One lane: its ledger, and whoever waits for it to change.
pub(crate) struct Lane {
    ledger: Mutex<LaneLedger>,
    /// How often the ledger changed, round and round: compared with what it was a moment ago.
    changes: AtomicU32,
    changed: watch::Sender<()>,
}

impl Lane {
    /// A request begins.
    pub(crate) fn asked(&self) {
        self.change(|ledger| ledger.requests += 1);
    }

    /// A request that was counted with [`Self::asked`] is answered, or will not be.
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

    /// A connection that never carried this lane becomes its own.
    pub(crate) fn connected(&self) {
        self.change(|ledger| {
            ledger.connections += 1;
            ledger.connections_open += 1;
        });
    }

    /// A connection is the lane's again, after another's.
    pub(crate) fn regained(&self) {
        self.change(|ledger| ledger.connections_open += 1);
    }

    /// A connection ended, or is another's from now on.
    pub(crate) fn lost(&self) {
        self.change(|ledger| ledger.connections_open -= 1);
    }

    /// Bytes went through the lane's sockets.
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
