//! X12: what the clients counted is what the server counted, exactly, once all connections are closed; and what the
//! kernel counted.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use wirelab_clients::meter::Meter;
use wirelab_clients::route::Route;
use wirelab_clients::traffic::{Packets, Traffic};
use wirelab_clients::wire::{Cursor, DeploymentId, Position, Status, Transport, Wire};
use wirelab_clients::{HttpVersion, Options, Polling, SubscribeError, Subscriber, Target, connect};

use super::Kept;
use crate::http::{Api, SOON};
use crate::proxy::{Fault, Proxy};
use crate::server::{Server, Setup, holds_within};

/// Few, so that a test can take all of them.
const CONNECTIONS_MAX: usize = 32;
/// Threads of the server.
const WORKERS: usize = 2;
/// More than one batch.
const LINES: usize = 600;
/// Answers without news that a poller must have got before there is some.
const EMPTY_ANSWERS: u64 = 3;

/// A server, and the way on which subscribers reach it.
pub(crate) struct Counted {
    server: Server,
    way: Api,
    route: Route,
    options: Options,
}

impl Counted {
    pub(crate) fn directly() -> Self {
        Self::of(Setup::default(), Options::default())
    }

    /// Such a server, and subscribers that ask like this, only quicker.
    pub(super) fn of(mut setup: Setup, options: Options) -> Self {
        setup.options.connections_max = CONNECTIONS_MAX;
        setup.options.workers = WORKERS;
        let server = setup.start();
        let way = Api::clone(&server);
        let options = Options {
            polling: Polling { interval: Duration::from_millis(5), ..options.polling },
            hold: Duration::from_millis(20),
            reconnect_max: Duration::from_secs(1),
            ..options
        };
        Self { server, way, route: Route::Direct, options }
    }

