//! Every formula is compared with the simulation, over random parameters.
//!
//! A formula and a simulation agree when they differ by less than one per cent, or by less than [`SIGMAS`] standard
//! errors of the simulation where that is more. Each check is also made with a formula that is wrong by 5 %, which must
//! be noticed: a test that any formula passes would prove nothing.

use proptest::prelude::*;

use super::aliasing::aliasing;
use super::long_poll::LongPoll;
use super::short_poll::ShortPoll;
use super::simulation::{self, Asking, LinePattern, Seen, Ways};
use super::{age, capacity, freeze, streams};

const LINES: usize = 20_000;
const RATIO: f64 = 0.01;
const SIGMAS: f64 = 4.5;
const CASES: u32 = 16;
const WRONG: f64 = 1.05;

/// Returns whether both agree within 1 %, or within [`SIGMAS`] standard errors of the simulation.
fn agrees(predicted: f64, simulated: f64, error: f64) -> bool {
    (simulated - predicted).abs() <= (RATIO * predicted.abs()).max(SIGMAS * error)
}

#[track_caller]
fn close(predicted: f64, simulated: f64, error: f64) {
    assert!(agrees(predicted, simulated, error), "{predicted} predicted, {simulated} ± {error} simulated");
    // Where the error is small enough, a formula that is wrong by 5 % must be noticed.
    if SIGMAS * error < (WRONG - 1.0) / 2.0 * predicted {
        assert!(!agrees(predicted * WRONG, simulated, error), "a wrong formula passes: {simulated}");
    }
}

/// Returns the standard error of a mean of independent latencies.
fn mean_error(seen: &Seen) -> f64 {
    let mean = seen.latency_mean_s();
    let squares: f64 = seen.latencies_s.iter().map(|latency| (latency - mean).powi(2)).sum();
    squares.sqrt() / seen.latencies_s.len() as f64
}

/// Returns the standard error of a share among `of` independent events.
fn share_error(share: f64, of: f64) -> f64 {
    (share * (1.0 - share) / of).sqrt()
}

fn poisson(rate_hz: f64) -> LinePattern {
    LinePattern::Poisson { rate_hz }
}

