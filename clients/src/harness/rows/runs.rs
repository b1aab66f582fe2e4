//! `runs.csv`: one row per run.
//!
//! A new column goes last, with its unit as suffix and in brackets, its definition as doc comment, and its value; then
//! [`SCHEMA_VERSION`] is raised.

use std::time::Duration;

use super::{Field, Kind, SCHEMA_VERSION, row};
use crate::harness::cell::tls::trusted;
use crate::harness::cell::{ServeOptions, Server, Tls};
use crate::harness::distributions::{
    delivery_quantile_us, mean_us, published_quantile_us, sampled_quantile_us,
};
use crate::harness::network::emulated::NetworkKind;
use crate::harness::run_result::{RunResult, Verdict};
use crate::link::Link;
use crate::options::{Condition, PollConnections, Polling};
use crate::traffic::Traffic;
use crate::wire::{Transport, Waits};

row! {
    /// One row of `runs.csv`: a run, its factors and what was measured.
    RunRow of "runs.csv" from RunResult {
        /// Version of the files in this folder; `report` and `compare` read this version only.
        schema_version: u32 [""] = |_| SCHEMA_VERSION;
        /// Name of the plan.
        plan: String [""] = |run| run.plan.clone();
        /// Name of the run, unique in its plan.
        run_id: String [""] = |run| run.cell.run_id.clone();
        /// Number of the block, from 1: a round in which every cell of the plan is run once.
        block: u32 [""] = |run| run.cell.block;
        /// Place of the run within its block, from 1.
        position: u32 [""] = |run| run.cell.position;
        /// Number of the run among runs of the same factors, from 1.
        repetition: u32 [""] = |run| run.cell.repetition;
        /// Seed of the run: equal seeds give equal schedules.
        seed: u64 [""] = |run| run.cell.seed;
        /// Transport by which lines reached the subscribers.
        transport: Transport [""] = |run| run.cell.transport;
        /// The arm: a named variant of the plan. Where the plan measures other servers too, the server comes first:
        /// `wirelab`, a profile, or `url-1` for a server that was already running.
        arm: String [""] = |run| run.cell.arm.clone().unwrap_or_default();
        /// Whether the run repeats another cell of its block, to show how far equal runs differ: `true` or `false`.
        is_aa: Twin [""] = |run| Twin::of(run.cell.is_aa);
        /// `ok`; `unresolved`: usable, but not for small differences, for the reasons that `verdict_reasons` names;
        /// or `invalid`: do not use the run.
        verdict: Verdict [""] = |run| run.verdict;
        /// Reasons for a verdict that is not `ok`, and defects of warm-up lines; separated by semicolons.
        verdict_reasons: Vec<String> [""] = |run| run.verdict_reasons.clone();
        /// Number of measured subscribers, each with its own connection.
        subscribers_count: u64 ["count"] = |run| run.cell.subscribers_total().into();
        /// Number of deployments (logs) measured at the same time, each followed by an equal share of the
        /// subscribers.
        deployments_count: u64 ["count"] = |run| run.cell.deployments.into();
        /// Lines per second and deployment; empty for a replay.
        line_rate_hz: Option<f64> ["1/s"] = |run| run.cell.lines.generated().and_then(|lines| number(lines.rate_hz));
        /// How lines are timed: `replay` of a recording, `periodic` or `poisson`.
        line_process: String [""] = |run| run.cell.lines.name().to_owned();
        /// Bytes of text in one line; empty for a replay.
        payload_bytes: Option<u64> ["bytes"] =
            |run| run.cell.lines.generated().and_then(|lines| count(lines.payload_bytes as u64));
        /// Time between two requests of a short poll; empty for other transports.
        poll_interval_ms: Option<f64> ["ms"] = |run| short_poll(run, |polling| ms(polling.interval));
        /// How a short poll is timed: at `fixed` times, or after a `pause` behind each answer; empty for other
        /// transports.
        poll_schedule: Option<String> [""] = |run| short_poll(run, |polling| text(polling.schedule));
        /// When the first request of each short poll comes: at a `random` part of the interval, or `aligned` for all
        /// subscribers; empty for other transports.
        poll_phase: Option<String> [""] = |run| short_poll(run, |polling| text(polling.phase));
        /// Whether short polls send If-None-Match: `true` or `false`; empty for other transports.
        conditional: Option<bool> [""] =
            |run| short_poll(run, |polling| Some(polling.condition == Condition::IfNoneMatch));
        /// Longest time for which the server may hold a long poll; empty for other transports and for servers with a
        /// profile.
        hold_ms: Option<f64> ["ms"] = |run| {
            // How long another server holds is its own business.
            let ours = !matches!(run.cell.server, Server::Profile(_));
            if ours && run.cell.transport.waits() == Waits::ServerOnce { ms(run.cell.options.hold) } else { None }
        };
        /// Time for which wirelab's own server collects lines before it answers; empty for other servers.
        linger_ms: Option<f64> ["ms"] = |run| ours(run, |serve| ms(serve.linger));
        /// Version of HTTP: `1.1` or `2`.
        http_version: String [""] = |run| run.cell.options.http.to_string();
        /// Whether polls reuse their connection: `true` or `false`; empty for streams.
        keep_alive: Option<bool> [""] =
            |run| polls(run).then(|| Some(run.cell.options.connections == PollConnections::KeepAlive)).flatten();
        /// Compression that the clients asked for and the server offered: `identity`, `gzip` for bodies of HTTP, or
        /// for messages of a WebSocket `deflate`, where one may refer to earlier ones, or `deflate-no-context-takeover`.
        compression: String [""] = |run| run.cell.options.compression.to_string();
        /// Silence after which wirelab's own server sends a sign of life on a stream; empty for polls and other
        /// servers.
        heartbeat_ms: Option<f64> ["ms"] =
            |run| if polls(run) { None } else { ours(run, |serve| ms(serve.heartbeat)) };
        /// Where wirelab's own server keeps its logs: `memory` or `disk`; empty for other servers.
        store: Option<String> [""] = |run| ours(run, |serve| text(serve.store));
        /// What makes the link between subscribers and server: `line`, a delay line in each subscriber's socket, or
        /// `tun`, packets between two network namespaces; empty for the machine's own network.
        network: Option<String> [""] = |run| link(run, |_| text(run.cell.network.kind));
        /// Round-trip time of the link, without jitter and queues; empty without a link.
        rtt_ms: Option<f64> ["ms"] = |run| link(run, |link| ms(link.round_trip()));
        /// Jitter of the link, the larger one of both directions: the largest difference from the delay if it is
        /// uniform, the standard deviation if it is normal; empty without a link.
        jitter_ms: Option<f64> ["ms"] = |run| link(run, |link| ms(link.up.jitter.size().max(link.down.jitter.size())));
        /// Share of packets that the link drops in the long run, the larger one of both directions, without those
        /// that a full queue drops; empty without a link.
        loss_ratio: Option<f64> ["ratio"] = |run| link(run, |link| number(link.up.loss.ratio().max(link.down.loss.ratio())));
        /// Rate of the link, the smaller one of both directions; empty where it has none.
        link_kbit_s: Option<f64> ["kbit/s"] = |run| link(run, |link| {
            let rates = [&link.up, &link.down].into_iter().filter_map(|way| way.rate);
            rates.map(|rate| rate.kbit_s as f64).min_by(f64::total_cmp)
        });
        /// Name of the injected fault: `cut` of every subscriber's connection, or `stop` of the server's process;
        /// empty without a fault.
        fault: Option<String> [""] = |run| text(run.cell.fault.as_ref()?.name());
        /// Length of the cohort (the measured lines): from the end of the warm-up to the end of the schedule.
        measured_s: f64 ["s"] = |run| run.measured.as_secs_f64();
        /// Lines of the cohort (due after the warm-up) that the server acknowledged.
        published_count: u64 ["count"] = |run| run.published_count;
        /// Lines of the cohort that reached at least one subscriber: the n of every quantile.
        distinct_lines_count: u64 ["count"] = |run| run.delivery.distinct_lines_count();
        /// Lines of the cohort × subscribers; equals delivered + lost + censored.
        expected_count: u64 ["count"] = |run| run.delivery.cohort.expected;
        /// Lines of the cohort × subscribers that arrived at least once.
        delivered_count: u64 ["count"] = |run| run.delivery.cohort.delivered;
        /// Lines of the cohort × subscribers that never arrived although the subscriber's cursor passed them.
        lost_count: u64 ["count"] = |run| run.delivery.cohort.lost;
        /// Lines of the cohort × subscribers that lay beyond the subscriber's cursor when the drain ended: late or
        /// lost, which is not known.
        censored_count: u64 ["count"] = |run| run.delivery.cohort.censored;
        /// Receipts of a cohort line by one subscriber after its first.
        duplicated_count: u64 ["count"] = |run| run.delivery.cohort.duplicated;
        /// First receipts of a cohort line that came after a line with a larger seq.
        out_of_order_count: u64 ["count"] = |run| run.delivery.cohort.out_of_order;
        /// Requests of all subscribers over the whole run, whatever their outcome.
        requests_count: u64 ["count"] = |run| run.traffic.requests.total();
        /// Requests answered with at least one line, and streams that opened.
        requests_data_count: u64 ["count"] = |run| run.traffic.requests.data;
        /// Requests answered with nothing new: 200 without lines, 304, or 204 of a finished stream.
        requests_empty_count: u64 ["count"] = |run| run.traffic.requests.empty;
        /// Long polls whose hold expired.
        requests_timeout_count: u64 ["count"] = |run| run.traffic.requests.timeout;
        /// Requests answered with 4xx or 503.
        requests_refused_count: u64 ["count"] = |run| run.traffic.requests.refused;
        /// Requests answered with another 5xx, or cut.
        requests_error_count: u64 ["count"] = |run| run.traffic.requests.error;
        /// Requests per line delivered to one subscriber, both counted while the cohort was published: connecting,
        /// settling and draining are outside. 0 for a stream that was open before.
        requests_per_line_ratio: Option<f64> ["ratio"] = |run| {
                let steady = run.steady();
                ratio(steady.traffic.requests.total() as f64, steady.delivered_count as f64)
            };
        /// Share of empty requests among all requests while the cohort was published; empty where no request was
        /// made.
        empty_ratio: Option<f64> ["ratio"] = |run| {
                let requests = run.steady().traffic.requests;
                ratio(requests.empty as f64, requests.total() as f64)
            };
        /// TCP connections that the subscribers opened.
        connections_opened_count: u64 ["count"] = |run| run.traffic.connections_opened;
        /// Connections that were opened because an earlier one ended before the log did.
        reconnects_count: u64 ["count"] = |run| run.traffic.reconnects;
        /// Mean delivery latency (receipt − due time) over subscribers and lines of the cohort; empty where lines are
        /// missing.
        delivery_latency_us_mean: Option<f64> ["µs"] = |run| number(mean_us(run, &run.delivery.latency)?);
        /// Median of the delivery latency (receipt − due time); empty with too few distinct lines.
        delivery_latency_us_p50: Option<u64> ["µs"] = |run| delivery_us(run, 0.5);
        /// Quantile 0.9 of the delivery latency (receipt − due time); empty with too few distinct lines.
        delivery_latency_us_p90: Option<u64> ["µs"] = |run| delivery_us(run, 0.9);
        /// Quantile 0.99 of the delivery latency (receipt − due time); empty with too few distinct lines.
        delivery_latency_us_p99: Option<u64> ["µs"] = |run| delivery_us(run, 0.99);
        /// Quantile 0.999 of the delivery latency (receipt − due time); empty with too few distinct lines.
        delivery_latency_us_p999: Option<u64> ["µs"] = |run| delivery_us(run, 0.999);
        /// Largest delivery latency (receipt − due time).
        delivery_latency_us_max: Option<u64> ["µs"] = |run| delivery_us(run, 1.0);
        /// Age of information: now − due time of the newest line that a subscriber has, averaged over the cohort's
        /// time. Without a line, the age counts from the first due time.
        staleness_ms_mean: Option<f64> ["ms"] = |run| ms(run.staleness?.mean);
        /// Largest age of information of any subscriber.
        staleness_ms_max: Option<f64> ["ms"] = |run| ms(run.staleness?.max);
        /// Median over subscribers of the time from connect to first line. For a subscriber that connected before the
        /// first due time, it counts from that time.
        first_line_ms_p50: Option<f64> ["ms"] = |run| number(sampled_quantile_us(&run.first_line, 0.5)? as f64 / 1e3);
        /// Median over lines of last − first receipt among the subscribers that got the line; empty with one
        /// subscriber.
        fanout_skew_us_p50: Option<u64> ["µs"] = |run| count(sampled_quantile_us(&run.fanout_skew, 0.5)?);
        /// Time from the end of the fault until staleness is back at its p99 before the fault; not measured yet.
        recovery_ms: Option<f64> ["ms"] = |_| None;
        /// Time from the start of the fault until the client notices; not measured yet.
        detect_ms: Option<f64> ["ms"] = |_| None;
        /// Bytes of line text in the receipts of the cohort's window, repeated lines included. The window runs from the
        /// first due time of the cohort until the last line was sent; the bytes of every layer are those of the window.
        app_bytes: Option<u64> ["bytes"] = |run| count(run.steady().app_bytes);
        /// Bytes written to the subscribers' sockets in the cohort's window: requests and client frames.
        l7_up_bytes: u64 ["bytes"] = |run| run.steady().traffic.up_bytes;
        /// Bytes read from the subscribers' sockets in the cohort's window: heads, framing and lines.
        l7_down_bytes: u64 ["bytes"] = |run| run.steady().traffic.down_bytes;
        /// Bytes of IP packets sent by the subscribers in the cohort's window: `l7_up_bytes` as the kernel sent them,
        /// repeated ones included, + 52 per segment (IPv4, TCP and timestamps) + 8 more per SYN.
        ip_up_bytes: Option<u64> ["bytes"] = |run| count(run.steady().ip?.up_bytes);
        /// Bytes of IP packets received by the subscribers in the cohort's window: `l7_down_bytes`, and what arrived but
        /// was never read, + 52 per segment + 8 more per SYN. Bytes that the server sent twice count once.
        ip_down_bytes: Option<u64> ["bytes"] = |run| count(run.steady().ip?.down_bytes);
        /// Bytes of Ethernet frames sent by the subscribers in the cohort's window: `ip_up_bytes` + 14 per segment.
        wire_up_bytes: Option<u64> ["bytes"] = |run| count(run.steady().ip?.wire_up_bytes());
        /// Bytes of Ethernet frames received by the subscribers in the cohort's window: `ip_down_bytes` + 14 per
        /// segment.
        wire_down_bytes: Option<u64> ["bytes"] = |run| count(run.steady().ip?.wire_down_bytes());
        /// TCP segments sent by the subscribers in the cohort's window, by TCP_INFO. On loopback one segment may carry
        /// 32 768 bytes and more, while a link carries 1 448.
        segments_up_count: Option<u64> ["count"] = |run| count(run.steady().ip?.segments_up);
        /// TCP segments received by the subscribers in the cohort's window, by TCP_INFO. On loopback one segment may
        /// carry 32 768 bytes and more, while a link carries 1 448.
        segments_down_count: Option<u64> ["count"] = |run| count(run.steady().ip?.segments_down);
        /// TCP segments that the subscribers sent again in the cohort's window.
        retransmits_count: Option<u64> ["count"] = |run| count(run.steady().ip?.retransmits);
        /// Bytes of Ethernet frames, up and down, per line delivered to one subscriber, in the cohort's window. On
        /// loopback too few segments are counted as soon as answers exceed 1 448 bytes.
        wire_per_line_bytes: Option<f64> ["bytes"] = |run| per_line(run, run.steady().wire_bytes());
        /// CPU time of the server over the whole run: all threads, user and system.
        server_cpu_us: Option<u64> ["µs"] = |run| us(run.server.cpu);
        /// Server CPU time per line delivered to one subscriber, over the whole run.
        server_cpu_per_line_us: Option<f64> ["µs"] = |run| ratio(run.server.cpu?.as_secs_f64() * 1e6, delivered(run));
        /// Time for which threads of the server were ready but had no CPU: a sign of saturation. Empty where threads
        /// that ended during the run did more than 2 ms and 2 % of the work: their counts end with them.
        server_run_delay_us: Option<u64> ["µs"] = |run| us(run.server.run_delay);
        /// Context switches of the server's threads, voluntary or not. Empty where threads that ended during the run
        /// did more than 2 ms and 2 % of the work.
        server_context_switches_count: Option<u64> ["count"] = |run| count(run.server.context_switches?);
        /// Anonymous memory of the server (proportional set size) at the end of the drain, all subscribers connected.
        server_pss_anon_bytes: Option<u64> ["bytes"] = |run| count(run.server.pss_anon_bytes?);
        /// Slope of the server's anonymous memory over the number of subscribers, by least squares. It covers the
        /// runs that differ in nothing but that number, arm and repetition; empty under 4 different numbers.
        server_pss_anon_per_connection_bytes: Option<f64> ["bytes"] =
            |run| number(run.server_pss_anon_per_connection_bytes?);
        /// Kernel memory of sockets, which no process shows: slabs TCP, TCPv6 and sock_inode_cache, with all
        /// subscribers connected − before. It covers both ends of each connection, and other programs' sockets. Whole
        /// slabs are counted, so some dozens of sockets may show nothing. Only root may read it.
        kernel_slab_bytes: Option<f64> ["bytes"] = |run| number(run.kernel.slab_bytes? as f64);
        /// Buffers of TCP sockets in the kernel, with all subscribers connected − before, in whole pages; other
        /// programs' buffers included.
        kernel_socket_bytes: Option<f64> ["bytes"] = |run| number(run.kernel.socket_bytes? as f64);
        /// CPU time of the harness per second of wall time; near the number of cores it is saturated.
        harness_cpu_ratio: Option<f64> ["ratio"] =
            |run| ratio(run.harness.cpu?.as_secs_f64(), run.sampled?.as_secs_f64());
        /// Time for which threads of the harness were ready but had no CPU. The publisher's and the probe's threads
        /// report theirs before they end. Empty where other threads that ended did more than 2 ms and 2 % of the
        /// work.
        harness_run_delay_us: Option<u64> ["µs"] = |run| us(run.harness.run_delay);
        /// Quantile 0.99 of how late a thread of the harness wakes that sleeps 1 ms at a time, over the cohort.
        hiccup_us_p99: Option<u64> ["µs"] = |run| count(sampled_quantile_us(&run.hiccup, 0.99)?);
        /// Quantile 0.99 of actual send − due time: the harness's own timing error.
        send_lateness_us_p99: Option<u64> ["µs"] = |run| count(published_quantile_us(run, &run.send_lateness, 0.99)?);
        /// Median of the time from send to 201: the store's share of the latency.
        append_us_p50: Option<u64> ["µs"] = |run| count(published_quantile_us(run, &run.append, 0.5)?);
        /// Quantile 0.99 of the time from send to 201: the store's share of the latency.
        append_us_p99: Option<u64> ["µs"] = |run| count(published_quantile_us(run, &run.append, 0.99)?);
        /// Bytes through the subscribers' sockets, up and down, per line delivered to one subscriber, in the
        /// cohort's window.
        l7_per_line_bytes: Option<f64> ["bytes"] = |run| per_line(run, count(run.steady().l7_bytes()));
        /// Connections of subscribers that the fault cut; empty without a fault.
        connections_cut_count: Option<u64> ["count"] =
            |run| run.cell.fault.as_ref().and_then(|_| count(run.connections_cut));
        /// Polls held and streams open on wirelab's own server, averaged over the cohort's time, by its /metrics.
        waiters_count_mean: Option<f64> ["count"] = |run| number(run.waiters_mean?);
        /// Warm-up lines × subscribers that were lost, censored, out of order or received again. The other counts of
        /// lines cover the cohort only.
        warm_up_defects_count: u64 ["count"] = |run| run.delivery.warm_up().defects();
        /// What drove the WebSockets of wirelab's own server: `cursor` or `actor`; empty for other transports and
        /// servers.
        engine: Option<String> [""] = |run| {
            if run.cell.transport.is_upgraded() { ours(run, |serve| text(serve.engine)) } else { None }
        };
        /// Bytes of line text per line delivered to one subscriber, in the cohort's window: the size of a line, more
        /// where lines were repeated, and a little off where lines cross an end of the window.
        app_per_line_bytes: Option<f64> ["bytes"] = |run| per_line(run, count(run.steady().app_bytes));
        /// Bytes of IP packets, up and down, per line delivered to one subscriber, in the cohort's window.
        ip_per_line_bytes: Option<f64> ["bytes"] = |run| per_line(run, run.steady().ip_bytes());
        /// Receipts in the run's file in `raw/`, warm-up and repeated ones included; empty without `run --raw`.
        raw_receipts_count: Option<u64> ["count"] = |run| Some(run.receipts.as_ref()?.kept_count);
        /// Receipts that are not in the run's file in `raw/`, because it had reached its bound; empty without
        /// `run --raw`.
        raw_left_out_count: Option<u64> ["count"] = |run| Some(run.receipts.as_ref()?.left_out_count);
        /// TLS of the subscribers' connections: `none`, with the `full-handshake` each, or with `resumption` of the last
        /// session.
        tls: String [""] = |run| run.cell.tls.on(&run.cell.server).to_string();
        /// Which certificates the subscribers trusted: those of the `machine`'s authorities, of a `file`, of the `own`
        /// server of the run, or `any`: then the server was not checked; empty without TLS.
        certificates: Option<String> [""] = |run| text(trusted(run.cell.tls, &run.cell.server)?);
        /// Bytes of TLS that the subscribers wrote to their sockets in the cohort's window: `l7_up_bytes`, and what TLS
        /// adds, handshakes included; empty without TLS.
        tls_up_bytes: Option<u64> ["bytes"] = |run| tls_bytes(run, |traffic| traffic.tls_up_bytes);
        /// Bytes of TLS that the subscribers read from their sockets in the cohort's window; empty without TLS.
        tls_down_bytes: Option<u64> ["bytes"] = |run| tls_bytes(run, |traffic| traffic.tls_down_bytes);
    }
}

