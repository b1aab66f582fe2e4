//! The keys of the network between subscribers and server.

use super::Absent::{Default, Means};
use super::Kind::{Boolean, Duration, Integer, Number, Table, Text};
use super::{Key, Section, key, range, times, words};
use crate::harness::plan::network::{
    DELAY_MS, JITTER_MS, LINK_KBIT_S, LOSS_BURST, LOSS_PHASE, LOSS_RATIO, QUEUE_BYTES, RTT_MS,
};

pub(super) fn section() -> Section {
    let mut keys = vec![
        key(
            "network",
            Text,
            Default,
            words(&["none", "line", "tun", "auto"]),
            "what makes the link: nothing, a delay line in each subscriber's socket, packets between two network \
             namespaces (Linux, root), or `tun` where it may be and else `line`",
        ),
        key(
            "rtt_ms",
            Number,
            Means("0 with a network"),
            range(&RTT_MS),
            "round trip of the link; each way takes half, or what is left where the other has a delay of its own",
        )
        .unit("ms"),
        key("jitter_ms", Number, Means("none"), range(&JITTER_MS), "variation of the delay, each way")
            .unit("ms"),
        key(
            "loss_ratio",
            Number,
            Means("none"),
            range(&LOSS_RATIO),
            "share of packets that are lost, each way; `tun` only",
        ),
        key(
            "link_kbit_s",
            Integer,
            Means("as fast as the machine"),
            range(&LINK_KBIT_S),
            "rate of the link, each way: of each connection over `line`, shared by all subscribers over `tun`",
        )
        .unit("kbit/s"),
        key(
            "publisher",
            Text,
            Means("`beside`"),
            words(&["beside", "across"]),
            "whether lines are published beside the server, without delay, or across the link",
        ),
    ];
    keys.extend(way(UP, "way from the subscribers to the server"));
    keys.extend(way(DOWN, "way from the server to the subscribers"));
    Section {
        title: "The network",
        about: "The link between the subscribers and the server. `up` and `down` say what differs in one direction. \
                Without `network` these keys are refused; with `network = \"none\"` they are checked and mean \
                nothing, so that an arm can say it over a plan with a link.",
        keys,
    }
}

const UP: [&str; 12] = [
    "up",
    "up.delay_ms",
    "up.jitter_ms",
    "up.jitter_process",
    "up.reorder",
    "up.loss_ratio",
    "up.loss_burst",
    "up.loss_on",
    "up.loss_off",
    "up.link_kbit_s",
    "up.queue_bytes",
    "up.trace",
];
const DOWN: [&str; 12] = [
    "down",
    "down.delay_ms",
    "down.jitter_ms",
    "down.jitter_process",
    "down.reorder",
    "down.loss_ratio",
    "down.loss_burst",
    "down.loss_on",
    "down.loss_off",
    "down.link_kbit_s",
    "down.queue_bytes",
    "down.trace",
];

fn way(paths: [&'static str; 12], meaning: &'static str) -> Vec<Key> {
    let [table, delay, jitter, process, reorder, ratio, burst, on, off, rate, queue, trace] = paths;
    vec![
        key(table, Table, Means("as the keys of both directions say"), "the next eleven".to_owned(), meaning),
        key(
            delay,
            Number,
            Means("half of `rtt_ms`, or what the other way leaves of it"),
            range(&DELAY_MS),
            "time from one end to the other; needs `rtt_ms` or the delay of the other way",
        )
        .unit("ms"),
        key(jitter, Number, Means("`jitter_ms`"), range(&JITTER_MS), "variation of the delay").unit("ms"),
        key(
            process,
            Text,
            Means("`uniform`"),
            words(&["uniform", "normal"]),
            "distribution of the jitter: the largest difference, at most the delay, or the standard deviation; needs a jitter",
        ),
        key(
            reorder,
            Boolean,
            Means("false"),
            "any".to_owned(),
            "whether a packet may overtake another by its jitter; needs a jitter; `tun` only",
        ),
        key(ratio, Number, Means("`loss_ratio`"), range(&LOSS_RATIO), "share of packets that are lost; `tun` only"),
        key(
            burst,
            Number,
            Means("each packet by itself"),
            range(&LOSS_BURST),
            "packets that are lost in a row, on average (Gilbert's model); needs a `loss_ratio`",
        ),
        key(on, Duration, Means("always"), times(&LOSS_PHASE), "time for which the link works; `tun` only"),
        key(
            off,
            Duration,
            Means("never"),
            times(&LOSS_PHASE),
            "time for which it loses everything, in turn with `loss_on`",
        ),
        key(rate, Integer, Means("`link_kbit_s`"), range(&LINK_KBIT_S), "rate of the link").unit("kbit/s"),
        key(
            queue,
            Integer,
            Means("65536 with a rate"),
            range(&QUEUE_BYTES),
            "bytes that wait for a link with a rate; `tun` drops what does not fit, `line` lets the sender wait",
        )
        .unit("bytes"),
        key(
            trace,
            Text,
            Means("none"),
            "the path of a file".to_owned(),
            "times at which a packet may pass, in Mahimahi's format: a line per packet, in ms; `tun` only",
        ),
    ]
}