/// Returns the standard error of the age of Poisson lines: of E\[X²\]/(2 E\[X\]) over so many independent looks at
/// them.
fn age_error(rate_hz: f64, looks: f64) -> f64 {
    (2.0 / looks.min(LINES as f64)).sqrt() / rate_hz
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f1_to_f3_and_f15_hold_for_short_polls_at_fixed_times(
        interval_s in 0.02..4.0, up_s in 0.0..0.2, down_s in 0.0..0.2, lines_per_interval in 0.05..20.0, phase in 0.0..1.0,
        seed: u64,
    ) {
        let rate_hz = lines_per_interval / interval_s;
        let asking = Asking::Fixed { interval_s };
        let ways = Ways { up_s, down_s };
        let seen = simulation::short_poll(asking, ways, 0.0, phase * interval_s, poisson(rate_hz), LINES, seed);
        let poll = ShortPoll::fixed(interval_s, down_s);
        check_short_poll(&poll, &seen, rate_hz);
    }

    #[test]
    fn f1_to_f3_and_f15_hold_for_short_polls_that_pause(
        pause_s in 0.02..2.0, up_s in 0.0..0.2, down_s in 0.0..0.2, handling_s in 0.0..0.1, connects in 0.0..1.0,
        lines_per_interval in 0.05..20.0, seed: u64,
    ) {
        let ways = Ways { up_s, down_s };
        // Where every poll connects, a round trip comes before its request.
        let connect_s = if connects < 0.5 { ways.round_trip_s() } else { 0.0 };
        let poll = ShortPoll::pause(pause_s, ways.round_trip_s() + handling_s, 0.0, connect_s, down_s);
        let rate_hz = lines_per_interval / poll.interval_s;
        let asking = Asking::Pause { pause_s, connect_s };
        let seen = simulation::short_poll(asking, ways, handling_s, 0.0, poisson(rate_hz), LINES, seed);
        check_short_poll(&poll, &seen, rate_hz);
    }

    #[test]
    fn f3_and_f15_hold_for_periodic_lines(
        interval_s in 0.1..1.0, ratio in 1.1..9.0_f64, phase in 0.0..1.0,
    ) {
        // Never in step: a golden ratio's worth is added, so that all phases occur.
        let period_s = interval_s * (ratio + 0.000_618_034);
        let lines = LinePattern::Periodic { period_s };
        let asking = Asking::Fixed { interval_s };
        let seen = simulation::short_poll(asking, Ways::equal(0.01), 0.0, phase * interval_s, lines, LINES, 0);
        let poll = ShortPoll::fixed(interval_s, 0.01);
        let empty = seen.empty as f64 / seen.requests as f64;
        close(poll.empty_ratio_periodic(period_s), empty, 2.0 / LINES as f64);
        // Phases that hardly move leave some of their luck in 20,000 lines.
        if ((ratio * 1_000.0_f64).fract() - 0.5_f64).abs() < 0.4 {
            let error = interval_s * 0.01 / SIGMAS;
            close(age::short_poll_s(lines, &poll), seen.age_mean_s, error);
        }
    }

    #[test]
    fn f4_to_f7_and_f15_hold_for_long_polls(
        gap_s in 0.001..0.5, lines_per_gap in 0.01..5.0_f64, lines_per_hold in 0.2..20.0, one_way_s in 0.0..0.2, seed: u64,
    ) {
        let line_rate_hz = lines_per_gap / gap_s;
        let poll = LongPoll { line_rate_hz, gap_s, hold_s: lines_per_hold / line_rate_hz, one_way_s };
        let seen = simulation::long_poll(&poll, poisson(line_rate_hz), LINES, seed);
        let requests = seen.requests as f64;
        // A request's cycle varies at most as an exponential time does.
        let rate_error = poll.requests_per_s() / requests.sqrt();
        close(poll.requests_per_s(), requests / seen.duration_s, rate_error);
        let timeouts = poll.timeout_ratio();
        // An event that is expected less than once happens once now and then.
        close(timeouts, seen.empty as f64 / requests, share_error(timeouts, requests) + 1.0 / requests);
        // Lines of one gap share their wait: as many independent ones as there are gaps with lines.
        let clustered = f64::sqrt(1.0 + lines_per_gap);
        close(poll.latency_mean_s(), seen.latency_mean_s(), mean_error(&seen) * clustered);
        for quantile in [0.5, 0.9, 0.99, 1.0] {
            // Density of the wait: r.
            let error = share_error(quantile, LINES as f64) * clustered / poll.requests_per_s();
            close(poll.latency_quantile_s(quantile), seen.latency_quantile_s(quantile), error);
        }
        let waiting = poll.waiters_mean(1.0);
        let waiting_error = (gap_s * rate_error).min(1.0);
        close(waiting, seen.held_s / seen.duration_s, waiting_error);
        let error = 2.0 * age_error(line_rate_hz, requests);
        close(age::long_poll_s(&poll), seen.age_mean_s, error);
    }

    /// RFC 6202 §2.2: the answer that a line just missed goes down, the next request comes up, and the line goes down.
    #[test]
    fn f6_has_three_transits_at_most_whatever_the_two_ways_are(up_s in 0.001..0.3, down_s in 0.001..0.3, seed: u64) {
        let gap_s = Ways { up_s, down_s }.round_trip_s();
        let poll = LongPoll { line_rate_hz: 1.0 / gap_s, gap_s, hold_s: 100.0 * gap_s, one_way_s: down_s };
        let seen = simulation::long_poll(&poll, poisson(poll.line_rate_hz), LINES, seed);
        let longest_s = down_s + up_s + down_s;
        prop_assert!((poll.latency_quantile_s(1.0) - longest_s).abs() < 1e-9);
        close(longest_s, seen.latency_quantile_s(1.0), gap_s / (LINES as f64).sqrt());
        close(down_s, seen.latency_quantile_s(0.0), 0.0);
    }

    #[test]
    fn f8_and_f15_hold_for_streams(
        one_way_s in 0.001..0.2, write_s in 0.0..0.001, subscribers in 1..50_u32, rate_hz in 0.1..500.0, seed: u64,
    ) {
        let seen = |position| simulation::stream(one_way_s, write_s, position, poisson(rate_hz), 200, seed);
        let mean = (0..subscribers).map(|position| seen(position).latency_mean_s()).sum::<f64>() / f64::from(subscribers);
        close(streams::latency_mean_s(one_way_s, f64::from(subscribers), write_s), mean, 0.0);
        let alone = simulation::stream(one_way_s, write_s, 0, poisson(rate_hz), LINES, seed);
        close(age::push_s(poisson(rate_hz), one_way_s), alone.age_mean_s, age_error(rate_hz, LINES as f64));
        prop_assert_eq!(alone.requests as f64, streams::requests(0.0));
    }

    #[test]
    fn f10_separates_users_that_can_be_served_from_those_that_cannot(
        requests_per_s_max in 50.0..500.0, latency_max_s in 1.0..8.0, seed: u64,
    ) {
        let users_max = capacity::users_max(requests_per_s_max, latency_max_s, 0.0);
        let longest = |users: f64| {
            simulation::polled_server(requests_per_s_max, users.round() as u32, latency_max_s, 200, seed)
        };
        let [early_s, late_s] = longest(users_max * 0.99);
        prop_assert!(late_s <= early_s * 1.01, "{} {}: a queue grows below the limit", early_s, late_s);
        let [early_s, late_s] = longest(users_max * WRONG);
        prop_assert!(late_s > early_s * 1.5, "{} {}: no queue grows above it", early_s, late_s);
    }

    #[test]
    fn f11_holds_for_a_server_that_stands_still(
        cohort_s in 5.0..60.0, stalled in 0.02..0.5, at in 0.0..0.5, one_way_s in 0.0..0.05, seed: u64,
    ) {
        let stall_s = stalled * cohort_s;
        let lines = poisson(LINES as f64 / cohort_s);
        let seen = simulation::stalled_stream(one_way_s, cohort_s, at * cohort_s, stall_s, lines, seed);
        for quantile in [0.5, 0.9, 0.99, 1.0] {
            // Density of the wait: 1/D. And the number of lines in the stall is random too.
            let error = (stalled + share_error(quantile, 1.0)) * cohort_s / (LINES as f64).sqrt();
            let predicted = freeze::latency_quantile_s(stall_s, cohort_s, one_way_s, quantile);
            close(predicted, seen.latency_quantile_s(quantile), error);
        }
        close(
            freeze::latency_mean_s(stall_s, cohort_s, one_way_s), seen.latency_mean_s(),
            mean_error(&seen) + stall_s * stalled / (LINES as f64).sqrt(),
        );
    }

    #[test]
    fn f12_counts_the_latencies_that_occur(interval_ms in 1..400_u64, period_ms in 1..400_u64, phase_us in 1..1_000_u64) {
        const NS_PER_MS: u64 = 1_000_000;
        let expected = aliasing(interval_ms * NS_PER_MS, period_ms * NS_PER_MS);
        // Whole microseconds: no rounding may make two latencies of one.
        let latency_us = |line: u64| {
            let due_us = line * period_ms * 1_000;
            let polls = (due_us.saturating_sub(phase_us)).div_ceil(interval_ms * 1_000);
            phase_us + polls * interval_ms * 1_000 - due_us
        };
        let mut seen: Vec<u64> = (1..=2 * interval_ms).map(latency_us).collect();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len() as u64, expected.distinct_latencies);
        for pair in seen.windows(2) {
            prop_assert!(((pair[1] - pair[0]) as f64 / 1e6 - expected.spacing_s).abs() < 1e-9);
        }
    }
}

