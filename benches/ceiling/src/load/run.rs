//! One run: subscribers, a publisher, one thread, one selector. main.rs calls it. Every wait has an end.

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use crate::cpu;
use crate::publisher::{Form, Publisher};
use crate::subscriber::{Asking, Subscriber, Wire};

/// Events of one turn of the loop.
const EVENTS: usize = 1024;
/// What is read at once. A stream that is behind is read in few calls, as fast clients do.
const READ_BYTES: usize = 256 << 10;
/// Longest time for all subscribers to be let in.
const OPENING_MAX: Duration = Duration::from_secs(60);
/// Subscribers that ask before the others do: fewer than servers let wait to be accepted, beyond which each waits a second.
const OPENED_AT_ONCE: usize = 250;
/// Time that so many held polls are given to reach the server, which says nothing then.
const POLLS_SETTLE: Duration = Duration::from_millis(100);
/// From the last subscriber to the first line.
const HEAD_START: Duration = Duration::from_millis(50);
/// Longest sleep, so that the end is not missed.
const TURN_MAX: Duration = Duration::from_millis(50);
/// Between two looks at what is due, while there is always something to read.
const SEND_EVERY: Duration = Duration::from_millis(1);
/// Longest latency that is told apart, in µs.
const LATENCY_US_MAX: u64 = 60_000_000;
const LATENCY_DIGITS: u8 = 2;

/// What is asked of a run.
pub(crate) struct Wanted {
    pub(crate) address: SocketAddr,
    pub(crate) subscribers: usize,
    pub(crate) asking: Asking,
    pub(crate) form: Form,
    pub(crate) rate_hz: f64,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// Longest wait for the last lines.
    pub(crate) drain: Duration,
    /// Processes of the server.
    pub(crate) server: Vec<u32>,
}

/// What a run saw.
#[derive(Serialize)]
pub(crate) struct Outcome {
    subscribers: usize,
    rate_hz: f64,
    /// Lines that were due.
    due: u64,
    /// Lines that the server acknowledged.
    acknowledged: u64,
    /// Lines that did not come, over all subscribers, until the end of the drain.
    lost: u64,
    duplicated: u64,
    /// Deliveries after the warm-up, and the time they took.
    deliveries: u64,
    window_s: f64,
    /// From the intended time of the line.
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Answers to polls in the window.
    answers: u64,
    server_cpu_s: f64,
    client_cpu_s: f64,
}

/// Lets all subscribers in.
pub(crate) struct Crowd {
    poll: Poll,
    subscribers: Vec<Subscriber>,
    buffer: Vec<u8>,
}

impl Crowd {
    pub(crate) fn open(address: SocketAddr, count: usize, asking: &Asking) -> Result<Self, Box<dyn Error>> {
        let crowd = Self { poll: Poll::new()?, subscribers: Vec::new(), buffer: vec![0; READ_BYTES] };
        crowd.filled(address, count, asking)
    }

    fn filled(mut self, address: SocketAddr, count: usize, asking: &Asking) -> Result<Self, Box<dyn Error>> {
        let until = Instant::now() + OPENING_MAX;
        while self.subscribers.len() < count {
            for _ in 0..OPENED_AT_ONCE.min(count - self.subscribers.len()) {
                let mut socket = connect(address)?;
                let token = Token(self.subscribers.len());
                self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
                let mut subscriber = Subscriber::new(socket);
                subscriber.ask(asking)?;
                self.subscribers.push(subscriber);
            }
            self.settle(asking, until)?;
        }
        Ok(self)
    }

    /// Waits until the server has let in who asked so far. It says nothing to a held poll: that one is given time.
    fn settle(&mut self, asking: &Asking, until: Instant) -> Result<(), Box<dyn Error>> {
        let until = match asking.wire {
            Wire::LongPoll => until.min(Instant::now() + POLLS_SETTLE),
            Wire::Stream | Wire::Websocket => until,
        };
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let waiting = self.subscribers.iter().filter(|subscriber| !subscriber.is_open).count();
            if waiting == 0 || Instant::now() >= until {
                return match asking.wire {
                    Wire::Stream | Wire::Websocket if waiting > 0 => {
                        Err(format!("{waiting} subscribers were not let in within {OPENING_MAX:?}").into())
                    }
                    Wire::Stream | Wire::Websocket | Wire::LongPoll => Ok(()),
                };
            }
            turn(&mut self.poll, &mut events, until.saturating_duration_since(Instant::now()))?;
            for event in &events {
                self.subscribers[event.token().0].read(asking, &mut self.buffer, |_| {})?;
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let socket = std::net::TcpStream::connect(address)
        .map_err(|error| format!("{address}: {error}; is the server there, and is ulimit -n high enough?"))?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket))
}

