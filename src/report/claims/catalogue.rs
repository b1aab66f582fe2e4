//! The claims: what people say about polling, SSE and WebSocket, and what would show it.
//!
//! A claim is a phrase as people say it. To add one: a row here; if it needs runs, an arm in `data/plans/claims.toml`.

use wirelab_clients::wire::Transport;

use super::code_lines::Half;
use super::ruling::{Reach, Test};
use wirelab_clients::harness::rows::RunRow;

use super::runs::{MILLISECONDS, Of, Quantity};

/// A claim and its test.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    /// The claim, as people say it.
    pub(super) claim: &'static str,
    /// Transport and circumstances that the claim is tested in, and what counts as holding.
    pub(super) about: &'static str,
    pub(super) test: Test,
    /// Figures that are shown too but decide nothing.
    pub(super) beside: &'static [Quantity],
}

/// Longest wait that feels instant (Nielsen, "Response Times: The 3 Important Limits", 1993).
const INSTANT_MS: f64 = 100.0;
/// Range of "about 50 lines": up to a quarter off.
const ABOUT_50_LINES: (f64, f64) = (37.5, 62.5);
/// Range of "about 100 lines or more": at most a quarter below.
const ABOUT_100_LINES: (f64, f64) = (75.0, f64::INFINITY);

const HALF_PERCENT: f64 = 50.0;
/// Share of the time above which a held request is the rule.
const HALF_OF_THE_TIME: f64 = 0.5;
/// Requests per connection of a client that opens one for each request: up to a tenth off, for a request that was cut.
const ONE_EACH: (f64, f64) = (f64::MIN_POSITIVE, 1.1);

const fn of(arm: &'static str, transport: Transport, named: Named) -> Quantity {
    Quantity { what: named.what, unit: named.unit, transport, of: Of::Arm(arm, named.value) }
}

const fn per_connection(transport: Transport) -> Quantity {
    Quantity {
        what: "server memory",
        unit: "KiB per connection",
        transport,
        of: Of::PerConnection(|run| Some(run.number("server_pss_anon_bytes")? / 1024.0)),
    }
}

const fn kernel_per_connection(transport: Transport) -> Quantity {
    Quantity {
        what: "kernel memory of both ends",
        unit: "KiB per connection",
        transport,
        of: Of::PerConnection(|run| Some(run.number("kernel_slab_bytes")? / 1024.0)),
    }
}

const fn defects(arm: &'static str, transport: Transport) -> Quantity {
    let what = "lines missed, repeated or out of order";
    Quantity { what, unit: "lines", transport, of: Of::Defects(arm) }
}

const fn code(transport: Transport, half: Half) -> Quantity {
    let what = match half {
        Half::Rust => "client half in Rust",
        Half::Browser => "browser half",
    };
    Quantity { what, unit: "lines of code", transport, of: Of::Sources(half) }
}

const fn answered(transport: Transport) -> Quantity {
    let what = "commands answered on the connection that brings lines";
    Quantity { what, unit: "%", transport, of: Of::TwoWay }
}

const fn bytes_through_an_event() -> Quantity {
    let what = "byte values that pass through";
    Quantity { what, unit: "of 256", transport: Sse, of: Of::TextOnly }
}

/// A figure of a run, before it is tied to an arm and a transport.
#[derive(Clone, Copy)]
struct Named {
    what: &'static str,
    unit: &'static str,
    value: fn(&RunRow) -> Option<f64>,
}

const EMPTY: Named =
    Named { what: "empty answers", unit: "%", value: |run| Some(100.0 * run.number("empty_ratio")?) };
const TIMEOUTS: Named = Named {
    what: "requests whose hold expired",
    unit: "%",
    value: |run| ratio(100.0 * run.number("requests_timeout_count")?, run.number("requests_count")?),
};
const REQUESTS: Named =
    Named { what: "requests", unit: "per line", value: |run| run.number("requests_per_line_ratio") };
const REQUESTS_PER_CONNECTION: Named = Named {
    what: "requests",
    unit: "per connection",
    value: |run| ratio(run.number("requests_count")?, run.number("connections_opened_count")?),
};
const CONNECTIONS: Named = Named {
    what: "connections",
    unit: "per subscriber",
    value: |run| ratio(run.number("connections_opened_count")?, run.number("subscribers_count")?),
};
const OVERHEAD: Named = Named {
    what: "bytes besides the text",
    unit: "bytes per line",
    value: |run| Some(run.number("l7_per_line_bytes")? - run.number("payload_bytes")?),
};
const CPU: Named =
    Named { what: "server CPU", unit: "µs per line", value: |run| run.number("server_cpu_per_line_us") };
