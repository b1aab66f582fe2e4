//! Every column of the CSV files, in order.
//!
//! A new column goes last, with its unit as suffix, its definition in one sentence, and its value.

use super::{
    Column, ColumnText, Value, count, delivery_us, mean_us, ms, published_quantile_us, sampled_quantile_us,
    text, us,
};
use crate::harness::cell::{ServeOptions, Server};
use crate::harness::metrics::SCHEMA_VERSION;
use crate::harness::run_result::RunResult;
use crate::options::{Condition, Connections, Polling};
use crate::wire::Waits;

/// The columns of `runs.csv`.
pub const COLUMNS: &[Column] = &[
    column("schema_version", "", "Version of these files; new columns go last and keep it.", |_| {
        count(u64::from(SCHEMA_VERSION))
    }),
    column("plan", "", "Name of the plan.", |run| text(&run.plan)),
    column("run_id", "", "The run, unique in its plan.", |run| text(&run.cell.run_id)),
    column("block", "", "Every cell is run once per block; counts from 1.", |run| {
        count(run.cell.block.into())
    }),
    column("position", "", "Place of the run within its block; counts from 1.", |run| {
        count(run.cell.position.into())
    }),
    column(
        "repetition",
        "",
        "How many runs of the same factors there have been, this one included.",
        |run| count(run.cell.repetition.into()),
    ),
    column("seed", "", "Seed of the run: equal seeds give equal schedules.", |run| count(run.cell.seed)),
    column("transport", "", "How lines reached the subscribers.", |run| text(run.cell.transport)),
    column(
        "arm",
        "",
        "The plan's arm, behind the server where a plan measures others than wirelab's own: `wirelab`, a profile, or \
         `url-1` for one that was running.",
        |run| text(run.cell.arm.as_ref()?),
    ),
    column(
        "is_aa",
        "",
        "Whether the run repeats another cell of its block, to show what equal runs differ by: `true` or `false`.",
        |run| text(run.cell.is_aa),
    ),
    column(
        "verdict",
        "",
        "`ok`, `unresolved` (holds, with the reservation that the reasons name) or `invalid` (do not use).",
        |run| text(run.verdict.name()),
    ),
    column(
        "verdict_reasons",
        "",
        "Why the verdict is not ok, and what happened to warm-up lines; separated by semicolons.",
        |run| if run.verdict_reasons.is_empty() { None } else { text(run.verdict_reasons.join("; ")) },
    ),
    column("subscribers_count", "count", "Measured subscribers, each over its own connection.", |run| {
        count(run.cell.subscribers_total().into())
    }),
    column(
        "deployments_count",
        "count",
        "Deployments measured at the same time, each followed by an equal part of the subscribers.",
        |run| count(run.cell.deployments.into()),
    ),
    column("line_rate_hz", "1/s", "Lines per second and deployment; empty for a replay.", |run| {
        run.cell.lines.generated().and_then(|lines| Value::number(lines.rate_hz))
    }),
    column("line_process", "", "`replay` of a recording, `periodic` or `poisson`.", |run| {
        text(run.cell.lines.name())
    }),
    column("payload_bytes", "bytes", "Text of one line; empty for a replay.", |run| {
        run.cell.lines.generated().and_then(|lines| count(lines.payload_bytes as u64))
    }),
    column("poll_interval_ms", "ms", "Short poll: between two requests.", |run| {
        short_poll(run, |polling| ms(polling.interval))
    }),
    column("poll_schedule", "", "Short poll: `fixed` times, or a `pause` after each answer.", |run| {
        short_poll(run, |polling| text(polling.schedule))
    }),
    column(
        "poll_phase",
        "",
        "Short poll: whether the first request of each subscriber comes at a `random` part of the interval, or all are \
         `aligned`.",
        |run| short_poll(run, |polling| text(polling.phase)),
    ),
    column("conditional", "", "Whether short polls send If-None-Match: `true` or `false`.", |run| {
        short_poll(run, |polling| text(polling.condition == Condition::IfNoneMatch))
    }),
    column("hold_ms", "ms", "Long poll: how long the server may hold a request.", |run| {
        // How long another server holds is its own business.
        let ours = !matches!(run.cell.server, Server::Profile(_));
        if ours && run.cell.transport.waits() == Waits::ServerOnce { ms(run.cell.options.hold) } else { None }
    }),
    column("linger_ms", "ms", "How long the server collects lines before it answers.", |run| {
        ours(run, |serve| ms(serve.linger))
    }),
    column("http_version", "", "Version of HTTP: `1.1`, or `2` without TLS.", |run| {
        text(run.cell.options.http)
    }),
    column("keep_alive", "", "Whether polls reuse their connection: `true` or `false`.", |run| {
        polls(run).then(|| text(run.cell.options.connections == Connections::KeepAlive)).flatten()
    }),
    column("compression", "", "Content coding of the answers: `identity` or `gzip`.", |run| {
        text(run.cell.options.compression)
    }),
    column("heartbeat_ms", "ms", "Silence after which a stream sends a sign of life.", |run| {
        if polls(run) { None } else { ours(run, |serve| ms(serve.heartbeat)) }
    }),
    column(
        "store",
        "",
        "Where wirelab's own server keeps its logs: `memory` or `disk`; nobody knows of others.",
        |run| ours(run, |serve| text(serve.store)),
    ),
    column("network", "", "Name of the emulated network; empty: loopback as it is.", |_| None),
    column("rtt_ms", "ms", "Round-trip time of the emulated network.", |_| None),
    column("jitter_ms", "ms", "Variation of the emulated delay.", |_| None),
    column("loss_ratio", "ratio", "Share of packets the emulated network drops.", |_| None),
    column("link_kbit_s", "kbit/s", "Rate of the emulated link.", |_| None),
    column(
        "fault",
        "",
        "Name of the injected fault: `cut` of every subscriber's connection, `stop` of the server's process.",
        |run| text(run.cell.fault.as_ref()?.name()),
    ),
    column(
        "measured_s",
        "s",
        "Length of the cohort: from the end of the warm-up to the end of the schedule.",
        |run| Value::number(run.measured.as_secs_f64()),
    ),
    column(
        "published_count",
        "count",
        "Lines of the cohort (due after the warm-up) that the server acknowledged.",
        |run| count(run.published_count),
    ),
    column(
        "distinct_lines_count",
        "count",
        "Lines of the cohort that reached at least one subscriber: the n of every quantile.",
        |run| count(run.delivery.distinct_lines_count()),
    ),
    column(
        "expected_count",
        "count",
        "Lines of the cohort × subscribers; equals delivered + lost + censored.",
        |run| count(run.delivery.cohort.expected),
    ),
    column(
        "delivered_count",
        "count",
        "Received at least once, per subscriber and line of the cohort.",
        |run| count(run.delivery.cohort.delivered),
    ),
    column("lost_count", "count", "Never received although that subscriber's cursor passed it.", |run| {
        count(run.delivery.cohort.lost)
    }),
    column(
        "censored_count",
        "count",
        "Beyond the subscriber's cursor when the drain ended: late or lost, nobody knows.",
        |run| count(run.delivery.cohort.censored),
    ),
    column("duplicated_count", "count", "Receipts after the first of the same line.", |run| {
        count(run.delivery.cohort.duplicated)
    }),
    column("out_of_order_count", "count", "First receipts after a line with a larger seq.", |run| {
        count(run.delivery.cohort.out_of_order)
    }),
    column(
        "requests_count",
        "count",
        "Requests of all subscribers over the whole run, whatever their outcome.",
        |run| count(run.traffic.requests.total()),
    ),
    column(
        "requests_data_count",
        "count",
        "Requests answered with at least one line, and streams opened.",
        |run| count(run.traffic.requests.data),
    ),
    column(
        "requests_empty_count",
        "count",
        "Requests answered with nothing new: 200 without lines, 304, 204 of a finished stream.",
        |run| count(run.traffic.requests.empty),
    ),
    column("requests_timeout_count", "count", "Long polls whose hold expired.", |run| {
        count(run.traffic.requests.timeout)
    }),
    column("requests_refused_count", "count", "Requests answered with 4xx or 503.", |run| {
        count(run.traffic.requests.refused)
    }),
    column("requests_error_count", "count", "Requests answered with another 5xx, or cut.", |run| {
        count(run.traffic.requests.error)
    }),
    column(
        "requests_per_line_ratio",
        "ratio",
        "Requests per line delivered to one subscriber, both while the cohort was published: connecting, settling and \
         draining are outside. 0 for a stream that was open before.",
        |run| {
            let (traffic, delivered) = run.steady();
            Value::ratio(traffic.requests.total() as f64, delivered as f64)
        },
    ),
    column(
        "empty_ratio",
        "ratio",
        "Empty requests among all requests while the cohort was published; empty where nobody asked.",
        |run| {
            let (traffic, _) = run.steady();
            Value::ratio(traffic.requests.empty as f64, traffic.requests.total() as f64)
        },
    ),
    column("connections_opened_count", "count", "TCP connections that the subscribers opened.", |run| {
        count(run.traffic.connections_opened)
    }),
    column(
        "reconnects_count",
        "count",
        "Connections opened because an earlier one ended before the log did.",
        |run| count(run.traffic.reconnects),
    ),
    column(
        "delivery_latency_us_mean",
        "µs",
        "Mean of receipt − due time, per subscriber and line of the cohort; empty where lines are missing.",
        |run| Value::number(mean_us(run, &run.delivery.latency)?),
    ),
    column(
        "delivery_latency_us_p50",
        "µs",
        "Quantile 0.5 of receipt − due time; empty with too few distinct lines.",
        |run| delivery_us(run, 0.5),
    ),
    column(
        "delivery_latency_us_p90",
        "µs",
        "Quantile 0.9 of receipt − due time; empty with too few distinct lines.",
        |run| delivery_us(run, 0.9),
    ),
    column(
        "delivery_latency_us_p99",
        "µs",
        "Quantile 0.99 of receipt − due time; empty with too few distinct lines.",
        |run| delivery_us(run, 0.99),
    ),
    column(
        "delivery_latency_us_p999",
        "µs",
        "Quantile 0.999 of receipt − due time; empty with too few distinct lines.",
        |run| delivery_us(run, 0.999),
    ),
    column("delivery_latency_us_max", "µs", "Longest receipt − due time.", |run| delivery_us(run, 1.0)),
    column(
        "staleness_ms_mean",
        "ms",
        "Age of information: time average over the cohort of now − due time of the newest line a subscriber has; of one \
         without a line, since the first due time.",
        |run| ms(run.staleness?.mean),
    ),
    column("staleness_ms_max", "ms", "Largest age of information of any subscriber.", |run| {
        ms(run.staleness?.max)
    }),
    column(
        "first_line_ms_p50",
        "ms",
        "Median over subscribers of connect → first line; of those that connected before the first due time, from there, \
         since there was no line to get.",
        |run| Value::number(sampled_quantile_us(&run.first_line, 0.5)? as f64 / 1e3),
    ),
    column(
        "fanout_skew_us_p50",
        "µs",
        "Median over lines of last − first receipt among the subscribers that got them; empty with one subscriber.",
        |run| count(sampled_quantile_us(&run.fanout_skew, 0.5)?),
    ),
    column("recovery_ms", "ms", "End of the fault → staleness back at its earlier p99.", |_| None),
    column("detect_ms", "ms", "Begin of the fault → the client notices.", |_| None),
    column(
        "app_bytes",
        "bytes",
        "Text of every receipt, repeated ones included, over the whole run.",
        |run| count(run.app_bytes?),
    ),
    column(
        "l7_up_bytes",
        "bytes",
        "Written to the subscribers' sockets over the whole run: requests and client frames.",
        |run| count(run.traffic.up_bytes),
    ),
    column(
        "l7_down_bytes",
        "bytes",
        "Read from the subscribers' sockets over the whole run: heads, framing and lines.",
        |run| count(run.traffic.down_bytes),
    ),
    column(
        "ip_up_bytes",
        "bytes",
        "l7 up as the kernel sent it, repeated bytes included, + 52 per segment: IPv4, TCP and timestamps.",
        |run| count(run.packets?.ip_up_bytes()),
    ),
    column(
        "ip_down_bytes",
        "bytes",
        "l7 down, and what arrived but was never read, + 52 per segment. What the server sent twice counts once.",
        |run| count(run.packets?.ip_down_bytes()),
    ),
    column("wire_up_bytes", "bytes", "ip up + 14 per segment: the Ethernet header.", |run| {
        count(run.packets?.wire_up_bytes())
    }),
    column("wire_down_bytes", "bytes", "ip down + 14 per segment: the Ethernet header.", |run| {
        count(run.packets?.wire_down_bytes())
    }),
    column(
        "segments_up_count",
        "count",
        "TCP segments sent by the subscribers, by TCP_INFO when each connection ended: all but the last FIN and what \
         followed it. On loopback one may carry 32 768 bytes and more, where a link carries 1 448: there it lies.",
        |run| count(run.packets?.segments_up),
    ),
    column("segments_down_count", "count", "TCP segments received by the subscribers, likewise.", |run| {
        count(run.packets?.segments_down)
    }),
    column("retransmits_count", "count", "TCP segments that the subscribers sent again.", |run| {
        count(run.packets?.retransmits)
    }),
    column(
        "wire_per_line_bytes",
        "bytes",
        "Wire bytes up and down per line delivered to one subscriber, all over the whole run; on loopback with too few \
         segments as soon as answers exceed 1 448 bytes.",
        |run| {
            let packets = run.packets?;
            Value::ratio((packets.wire_up_bytes() + packets.wire_down_bytes()) as f64, delivered(run))
        },
    ),
    column(
        "server_cpu_us",
        "µs",
        "CPU time of the server over the whole run, all threads, user and system.",
        |run| us(run.server.cpu),
    ),
    column(
        "server_cpu_per_line_us",
        "µs",
        "Server CPU time per line delivered to one subscriber, both over the whole run.",
        |run| Value::ratio(run.server.cpu?.as_secs_f64() * 1e6, delivered(run)),
    ),
    column(
        "server_run_delay_us",
        "µs",
        "Time in which threads of the server were ready but had no CPU: a sign of saturation. \
         Empty where threads that ended meanwhile did more than 2 ms and 2 % of the work: their counts end with them.",
        |run| us(run.server.run_delay),
    ),
    column(
        "server_context_switches_count",
        "count",
        "Context switches of the server's threads, voluntary or not. Empty where `server_run_delay_us` is for that reason.",
        |run| count(run.server.context_switches?),
    ),
    column(
        "server_pss_anon_bytes",
        "bytes",
        "Anonymous memory of the server (proportional set size) at the end of the drain, all subscribers connected.",
        |run| count(run.server.pss_anon_bytes?),
    ),
    column(
        "server_pss_anon_per_connection_bytes",
        "bytes",
        "Slope of anonymous memory over the number of subscribers, by least squares, of the runs that differ in nothing \
         but that, arm and repetition; empty under 4 different numbers.",
        |run| Value::number(run.server_pss_anon_per_connection_bytes?),
    ),
    column(
        "kernel_slab_bytes",
        "bytes",
        "Kernel memory that sockets took, which no process shows: slabs TCP, TCPv6 and sock_inode_cache, all connected − \
         before; both ends of each connection, and other programs' too. Whole slabs: some dozens of sockets may show \
         nothing. Only root may read it.",
        |run| Value::number(run.kernel.slab_bytes? as f64),
    ),
    column(
        "kernel_socket_bytes",
        "bytes",
        "Buffers of TCP sockets in the kernel, all connected − before, in whole pages; other programs' too.",
        |run| Value::number(run.kernel.socket_bytes? as f64),
    ),
    column(
        "harness_cpu_ratio",
        "ratio",
        "CPU time of the harness per second of wall time; above the number of cores it is saturated.",
        |run| Value::ratio(run.harness.cpu?.as_secs_f64(), run.sampled?.as_secs_f64()),
    ),
    column(
        "harness_run_delay_us",
        "µs",
        "Time in which threads of the harness were ready but had no CPU. The publisher's and the probe's threads say \
         theirs before they end; empty where others ended, as for the server.",
        |run| us(run.harness.run_delay),
    ),
    column(
        "hiccup_us_p99",
        "µs",
        "Quantile 0.99 of how late a thread of the harness wakes that sleeps 1 ms at a time, over the cohort.",
        |run| count(sampled_quantile_us(&run.hiccup, 0.99)?),
    ),
    column(
        "send_lateness_us_p99",
        "µs",
        "Quantile 0.99 of actual send − due time: the harness's own fault.",
        |run| count(published_quantile_us(run, &run.send_lateness, 0.99)?),
    ),
    column("append_us_p50", "µs", "Median of send → 201: the store's share.", |run| {
        count(published_quantile_us(run, &run.append, 0.5)?)
    }),
    column("append_us_p99", "µs", "Quantile 0.99 of send → 201.", |run| {
        count(published_quantile_us(run, &run.append, 0.99)?)
    }),
    column(
        "l7_per_line_bytes",
        "bytes",
        "l7 up and down per line delivered to one subscriber, all while the cohort was published.",
        |run| {
            let (traffic, delivered) = run.steady();
            Value::ratio((traffic.up_bytes + traffic.down_bytes) as f64, delivered as f64)
        },
    ),
    column(
        "connections_cut_count",
        "count",
        "Connections of subscribers that the fault cut; empty without a fault.",
        |run| run.cell.fault.as_ref().and_then(|_| count(run.connections_cut)),
    ),
    column(
        "waiters_count_mean",
        "count",
        "Polls that wirelab's own server held and streams it had open, time average over the cohort, by its /metrics.",
        |run| Value::number(run.waiters_mean?),
    ),
    column(
        "engine",
        "",
        "What drove the WebSockets of wirelab's own server: `cursor` or `actor`; empty for other transports and servers.",
        |run| if run.cell.transport.is_upgraded() { ours(run, |serve| text(serve.engine)) } else { None },
    ),
];

