//! The links of a folder's runs, in words: how far the subscribers are from the server, and what the link cannot show.
//!
//! The terminal, the page and every text say it with these words. What made the link comes from the row of a run, since
//! the kind `auto` is resolved when runs are made; what the rows do not say, such as the place of the publisher, comes
//! from the plan.

use std::time::Duration;

use wirelab_clients::delay_line::CANNOT_SHOW;
use wirelab_clients::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::link::{Jitter, Link, Loss, OneWay, Order, Rate};

use super::aggregate::{Aggregate, Group};
use super::folder::Folder;
use super::wording::{counted, list, plain};

/// Most links that are told one by one; of more, only the number is told.
const TOLD_MAX: usize = 8;

/// Cells that are reached over the same link.
#[derive(Debug)]
pub(super) struct Linked<'g, 'a> {
    pub(super) network: Network,
    pub(super) groups: Vec<&'g Group<'a>>,
}

/// Returns the links of a folder with the cells behind each, in the order of the cells.
pub(super) fn links<'g, 'a>(folder: &Folder, aggregate: &'g Aggregate<'a>) -> Vec<Linked<'g, 'a>> {
    let mut links: Vec<Linked> = Vec::new();
    for group in &aggregate.groups {
        let network = network_of(folder, group.runs[0]);
        match links.iter_mut().find(|known| known.network == network) {
            Some(known) => known.groups.push(group),
            None => links.push(Linked { network, groups: vec![group] }),
        }
    }
    links
}

/// Returns the network of a run.
pub(super) fn network_of(folder: &Folder, run: &RunRow) -> Network {
    let named = run.text("network").unwrap_or_default();
    let Some(kind) = NetworkKind::ALL.into_iter().find(|kind| kind.name() == named) else {
        return Network::default();
    };
    let of_row = |column| run.number(column).unwrap_or_default();
    let way = OneWay {
        delay: Duration::from_secs_f64(of_row("rtt_ms").max(0.0) / 2e3),
        jitter: match of_row("jitter_ms") {
            within if within > 0.0 => Jitter::Uniform { within: Duration::from_secs_f64(within / 1e3) },
            _ => Jitter::None,
        },
        loss: match of_row("loss_ratio") {
            ratio if ratio > 0.0 => Loss::Independent { ratio },
            _ => Loss::None,
        },
        rate: run
            .number("link_kbit_s")
            .map(|kbit_s| Rate { kbit_s: kbit_s as u64, queue_bytes: Rate::QUEUE_BYTES_DEFAULT }),
        ..OneWay::default()
    };
    let of_row = Link { up: way.clone(), down: way, seed: 0 };
    match folder.plan.network(&run.arm).filter(|network| is_near(&network.link, &of_row)) {
        Some(network) => Network { kind, ..network.clone() },
        None => Network { kind, link: of_row, publisher: PublisherPlace::default() },
    }
}

/// Tells whether two links have one round trip, to a microsecond: else the plan speaks of other runs.
fn is_near(a: &Link, b: &Link) -> bool {
    a.round_trip().abs_diff(b.round_trip()) <= Duration::from_micros(1)
}

/// Returns what a reader must know of the links before any figure, a sentence each; empty where no run has one.
pub(super) fn told(folder: &Folder, aggregate: &Aggregate) -> Vec<String> {
    let links = links(folder, aggregate);
    if links.iter().all(|link| link.network.kind == NetworkKind::None) {
        return Vec::new();
    }
    match links.as_slice() {
        [only] => vec![format!("Network: {}.", sentence(&only.network))],
        several if several.len() > TOLD_MAX => {
            let links = counted(several.len(), "link", "links");
            vec![format!("Network: {links}, which the tables of the report list.")]
        }
        several => several
            .iter()
            .map(|link| format!("Network of {}: {}.", names(link, several), sentence(&link.network)))
            .collect(),
    }
}

/// Returns the names of the cells behind a link: their arms where each arm has one link, else their labels.
fn names(link: &Linked, all: &[Linked]) -> String {
    let arms = |link: &Linked| {
        let mut arms: Vec<String> = link.groups.iter().map(|group| group.arm.to_owned()).collect();
        arms.dedup();
        arms
    };
    let own = arms(link);
    let is_shared =
        |arm: &String| arm.is_empty() || all.iter().filter(|other| arms(other).contains(arm)).count() != 1;
    match own.iter().any(is_shared) {
        false => list(&own),
        true => list(&link.groups.iter().map(|group| group.label.as_str()).collect::<Vec<_>>()),
    }
}

/// Returns what a delay line hides, where a run used one.
pub(super) fn hidden(folder: &Folder, aggregate: &Aggregate) -> Option<String> {
    let is_line = |link: &Linked| link.network.kind == NetworkKind::Line;
    links(folder, aggregate).iter().any(is_line).then(|| {
        format!(
            "A delay line delays bytes, not packets. It shows distance, jitter, rate and silence. It cannot show \
             {CANNOT_SHOW}."
        )
    })
}

