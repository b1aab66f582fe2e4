//! The link check: measures connect time and echo over a network's link, and refuses a link that is off.
//!
//! Calibrations call it once per network, and a run calls it before its subscribers connect. The echo goes over a
//! socket of the subscribers' kind to a listener at the server's place. So it shows the link and the machine, and nothing
//! of any server. What a link should show is said by [`link_figures`](super::network::link_figures).

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::network::emulated::{Network, NetworkKind};
use super::network::laid::Laid;
use super::network::link_figures::{
    ECHO_BYTES, LinkFigures, LinkOff, LinkSamples, connect_time, echo_time, samples_over_loss,
};
use crate::meter::{Layer, Meter, MeteredSocket};
use crate::route::Route;
use crate::stream::Stream;
use crate::tls::NotConnected;
use crate::{HttpVersion, ServerUrl};

/// Measurements of a link that is off, before it is refused: a machine that was busy for a moment is no broken link.
const ATTEMPTS: u32 = 5;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest time of one measurement over a link without distance. Lost packets are sent again after a second and more.
const CHECK_MAX: Duration = Duration::from_secs(30);
/// Round trips that one measurement takes at most where each is long.
const ROUND_TRIPS_MAX: u32 = 60;
/// Samples of each time that are taken at most because a link loses packets: with the echo that is not counted, and the
/// connection for the echoes, both times stay below [`ROUND_TRIPS_MAX`].
const LOSSY_MAX: usize = 28;

/// How many samples a measurement takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Those of a calibration: about two seconds.
    Calibration,
    /// Those before a single run: less than a second, except over long distances.
    Run,
}

impl Effort {
    fn connects(self) -> Samples {
        match self {
            Self::Calibration => Samples { least: 5, most: 20, budget: Duration::from_millis(500) },
            Self::Run => Samples { least: 5, most: 9, budget: Duration::from_millis(150) },
        }
    }

    fn echoes(self) -> Samples {
        match self {
            Self::Calibration => Samples { least: 9, most: 300, budget: Duration::from_secs(1) },
            Self::Run => Samples { least: 5, most: 30, budget: Duration::from_millis(300) },
        }
    }
}

/// How many times something is timed: as many as fit into a budget, within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Samples {
    /// Smallest number, however long each takes.
    pub(super) least: usize,
    /// Largest number.
    pub(super) most: usize,
    /// Time for all of them.
    pub(super) budget: Duration,
}

impl Samples {
    /// Returns the number of samples that take `each`.
    pub(super) fn count(self, each: Duration) -> usize {
        let fit = self.budget.as_secs_f64() / each.as_secs_f64();
        // Without distance the quotient is infinite, and the cast saturates.
        (fit as usize).clamp(self.least, self.most)
    }

    /// Returns the samples that are taken over a link: more where it loses packets, since a lost one says nothing.
    fn over(self, network: &Network) -> Self {
        let least = self.least.max(samples_over_loss(network).unwrap_or(0).min(LOSSY_MAX));
        Self { least, most: self.most.max(least), ..self }
    }
}

/// Error of a link check.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The link is off its configured values.
    #[error(transparent)]
    Off(#[from] LinkOff),
    /// A socket over the link failed.
    #[error("a connection over the link failed: {0}")]
    Socket(#[from] io::Error),
    /// The measurement took too long.
    #[error(
        "measuring the link took more than {} s; choose a shorter distance, a higher rate (link_kbit_s) or \
         less loss, or let nothing else keep this machine busy", .0.as_secs()
    )]
    TooSlow(Duration),
}

