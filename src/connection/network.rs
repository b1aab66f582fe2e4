//! The network of a server: the link between it and all of its clients, and what was said of it.
//!
//! The lab sets it, the sockets of ledgers tell pages of it, and every connection goes through its line. It never acts
//! by itself: what ends with a time or a page is ended by the lab.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wirelab_clients::delay_line::Line;
use wirelab_clients::link::{Jitter, Link, OneWay, Rate};
use wirelab_clients::wire::NetworkState;

/// The link of one server, shared by its connections.
pub(crate) struct Network {
    line: Arc<Line>,
    set: Mutex<Set>,
    changed: watch::Sender<()>,
}

/// What was set last.
struct Set {
    delay_ms: f64,
    jitter_ms: f64,
    link_kbit_s: Option<u64>,
    /// The end of a silence that was announced or is on.
    silent_until: Option<Instant>,
    /// The page that set it.
    page: Option<String>,
    /// Cancelled when it is set anew.
    replaced: CancellationToken,
    /// Cancelled when another silence begins, or this one is ended early.
    broken: CancellationToken,
}

impl Network {
    pub(crate) fn new() -> Arc<Self> {
        let set = Set {
            delay_ms: 0.0,
            jitter_ms: 0.0,
            link_kbit_s: None,
            silent_until: None,
            page: None,
            replaced: CancellationToken::new(),
            broken: CancellationToken::new(),
        };
        Arc::new(Self {
            line: Line::new(Link::default()),
            set: Mutex::new(set),
            changed: watch::Sender::default(),
        })
    }

    /// Returns the line that every connection goes through.
    pub(crate) fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    /// Returns a watch that wakes when the network was set, or a silence is over.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the network as it is now.
    pub(crate) fn state(&self) -> NetworkState {
        let set = self.set();
        let left =
            set.silent_until.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
        NetworkState {
            delay_ms: set.delay_ms,
            jitter_ms: set.jitter_ms,
            link_kbit_s: set.link_kbit_s,
            silence_s: left.as_secs_f64(),
        }
    }

    /// Sets delay, jitter and rate for `page`; a silence goes on. Returns what is cancelled when it is set anew.
    pub(crate) fn set_link(
        &self,
        delay_ms: f64,
        jitter_ms: f64,
        link_kbit_s: Option<u64>,
        page: Option<String>,
    ) -> CancellationToken {
        let mut set = self.set();
        set.replaced.cancel();
        let replaced = CancellationToken::new();
        (set.delay_ms, set.jitter_ms, set.link_kbit_s) = (delay_ms, jitter_ms, link_kbit_s);
        (set.page, set.replaced) = (page, replaced.clone());
        self.apply(&set);
        replaced
    }

    /// Announces a silence that ends after `length`, or ends the one that is on. Returns what is cancelled when another
    /// one takes its place.
    pub(crate) fn announce_silence(&self, length: Duration) -> CancellationToken {
        let mut set = self.set();
        set.broken.cancel();
        set.broken = CancellationToken::new();
        set.silent_until = (!length.is_zero()).then(|| Instant::now() + length);
        self.line.fall_silent(Duration::ZERO);
        self.apply(&set);
        set.broken.clone()
    }

    /// Begins the silence that was announced with `broken`, unless another one took its place.
    pub(crate) fn fall_silent(&self, broken: &CancellationToken) {
        let set = self.set();
        // Cancelled under this lock, as all tokens are.
        if broken.is_cancelled() {
            return;
        }
        let now = Instant::now();
        if let Some(until) = set.silent_until.filter(|until| *until > now) {
            self.line.fall_silent(until - now);
        }
    }

    /// Takes note that the silence that was announced with `broken` is over, unless another one took its place.
    pub(crate) fn end_silence(&self, broken: &CancellationToken) {
        let mut set = self.set();
        if broken.is_cancelled() {
            return;
        }
        set.silent_until = None;
        self.apply(&set);
    }

    /// Takes everything away, unless `page` is given and another page, or none, has set it.
    pub(crate) fn take_away(&self, page: Option<&str>) {
        let set = self.set();
        if page.is_none() || set.page.as_deref() == page {
            self.clear(set);
        }
    }

    /// Takes everything away, unless the network was set anew since `replaced` was returned for it: its page is gone.
    pub(crate) fn end_with_page(&self, replaced: &CancellationToken) {
        let set = self.set();
        if !replaced.is_cancelled() {
            self.clear(set);
        }
    }

    fn clear(&self, mut set: MutexGuard<'_, Set>) {
        set.replaced.cancel();
        set.broken.cancel();
        (set.delay_ms, set.jitter_ms, set.link_kbit_s) = (0.0, 0.0, None);
        (set.silent_until, set.page) = (None, None);
        self.line.fall_silent(Duration::ZERO);
        self.apply(&set);
    }

    /// Makes the line as `set` says and wakes every task that watches the network.
    fn apply(&self, set: &Set) {
        let jitter = match set.jitter_ms {
            ms if ms > 0.0 => Jitter::Uniform { within: Duration::from_secs_f64(ms / 1e3) },
            _ => Jitter::None,
        };
        let rate = set.link_kbit_s.map(|kbit_s| Rate { kbit_s, queue_bytes: Rate::QUEUE_BYTES_DEFAULT });
        let way =
            OneWay { delay: Duration::from_secs_f64(set.delay_ms / 1e3), jitter, rate, ..OneWay::default() };
        self.line.set(Link { up: way.clone(), down: way, seed: 0 });
        self.changed.send_replace(());
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_page_that_goes_takes_away_its_own_network_and_not_a_newer_one() {
        let network = Network::new();
        let of_a = network.set_link(100.0, 0.0, None, Some("a".to_owned()));
        let of_b = network.set_link(50.0, 0.0, None, Some("b".to_owned()));
        network.end_with_page(&of_a);
        assert_eq!(network.state().delay_ms, 50.0);
        network.end_with_page(&of_b);
        assert_eq!(network.state().delay_ms, 0.0);
        // It was taken away and set once more, by the same page.
        let again = network.set_link(20.0, 0.0, None, Some("b".to_owned()));
        network.end_with_page(&of_b);
        assert_eq!(network.state().delay_ms, 20.0);
        assert!(!again.is_cancelled());
    }

    #[test]
    fn an_old_silence_neither_begins_nor_ends_a_newer_one() {
        let network = Network::new();
        let old = network.announce_silence(SECOND);
        let newer = network.announce_silence(20 * SECOND);
        network.fall_silent(&old);
        assert!(!network.line().is_silent(), "the newer one has not begun");
        network.fall_silent(&newer);
        network.end_silence(&old);
        assert!(network.state().silence_s > 10.0 && network.line().is_silent());
        network.take_away(None);
        network.fall_silent(&newer);
        assert!(network.state().silence_s == 0.0 && !network.line().is_silent());
    }
}