/// Returns a network as a clause: how far the subscribers are from the server, and where the publisher stands.
fn sentence(network: &Network) -> String {
    let Network { kind, link, publisher } = network;
    let made_of = match kind {
        NetworkKind::None => return "none; every subscriber is reached directly".to_owned(),
        NetworkKind::Line => "a delay line in its socket",
        NetworkKind::Tun | NetworkKind::Auto => "packets between two network namespaces",
    };
    let (up, down) = (ms(link.up.delay), ms(link.down.delay));
    let far = match up == down {
        true => format!("every subscriber is {up} away, each way ({made_of})"),
        false => {
            format!(
                "every subscriber is {up} away on the way to the server and {down} on the way back ({made_of})"
            )
        }
    };
    let publisher = match publisher {
        PublisherPlace::Beside => "the publisher stands beside the server",
        PublisherPlace::Across => {
            "the publisher stands beside the subscribers, and its appends cross the link"
        }
    };
    format!("{far}; {}{publisher}", traits(link).into_iter().map(|told| told + "; ").collect::<String>())
}

/// Returns a network in a few words, for tables and lists: `line, 25 ms each way`.
pub(super) fn in_short(network: &Network) -> String {
    let Network { kind, link, publisher } = network;
    match kind {
        NetworkKind::None => return kind.name().to_owned(),
        NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => {}
    }
    let (up, down) = (ms(link.up.delay), ms(link.down.delay));
    let far = if up == down { format!("{up} each way") } else { format!("{up} up, {down} down") };
    let across = match publisher {
        PublisherPlace::Beside => None,
        PublisherPlace::Across => Some("publisher across the link".to_owned()),
    };
    let parts = [kind.name().to_owned(), far].into_iter().chain(traits(link)).chain(across);
    parts.collect::<Vec<_>>().join(", ")
}

/// Returns what a link does besides its delay; what differs by direction is told of each.
fn traits(link: &Link) -> Vec<String> {
    let (up, down) = (traits_of(&link.up), traits_of(&link.down));
    if up == down {
        return up;
    }
    let of =
        |way: &str, told: Vec<String>| told.into_iter().map(move |told| format!("{way} {told}")).collect();
    let (up, down): (Vec<String>, Vec<String>) = (of("up", up), of("down", down));
    [up, down].concat()
}

fn traits_of(way: &OneWay) -> Vec<String> {
    let jitter = match way.jitter {
        Jitter::None => None,
        Jitter::Uniform { within } => Some(format!("jitter up to {}", ms(within))),
        Jitter::Normal { deviation } => {
            Some(format!("jitter with a standard deviation of {}", ms(deviation)))
        }
    };
    let percent = |ratio: f64| format!("{} % of the packets are lost", plain(ratio * 100.0));
    let loss = match way.loss {
        Loss::None => None,
        Loss::Independent { ratio } => Some(percent(ratio)),
        Loss::GilbertElliott { .. } => Some(format!("{} in bursts", percent(way.loss.ratio()))),
        Loss::OnOff { on, off } => Some(format!("silence of {} after each {}", ms(off), ms(on))),
    };
    let order = match way.order {
        Order::Kept => None,
        Order::Free => Some("packets may overtake each other".to_owned()),
    };
    // Two links that differ in their queue alone are two: it is what a sender waits for, or what drops packets.
    let rate = way.rate.map(|rate| {
        let (kbit_s, queue_bytes) = (plain(rate.kbit_s as f64), plain(rate.queue_bytes as f64));
        format!("{kbit_s} kbit/s behind a queue of {queue_bytes} bytes")
    });
    let trace = way.trace.as_ref().map(|trace| format!("packets leave when the trace {trace} says so"));
    [jitter, loss, order, rate, trace].into_iter().flatten().collect()
}