    /// Subscribers whose connections take this route.
    pub(super) fn behind(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// A way that makes the two sides see different things.
    pub(crate) fn over(fault: Fault) -> Self {
        let direct = Self::directly();
        Self { way: Proxy::start(&direct.server, fault).api(), ..direct }
    }

    fn count(&self, name: &str) -> u64 {
        self.server.metric(name).cast_unsigned()
    }

    fn subscriber(&self, transport: Transport, id: &DeploymentId, from: Position) -> Metered {
        let server = format!("http://{}", self.way.authority).parse().expect("an authority makes a URL");
        let meter = Meter::over(self.route.clone());
        let target = Target { server, deployment: id.clone(), from };
        Metered { subscriber: connect(transport, target, &self.options, meter.clone()), meter, lines: 0 }
    }
}

/// A subscriber and what it counted.
struct Metered {
    subscriber: Box<dyn Subscriber>,
    meter: Arc<Meter>,
    lines: u64,
}

impl Metered {
    /// Follows to the end, or to what it is refused with.
    async fn follow(&mut self) -> Result<(), String> {
        let followed = timeout(SOON, async {
            loop {
                match self.subscriber.next_batch().await {
                    Ok(received) => {
                        self.lines += received.batch.lines.len() as u64;
                        if received.batch.finished {
                            return Ok(());
                        }
                    }
                    Err(SubscribeError::Gap(_) | SubscribeError::Refused { status: 404, .. }) => {
                        return Ok(());
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
        });
        followed.await.unwrap_or_else(|_| Err(format!("no end within {SOON:?}")))
    }
}

pub(crate) async fn x12_clients_and_server_count_the_same(transport: Transport, counted: &Counted) -> Kept {
    let api = &counted.server;
    let finished = api.create().id;
    let texts: Vec<_> = (0..LINES).map(|number| format!("line {number} – é")).collect();
    let last = api.append(&finished, &texts).cursor;
    api.finish(&finished, Status::Succeeded);
    let unknown = "01k3aaaaaaaa".parse().expect("a well-formed id");
    let beyond = Cursor { after: last.after + 1, ..last.clone() };

    let mut all = Vec::new();
    // Several batches; nothing left; a start at the end; 410; 404.
    for (id, from) in [
        (&finished, Position::Start),
        (&finished, Position::After(last)),
        (&finished, Position::Now),
        (&finished, Position::After(beyond)),
        (&unknown, Position::Start),
    ] {
        let mut subscriber = counted.subscriber(transport, id, from);
        subscriber.follow().await?;
        all.push(subscriber);
    }
    all.push(waits_for_news(transport, counted).await?);
    all.push(comes_back(transport, counted, &finished).await?);

    let lines: u64 = all.iter().map(|subscriber| subscriber.lines).sum();
    let meters: Vec<_> = all.iter().map(|subscriber| subscriber.meter.clone()).collect();
    drop(all);
    // What was still in a delay line has left it, or never will.
    let of_clients: Traffic = meters.iter().map(|meter| meter.traffic()).sum();
    kernel_agrees(&meters, of_clients)?;
    let open = format!("wirelab_connections{{transport=\"{transport}\"}}");
    let closed = async {
        while counted.count(&open) > 0 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, closed).await.map_err(|_| "the server never closes its connections".to_owned())?;
    counted.agrees(transport, of_clients, lines)
}

/// The bytes of every socket, by TCP_INFO when it was closed, however that was. Nothing to compare where there is none.
fn kernel_agrees(meters: &[Arc<Meter>], counted: Traffic) -> Kept {
    let packets: Option<Packets> =
        meters.iter().try_fold(Packets::default(), |sum, meter| Some(sum + meter.packets()?));
    let open: u64 = meters.iter().map(|meter| meter.connections_open()).sum();
    match packets {
        None if !cfg!(target_os = "linux") => Ok(()),
        Some(packets)
            if (packets.bytes_up, packets.bytes_down) == (counted.up_bytes, counted.down_bytes)
                && open == 0 =>
        {
            Ok(())
        }
        packets => Err(format!("clients counted {counted:?}, the kernel {packets:?}; {open} are open")),
    }
}

/// Polls get 304 or 204 meanwhile; streams are silent. Then some lines come one by one, and the end.
async fn waits_for_news(transport: Transport, counted: &Counted) -> Result<Metered, String> {
    let api = &counted.server;
    let id = api.create().id;
    let mut subscriber = counted.subscriber(transport, &id, Position::Now);
    let meter = subscriber.meter.clone();
    let following = tokio::spawn(async move { subscriber.follow().await.map(|()| subscriber) });
    let waits = || match transport.wire() {
        Wire::ShortPoll => meter.traffic().requests.empty >= EMPTY_ANSWERS,
        Wire::LongPoll => meter.traffic().requests.timeout >= EMPTY_ANSWERS,
        Wire::Sse | Wire::Ndjson | Wire::Websocket => api.waiters(transport) == 1,
    };
    let news = async {
        while !waits() {
            sleep(Duration::from_millis(2)).await;
        }
        for text in ["one", "two", "three"] {
            api.append(&id, &[text]);
        }
        api.finish(&id, Status::Failed);
    };
    timeout(SOON, news).await.map_err(|_| "nobody waits for news".to_owned())?;
    following.await.map_err(|error| error.to_string())?
}

/// Refused by a server that is full, and served on a later connection.
async fn comes_back(transport: Transport, counted: &Counted, id: &DeploymentId) -> Result<Metered, String> {
    let api = &counted.server;
    let crowd = (0..CONNECTIONS_MAX).map(|_| TcpStream::connect(&api.authority));
    let crowd = crowd.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    // Connections go to the workers in turn: when each has refused one, each has seen all that came before.
    let is_full = || (0..2 * WORKERS).all(|_| api.get("/healthz").status == 503);
    if !holds_within(SOON, is_full) {
        return Err(format!("{CONNECTIONS_MAX} connections do not fill the server"));
    }
    let mut subscriber = counted.subscriber(transport, id, Position::Start);
    let meter = subscriber.meter.clone();
    let following = tokio::spawn(async move { subscriber.follow().await.map(|()| subscriber) });
    let refused = async {
        while meter.traffic().requests.refused == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, refused).await.map_err(|_| "a full server refuses nobody".to_owned())?;
    drop(crowd);
    let subscriber = following.await.map_err(|error| error.to_string())??;
    match subscriber.meter.traffic().reconnects {
        0 => Err("it was served on the connection that was refused".to_owned()),
        _ => Ok(subscriber),
    }
}

impl Counted {
    /// Bytes that one side may have said on the refused connection after the other had stopped listening.
    fn goodbye_bytes_max(&self) -> u64 {
        match self.options.http {
            HttpVersion::Http1 => 0,
            // GOAWAY twice, or PING and its answer: 9 bytes of frame head and 8 of body each.
            HttpVersion::Http2 => 2 * 17,
        }
    }

    fn agrees(&self, transport: Transport, clients: Traffic, lines: u64) -> Kept {
        let requests = |outcome| {
            self.count(&format!("wirelab_requests_total{{transport=\"{transport}\",outcome=\"{outcome}\"}}"))
        };
        let of_transport = |name| self.count(&format!("{name}{{transport=\"{transport}\"}}"));
        let bytes = |direction| {
            let labels = format!("transport=\"{transport}\",direction=\"{direction}\"");
            self.count(&format!("wirelab_bytes_total{{{labels}}}"))
        };
        let counts = [
            ("requests with data", clients.requests.data, requests("data")),
            ("empty answers", clients.requests.empty, requests("empty")),
            ("expired holds", clients.requests.timeout, requests("timeout")),
            ("refused requests", clients.requests.refused, requests("refused")),
            ("requests that failed", clients.requests.error, requests("error")),
            ("connections", clients.connections_opened, of_transport("wirelab_connections_opened_total")),
            ("bytes up", clients.up_bytes, bytes("up")),
            ("bytes down", clients.down_bytes, bytes("down")),
            ("lines", lines, of_transport("wirelab_lines_delivered_total")),
        ];
        let differ = counts.iter().filter(|(what, client, server)| {
            let most = if what.starts_with("bytes") { self.goodbye_bytes_max() } else { 0 };
            client.abs_diff(*server) > most
        });
        let differ: Vec<_> = differ
            .map(|(what, clients, server)| format!("{what}: the clients {clients}, the server {server}"))
            .collect();
        if differ.is_empty() { Ok(()) } else { Err(differ.join("; ")) }
    }
}