const P50: Named = Named {
    what: "delivery latency p50",
    unit: MILLISECONDS,
    value: |run| Some(run.number("delivery_latency_us_p50")? / 1e3),
};
const P99: Named = Named {
    what: "delivery latency p99",
    unit: MILLISECONDS,
    value: |run| Some(run.number("delivery_latency_us_p99")? / 1e3),
};
const WAITERS: Named = Named {
    what: "requests held, average over time",
    unit: "per subscriber",
    value: |run| ratio(run.number("waiters_count_mean")?, run.number("subscribers_count")?),
};
const RECONNECTS: Named = Named {
    what: "reconnects",
    unit: "per cut connection",
    value: |run| ratio(run.number("reconnects_count")?, run.number("connections_cut_count")?),
};

fn ratio(over: f64, under: f64) -> Option<f64> {
    (under > 0.0).then_some(over / under)
}

use Transport::{LongPoll, ShortPoll, Sse, Websocket};

/// Every claim, sorted by the transport that it is about.
pub(super) const CLAIMS: &[Claim] = &[
    // Short polling.
    Claim {
        claim: "most requests return no update",
        about: "short poll, about a line every five polls",
        test: Test::Above {
            figure: of("quiet", ShortPoll, EMPTY),
            limit: HALF_PERCENT,
            reach: Reach::Anywhere,
        },
        beside: &[of("quiet", ShortPoll, REQUESTS)],
    },
    Claim {
        claim: "most requests return no update",
        about: "short poll, several lines every poll",
        test: Test::Above { figure: of("busy", ShortPoll, EMPTY), limit: HALF_PERCENT, reach: Reach::Here },
        beside: &[of("busy", ShortPoll, REQUESTS)],
    },
    Claim {
        claim: "high HTTP overhead",
        about: "short poll more than SSE, about a line every five polls",
        test: Test::Smaller {
            first: of("quiet", Sse, OVERHEAD),
            second: of("quiet", ShortPoll, OVERHEAD),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "high HTTP overhead",
        about: "short poll more than SSE, several lines every poll",
        test: Test::Smaller {
            first: of("busy", Sse, OVERHEAD),
            second: of("busy", ShortPoll, OVERHEAD),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "wastes server resources",
        about: "short poll more CPU than SSE, about a line every five polls",
        test: Test::Smaller {
            first: of("quiet", Sse, CPU),
            second: of("quiet", ShortPoll, CPU),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "wastes server resources",
        about: "short poll more CPU than SSE, several lines every poll",
        test: Test::Smaller {
            first: of("busy", Sse, CPU),
            second: of("busy", ShortPoll, CPU),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "cannot push updates to the client",
        about: "short poll is later than SSE at p50, about a line every five polls",
        test: Test::Smaller {
            first: of("quiet", Sse, P50),
            second: of("quiet", ShortPoll, P50),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "simple to implement",
        about: "short poll has a shorter client half than WebSocket",
        test: Test::Smaller {
            first: code(ShortPoll, Half::Rust),
            second: code(Websocket, Half::Rust),
            reach: Reach::Here,
        },
        beside: &[code(ShortPoll, Half::Browser), code(Websocket, Half::Browser)],
    },
    Claim {
        claim: "works everywhere",
        about: "short poll",
        test: Test::Nothing("the runs use one machine and its loopback; \"everywhere\" needs many networks"),
        beside: &[],
    },
    // Long polling.
    Claim {
        claim: "near real-time updates",
        about: "long poll, 99 of 100 lines within 100 ms",
        test: Test::Below { figure: of("busy", LongPoll, P99), limit: INSTANT_MS, reach: Reach::Here },
        beside: &[of("busy", Sse, P99)],
    },
    Claim {
        claim: "less overhead than short polling",
        about: "long poll, bytes, about a line every five polls",
        test: Test::Smaller {
            first: of("quiet", LongPoll, OVERHEAD),
            second: of("quiet", ShortPoll, OVERHEAD),
            reach: Reach::Here,
        },
        beside: &[of("quiet", LongPoll, REQUESTS), of("quiet", ShortPoll, REQUESTS)],
    },
    Claim {
        claim: "less overhead than short polling",
        about: "long poll, bytes, several lines every poll",
        test: Test::Smaller {
            first: of("busy", LongPoll, OVERHEAD),
            second: of("busy", ShortPoll, OVERHEAD),
            reach: Reach::Here,
        },
        beside: &[of("busy", LongPoll, REQUESTS), of("busy", ShortPoll, REQUESTS)],
    },
    Claim {
        claim: "holds server connections open",
        about: "long poll: most of the time, about a line every five polls of short poll",
        test: Test::Above {
            figure: of("quiet", LongPoll, WAITERS),
            limit: HALF_OF_THE_TIME,
            reach: Reach::Here,
        },
        beside: &[per_connection(LongPoll), kernel_per_connection(LongPoll)],
    },
    Claim {
        claim: "still has HTTP overhead on reconnect",
        about: "long poll asks more often per line than SSE",
        test: Test::Smaller {
            first: of("busy", Sse, REQUESTS),
            second: of("busy", LongPoll, REQUESTS),
            reach: Reach::Anywhere,
        },
        beside: &[],
    },
    Claim {
        claim: "reconnects after each response",
        about: "long poll opens a connection for each request: at most 1.1 requests per connection",
        test: Test::Each {
            figure: of("quiet", LongPoll, REQUESTS_PER_CONNECTION),
            low: ONE_EACH.0,
            high: ONE_EACH.1,
            reach: Reach::Here,
        },
        beside: &[of("quiet", LongPoll, CONNECTIONS)],
    },
    Claim {
        claim: "needs timeout handling",
        about: "long poll with a hold of 50 ms at 8 lines per second",
        test: Test::Each {
            figure: of("short-hold", LongPoll, TIMEOUTS),
            low: f64::MIN_POSITIVE,
            high: 100.0,
            reach: Reach::Anywhere,
        },
        beside: &[],
    },
    // WebSocket.
    Claim {
        claim: "low latency",
        about: "WebSocket, 99 of 100 lines within 100 ms",
        test: Test::Below { figure: of("busy", Websocket, P99), limit: INSTANT_MS, reach: Reach::Here },
        beside: &[],
    },
    Claim {
        claim: "lower latency than SSE",
        about: "WebSocket at p50",
        test: Test::Smaller {
            first: of("busy", Websocket, P50),
            second: of("busy", Sse, P50),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "no HTTP headers per message",
        about: "WebSocket: one request, its upgrade, per connection",
        test: Test::Each {
            figure: of("busy", Websocket, REQUESTS_PER_CONNECTION),
            low: 1.0,
            high: 1.0,
            reach: Reach::Anywhere,
        },
        beside: &[of("busy", Sse, REQUESTS_PER_CONNECTION)],
    },
    Claim {
        claim: "low overhead",
        about: "WebSocket, bytes, less than SSE",
        test: Test::Smaller {
            first: of("busy", Websocket, OVERHEAD),
            second: of("busy", Sse, OVERHEAD),
            reach: Reach::Here,
        },
        beside: &[of("busy", ShortPoll, OVERHEAD)],
    },
    Claim {
        claim: "single persistent connection",
        about: "WebSocket",
        test: Test::Each {
            figure: of("quiet", Websocket, CONNECTIONS),
            low: 1.0,
            high: 1.0,
            reach: Reach::Here,
        },
        beside: &[
            of("quiet", Sse, CONNECTIONS),
            of("quiet", LongPoll, CONNECTIONS),
            of("quiet", ShortPoll, CONNECTIONS),
        ],
    },
    Claim {
        claim: "each connection consumes memory",
        about: "WebSocket: memory of the server",
        test: Test::Above { figure: per_connection(Websocket), limit: 0.0, reach: Reach::Here },
        beside: &[kernel_per_connection(Websocket)],
    },
    Claim {
        claim: "more memory per connection than SSE",
        about: "WebSocket: memory of the server",
        test: Test::Smaller {
            first: per_connection(Sse),
            second: per_connection(Websocket),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "more CPU than SSE",
        about: "WebSocket: CPU of the server",
        test: Test::Smaller {
            first: of("busy", Sse, CPU),
            second: of("busy", Websocket, CPU),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "bidirectional",
        about: "WebSocket: commands are answered on the connection that brings lines",
        test: Test::Each { figure: answered(Websocket), low: 100.0, high: 100.0, reach: Reach::Anywhere },
        beside: &[],
    },
    Claim {
        claim: "binary and text",
        about: "WebSocket",
        test: Test::Nothing("wirelab sends lines as text over every transport and no binary frame"),
        beside: &[],
    },
    Claim {
        claim: "stateful, harder to scale",
        about: "WebSocket; SSE is cheaper to scale",
        test: Test::Nothing("one server was measured; scaling needs several"),
        beside: &[],
    },
    Claim {
        claim: "needs sticky sessions",
        about: "WebSocket",
        test: Test::Nothing(
            "one server was measured, without a load balancer; after a cut the client sends its cursor on a new connection",
        ),
        beside: &[defects("cut", Websocket)],
    },
    Claim {
        claim: "load balancers need special configuration",
        about: "WebSocket",
        test: Test::Nothing("no load balancer was measured"),
        beside: &[],
    },
    Claim {
        claim: "firewall and proxy issues",
        about: "WebSocket",
        test: Test::Nothing("over the loopback there is no proxy or firewall"),
        beside: &[],
    },
    Claim {
        claim: "manual reconnection",
        about: "WebSocket",
        test: Test::Nothing(
            "the browser's WebSocket API does not reconnect by itself; wirelab's client has its own code for it",
        ),
        beside: &[of("cut", Websocket, RECONNECTS), defects("cut", Websocket)],
    },
    Claim {
        claim: "more complex: ~100+ lines",
        about: "WebSocket: browser half, 75 or more",
        test: Test::Each {
            figure: code(Websocket, Half::Browser),
            low: ABOUT_100_LINES.0,
            high: ABOUT_100_LINES.1,
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "more complex: ~100+ lines",
        about: "WebSocket: half in Rust, 75 or more; frames are left to a library",
        test: Test::Each {
            figure: code(Websocket, Half::Rust),
            low: ABOUT_100_LINES.0,
            high: ABOUT_100_LINES.1,
            reach: Reach::Here,
        },
        beside: &[],
    },
    // Server-sent events.
    Claim {
        claim: "simple: ~50 lines",
        about: "SSE: browser half, 38 to 62; EventSource does the rest",
        test: Test::Each {
            figure: code(Sse, Half::Browser),
            low: ABOUT_50_LINES.0,
            high: ABOUT_50_LINES.1,
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "simple: ~50 lines",
        about: "SSE: half in Rust, 38 to 62; it does what EventSource does, without its parser",
        test: Test::Each {
            figure: code(Sse, Half::Rust),
            low: ABOUT_50_LINES.0,
            high: ABOUT_50_LINES.1,
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "simpler than WebSocket",
        about: "SSE: browser half",
        test: Test::Smaller {
            first: code(Sse, Half::Browser),
            second: code(Websocket, Half::Browser),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "simpler than WebSocket",
        about: "SSE: half in Rust",
        test: Test::Smaller {
            first: code(Sse, Half::Rust),
            second: code(Websocket, Half::Rust),
            reach: Reach::Here,
        },
        beside: &[],
    },
    Claim {
        claim: "automatic reconnection",
        about: "SSE: every cut connection is opened again, once",
        test: Test::Each { figure: of("cut", Sse, RECONNECTS), low: 1.0, high: 1.0, reach: Reach::Here },
        beside: &[
            of("cut", Websocket, RECONNECTS),
            of("cut", LongPoll, RECONNECTS),
            of("cut", ShortPoll, RECONNECTS),
            defects("cut", Sse),
            defects("cut", Websocket),
            defects("cut", LongPoll),
            defects("cut", ShortPoll),
        ],
    },
    Claim {
        claim: "reconnects by itself when the server was restarted",
        about: "SSE",
        test: Test::Nothing("the runs cut connections but do not restart the server"),
        beside: &[],
    },
    Claim {
        claim: "the server can push anytime",
        about: "SSE: one request per connection, however many lines come",
        test: Test::Each {
            figure: of("busy", Sse, REQUESTS_PER_CONNECTION),
            low: 1.0,
            high: 1.0,
            reach: Reach::Anywhere,
        },
        beside: &[of("busy", Sse, P50)],
    },
    Claim {
        claim: "one-way: server to client",
        about: "SSE over HTTP/1.1: no request is answered on the connection that brings lines",
        test: Test::Each { figure: answered(Sse), low: 0.0, high: 0.0, reach: Reach::Anywhere },
        beside: &[],
    },
    Claim {
        claim: "text only",
        about: "SSE: not every byte value passes through an event",
        test: Test::Each { figure: bytes_through_an_event(), low: 0.0, high: 255.0, reach: Reach::Anywhere },
        beside: &[],
    },
    Claim {
        claim: "HTTP/1.1 or HTTP/2",
        about: "SSE over HTTP/2: no line is missed, repeated or out of order",
        test: Test::NoneOf { figures: &[defects("http2", Sse)], reach: Reach::Here },
        beside: &[of("http2", Sse, P50)],
    },
    Claim {
        claim: "works through proxies and firewalls",
        about: "SSE",
        test: Test::Nothing("over the loopback there is no proxy or firewall"),
        beside: &[],
    },
    Claim {
        claim: "limited browser connections per domain",
        about: "SSE",
        test: Test::Nothing("no browser takes part in the runs; the limit is the browser's"),
        beside: &[],
    },
    Claim {
        claim: "excellent browser support",
        about: "SSE and WebSocket",
        test: Test::Nothing("no browser takes part in the runs"),
        beside: &[],
    },
    // All of them.
    Claim {
        claim: "all clients receive the same log",
        about: "SSE, WebSocket, long poll and short poll: no line is missed, repeated or out of order",
        test: Test::NoneOf {
            figures: &[
                defects("busy", Sse),
                defects("busy", Websocket),
                defects("busy", LongPoll),
                defects("busy", ShortPoll),
            ],
            reach: Reach::Here,
        },
        beside: &[],
    },
];