fn ms(duration: Duration) -> String {
    format!("{} ms", plain(duration.as_secs_f64() * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{File, TextFormat, render, report};
    use wirelab_clients::harness::example;

    const MS: Duration = Duration::from_millis(1);

    /// Returns what is told of a folder with these cells and these lines in its plan.
    fn said(cells: &[MadeUp], plan: &str) -> (Vec<String>, Option<String>) {
        let mut files = synthetic::files(cells, 1);
        let file = files.iter_mut().find(|file: &&mut File| file.path == "plan.toml").unwrap();
        file.bytes.extend(plan.as_bytes());
        let folder = Folder::read(&files).unwrap();
        let aggregate = Aggregate::of(&folder);
        (told(&folder, &aggregate), hidden(&folder, &aggregate))
    }

    fn over(kind: &str, rtt_ms: f64) -> MadeUp {
        MadeUp::of("sse", 26.0, 1).with("network", kind).with("rtt_ms", rtt_ms).with("jitter_ms", 0)
    }

    #[test]
    fn a_distance_is_told_before_any_figure_with_what_a_delay_line_cannot_show() {
        let plan = "network = \"line\"\nrtt_ms = 50.0\n";
        let (told, hidden) = said(&[over("line", 50.0)], plan);
        assert_eq!(
            told,
            [
                "Network: every subscriber is 25 ms away, each way (a delay line in its socket); the publisher stands \
              beside the server."
            ]
        );
        assert!(hidden.unwrap().contains("cannot show lost SYNs, retransmissions"));
        let (told, hidden) = said(&[over("tun", 50.0)], plan);
        assert!(told[0].contains("(packets between two network namespaces)") && hidden.is_none(), "{told:?}");
    }

    #[test]
    fn without_a_link_nothing_is_said() {
        assert_eq!(said(&[MadeUp::of("sse", 0.5, 1)], ""), (Vec::new(), None));
    }

    #[test]
    fn what_only_the_plan_knows_is_told_too() {
        let plan = "network = \"line\"\nrtt_ms = 50.0\npublisher = \"across\"\n[up]\ndelay_ms = 40.0\nlink_kbit_s = \
                    1000\n[down]\ndelay_ms = 10.0\n";
        let (told, _) = said(&[over("line", 50.0)], plan);
        assert_eq!(
            told,
            [
                "Network: every subscriber is 40 ms away on the way to the server and 10 ms on the way back (a delay line \
              in its socket); up 1,000 kbit/s behind a queue of 65,536 bytes; the publisher stands beside the subscribers, and its appends cross the \
              link."
            ]
        );
        // A plan that speaks of another distance is not believed.
        let (told, _) = said(&[over("line", 80.0)], plan);
        assert!(told[0].starts_with("Network: every subscriber is 40 ms away, each way"), "{told:?}");
    }

    #[test]
    fn links_that_differ_are_told_by_arm() {
        let cells = [
            over("line", 10.0).arm("near"),
            over("line", 100.0).arm("far"),
            MadeUp::of("sse", 1.0, 1).arm("here"),
        ];
        let (told, _) = said(&cells, "");
        let starts =
            told.iter().map(|told| told.split(" is ").next().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(told.len(), 3, "{told:?}");
        for name in ["near", "far"] {
            assert!(starts.contains(&format!("Network of {name}: every subscriber")), "{told:?}");
        }
        assert!(told.iter().any(|told| told.starts_with("Network of here: none;")), "{told:?}");
        let many: Vec<MadeUp> = (1..10).map(|n| over("line", f64::from(n)).arm(&n.to_string())).collect();
        let (told, _) = said(&many, "");
        assert_eq!(told, ["Network: 9 links, which the tables of the report list."]);
        let text = |cells: &[MadeUp]| {
            let text = report(&synthetic::folder(cells, 1), TextFormat::Md).unwrap();
            String::from_utf8(text).unwrap()
        };
        let table = text(&many);
        assert!(table.contains("| cell | valid runs | network | latency p50 (ms) |"), "{table}");
        assert!(table.contains("| sse (9) | 1 of 1 | line, 4.5 ms each way | "), "{table}");
        assert!(text(&many[..1]).contains("| cell | valid runs | latency p50 (ms) |"));
    }

    #[test]
    fn the_link_of_a_run_in_memory_is_that_of_its_files() {
        let mut results = example::result_set();
        let way = |delay| OneWay {
            delay,
            jitter: Jitter::Normal { deviation: 2 * MS },
            loss: Loss::bursts(0.01, 4.0),
            ..OneWay::default()
        };
        let network = Network {
            kind: NetworkKind::Tun,
            link: Link { up: way(30 * MS), down: way(20 * MS), seed: 0 },
            publisher: PublisherPlace::Across,
        };
        results.plan.base.network = network.clone();
        results.runs.iter_mut().for_each(|run| run.cell.network = network.clone());
        let folder = Folder::read(&render(&results).unwrap()).unwrap();
        let read = network_of(&folder, &folder.rows.runs[0]);
        assert_eq!(in_short(&read), in_short(&network));
        assert_eq!(
            in_short(&read),
            "tun, 30 ms up, 20 ms down, jitter with a standard deviation of 2 ms, 1 % of the packets are lost in bursts, \
             publisher across the link"
        );
    }
    #[test]
    fn links_that_differ_in_their_queue_alone_are_not_one_network() {
        let named = |queue_bytes| {
            let rate = Some(Rate { kbit_s: 8_000, queue_bytes });
            let way = OneWay { delay: 25 * MS, rate, ..OneWay::default() };
            let link = Link { up: way.clone(), down: way, seed: 0 };
            in_short(&Network { kind: NetworkKind::Tun, link, publisher: PublisherPlace::Beside })
        };
        assert_eq!(named(3_000), "tun, 25 ms each way, 8,000 kbit/s behind a queue of 3,000 bytes");
        assert_ne!(named(3_000), named(Rate::QUEUE_BYTES_DEFAULT));
    }
}