/// Measures the link of a network that was laid, and refuses it if it is off each time. `None` without a network.
pub(super) async fn check_link(
    network: &Network,
    laid: &Laid,
    effort: Effort,
) -> Result<Option<LinkFigures>, LinkError> {
    match network.kind {
        NetworkKind::None => return Ok(None),
        NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => {}
    }
    let limit = CHECK_MAX + echo_time(network) * ROUND_TRIPS_MAX;
    let mut attempt = 1;
    loop {
        let measured = timeout(limit, measured(network, laid, effort)).await;
        let figures = measured.map_err(|_| LinkError::TooSlow(limit))??;
        match figures.check() {
            Ok(()) => return Ok(Some(figures)),
            Err(off) if attempt == ATTEMPTS => return Err(off.into()),
            Err(_) => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn measured(network: &Network, laid: &Laid, effort: Effort) -> io::Result<LinkFigures> {
    let echo = Echo::start(laid)?;
    let connects = effort.connects().over(network).count(connect_time(network));
    let echoes = effort.echoes().over(network).count(echo_time(network));
    let samples = LinkSamples {
        connects_s: connects_s(
            &echo.authority.parse().map_err(io::Error::other)?,
            &laid.subscribers,
            connects,
        )
        .await?,
        echoes_s: echo.echoes_s(&laid.subscribers, echoes).await?,
    };
    Ok(LinkFigures::of(network, samples).expect("every effort takes samples"))
}

/// Times the opening of connections to a server over a route, with the full handshake where there is TLS, s.
pub(super) async fn connects_s(server: &ServerUrl, route: &Route, count: usize) -> io::Result<Vec<f64>> {
    let mut samples_s = Vec::with_capacity(count);
    for _ in 0..count {
        let asked = Instant::now();
        let connected = Stream::connect(server, HttpVersion::Http1, &Meter::over(route.clone())).await;
        connected.map_err(|error| match error {
            NotConnected::Passing(error) => error,
            NotConnected::Mistrusted(why) => io::Error::other(why),
        })?;
        samples_s.push(asked.elapsed().as_secs_f64());
    }
    Ok(samples_s)
}

/// An echo at the server's place of a network. It ends with this value.
pub(super) struct Echo {
    authority: String,
    _task: JoinSet<()>,
}

impl Echo {
    /// Starts to listen. Must be called inside a tokio runtime.
    pub(super) fn start(laid: &Laid) -> io::Result<Self> {
        let listener = laid.listen_beside()?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let authority = listener.local_addr()?.to_string();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut bytes = [0; ECHO_BYTES];
                    // The task ends when the other side closes.
                    while socket.set_nodelay(true).is_ok()
                        && socket.read_exact(&mut bytes).await.is_ok()
                        && socket.write_all(&bytes).await.is_ok()
                    {}
                });
            }
        });
        Ok(Self { authority, _task: task })
    }

    /// Times echoes over one connection of the clients' kind, s. The first one is not counted: it finds caches cold.
    pub(super) async fn echoes_s(&self, route: &Route, count: usize) -> io::Result<Vec<f64>> {
        let mut socket =
            MeteredSocket::connect(&self.authority, Layer::Http, Meter::over(route.clone())).await?;
        let mut bytes = [0; ECHO_BYTES];
        let mut samples_s = Vec::with_capacity(count + 1);
        for _ in 0..=count {
            let asked = Instant::now();
            socket.write_all(&bytes).await?;
            socket.read_exact(&mut bytes).await?;
            samples_s.push(asked.elapsed().as_secs_f64());
        }
        Ok(samples_s.split_off(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Jitter, Link, Loss, OneWay, Rate};

    const MS: Duration = Duration::from_millis(1);

    fn line(link: Link) -> Network {
        Network { kind: NetworkKind::Line, link, ..Network::default() }
    }

    #[tokio::test]
    async fn a_link_that_is_as_configured_has_its_figures() {
        // So far that a machine which other tests keep busy is not off by a tenth.
        let network = line(Link::distance(100 * MS));
        let laid = Laid::lay(&network, 1).unwrap();
        let figures = check_link(&network, &laid, Effort::Run).await.unwrap().unwrap();
        assert_eq!((figures.connect_p50.configured_s, figures.echo_p50.configured_s), (0.2, 0.2));
        for figure in [figures.connect_p50, figures.echo_p50, figures.echo_p99] {
            assert!(figure.measured_s >= 0.2, "nothing is faster than the link: {figures:?}");
        }
        assert!(check_link(&Network::default(), &Laid::direct(), Effort::Run).await.unwrap().is_none());
    }

    /// The line's delay is not what the plan says: it was changed after it was laid.
    #[tokio::test]
    async fn a_link_that_is_off_is_refused_with_both_figures() {
        let network = line(Link::distance(20 * MS));
        for laid_way in [10, 35] {
            let laid = Laid::lay(&line(Link::distance(laid_way * MS)), 1).unwrap();
            let refused = check_link(&network, &laid, Effort::Run).await.unwrap_err().to_string();
            assert!(refused.contains("configured are 40.00 ms"), "{refused}");
            let measured = refused.split("takes ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
            let (measured_ms, laid_ms): (f64, f64) = (measured.parse().unwrap(), 2.0 * f64::from(laid_way));
            assert!(measured_ms >= laid_ms, "{refused}");
        }
    }

    #[tokio::test]
    async fn each_direction_and_its_jitter_count() {
        let way = |delay_ms: u32, within_ms: u32| OneWay {
            delay: delay_ms * MS,
            jitter: Jitter::Uniform { within: within_ms * MS },
            ..OneWay::default()
        };
        let network = line(Link { up: way(5, 5), down: way(25, 10), seed: 0 });
        let laid = Laid::lay(&network, 3).unwrap();
        let figures = check_link(&network, &laid, Effort::Run).await.unwrap().unwrap();
        let (low, high) = figures.echo_p50.allowed_s.unwrap();
        assert!(low < 0.026 && high.unwrap() > 0.034, "{figures:?}");
    }

    /// At 32 kbit/s an echo of 200 bytes takes 50 ms each way, and 301 of them 30 s.
    #[tokio::test]
    async fn a_link_with_a_rate_is_measured_as_often_as_its_echoes_fit_into_their_time() {
        let way = OneWay { rate: Some(Rate { kbit_s: 32, queue_bytes: 65_536 }), ..OneWay::default() };
        let network = line(Link { up: way.clone(), down: way, seed: 0 });
        let laid = Laid::lay(&network, 1).unwrap();
        let started = Instant::now();
        let figures = check_link(&network, &laid, Effort::Calibration).await.unwrap().unwrap();
        assert_eq!(figures.echoes_count, 10, "{figures:?}");
        assert!(figures.echo_p50.measured_s >= 0.1, "{figures:?}");
        assert!(started.elapsed() < CHECK_MAX, "{:?}", started.elapsed());
    }

    #[test]
    fn more_samples_are_taken_of_a_link_that_loses_packets() {
        let lossy = |ratio| {
            let way = OneWay { loss: Loss::Independent { ratio }, ..OneWay::default() };
            line(Link { up: way.clone(), down: way, seed: 0 })
        };
        let count = |ratio| Effort::Run.connects().over(&lossy(ratio)).count(100 * MS);
        assert_eq!([0.0, 0.02, 0.2].map(count), [5, 12, LOSSY_MAX]);
    }

    #[test]
    fn samples_are_as_many_as_fit_into_their_time() {
        let samples = Samples { least: 8, most: 60, budget: Duration::from_secs(1) };
        let counts = [Duration::ZERO, MS, 50 * MS, 2_000 * MS].map(|each| samples.count(each));
        assert_eq!(counts, [60, 60, 20, 8]);
    }
}