fn turn(poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<(), Box<dyn Error>> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        done => Ok(done?),
    }
}

/// Latencies of the lines after the warm-up.
struct Latencies {
    start: Instant,
    interval_ns: f64,
    /// Lines up to this number are not measured.
    warm_up: u64,
    histogram: Histogram<u64>,
}

impl Latencies {
    fn record(&mut self, numbers: std::ops::Range<u64>, now: Instant) {
        let now_ns = now.saturating_duration_since(self.start).as_nanos() as f64;
        for number in numbers.start.max(self.warm_up + 1)..numbers.end {
            let late_ns = now_ns - (number - 1) as f64 * self.interval_ns;
            // Negative by a rounding at most: no line comes before it was sent.
            self.histogram.saturating_record((late_ns / 1e3).max(1.0) as u64);
        }
    }
}

pub(crate) fn run(wanted: Wanted) -> Result<Outcome, Box<dyn Error>> {
    let Wanted { address, subscribers: count, asking, form, rate_hz, warm_up, duration, drain, server } =
        wanted;
    let Crowd { mut poll, mut subscribers, mut buffer } = Crowd::open(address, count, &asking)?;
    let mut socket = connect(address)?;
    poll.registry().register(&mut socket, Token(count), Interest::READABLE | Interest::WRITABLE)?;

    let interval = Duration::from_secs_f64(1.0 / rate_hz);
    let lines = |time: Duration| (time.as_secs_f64() * rate_hz).round() as u64;
    let total = lines(warm_up + duration).max(1);
    let start = Instant::now() + HEAD_START;
    let mut publisher = Publisher::new(socket, form, start, interval, total);
    let mut latencies = Latencies {
        start,
        interval_ns: interval.as_secs_f64() * 1e9,
        warm_up: lines(warm_up),
        histogram: Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS)?,
    };
    let mut events = Events::with_capacity(EVENTS);
    let mut window: Option<Mark> = None;
    let end = start + warm_up + duration + drain;
    let mut sent_at = Instant::now();
    let mut whole = 0;
    loop {
        let now = Instant::now();
        if now >= end || (whole == count && publisher.answered() == total) {
            break;
        }
        if window.is_none() && now >= start + warm_up {
            window = Some(Mark::now(&server, &subscribers)?);
        }
        publisher.send(now)?;
        let due = publisher.next_due().map(|due| due.saturating_duration_since(now));
        turn(&mut poll, &mut events, due.map_or(TURN_MAX, |due| due.min(TURN_MAX)))?;
        for event in &events {
            let Token(index) = event.token();
            let now = Instant::now();
            if now - sent_at > SEND_EVERY {
                sent_at = now;
                publisher.send(now)?;
            }
            match subscribers.get_mut(index) {
                Some(subscriber) => {
                    let was_whole = subscriber.seen.is_whole(total);
                    subscriber.read(&asking, &mut buffer, |numbers| {
                        latencies.record(numbers, Instant::now());
                    })?;
                    whole += usize::from(!was_whole && subscriber.seen.is_whole(total));
                }
                None => publisher.read(&mut buffer)?,
            }
        }
    }
    let begin = window.ok_or("the run ended before its warm-up")?;
    let end = Mark::now(&server, &subscribers)?;
    let histogram = latencies.histogram;
    let ms = |us: u64| us as f64 / 1e3;
    Ok(Outcome {
        subscribers: count,
        rate_hz,
        due: total,
        acknowledged: publisher.answered(),
        lost: subscribers.iter().map(|subscriber| subscriber.seen.lost(total)).sum(),
        duplicated: subscribers.iter().map(|subscriber| subscriber.seen.duplicated()).sum(),
        deliveries: histogram.len(),
        window_s: (end.at - begin.at).as_secs_f64(),
        p50_ms: ms(histogram.value_at_quantile(0.5)),
        p99_ms: ms(histogram.value_at_quantile(0.99)),
        max_ms: ms(histogram.max()),
        answers: end.answers - begin.answers,
        server_cpu_s: (end.server - begin.server).as_secs_f64(),
        client_cpu_s: (end.client - begin.client).as_secs_f64(),
    })
}

/// An end of the window.
struct Mark {
    at: Instant,
    answers: u64,
    server: Duration,
    client: Duration,
}

impl Mark {
    fn now(server: &[u32], subscribers: &[Subscriber]) -> Result<Self, String> {
        Ok(Self {
            at: Instant::now(),
            answers: subscribers.iter().map(|subscriber| subscriber.answers).sum(),
            server: cpu::of_all(server)?,
            client: cpu::of(process::id())?,
        })
    }
}
