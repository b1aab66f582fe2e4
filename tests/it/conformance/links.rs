//! Links: whatever a network does to the bytes of a subscriber, what it reads is the log, and both sides count the same.
//!
//! A seed draws a *fate*: a link and what becomes of it while lines are published. A failure names its seed, and
//! `WIRELAB_LINK_SEED=7 cargo test --test it -- links` has only that fate.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use wirelab_clients::delay_line::Line as DelayLine;
use wirelab_clients::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use wirelab_clients::harness::network::laid::Laid;
use wirelab_clients::link::{Jitter, Link, Loss, OneWay, Order, Rate};
use wirelab_clients::meter::Meter;
use wirelab_clients::route::Route;
use wirelab_clients::wire::{Position, Status, Transport};
use wirelab_clients::{HttpVersion, Options};

use super::{
    Counted, Kept, cuts_lose_and_repeat_nothing, follow_to_the_end, is_the_log, quick, subscriber_of,
};
use super::{server, x12_clients_and_server_count_the_same};
use crate::http::Api;
use crate::proxy::{Fault, Proxy};
use crate::server::Setup;
use wirelab::context::WebsocketEngine;

const MS: Duration = Duration::from_millis(1);
/// Fates that are tried each time, and as many new ones.
const SEEDS: u64 = 4;
/// Appends of a log, and the most lines of each.
const APPENDS: usize = 25;
const LINES_MAX: usize = 12;
/// What happens to a link while its log runs.
const EVENTS: usize = 4;
/// Variable that names the one seed to try.
const SEED_VARIABLE: &str = "WIRELAB_LINK_SEED";

/// A link, and what becomes of it.
#[derive(Debug)]
struct Fate {
    link: Link,
    events: Vec<(Duration, Event)>,
}

#[derive(Debug)]
enum Event {
    /// The subscriber's connections are cut.
    Cut,
    /// Bytes vanish for so long.
    Silence(Duration),
    /// The link becomes another one.
    Change(Box<Link>),
}

impl Fate {
    fn drawn(seed: u64) -> Self {
        let mut random = Pcg64::seed_from_u64(seed);
        let link = link(&mut random);
        let event = |_| {
            let pause = MS * random.random_range(5..80);
            let event = match random.random_range(0..3) {
                0 => Event::Cut,
                1 => Event::Silence(MS * random.random_range(1..60)),
                _ => Event::Change(Box::new(self::link(&mut random))),
            };
            (pause, event)
        };
        let events = (0..EVENTS).map(event).collect();
        Self { link, events }
    }

    /// A link that loses packets and lets them overtake each other. Only cuts happen to it besides.
    fn of_packets(seed: u64) -> Self {
        let Self { mut link, events } = Self::drawn(seed);
        let mut random = Pcg64::seed_from_u64(link.seed);
        for way in [&mut link.up, &mut link.down] {
            way.order = Order::Free;
            way.loss = match random.random_range(0..3) {
                0 => Loss::Independent { ratio: random.random_range(0.0..0.05) },
                1 => Loss::bursts(random.random_range(0.0..0.05), random.random_range(1.0..4.0)),
                _ => Loss::OnOff {
                    on: MS * random.random_range(50..500),
                    off: MS * random.random_range(1..50),
                },
            };
        }
        let events = events.into_iter().map(|(pause, _)| (pause, Event::Cut)).collect();
        Self { link, events }
    }
}

/// Draws a link that a delay line can make.
fn link(random: &mut Pcg64) -> Link {
    let (up, down) = (way(random), way(random));
    Link { up, down, seed: random.random() }
}

fn way(random: &mut Pcg64) -> OneWay {
    let delay = MS / 10 * random.random_range(0..150);
    let jitter = match random.random_range(0..3) {
        0 => Jitter::None,
        1 => Jitter::Uniform { within: delay.mul_f64(random.random()) },
        _ => Jitter::Normal { deviation: MS / 10 * random.random_range(0..50) },
    };
    let rate = random.random_bool(0.5).then(|| Rate {
        // Slow enough to queue, and fast enough for a poll every 5 ms.
        kbit_s: random.random_range(1_000..50_000),
        queue_bytes: random.random_range(1_500..30_000),
    });
    OneWay { delay, jitter, rate, ..OneWay::default() }
}

