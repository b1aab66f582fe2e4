//! What the files of any run of wirelab's own server must contain: the kernel's counts, the probes, the timing.

use std::collections::BTreeSet;
use std::path::Path;

use crate::commands::rows;

/// TCP has seen the bytes that the clients counted, in segments with headers, and every probe has found something.
pub(crate) fn assert_the_kernel_was_asked(row: &impl Fn(&str) -> String) {
    let count =
        |name: &str| row(name).parse::<u64>().unwrap_or_else(|_| panic!("no {name} on {}", row("transport")));
    for way in ["up", "down"] {
        // Lines come while both ends of the window are read, so the kernel may have counted some that the clients have
        // not. A SYN, of which there may be one per request, has 8 bytes more.
        let headers = 52 * count(&format!("segments_{way}_count"));
        let payload = count(&format!("ip_{way}_bytes")) - headers;
        let l7 = count(&format!("l7_{way}_bytes"));
        let few = l7 / 50 + 2_000 + 8 * count("connections_opened_count");
        assert!((l7..=l7 + few).contains(&payload), "{payload} for {l7} bytes {way} on {}", row("transport"));
        let frames = 14 * count(&format!("segments_{way}_count"));
        assert_eq!(count(&format!("wire_{way}_bytes")), count(&format!("ip_{way}_bytes")) + frames);
    }
    assert_each_layer_holds_the_one_inside_it(row);
    for name in ["hiccup_us_p99", "harness_run_delay_us", "fanout_skew_us_p50", "retransmits_count"] {
        count(name);
    }
    let (mean, max) = ("staleness_ms_mean", "staleness_ms_max");
    let ms = |name: &str| row(name).parse::<f64>().unwrap();
    assert!(0.0 < ms(mean) && ms(mean) < ms(max), "{} {}", ms(mean), ms(max));
}

/// The layers of a row are of one window: what is carried is never more than what carries it.
pub(crate) fn assert_each_layer_holds_the_one_inside_it(row: &impl Fn(&str) -> String) {
    let bytes = |layer: &str| row(&format!("{layer}_per_line_bytes")).parse::<f64>().unwrap();
    let layers = ["app", "l7", "ip", "wire"].map(bytes);
    assert!(layers[0] > 0.0 && layers.is_sorted(), "{layers:?} on {}", row("transport"));
    if let Ok(payload) = row("payload_bytes").parse::<f64>() {
        // A line may be counted between the two readings of its bytes and of its number.
        assert!((layers[0] / payload - 1.0).abs() < 0.05, "{layers:?} for lines of {payload} bytes");
    }
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