fn tls_bytes(run: &RunResult, count_of: fn(&Traffic) -> u64) -> Option<u64> {
    let traffic = run.steady().traffic;
    if run.cell.tls.on(&run.cell.server) == Tls::None { None } else { count(count_of(&traffic)) }
}

/// Whether a run repeats another cell of its block, to show what equal runs differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Twin {
    /// The run is the twin of an A/A pair.
    Aa,
    /// The run is measured for itself.
    No,
}

impl Twin {
    fn of(is_aa: bool) -> Self {
        if is_aa { Self::Aa } else { Self::No }
    }
}

impl Field for Twin {
    const KIND: Kind = bool::KIND;
    const WANTED: &'static str = bool::WANTED;

    fn text(&self) -> String {
        (*self == Self::Aa).to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        bool::parse(text).map(Self::of)
    }
}

impl RunRow {
    /// Tells whether something may be claimed from the run.
    pub fn is_believed(&self) -> bool {
        match self.verdict {
            Verdict::Ok | Verdict::Unresolved => true,
            Verdict::Invalid => false,
        }
    }

    /// Returns the harness's own lateness, µs: the larger p99 of its sends and of its hiccups.
    pub fn lateness_us(&self) -> Option<f64> {
        self.send_lateness_us_p99.max(self.hiccup_us_p99).map(|us| us as f64)
    }