/// A subscriber's way to the server, whose link changes.
#[derive(Debug)]
struct Way {
    route: Route,
    /// The delay line on it. A link of packets is none, and stays as it is.
    line: Option<Arc<DelayLine>>,
}

impl Way {
    fn over_a_line(link: Link) -> Self {
        let line = DelayLine::new(link);
        Self { route: Route::Line(line.clone()), line: Some(line) }
    }

    fn suffers(&self, event: Event, meter: &Meter) {
        let line = || self.line.as_ref().expect("only a line has that fate");
        match event {
            Event::Cut => meter.cut(),
            Event::Silence(length) => line().fall_silent(length),
            Event::Change(link) => line().set(*link),
        }
    }
}

/// Returns how often the subscriber had to come back. It reaches at `over` the server that lines are published to.
async fn is_read_over(
    way: Way,
    events: Vec<(Duration, Event)>,
    seed: u64,
    options: &Options,
    transport: Transport,
    [api, over]: [&Api; 2],
) -> Result<u64, String> {
    let id = api.create().id;
    let meter = Meter::over(way.route.clone());
    let subscriber = subscriber_of(meter.clone(), options, transport, over, &id, Position::Start);
    let following = tokio::spawn(follow_to_the_end(subscriber));
    let suffering = async {
        for (pause, event) in events {
            sleep(pause).await;
            way.suffers(event, &meter);
        }
    };
    let publishing = async {
        let mut random = Pcg64::seed_from_u64(seed);
        let mut texts: Vec<String> = Vec::new();
        for _ in 0..APPENDS {
            sleep(MS * random.random_range(0..20)).await;
            let count = random.random_range(1..=LINES_MAX);
            let more: Vec<_> = (0..count).map(|i| format!("line {} – é", texts.len() + i)).collect();
            texts.extend(more.iter().cloned());
            let (api, id) = (api.clone(), id.clone());
            spawn_blocking(move || api.append(&id, &more)).await.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(texts)
    };
    let ((), texts) = tokio::join!(suffering, publishing);
    let (api, finished) = (api.clone(), id.clone());
    let end = spawn_blocking(move || api.finish(&finished, Status::Succeeded));
    end.await.map_err(|error| error.to_string())?;
    let lines = following.await.map_err(|error| error.to_string())??;
    is_the_log(&lines, &texts?, 0)?;
    Ok(meter.traffic().reconnects)
}

fn seeds() -> Vec<u64> {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => {
            vec![seed.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is {seed:?}, not a number"))]
        }
        Err(_) => (0..SEEDS).chain((0..SEEDS).map(|_| rand::random())).collect(),
    }
}

/// Tries every seed at once: most of each is waiting.
async fn every_fate(options: Options, transport: Transport, api: &Api) -> Kept {
    let seeds = seeds();
    let tried = seeds.iter().map(|&seed| {
        let options = options.clone();
        async move {
            let Fate { link, events } = Fate::drawn(seed);
            let way = Way::over_a_line(link);
            let read = is_read_over(way, events, seed, &options, transport, [api, api]).await;
            read.map_err(|why| format!("{SEED_VARIABLE}={seed}: {why}; {:?}", Fate::drawn(seed)))
        }
    });
    let came_back: u64 = futures_util::future::try_join_all(tried).await?.iter().sum();
    match came_back {
        0 if seeds.len() > 1 => Err("no fate made the subscriber come back".to_owned()),
        _ => Ok(()),
    }
}

pub(crate) async fn x6_whatever_a_link_does_the_log_is_read(transport: Transport, api: &Api) -> Kept {
    every_fate(quick(), transport, api).await
}

/// Packets need namespaces, which root on Linux may make; elsewhere the network must say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_link_of_packets_does_the_log_is_read() {
    if let Err(refused) = Laid::can_lay_tun() {
        assert!(
            refused.to_string().contains("run it as root on Linux, or use network = \"line\""),
            "{refused}"
        );
        return;
    }
    let mut setup = Setup::default();
    // The address of the server's end of every link of packets.
    setup.options.hosts = vec!["198.18.0.1".to_owned()];
    let server = setup.start();
    // Each makes namespaces and threads of its own: half as many as of delay lines.
    let tried = seeds().into_iter().step_by(2).map(|seed| {
        let api = Api::clone(&server);
        async move {
            let link = Fate::of_packets(seed).link;
            let network = Network { kind: NetworkKind::Tun, link, publisher: PublisherPlace::Beside };
            let laid = Laid::lay(&network, seed).unwrap();
            // The server stays in the tests' own network: a proxy stands for it at the end of the link.
            let proxy = Proxy::at(laid.listen_beside().unwrap(), &api, Fault::None);
            let over = proxy.api();
            let read = Transport::ALL.into_iter().map(|transport| {
                let way = Way { route: laid.subscribers.clone(), line: None };
                let (api, over, events) = (&api, &over, Fate::of_packets(seed).events);
                async move {
                    let read = is_read_over(way, events, seed, &quick(), transport, [api, over]).await;
                    read.map_err(|why| {
                        format!("{SEED_VARIABLE}={seed}: {transport}: {why}; {:?}", Fate::of_packets(seed))
                    })
                }
            });
            futures_util::future::try_join_all(read).await
        }
    });
    for came_back in futures_util::future::try_join_all(tried).await.unwrap() {
        assert!(came_back.iter().sum::<u64>() > 0, "no cut made a subscriber come back: {came_back:?}");
    }
}