#[track_caller]
fn check_short_poll(poll: &ShortPoll, seen: &Seen, rate_hz: f64) {
    let (requests, lines) = (seen.requests as f64, seen.latencies_s.len() as f64);
    close(poll.latency_mean_s(), seen.latency_mean_s(), mean_error(seen));
    for quantile in [0.5, 0.9, 0.99, 1.0] {
        let error = share_error(quantile, lines) * poll.interval_s;
        close(poll.latency_quantile_s(quantile), seen.latency_quantile_s(quantile), error);
    }
    // The simulation ends with its last line, in the middle of an interval.
    close(poll.requests_per_s(1.0), requests / seen.duration_s, poll.requests_per_s(1.0) / requests);
    let (empty, measured) = (poll.empty_ratio(rate_hz), seen.empty as f64 / requests);
    close(empty, measured, share_error(empty, requests) + 1.0 / requests);
    close(poll.requests_per_line(rate_hz), requests / lines, requests / lines / lines.sqrt());
    let per_answer = lines / (requests - seen.empty as f64);
    close(poll.lines_per_data_answer(rate_hz), per_answer, per_answer / lines.sqrt());
    close(age::short_poll_s(poisson(rate_hz), poll), seen.age_mean_s, age_error(rate_hz, requests));
}

/// The seed alone decides what a simulation gives.
#[test]
fn a_simulation_can_be_repeated() {
    let seen = |seed| {
        simulation::short_poll(
            Asking::Fixed { interval_s: 0.2 },
            Ways::equal(0.0),
            0.0,
            0.1,
            poisson(50.0),
            100,
            seed,
        )
    };
    assert_eq!(seen(1), seen(1));
    assert_ne!(seen(1).latencies_s, seen(2).latencies_s);
}
