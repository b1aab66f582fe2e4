//! What the files of any run of wirelab's own server must contain: the kernel's counts, the probes, the timing.

use std::collections::BTreeSet;
use std::path::Path;

use crate::commands::rows;

/// TCP has seen the bytes that the clients counted, in segments with headers, and every probe has found something.
pub(crate) fn assert_the_kernel_was_asked(row: &impl Fn(&str) -> String) {
    let count =
        |name: &str| row(name).parse::<u64>().unwrap_or_else(|_| panic!("no {name} on {}", row("transport")));
    let payload =
        |way: &str| count(&format!("ip_{way}_bytes")) - 52 * count(&format!("segments_{way}_count"));
    assert_eq!(payload("up"), count("l7_up_bytes"), "up on {}", row("transport"));
    // What comes after the end of the log may be left unread: the end of a chunked body, say.
    let down = count("l7_down_bytes")..count("l7_down_bytes") + 200;
    assert!(down.contains(&payload("down")), "{} of {down:?} on {}", payload("down"), row("transport"));
    assert_eq!(count("wire_up_bytes"), count("ip_up_bytes") + 14 * count("segments_up_count"));
    for name in ["hiccup_us_p99", "harness_run_delay_us", "fanout_skew_us_p50", "retransmits_count"] {
        count(name);
    }
    let (mean, max) = ("staleness_ms_mean", "staleness_ms_max");
    let ms = |name: &str| row(name).parse::<f64>().unwrap();
    assert!(0.0 < ms(mean) && ms(mean) < ms(max), "{} {}", ms(mean), ms(max));
}

/// Each kind of poll has its own times, and every run its time series.
pub(crate) fn assert_requests_are_timed(folder: &Path) {
    let metrics = |file: &str, transport: &str| {
        let rows = rows(&folder.join(file)).into_iter().filter(|row| row("transport") == transport);
        rows.map(|row| row("metric")).collect::<BTreeSet<_>>()
    };
    for (transport, timed) in [
        ("short-poll", ["handshake", "request_service", "request_response"].as_slice()),
        ("long-poll", &["handshake", "hold", "rearm_gap"]),
        ("sse", &["handshake"]),
        ("websocket", &["handshake"]),
    ] {
        let of_requests = ["handshake", "request_service", "request_response", "hold", "rearm_gap"];
        let there = metrics("percentiles.csv", transport);
        for metric in of_requests {
            assert_eq!(there.contains(metric), timed.contains(&metric), "{metric} on {transport}");
        }
        let series = metrics("timeseries.csv", transport);
        for metric in
            ["lines_delivered", "delivery_latency_mean", "requests", "staleness", "connections_open"]
        {
            assert!(series.contains(metric), "no {metric} on {transport}: {series:?}");
        }
    }
}
