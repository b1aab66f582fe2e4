//! The server's counters, in OpenMetrics text under `/metrics`.
//!
//! Names and rules are those of the clients' own counts, so that a run can compare both. A request that belongs to no
//! transport counts as `api`. A connection belongs to the transport of its last request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use slab::Slab;
use tokio::sync::watch;
use wirelab_clients::wire::{Outcome, Seq, Transport};

use crate::store::Head;

type Labels = Vec<(&'static str, &'static str)>;

/// The owner of a count: a transport, or `api` for all other requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller(Option<Transport>);

impl Caller {
    /// Every caller that is no transport.
    pub const API: Self = Self(None);

    /// Number of callers: each transport and `api`.
    const ALL_COUNT: usize = Transport::ALL.len() + 1;

    /// Returns the caller that a request to `path` counts for.
    pub fn of_path(path: &str) -> Self {
        let transport = path
            .strip_prefix("/api/deployments/")
            .and_then(|rest| rest.split_once('/'))
            .and_then(|(_, name)| name.parse().ok());
        Self(transport)
    }

    /// Returns the transport; `None` for `api`.
    pub fn transport(self) -> Option<Transport> {
        self.0
    }

    fn all() -> [Self; Self::ALL_COUNT] {
        std::array::from_fn(|i| Self(i.checked_sub(1).map(|i| Transport::ALL[i])))
    }

    fn name(self) -> &'static str {
        self.0.map_or("api", Transport::name)
    }

    fn index(self) -> usize {
        self.0.map_or(0, |transport| {
            1 + Transport::ALL.iter().position(|t| *t == transport).expect("ALL holds every transport")
        })
    }
}

impl From<Transport> for Caller {
    fn from(transport: Transport) -> Self {
        Self(Some(transport))
    }
}

/// The counters of one caller.
pub struct CallerMetrics {
    outcomes: [Counter; Outcome::ALL.len()],
    /// Open TCP connections whose last request was this caller's.
    pub connections: Gauge,
    /// TCP connections whose first request was this caller's.
    pub connections_opened: Counter,
    waiters: Gauge,
    /// Lines handed to the socket.
    pub lines_delivered: Counter,
    /// Bytes of HTTP read.
    pub bytes_up: Counter,
    /// Bytes of HTTP written.
    pub bytes_down: Counter,
    /// Bytes of TLS read from sockets.
    pub tls_bytes_up: Counter,
    /// Bytes of TLS written to sockets.
    pub tls_bytes_down: Counter,
    lag_lines: Gauge,
}

impl CallerMetrics {
    /// Counts one request that ended with `outcome`.
    pub fn count(&self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|o| *o == outcome).expect("ALL holds every outcome");
        self.outcomes[index].inc();
    }
}

/// All counters of one server.
pub struct Metrics {
    registry: Registry,
    callers: [CallerMetrics; Caller::ALL_COUNT],
    waiting: Mutex<Slab<Arc<Waited>>>,
}

/// One held poll or open stream: the last seq that was sent, and the head of its log.
struct Waited {
    caller: Caller,
    after: AtomicU64,
    head: watch::Receiver<Head>,
}

impl Metrics {
    /// Makes all counters at zero, and registers `lines_appended`, which the deployments count.
    pub fn new(lines_appended: Counter) -> Arc<Self> {
        let mut registry = Registry::default();
        let requests = family::<Counter>(&mut registry, "wirelab_requests", "Requests by outcome");
        let connections =
            family::<Gauge>(&mut registry, "wirelab_connections", "Open connections by last request");
        let opened = family::<Counter>(
            &mut registry,
            "wirelab_connections_opened",
            "Connections ever opened, by first request",
        );
        let waiters = family::<Gauge>(&mut registry, "wirelab_waiters", "Held polls and open streams");
        let delivered =
            family::<Counter>(&mut registry, "wirelab_lines_delivered", "Lines written to subscribers");
        let bytes = family::<Counter>(&mut registry, "wirelab_bytes", "Bytes of HTTP");
        let tls_bytes =
            family::<Counter>(&mut registry, "wirelab_tls_bytes", "Bytes of TLS through the sockets");
        let lag = family::<Gauge>(
            &mut registry,
            "wirelab_subscriber_lag_lines",
            "Lines that the slowest waiter is behind",
        );
        registry.register("wirelab_lines_appended", "Lines appended", lines_appended);

        let callers = Caller::all().map(|caller| {
            let transport = ("transport", caller.name());
            let with = |name, value| vec![transport, (name, value)];
            CallerMetrics {
                outcomes: Outcome::ALL.map(|outcome| cell(&requests, with("outcome", outcome.name()))),
                connections: cell(&connections, vec![transport]),
                connections_opened: cell(&opened, vec![transport]),
                waiters: cell(&waiters, vec![transport]),
                lines_delivered: cell(&delivered, vec![transport]),
                bytes_up: cell(&bytes, with("direction", "up")),
                bytes_down: cell(&bytes, with("direction", "down")),
                tls_bytes_up: cell(&tls_bytes, with("direction", "up")),
                tls_bytes_down: cell(&tls_bytes, with("direction", "down")),
                lag_lines: cell(&lag, vec![transport]),
            }
        });
        Arc::new(Self { registry, callers, waiting: Mutex::default() })
    }

    /// Returns the counters of one caller.
    pub fn of(&self, caller: impl Into<Caller>) -> &CallerMetrics {
        &self.callers[caller.into().index()]
    }

    /// Counts a held poll or an open stream as waiting until the returned guard is dropped.
    pub fn wait(
        self: &Arc<Self>,
        caller: impl Into<Caller>,
        after: Seq,
        head: watch::Receiver<Head>,
    ) -> Waiting {
        let caller = caller.into();
        self.of(caller).waiters.inc();
        let waited = Arc::new(Waited { caller, after: AtomicU64::new(after), head });
        let key = self.waiting.lock().expect("no holder panics").insert(waited.clone());
        Waiting { metrics: self.clone(), key, waited }
    }

    /// Renders all counters in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut lags = [0_i64; Caller::ALL_COUNT];
        for (_, waited) in self.waiting.lock().expect("no holder panics").iter() {
            let behind = waited.head.borrow().last.saturating_sub(waited.after.load(Ordering::Relaxed));
            let lag = &mut lags[waited.caller.index()];
            *lag = (*lag).max(i64::try_from(behind).unwrap_or(i64::MAX));
        }
        for (caller, lag) in self.callers.iter().zip(lags) {
            caller.lag_lines.set(lag);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

/// A held poll or an open stream, counted as waiting until it is dropped.
pub struct Waiting {
    metrics: Arc<Metrics>,
    key: usize,
    waited: Arc<Waited>,
}

impl Waiting {
    /// Counts `lines` as delivered: everything up to the seq `after` was handed to the socket.
    pub fn delivered(&self, after: Seq, lines: usize) {
        self.waited.after.store(after, Ordering::Relaxed);
        self.metrics.of(self.waited.caller).lines_delivered.inc_by(lines as u64);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.metrics.waiting.lock().expect("no holder panics").remove(self.key);
        self.metrics.of(self.waited.caller).waiters.dec();
    }
}

fn family<M>(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, M>
where
    M: Default + Clone + prometheus_client::encoding::EncodeMetric + prometheus_client::metrics::TypedMetric,
    M: std::fmt::Debug + Send + Sync + 'static,
{
    let family = Family::<Labels, M>::default();
    registry.register(name, help, family.clone());
    family
}

fn cell<M: Clone, C: MetricConstructor<M>>(family: &Family<Labels, M, C>, labels: Labels) -> M {
    family.get_or_create(&labels).clone()
}