    /// Counts the lines × subscribers of the cohort that were lost, censored, out of order or received again. Saturates,
    /// since a file may hold any count: a sum that wraps around would read as none.
    pub fn defects_count(&self) -> u64 {
        let counts = [self.lost_count, self.censored_count, self.duplicated_count, self.out_of_order_count];
        counts.into_iter().fold(0, u64::saturating_add)
    }
}

fn text(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

fn count(count: u64) -> Option<u64> {
    Some(count)
}

/// Wraps a number; one that is not finite becomes an empty cell.
fn number(number: f64) -> Option<f64> {
    Some(number)
}

/// Returns `part / whole`; an empty cell when there is nothing to divide by.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    Some(part / whole)
}

fn ms(duration: Duration) -> Option<f64> {
    // One rounding: seconds times 1 000 would be 12.299999999999999 instead of 12.3.
    Some(duration.as_nanos() as f64 / 1e6)
}

fn us(duration: Option<Duration>) -> Option<u64> {
    Some(duration?.as_micros() as u64)
}

fn delivery_us(run: &RunResult, quantile: f64) -> Option<u64> {
    delivery_quantile_us(run, &run.delivery.latency, quantile)
}

/// Returns a value of the run's link; `None` without one.
fn link<T>(run: &RunResult, value: impl FnOnce(&Link) -> Option<T>) -> Option<T> {
    match run.cell.network.kind {
        NetworkKind::None => None,
        NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => value(&run.cell.network.link),
    }
}

/// Returns a value of a client that waits between its requests, as short polls do; `None` for other clients.
fn short_poll<T>(run: &RunResult, of: impl FnOnce(&Polling) -> Option<T>) -> Option<T> {
    if run.cell.transport.waits() == Waits::Client { of(&run.cell.options.polling) } else { None }
}

fn polls(run: &RunResult) -> bool {
    run.cell.transport.waits().is_poll()
}

/// Returns a value that is known of wirelab's own server only; other programs start other servers.
fn ours<T>(run: &RunResult, of: impl FnOnce(&ServeOptions) -> Option<T>) -> Option<T> {
    match run.cell.server {
        Server::Wirelab => of(&run.cell.serve),
        Server::Running(_) | Server::Profile(_) => None,
    }
}

/// Returns bytes of the cohort's window per line × subscriber that arrived in it.
fn per_line(run: &RunResult, bytes: Option<u64>) -> Option<f64> {
    number(run.steady().per_line(bytes?))
}

/// Counts the lines × subscribers that arrived over the whole run. The server's cost is divided by it, because it is
/// counted over the whole run too.
fn delivered(run: &RunResult) -> f64 {
    run.delivery.whole.delivered as f64
}
