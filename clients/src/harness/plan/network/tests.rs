//! Tests of the network keys: which values are refused and how, and what survives a plan's file.

use proptest::prelude::*;

use super::*;
use crate::harness::plan::Plan;
use crate::link::{Jitter, Rate};

/// A plan with these lines above its table.
fn plan(lines: &str) -> String {
    format!(
        "name = \"x\"\nquestion = \"?\"\nsubscribers = 2\n{lines}\n[lines]\nprocess = \"replay\"\nrecording = \"r\"\n"
    )
}

fn parsed(text: &str) -> Plan {
    Plan::parse("x.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[track_caller]
fn is_refused(lines: &str, words: &str) {
    let said = Plan::parse("x.toml", &plan(lines)).unwrap_err().to_string();
    assert!(said.starts_with("plan \"x.toml\"") && said.contains(words), "{lines}: {said}");
}

#[test]
fn values_out_of_range_are_refused_by_name_and_range() {
    for (keys, words) in [
        ("rtt_ms = -1", "rtt_ms is -1; 0 to 2000"),
        ("rtt_ms = 2000.1", "rtt_ms is 2000.1; 0 to 2000"),
        ("rtt_ms = nan", "rtt_ms is NaN; 0 to 2000"),
        ("rtt_ms = inf", "rtt_ms is inf; 0 to 2000"),
        ("jitter_ms = 1000.5", "jitter_ms is 1000.5; 0 to 1000"),
        ("jitter_ms = nan", "jitter_ms is NaN; 0 to 1000"),
        ("loss_ratio = 0.51", "loss_ratio is 0.51; 0 to 0.5"),
        ("loss_ratio = -0.1", "loss_ratio is -0.1; 0 to 0.5"),
        ("link_kbit_s = 7", "link_kbit_s is 7; 8 to 10000000"),
        ("link_kbit_s = 10000001", "link_kbit_s is 10000001; 8 to 10000000"),
        ("publisher = \"here\"", "publisher: unknown variant `here`, expected `beside` or `across`"),
        (
            "rtt_ms = 10\njitter_ms = 6",
            "up.jitter_ms is 6; at most the delay of that direction, 5 ms, or jitter",
        ),
        (
            "rtt_ms = 60\nup = { delay_ms = 10 }\ndown = { delay_ms = 30 }",
            "rtt_ms is 60; up.delay_ms and down",
        ),
    ] {
        is_refused(&format!("network = \"tun\"\n{keys}"), words);
    }
    is_refused(
        "network = \"wifi\"",
        "network: unknown variant `wifi`, expected one of `none`, `line`, `tun`",
    );
}

#[test]
fn values_of_one_direction_are_refused_by_name_and_range() {
    for (key, words) in [
        ("delay_ms = 1000.1", "delay_ms is 1000.1; 0 to 1000"),
        ("delay_ms = nan", "delay_ms is NaN; 0 to 1000"),
        ("jitter_ms = -0.5", "jitter_ms is -0.5; 0 to 1000"),
        ("jitter_ms = 0.5", "jitter_ms is 0.5; at most the delay of that direction, 0 ms"),
        ("jitter_process = \"cauchy\"", "unknown variant `cauchy`, expected `uniform` or `normal`"),
        ("loss_ratio = 0.6", "loss_ratio is 0.6; 0 to 0.5"),
        ("loss_ratio = 0.1, loss_burst = 0.5", "loss_burst is 0.5; 1 to 1000"),
        ("loss_ratio = 0.1, loss_burst = 1001", "loss_burst is 1001; 1 to 1000"),
        ("loss_on = \"0s\", loss_off = \"1s\"", "loss_on is 0s; 1ms to 1m"),
        ("loss_on = \"1s\", loss_off = \"61s\"", "loss_off is 1m 1s; 1ms to 1m"),
        ("loss_on = \"1\", loss_off = \"1s\"", "write a number and a unit"),
        (
            "loss_on = \"1s\"",
            "loss_on is given alone or beside another loss; give loss_on and loss_off together",
        ),
        ("loss_off = \"1s\"", "loss_on is given alone or beside another loss"),
        (
            "loss_ratio = 0.1, loss_on = \"1s\", loss_off = \"1s\"",
            "loss_on is given alone or beside another loss",
        ),
        ("link_kbit_s = 0", "link_kbit_s is 0; 8 to 10000000"),
        (
            "queue_bytes = 3000",
            "queue_bytes is 3000; a queue stands before a link with a rate; give link_kbit_s",
        ),
        ("link_kbit_s = 8, queue_bytes = 1499", "queue_bytes is 1499; 1500 to 67108864"),
        ("link_kbit_s = 8, queue_bytes = 67108865", "queue_bytes is 67108865; 1500 to 67108864"),
        ("speed = 1", "unknown field `speed`"),
    ] {
        for way in ["up", "down"] {
            // What serde refuses names the line and the table; the others name the key with its direction.
            let is_ours = words.contains(" is ");
            let words = if is_ours { format!("{way}.{words}") } else { words.to_owned() };
            is_refused(&format!("network = \"tun\"\n{way} = {{ {key} }}"), &words);
        }
    }
}

#[test]
fn what_only_packets_can_do_is_refused_on_a_delay_line_by_its_key() {
    let needs = "packets are needed for that; use network = \"tun\"";
    is_refused("network = \"line\"\nloss_ratio = 0.01", &format!("loss_ratio is 0.01; {needs}"));
    for (key, given) in [
        ("loss_ratio = 0.01", "loss_ratio is 0.01"),
        ("loss_ratio = 0.05, loss_burst = 3", "loss_ratio is 0.05"),
        ("loss_on = \"2s\", loss_off = \"1s\"", "loss_on is 2s"),
        ("reorder = true, jitter_ms = 0", "reorder is true"),
        ("trace = \"lte.up\"", "trace is \"lte.up\""),
    ] {
        for way in ["up", "down"] {
            let lines = |kind: &str| format!("network = \"{kind}\"\n{way} = {{ {key} }}");
            is_refused(&lines("line"), &format!("{way}.{given}; {needs}"));
            // What an automatic choice may become depends on the machine: it is refused where it becomes a line.
            parsed(&plan(&lines("auto")));
        }
    }
    parsed(&plan("network = \"line\"\nloss_ratio = 0.0\nrtt_ms = 5"));
}

#[test]
fn a_key_of_a_link_without_a_network_is_refused_with_the_remedy() {
    for key in
        ["rtt_ms = 1", "jitter_ms = 1", "loss_ratio = 0.1", "link_kbit_s = 9", "publisher = \"across\""]
    {
        let name = key.split(' ').next().unwrap();
        is_refused(key, &format!("{name} is given without network; it belongs to a network; add network ="));
    }
    is_refused("up = { delay_ms = 1 }", "up is given without network");
    is_refused("down = { delay_ms = 1 }", "down is given without network");
    is_refused(
        "network = \"line\"\n[[arms]]\nname = \"far\"\nrtt_ms = 2001",
        "rtt_ms of arm far is 2001; 0 to 2000",
    );
}

#[test]
fn a_round_trip_and_one_way_give_the_other_way() {
    for (given, other) in [("up", "down"), ("down", "up")] {
        let network =
            parsed(&plan(&format!("network = \"line\"\nrtt_ms = 50\n{given} = {{ delay_ms = 40 }}")));
        let link = &network.base.network.link;
        let (given_way, other_way) =
            if given == "up" { (&link.up, &link.down) } else { (&link.down, &link.up) };
        let ms = Duration::from_millis;
        assert_eq!((given_way.delay, other_way.delay, link.round_trip()), (ms(40), ms(10), ms(50)));
        assert_eq!(parsed(&network.to_toml()), network);
        is_refused(
            &format!("network = \"line\"\nrtt_ms = 50\n{given} = {{ delay_ms = 60 }}"),
            &format!("{given}.delay_ms is 60; at most rtt_ms, 50"),
        );
        is_refused(
            &format!("network = \"line\"\nrtt_ms = 2000\n{given} = {{ delay_ms = 500 }}"),
            &format!("{other}.delay_ms is 1500; 0 to 1000"),
        );
    }
}

#[test]
fn one_way_alone_is_refused_with_what_is_missing() {
    for (given, other) in [("up", "down"), ("down", "up")] {
        is_refused(
            &format!("network = \"line\"\n{given} = {{ delay_ms = 40 }}"),
            &format!("{given}.delay_ms is 40; it says one way of two; give rtt_ms or {other}.delay_ms too"),
        );
    }
    let both = parsed(&plan("network = \"line\"\nup = { delay_ms = 40 }\ndown = { delay_ms = 10 }"));
    assert_eq!(both.base.network.link.round_trip(), Duration::from_millis(50));
}

#[test]
fn without_a_network_values_are_still_checked() {
    for (keys, words) in [
        ("rtt_ms = 2001", "rtt_ms is 2001; 0 to 2000"),
        ("jitter_ms = -1", "jitter_ms is -1; 0 to 1000"),
        ("loss_ratio = 2", "loss_ratio is 2; 0 to 0.5"),
        ("link_kbit_s = 1", "link_kbit_s is 1; 8 to 10000000"),
        ("up = { delay_ms = 1001 }", "up.delay_ms is 1001; 0 to 1000"),
        ("down = { loss_burst = 0 }", "down.loss_burst is 0; 1 to 1000"),
        ("down = { queue_bytes = 1 }", "down.queue_bytes is 1; 1500 to 67108864"),
        ("up = { loss_on = \"0s\" }", "up.loss_on is 0s; 1ms to 1m"),
    ] {
        is_refused(&format!("network = \"none\"\n{keys}"), words);
    }
    // Possible ones may stand: an arm says none over its plan's link, and arms take a plan's jitter to links of their own.
    let read = parsed(&plan("network = \"none\"\njitter_ms = 5\nup = { reorder = true }"));
    assert_eq!(read.base.network, Network::default());
}

#[test]
fn a_key_that_shapes_what_is_not_there_is_refused_by_name() {
    for (key, words) in [
        ("jitter_process = \"normal\"", "jitter_process is \"normal\"; it means nothing without jitter_ms"),
        ("reorder = true", "reorder is true; it means nothing without jitter_ms"),
        ("loss_burst = 4", "loss_burst is 4; it means nothing without loss_ratio"),
    ] {
        for way in ["up", "down"] {
            is_refused(
                &format!("network = \"tun\"\nrtt_ms = 20\n{way} = {{ {key} }}"),
                &format!("{way}.{words}"),
            );
            // What stands for both directions is there for each, and an arm may take it away.
            let both = format!(
                "network = \"tun\"\nrtt_ms = 20\njitter_ms = 1\nloss_ratio = 0.1\n{way} = {{ {key} }}"
            );
            let text = plan(&both) + "[[arms]]\nname = \"calm\"\njitter_ms = 0\nloss_ratio = 0\n";
            let read = parsed(&text);
            assert_eq!(parsed(&read.to_toml()), read, "{key}");
        }
    }
}

const BURSTS: &str = "network = \"tun\"\nrtt_ms = 50\njitter_ms = 5\nlink_kbit_s = 8000\n\
                      up = { loss_ratio = 0.05, loss_burst = 4 }\ndown = { loss_ratio = 0.01 }";

#[test]
fn an_arm_changes_its_plan_s_link_and_survives_the_file() {
    type Holds = fn(&Network) -> bool;
    let arms: [(&str, Holds); 7] = [
        ("network = \"none\"", |found| *found == Network::default()),
        ("rtt_ms = 100", |found| found.link.round_trip() == Duration::from_millis(100)),
        ("network = \"line\"\nup = { loss_ratio = 0 }\ndown = { loss_ratio = 0 }", |found| {
            found.kind == NetworkKind::Line
                && found.link.up.loss == Loss::None
                && found.link.up.rate.is_some()
        }),
        ("jitter_ms = 0", |found| found.link.down.jitter == Jitter::None),
        ("up = { jitter_process = \"normal\" }", |found| {
            matches!(found.link.up.jitter, Jitter::Normal { .. })
        }),
        ("up = { delay_ms = 5, jitter_ms = 0 }", |found| {
            let ms = Duration::from_millis;
            (found.link.up.delay, found.link.down.delay) == (ms(5), ms(45))
        }),
        ("publisher = \"across\"", |found| found.publisher == PublisherPlace::Across),
    ];
    for (arm, holds) in arms {
        let text = plan(BURSTS) + "[[arms]]\nname = \"other\"\n" + arm;
        let read = parsed(&text);
        assert!(holds(&read.arms[0].factors.network), "{arm}: {:?}", read.arms[0].factors.network);
        assert_eq!(parsed(&read.to_toml()), read, "{arm}");
    }
    // Phases replace the ratio of both directions.
    let ratio = "network = \"tun\"\nloss_ratio = 0.1";
    let phases = "up = { loss_on = \"2s\", loss_off = \"300ms\" }";
    let read = parsed(&(plan(ratio) + "[[arms]]\nname = \"phases\"\n" + phases));
    let link = &read.arms[0].factors.network.link;
    assert!(
        matches!(link.up.loss, Loss::OnOff { .. }) && link.down.loss == Loss::Independent { ratio: 0.1 },
        "{link:?}"
    );
    assert_eq!(parsed(&read.to_toml()), read);
}

#[test]
fn a_file_says_times_and_ratios_as_they_were_written() {
    let text =
        "network = \"tun\"\nrtt_ms = 24.6\nup = { jitter_ms = 0.1, loss_ratio = 0.05, loss_burst = 3 }";
    let written = parsed(&plan(text)).to_toml();
    for line in
        ["rtt_ms = 24.6", "delay_ms = 12.3", "jitter_ms = 0.1", "loss_ratio = 0.05", "loss_burst = 3.0"]
    {
        assert!(written.lines().any(|written| written == line), "{line} is not in {written}");
    }
}

fn times(within: RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    within.prop_map(Duration::from_nanos)
}

/// Losses as a plan can say them.
fn losses() -> impl Strategy<Value = Loss> {
    prop_oneof![
        Just(Loss::None),
        (0.000_001..=0.5).prop_map(|ratio| Loss::Independent { ratio }),
        (1..=500_000_u32, 10..=10_000_u32)
            .prop_map(|(ratio, burst)| Loss::bursts(f64::from(ratio) / 1e6, f64::from(burst) / 10.0)),
        (times(1_000_000..=60_000_000_000), times(1_000_000..=60_000_000_000))
            .prop_map(|(on, off)| Loss::OnOff { on, off }),
    ]
}

fn ways() -> impl Strategy<Value = OneWay> {
    let delayed = times(0..=1_000_000_000).prop_flat_map(|delay| {
        let most = delay.as_nanos() as u64;
        let jitter = prop_oneof![
            Just(Jitter::None),
            times(1.min(most)..=most).prop_map(|within| if within.is_zero() {
                Jitter::None
            } else {
                Jitter::Uniform { within }
            }),
            times(1..=1_000_000_000).prop_map(|deviation| Jitter::Normal { deviation }),
        ];
        (Just(delay), jitter)
    });
    let rate = (LINK_KBIT_S, QUEUE_BYTES).prop_map(|(kbit_s, queue_bytes)| Rate { kbit_s, queue_bytes });
    let order = prop_oneof![Just(Order::Kept), Just(Order::Free)];
    let trace = proptest::option::of("[a-zA-Z0-9./ \"\u{e9}-]{1,20}");
    (delayed, order, losses(), proptest::option::of(rate), trace).prop_map(
        |((delay, jitter), order, loss, rate, trace)| OneWay { delay, jitter, order, loss, rate, trace },
    )
}

fn networks() -> impl Strategy<Value = Network> {
    let kinds = prop_oneof![Just(NetworkKind::Line), Just(NetworkKind::Tun), Just(NetworkKind::Auto)];
    let places = prop_oneof![Just(PublisherPlace::Beside), Just(PublisherPlace::Across)];
    (kinds, ways(), ways(), places).prop_map(|(kind, up, down, publisher)| {
        let possible = |way: OneWay| match kind {
            NetworkKind::Tun => way,
            NetworkKind::None | NetworkKind::Line | NetworkKind::Auto => {
                OneWay { order: Order::Kept, loss: Loss::None, trace: None, ..way }
            }
        };
        Network { kind, link: Link { up: possible(up), down: possible(down), seed: 0 }, publisher }
    })
}

proptest! {
    #[test]
    fn any_network_survives_the_file(network in networks()) {
        let mut plan = parsed(&plan(""));
        plan.base.network = network;
        let read = Plan::parse("x.toml", &plan.to_toml()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read, plan);
    }

    #[test]
    fn any_numbers_are_a_link_or_are_refused_by_key(rtt_ms in any::<f64>(), jitter_ms in any::<f64>()) {
        let text = plan(&format!("network = \"line\"\nrtt_ms = {rtt_ms:?}\njitter_ms = {jitter_ms:?}"));
        match Plan::parse("x.toml", &text.replace("NaN", "nan")) {
            Ok(plan) => prop_assert!(plan.base.network.link.round_trip() <= Duration::from_secs(2)),
            Err(error) => prop_assert!(error.to_string().contains("_ms is "), "{}", error),
        }
    }
}