/// Fewer than the thousand of X6: each costs a round trip.
const CUTS: usize = 60;

fn short_link() -> Link {
    let mut link = Link::distance(2 * MS);
    link.down.jitter = Jitter::Uniform { within: MS };
    link
}

pub(crate) async fn x6_cuts_over_a_delay_line_lose_and_repeat_nothing(
    transport: Transport,
    api: &Api,
) -> Kept {
    let route = Route::Line(DelayLine::new(short_link()));
    cuts_lose_and_repeat_nothing(&quick(), route, transport, api, CUTS).await
}

pub(crate) async fn x12_both_sides_of_a_delay_line_count_the_same(
    transport: Transport,
    counted: &Counted,
) -> Kept {
    x12_clients_and_server_count_the_same(transport, counted).await
}

/// What subscribers and server count over a delay line.
pub(crate) fn counted_over_a_line(engine: WebsocketEngine, options: Options) -> Counted {
    Counted::of(Setup::driven_by(engine), options).behind(Route::Line(DelayLine::new(short_link())))
}

/// One test per promise and transport that HTTP/2 carries.
macro_rules! over_http_2 {
    ($($test:ident $transport:ident),+) => {
        mod over_http_2 {
            use super::*;
            $(mod $test {
                use super::*;

                fn options() -> Options {
                    Options { http: HttpVersion::Http2, ..quick() }
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
                async fn whatever_a_link_does_the_log_is_read() {
                    let server = server(WebsocketEngine::Cursor);
                    every_fate(options(), Transport::$transport, &server).await.unwrap();
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
                async fn both_sides_of_a_delay_line_count_the_same() {
                    let counted = counted_over_a_line(WebsocketEngine::Cursor, options());
                    x12_both_sides_of_a_delay_line_count_the_same(Transport::$transport, &counted).await.unwrap();
                }
            })+
        }
    };
}

over_http_2! { short_poll ShortPoll, long_poll LongPoll, sse Sse, ndjson Ndjson }

#[test]
fn equal_seeds_draw_equal_fates_and_different_ones_differ() {
    let drawn = |seed| format!("{:?}", Fate::drawn(seed));
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
}
