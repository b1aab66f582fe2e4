//! Tests of the passage.

use proptest::prelude::*;

use super::*;
use crate::link::{Jitter, Link, Loss};

const MS: Duration = Duration::from_millis(1);

fn passage(way: OneWay) -> Passage {
    let draws = way.draws(1, 0);
    Passage::new(way, None, draws)
}

fn traced(text: &str) -> Passage {
    let way = OneWay::default();
    let draws = way.draws(1, 0);
    Passage::new(way, Some(Trace::parse("t", text).unwrap()), draws)
}

/// Returns the first byte of each packet with its time of arrival, in the order of arrival.
fn arrivals(passage: &mut Passage) -> Vec<(u8, Duration)> {
    let mut arrivals = Vec::new();
    while let Some(at) = passage.next_due() {
        if at > Duration::ZERO {
            assert_eq!(passage.arrived(at - Duration::from_nanos(1)), None, "before its time");
        }
        arrivals.push((passage.arrived(at).unwrap()[0], at));
    }
    assert_eq!(passage.on_the_way_bytes, 0);
    arrivals
}

#[test]
fn a_packet_arrives_after_the_delay_and_not_before() {
    let mut passage = passage(Link::distance(25 * MS).up);
    for n in 0..3 {
        assert_eq!(passage.take(vec![n; 100], u32::from(n) * MS), Fate::Passes);
    }
    assert_eq!(arrivals(&mut passage), [(0, 25 * MS), (1, 26 * MS), (2, 27 * MS)]);
}

#[test]
fn a_rate_sends_one_packet_after_the_other_and_its_full_queue_drops_the_last() {
    // 1 250 bytes take 10 ms; two of them fit into the queue.
    let rate = Rate { kbit_s: 1_000, queue_bytes: 2_500 };
    let mut passage = passage(OneWay { delay: 5 * MS, rate: Some(rate), ..OneWay::default() });
    let fates: Vec<_> = (0..3).map(|n| passage.take(vec![n; 1_250], Duration::ZERO)).collect();
    assert_eq!(fates, [Fate::Passes, Fate::Passes, Fate::QueueFull]);
    // The first has left: there is room again.
    assert_eq!(passage.take(vec![3; 1_250], 10 * MS), Fate::Passes);
    assert_eq!(arrivals(&mut passage), [(0, 15 * MS), (1, 25 * MS), (3, 35 * MS)]);
}

#[test]
fn jitter_reorders_packets_only_where_the_order_is_free() {
    for (order, is_sorted) in [(Order::Kept, true), (Order::Free, false)] {
        let jitter = Jitter::Uniform { within: 20 * MS };
        let mut passage = passage(OneWay { delay: 25 * MS, jitter, order, ..OneWay::default() });
        (0..100).for_each(|n| assert_eq!(passage.take(vec![n], u32::from(n) * MS), Fate::Passes));
        let arrived = arrivals(&mut passage);
        assert_eq!(arrived.len(), 100);
        assert_eq!(arrived.is_sorted_by_key(|(n, _)| *n), is_sorted, "{order:?}");
        assert!(arrived.iter().all(|(n, at)| *at >= (u32::from(*n) + 5) * MS));
    }
}

#[test]
fn an_on_off_link_loses_what_it_sends_while_it_is_off() {
    let loss = Loss::OnOff { on: 10 * MS, off: 5 * MS };
    let mut passage = passage(OneWay { loss, ..OneWay::default() });
    let lost: Vec<_> = (0..30).filter(|n| passage.take(vec![0], *n * MS) == Fate::Lost).collect();
    assert_eq!(lost, [10, 11, 12, 13, 14, 25, 26, 27, 28, 29]);
}

#[test]
fn equal_seeds_give_equal_fates() {
    let way = OneWay { loss: Loss::bursts(0.1, 3.0), ..OneWay::default() };
    let fates = |seed| {
        let mut passage = Passage::new(way.clone(), None, way.draws(seed, 0));
        (0..1_000).map(|n| passage.take(vec![0], n * MS)).collect::<Vec<_>>()
    };
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
    assert!(fates(1).contains(&Fate::Lost));
}

#[test]
fn a_trace_lets_1500_bytes_pass_at_each_of_its_times() {
    let mut passage = traced("10\n20\n30\n40\n");
    // Two small packets share an opportunity, and a large one spreads over two.
    for (n, bytes, now) in [(0, 700, 0), (1, 700, 1), (2, 1_500, 2)] {
        assert_eq!(passage.take(vec![n; bytes], now * MS), Fate::Passes);
    }
    // Nothing waited at 30 ms: that opportunity is over. The trace begins anew at 40 ms.
    for n in [3, 4] {
        assert_eq!(passage.take(vec![n; 1_500], 31 * MS), Fate::Passes);
    }
    let expected = [(0, 10), (1, 10), (2, 20), (3, 40), (4, 50)].map(|(n, at)| (n, at * MS));
    assert_eq!(arrivals(&mut passage), expected);
}

#[test]
fn a_trace_has_a_queue_and_an_idle_hour_costs_nothing() {
    let mut passage = traced("0\n1\n");
    assert_eq!(passage.take(vec![0; 1_500], 3_600_000 * MS), Fate::Passes);
    assert_eq!(arrivals(&mut passage), [(0, 3_600_000 * MS)]);
    let mut passage = traced("10\n");
    let passed = (0..100).filter(|_| passage.take(vec![0; 1_500], Duration::ZERO) == Fate::Passes).count();
    assert_eq!(passed as u64, Rate::QUEUE_BYTES_DEFAULT / 1_500);
}

#[test]
fn what_is_on_the_way_is_bounded() {
    let mut passage = passage(Link::distance(1_000 * MS).up);
    let count = ON_THE_WAY_BYTES_MAX >> 20;
    let full = vec![0; 1 << 20];
    (0..count).for_each(|_| assert_eq!(passage.take(full.clone(), Duration::ZERO), Fate::Passes));
    assert_eq!(passage.take(full, Duration::ZERO), Fate::TooMuchOnTheWay);
}

proptest! {
    #[test]
    fn every_packet_has_one_fate_and_arrives_once(
        packets in prop::collection::vec((1_usize..1_500, 0_u32..5_000), 1..200),
        kbit_s in 100_u64..100_000,
        queue_bytes in 1_500_u64..20_000,
        ratio in 0.0..0.5,
    ) {
        let rate = Some(Rate { kbit_s, queue_bytes });
        let way = OneWay { delay: 3 * MS, rate, loss: Loss::Independent { ratio }, ..OneWay::default() };
        let mut passage = passage(way);
        let (mut now, mut passed) = (Duration::ZERO, 0);
        for (bytes, pause_us) in &packets {
            now += Duration::from_micros(u64::from(*pause_us));
            passed += usize::from(passage.take(vec![0; *bytes], now) == Fate::Passes);
            prop_assert!(passage.waiting_bytes <= queue_bytes);
        }
        prop_assert_eq!(arrivals(&mut passage).len(), passed);
    }
}