/// The columns of `percentiles.csv`.
pub const PERCENTILES_COLUMNS: &[ColumnText] = &[
    explained("run_id", "", "The run, as in `runs.csv`."),
    explained("transport", "", "How lines reached the subscribers."),
    explained("arm", "", "The server, as in `runs.csv`."),
    explained("metric", "", "The distribution, see above."),
    explained("quantile", "", "Share of the samples that do not exceed the value; 1 is the maximum."),
    explained("value_us", "µs", "The value; empty with too few distinct lines."),
    explained("samples_count", "count", "Samples of the distribution."),
    explained(
        "ci_low_us",
        "µs",
        "Lower end of the 95 % bootstrap interval of the median over all runs of this transport and arm that are not \
         invalid: the same in all their rows; empty under 6 of them.",
    ),
    explained(
        "ci_high_us",
        "µs",
        "Upper end of the 95 % bootstrap interval of the median over all runs of this transport and arm that are not \
         invalid: the same in all their rows; empty under 6 of them.",
    ),
];

/// The columns of `checks.csv`.
pub const CHECKS_COLUMNS: &[ColumnText] = &[
    explained("run_id", "", "The run, as in `runs.csv`; empty for a threshold that no run matches."),
    explained("check", "", "The gate, see above, or `threshold: ` with its text."),
    explained("left", "see `unit`", "The first number; empty: not measured."),
    explained("right", "see `unit`", "The second number; of a threshold its limit; empty: not measured."),
    explained("unit", "", "Of left, right and tolerance."),
    explained(
        "tolerance",
        "see `unit`",
        "How far they may be apart, or left above right; empty: not compared.",
    ),
    explained(
        "verdict",
        "",
        "`pass`, `fail` (the run is invalid; the threshold is missed), `unresolved` (a doubt is left) or \
         `not-measured` (nothing to compare, and nothing follows).",
    ),
];

