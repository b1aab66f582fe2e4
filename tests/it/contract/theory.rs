//! What the formulas say (`/api/theory`): the pure functions' own numbers, with what they were called with.

use std::time::Duration;

use serde_json::{Value, json};
use wirelab_clients::harness::theory::long_poll::LongPoll;
use wirelab_clients::harness::theory::short_poll::ShortPoll;
use wirelab_clients::wire::Transport;

use crate::http::Api;
use crate::server::{Server, Setup};

fn predicted(api: &Api, query: &str) -> Value {
    let answer = api.get(&format!("/api/theory?{query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

#[test]
fn a_short_poll_is_predicted_by_its_formulas() {
    let server = Server::start();
    let said = predicted(
        &server,
        "transport=short-poll&interval_s=2&rate_hz=0.7&duration_s=20&subscribers=30&round_trip_ms=50",
    );
    let poll = ShortPoll::fixed(2.0, 0.025);
    assert_eq!(said["formulas"], json!(["F1", "F2", "F3"]));
    assert_eq!((&said["requests"], &said["requests_of_all"]), (&json!(10.0), &json!(300.0)));
    assert_eq!(said["empty_ratio"], json!(poll.empty_ratio(0.7)));
    assert_eq!(said["requests_per_line"], json!(poll.requests_per_line(0.7)));
    let latency = json!({ "mean": 1e3 * poll.latency_mean_s(), "p50": 1e3 * poll.latency_quantile_s(0.5),
                          "p99": 1e3 * poll.latency_quantile_s(0.99),
                          "least": 1e3 * poll.latency_quantile_s(0.0), "most": 1e3 * poll.latency_quantile_s(1.0) });
    assert_eq!(said["latency_ms"], latency);
    let constants = json!({ "rate_hz": 0.7, "duration_s": 20.0, "subscribers": 30.0, "interval_s": 2.0, "hold_s": null,
                            "gap_s": null, "write_s": null, "one_way_s": 0.025 });
    assert_eq!(said["constants"], constants);
}

#[test]
fn a_long_poll_is_predicted_by_its_formulas() {
    let server = Server::start();
    let said = predicted(
        &server,
        "transport=long-poll&rate_hz=3&duration_s=40&hold_s=5&subscribers=2&round_trip_ms=100",
    );
    let poll = LongPoll { line_rate_hz: 3.0, gap_s: 0.1, hold_s: 5.0, one_way_s: 0.05 };
    assert_eq!(said["formulas"], json!(["F4", "F5", "F6"]));
    assert_eq!(said["requests"], json!(poll.requests_per_s() * 40.0));
    assert_eq!(said["requests_of_all"], json!(poll.requests_per_s() * 40.0 * 2.0));
    assert_eq!(said["empty_ratio"], json!(poll.timeout_ratio()));
    assert_eq!(said["requests_per_line"], json!(poll.requests_per_s() / 3.0));
    let latency = json!({ "mean": 1e3 * poll.latency_mean_s(), "p50": 1e3 * poll.latency_quantile_s(0.5),
                          "p99": 1e3 * poll.latency_quantile_s(0.99),
                          "least": 1e3 * poll.latency_quantile_s(0.0), "most": 1e3 * poll.latency_quantile_s(1.0) });
    assert_eq!(said["latency_ms"], latency);
    let unsaid = predicted(&server, "transport=long-poll&rate_hz=3&duration_s=40");
    assert_eq!((&unsaid["constants"]["hold_s"], &unsaid["constants"]["gap_s"]), (&json!(25.0), &json!(0.0)));
}

#[test]
fn a_stream_is_asked_for_once_and_delays_nothing() {
    let server = Server::start();
    for transport in [Transport::Sse, Transport::Ndjson, Transport::Websocket] {
        let said =
            predicted(&server, &format!("transport={transport}&rate_hz=2&duration_s=10&round_trip_ms=8"));
        assert_eq!((&said["transport"], &said["formulas"]), (&json!(transport), &json!(["F8"])));
        assert_eq!((&said["requests"], &said["requests_per_line"]), (&json!(1.0), &json!(0.05)));
        assert_eq!(said["empty_ratio"], json!(0.0));
        assert_eq!(
            said["latency_ms"],
            json!({ "mean": 4.0, "p50": 4.0, "p99": 4.0, "least": 4.0, "most": 4.0 })
        );
    }
}

#[test]
fn a_hold_is_never_longer_than_this_server_holds() {
    let mut setup = Setup::default();
    setup.options.hold_max = Duration::from_secs(40);
    let server = setup.start();
    let query = "transport=long-poll&rate_hz=0.01&duration_s=100&hold_s=";
    let (asked, held) =
        (predicted(&server, &format!("{query}60")), predicted(&server, &format!("{query}40")));
    assert_eq!(asked["constants"]["hold_s"], json!(40.0));
    assert_eq!(asked, held);
}

#[test]
fn every_extreme_that_is_allowed_gives_numbers() {
    let server = Server::start();
    let mut asked = 0;
    for transport in Transport::ALL {
        for rate_hz in ["0.01", "10000"] {
            for duration_s in ["0.001", "86400"] {
                for rest in
                    ["interval_s=0.001&hold_s=0.001", "interval_s=86400&hold_s=3600&subscribers=1000000"]
                {
                    let query =
                        format!("transport={transport}&rate_hz={rate_hz}&duration_s={duration_s}&{rest}");
                    let said = predicted(&server, &query);
                    for name in ["requests", "requests_of_all", "empty_ratio", "requests_per_line"] {
                        assert!(said[name].as_f64().is_some_and(|n| n >= 0.0), "{query}: {name} in {said}");
                    }
                    asked += 1;
                }
            }
        }
    }
    assert_eq!(asked, 8 * Transport::ALL.len());
}

#[test]
fn a_question_that_makes_no_sense_is_refused_with_what_would() {
    let server = Server::start();
    let whole = "transport=short-poll&interval_s=2&rate_hz=1&duration_s=20";
    predicted(&server, whole);
    for (query, named) in [
        ("", "transport"),
        ("transport=sock&rate_hz=1&duration_s=20", "sock"),
        ("transport=sse&duration_s=20", "rate_hz"),
        ("transport=sse&rate_hz=1", "duration_s"),
        ("transport=short-poll&rate_hz=1&duration_s=20", "interval_s"),
        ("transport=sse&rate_hz=0&duration_s=20", "rate_hz"),
        ("transport=sse&rate_hz=NaN&duration_s=20", "rate_hz"),
        ("transport=sse&rate_hz=inf&duration_s=20", "rate_hz"),
        ("transport=sse&rate_hz=1&duration_s=-1", "duration_s"),
        ("transport=sse&rate_hz=1&rate_hz=1&duration_s=1", "rate_hz"),
        ("transport=long-poll&rate_hz=1&duration_s=20&hold_s=0", "hold_s"),
        // Also where nothing follows from it.
        ("transport=sse&rate_hz=1&duration_s=20&interval_s=soon", "interval_s"),
        ("transport=long-poll&rate_hz=1&duration_s=20&interval_s=0", "interval_s"),
        ("transport=sse&rate_hz=1&duration_s=20&subscribers=0", "subscribers"),
        ("transport=sse&rate_hz=1&duration_s=20&round_trip_ms=-1", "round_trip_ms"),
        ("transport=short-poll&interval_s=0.05&rate_hz=1&duration_s=20&round_trip_ms=50", "round_trip_ms"),
    ] {
        let problem = server.get(&format!("/api/theory?{query}")).problem().unwrap();
        assert_eq!(problem.status, 400, "{query}");
        assert!(problem.detail.contains(named), "{query}: {}", problem.detail);
    }
}

/// It is no part of the lab: it tells nothing of the server.
#[test]
fn anybody_may_ask() {
    let mut setup = crate::server::Setup::default();
    setup.options.lab = None;
    let server = setup.start();
    let query = "/api/theory?transport=sse&rate_hz=1&duration_s=20";
    assert_eq!(server.ask("GET", query, &[("x-forwarded-for", "192.0.2.1")], b"").status, 200);
}