/// The columns of `timeseries.csv`.
pub const TIMESERIES_COLUMNS: &[ColumnText] = &[
    explained("run_id", "", "The run, as in `runs.csv`."),
    explained("transport", "", "How lines reached the subscribers."),
    explained("arm", "", "The server, as in `runs.csv`."),
    explained("t_s", "s", "Since the first due time; the cohort begins when the warm-up ends."),
    explained("metric", "", "The series, see above."),
    explained("value", "", "The value, in the unit beside it."),
    explained("unit", "", "Its unit."),
];

/// Every column of `theory.csv`, in its order.
pub const THEORY_COLUMNS: &[ColumnText] = &[
    explained("run_id", "", "The run, as in `runs.csv`."),
    explained("transport", "", "How lines reached the subscribers."),
    explained("arm", "", "The arm, as in `runs.csv`."),
    explained("formula", "", "Which formula of `docs/theory.md`, such as `F1`."),
    explained("quantity", "", "What it predicts."),
    explained("unit", "", "Of `predicted` and `measured`: us, ms, 1/s, ratio, count or bytes."),
    explained("predicted", "unit", "By the formula, from the calibration in `manifest.json`."),
    explained("measured", "unit", "By the run; empty where it could not say."),
    explained("residual_ratio", "ratio", "measured / predicted − 1."),
    explained(
        "tolerance_ratio",
        "ratio",
        "What the residual may be: 5 %, three standard errors of so many lines, and what the calibration leaves open. \
         Empty where nothing is judged.",
    ),
    explained(
        "verdict",
        "",
        "`pass`, `fail`, `assumption-broken`, or `reported`: not measured, too few lines (a tolerance above 50 %), or a \
         number for the reader.",
    ),
    explained("assumption_broken", "", "What the run broke that the formula needs; such a row never fails."),
];

const fn column(
    name: &'static str,
    unit: &'static str,
    definition: &'static str,
    cell: fn(&RunResult) -> Option<Value>,
) -> Column {
    Column { name, unit, definition, cell }
}

const fn explained(name: &'static str, unit: &'static str, definition: &'static str) -> ColumnText {
    ColumnText { name, unit, definition }
}

/// Of a client that waits between its requests only.
fn short_poll(run: &RunResult, of: impl FnOnce(&Polling) -> Option<Value>) -> Option<Value> {
    if run.cell.transport.waits() == Waits::Client { of(&run.cell.options.polling) } else { None }
}

fn polls(run: &RunResult) -> bool {
    run.cell.transport.waits().is_poll()
}

/// Of wirelab's own server only: nobody knows how others were started.
fn ours(run: &RunResult, of: impl FnOnce(&ServeOptions) -> Option<Value>) -> Option<Value> {
    match run.cell.server {
        Server::Wirelab => of(&run.cell.serve),
        Server::Running(_) | Server::Profile(_) => None,
    }
}

/// Lines × subscribers that arrived over the whole run: what traffic and cost are divided by, because they were
/// counted over the whole run too.
fn delivered(run: &RunResult) -> f64 {
    run.delivery.whole.delivered as f64
}
