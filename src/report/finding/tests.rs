//! The finding of made-up folders: what it says, and what it must not.

use proptest::prelude::*;

use wirelab_clients::harness::run_result::Verdict;

use super::*;
use crate::report::synthetic::{self, MadeUp};

/// Returns the finding of a folder with these cells.
fn found(cells: &[MadeUp], seed: u64) -> Vec<Sentence> {
    found_in(&synthetic::folder(cells, seed))
}

fn found_in(folder: &Folder) -> Vec<Sentence> {
    let aggregate = Aggregate::of(folder);
    finding(folder, &aggregate, Sweep::of(&aggregate).as_ref())
}

fn text(sentences: &[Sentence]) -> String {
    sentences.iter().map(|sentence| sentence.text.as_str()).collect::<Vec<_>>().join("\n")
}

fn of(sentences: &[Sentence], topic: Topic) -> String {
    text(&sentences.iter().filter(|sentence| sentence.topic == topic).cloned().collect::<Vec<_>>())
}

/// Words that only a winner gets.
const SUPERLATIVES: [&str; 5] = ["Fastest", "Most sparing", "Lightest", "rose", "fell"];

/// Returns the finding of a folder in which one text of one file is replaced.
fn with(cells: &[MadeUp], file: &str, from: &str, to: &str) -> Vec<Sentence> {
    let mut files = synthetic::files(cells, 1);
    let file = files.iter_mut().find(|other| other.path == file).unwrap();
    let text = String::from_utf8(file.bytes.clone()).unwrap();
    assert!(text.contains(from), "{from}");
    file.bytes = text.replace(from, to).into_bytes();
    found_in(&Folder::read(&files).unwrap())
}

#[test]
fn two_transports_far_apart_have_a_winner_with_its_interval() {
    let cells = [MadeUp::of("sse", 0.5, 6), MadeUp::of("short-poll", 100.0, 6)];
    assert_eq!(text(&found(&cells, 1)), TWO_TRANSPORTS);
}

const TWO_TRANSPORTS: &str = "\
Fastest was sse: half of the lines arrived within 0.500 ms (95 % CI 0.491–0.507); short-poll took 100 ms (95 % CI \
98.7–101), 200 times as long (95 % CI 195–204).
Fastest in the tail (p99) was sse: 99 of 100 lines arrived within 1.00 ms (95 % CI 0.981–1.02); short-poll took 199 ms \
(95 % CI 198–203), 199 times as long (95 % CI 196–201).
Most sparing with requests was sse: 0.00100 per line; short-poll needed 0.500, 500 times as many.
Most sparing with bytes was sse: 240 bytes per line on the wire; short-poll moved 630 bytes, 2.62 times as many.
Lightest on the server's CPU was sse: 25.0 µs (95 % CI 24.6–25.2) per line; short-poll used 43.6 µs (95 % CI \
43.2–44.3), 1.74 times as much (95 % CI 1.72–1.80).
In server memory, sse and short-poll cannot be told apart (1.79 to 1.80 MiB).
Theory held: all 36 judged figures are within tolerance (36 within 5 %, the widest tolerance 5 %).
Theory: 12 figures were not judged (F4), because an assumption does not hold or a calibrated constant is too uncertain: \
lines are not Poisson.
6,000 receipts expected: every measured line arrived once and in order.
12 runs: 12 ok.";

#[test]
fn a_sweep_is_told_from_end_to_end() {
    let sentences = found(&MadeUp::sweep(6), 1);
    assert_eq!(of(&sentences, Topic::Sweep), SWEEP);
    assert_eq!(of(&sentences, Topic::Cost), "", "costs of a sweep are told by its ends");
}

const SWEEP: &str = "\
short-poll (fixed), with the poll interval from 50 to 800 ms: typical latency (p50) rose from 26.0 ms (95 % CI \
25.5–26.4) to 399 ms (95 % CI 394–402), 15.3 times as long; requests per line fell from 0.400 to 0.0250 (−93.8 %); \
bytes per line on the wire fell from 360 bytes to 191 bytes (−46.9 %); server CPU per line fell from 30.0 µs to 22.6 µs \
(−24.8 %).
short-poll (pause), with the poll interval from 50 to 800 ms: typical latency (p50) rose from 26.9 ms (95 % CI \
26.5–27.5) to 421 ms (95 % CI 411–424), 15.7 times as long; requests per line fell from 0.400 to 0.0250 (−93.8 %); \
bytes per line on the wire fell from 360 bytes to 191 bytes (−46.9 %); server CPU per line fell from 30.3 µs to 22.7 µs \
(−24.9 %).
Fastest (p50) by poll interval (ms): short-poll (fixed) at 50, 100, 400 and 800; no clear winner at 200.";

#[test]
fn under_six_runs_there_are_points_and_no_winner() {
    let cells = [MadeUp::of("sse", 0.5, 5), MadeUp::of("short-poll", 100.0, 5)];
    let said = text(&found(&cells, 1));
    for superlative in SUPERLATIVES {
        assert!(!said.contains(superlative), "{superlative}: {said}");
    }
    assert!(
        said.contains(
            "Here are 5 valid runs of each cell: their figures are points, and no winner is named."
        ),
        "{said}"
    );
    assert!(!said.contains("95 % CI"), "{said}");
}

#[test]
fn overlapping_intervals_have_no_winner() {
    let noisy = |transport| MadeUp { noise_ratio: 0.3, ..MadeUp::of(transport, 1.0, 8) };
    let said = of(&found(&[noisy("sse"), noisy("ndjson")], 1), Topic::Latency);
    assert!(
        said.contains("In typical latency (p50), sse and ndjson cannot be told apart (")
            || said.contains("In typical latency (p50), ndjson and sse cannot be told apart ("),
        "{said}"
    );
    assert!(!said.contains("Fastest"), "{said}");
}

#[test]
fn nothing_is_claimed_that_is_smaller_than_the_noise_of_equal_cells() {
    let tight = |p50| MadeUp { noise_ratio: 0.001, ..MadeUp::of("sse", p50, 6) };
    let rivals = [tight(100.0), MadeUp { transport: "ndjson", ..tight(102.0) }];
    assert!(of(&found(&rivals, 1), Topic::Latency).starts_with("Fastest was sse"));
    // The same two beside a pair of equal cells that differ by more.
    let twin = MadeUp { is_aa: true, ..tight(105.0) };
    let sentences = found(&[rivals.to_vec(), vec![twin]].concat(), 1);
    assert!(
        of(&sentences, Topic::Latency).starts_with("In typical latency (p50), sse and ndjson cannot be told")
    );
    assert!(of(&sentences, Topic::Caution).contains("sse, measured twice in each block"), "{sentences:?}");
}

#[test]
fn nothing_is_claimed_that_is_smaller_than_the_harness_was_late() {
    let tight = |transport, p50| MadeUp { noise_ratio: 0.001, ..MadeUp::of(transport, p50, 6) };
    // 30 µs apart, and sends were 40 µs late.
    let said = of(&found(&[tight("sse", 0.50), tight("ndjson", 0.53)], 1), Topic::Latency);
    assert!(said.contains("cannot be told apart (0.500 to 0.530 ms)"), "{said}");
    let said = of(&found(&[tight("sse", 0.50), tight("ndjson", 0.56)], 1), Topic::Latency);
    assert!(said.starts_with("Fastest was sse"), "{said}");
}

#[test]
fn an_invalid_transport_is_left_out_and_named() {
    let invalid = MadeUp { verdicts: vec!["invalid"; 6], lost: 3, ..MadeUp::of("sse", 0.1, 6) };
    let sentences = found(&[invalid, MadeUp::of("ndjson", 0.5, 6), MadeUp::of("short-poll", 100.0, 6)], 1);
    assert!(of(&sentences, Topic::Latency).starts_with("Fastest was ndjson"), "{sentences:?}");
    let naming: Vec<&Sentence> = sentences.iter().filter(|sentence| sentence.text.contains("sse")).collect();
    assert_eq!(naming.len(), 2, "{naming:?}");
    assert_eq!(
        naming[0].text,
        "9,000 receipts expected: 18 lost with sse. Invalid among the runs with these: sse-1, sse-2, sse-3 and 3 others."
    );
    assert_eq!(
        naming[1].text,
        "18 runs: 12 ok and 6 invalid (not usable: left out above, except in the counts of lines). Nothing is said of \
         sse: no valid run."
    );
}

#[test]
fn a_line_that_arrived_twice_is_told_though_its_run_is_invalid_for_that() {
    let cells = [MadeUp::of("sse", 0.5, 2)];
    let mut folder = synthetic::folder(&cells, 1);
    let run = &mut folder.rows.runs[0];
    (run.verdict, run.duplicated_count) = (Verdict::Invalid, 7);
    assert_eq!(
        of(&found_in(&folder), Topic::Delivery),
        "1,000 receipts expected: 7 duplicated with sse. Invalid among the runs with these: sse-1."
    );
}

#[test]
fn who_was_told_apart_from_the_lowest_is_told_whoever_is_unsure() {
    // short-poll varies so much that it reaches sse; ndjson is clearly slower than sse.
    let cells = [
        MadeUp { noise_ratio: 0.001, ..MadeUp::of("sse", 10.0, 6) },
        MadeUp { noise_ratio: 0.001, ..MadeUp::of("ndjson", 20.0, 6) },
        MadeUp { noise_ratio: 0.99, ..MadeUp::of("short-poll", 40.0, 6) },
    ];
    let wide = |seed: &u64| {
        let folder = synthetic::folder(&cells, *seed);
        let aggregate = Aggregate::of(&folder);
        let last = aggregate.ranked(Figure::LatencyP50)[2];
        last.0.label == "short-poll" && last.1.interval.unwrap().low < 9.0
    };
    let seed = (1..200).find(wide).expect("some noise reaches that far");
    let said = of(&found(&cells, seed), Topic::Latency);
    let said = said.lines().next().unwrap();
    assert!(said.starts_with("Fastest were sse and short-poll, which cannot be told apart: "), "{said}");
    assert!(said.contains("; ndjson took 20.0 ms") && !said.contains("no cell can be told"), "{said}");
}

#[test]
fn when_every_run_is_invalid_nothing_is_claimed() {
    let invalid = |transport| MadeUp { verdicts: vec!["invalid"; 6], ..MadeUp::of(transport, 0.1, 6) };
    let said = text(&found(&[invalid("sse"), invalid("ndjson")], 1));
    assert_eq!(
        said,
        "12 runs: 0 ok and 12 invalid (not usable: left out above, except in the counts of lines). Nothing is said of \
         sse and ndjson: no valid run."
    );
}

#[test]
fn a_transport_with_too_few_runs_is_told_but_not_ranked() {
    let cells = [MadeUp::of("sse", 0.5, 6), MadeUp::of("short-poll", 100.0, 6), MadeUp::of("ndjson", 0.1, 2)];
    let said = of(&found(&cells, 1), Topic::Latency);
    assert!(said.starts_with("Of the cells with 6 valid runs: Fastest was sse"), "{said}");
    assert!(said.contains("Not compared, with fewer: ndjson 0.101 ms (range 0.0990–0.102)."), "{said}");
}

#[test]
fn lost_lines_are_told_with_who_lost_them() {
    let sentences =
        found(&[MadeUp { lost: 2, ..MadeUp::of("sse", 0.5, 6) }, MadeUp::of("ndjson", 0.5, 6)], 1);
    let told = sentences.iter().find(|sentence| sentence.topic == Topic::Delivery).unwrap();
    assert_eq!((told.text.as_str(), told.tone), ("6,000 receipts expected: 12 lost with sse.", Tone::Bad));
}

#[test]
fn theory_that_failed_says_where_and_by_how_much() {
    let cells = [MadeUp { noise_ratio: 0.0, ..MadeUp::of("sse", 0.5, 2) }];
    let sentences = with(&cells, "theory.csv", ",500,500,0,0.05,pass,", ",400,500,0.25,0.05,fail,");
    let told = sentences.iter().find(|sentence| sentence.topic == Topic::Theory).unwrap();
    assert_eq!(
        (told.text.as_str(), told.tone),
        (
            "Theory held in 4 of 6 judged figures; outside the tolerance: sse, delivery latency p50 (F1) off by +25 %, at \
             worst of 2 runs, tolerance 5 %.",
            Tone::Bad
        )
    );
}

#[test]
fn theory_that_held_says_how_closely_and_within_what() {
    let cells = [MadeUp { noise_ratio: 0.0, ..MadeUp::of("sse", 0.5, 1) }];
    let sentences = with(&cells, "theory.csv", ",500,500,0,0.05,pass,", ",400,500,0.25,0.3,pass,");
    let told = of(&sentences, Topic::Theory);
    let expected =
        "Theory held: all 3 judged figures are within tolerance (2 within 5 %, the widest tolerance 30 %).";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn a_folder_without_predictions_says_nothing_of_it() {
    let mut folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 6)], 1);
    folder.rows.theory.clear();
    assert_eq!(of(&found_in(&folder), Topic::Theory), "");
}

#[test]
fn a_percentile_that_one_run_lacks_is_not_told_of_its_transport() {
    let cells = [MadeUp::of("sse", 0.5, 6), MadeUp::of("ndjson", 5.0, 6)];
    let mut folder = synthetic::folder(&cells, 1);
    folder.rows.runs[0].delivery_latency_us_p99 = None;
    let said = of(&found_in(&folder), Topic::Latency);
    assert!(said.contains("Tail latency (p99): ndjson"), "{said}");
}

#[test]
fn unresolved_runs_count_with_their_reservation() {
    let unsure = MadeUp { verdicts: vec!["unresolved"; 6], ..MadeUp::of("sse", 0.5, 6) };
    let sentences = found(&[unsure, MadeUp::of("short-poll", 100.0, 6)], 1);
    assert!(of(&sentences, Topic::Latency).starts_with("Fastest was sse"), "{sentences:?}");
    assert_eq!(
        of(&sentences, Topic::Validity),
        "12 runs: 6 ok and 6 unresolved (usable, but not for small differences)."
    );
}

fn cells() -> impl Strategy<Value = Vec<MadeUp>> {
    let transports = ["short-poll", "long-poll", "sse", "ndjson", "websocket"];
    let verdicts =
        prop::collection::vec(prop::sample::select(vec!["ok", "ok", "ok", "unresolved", "invalid"]), 1..9);
    let cell = (0.05..500.0_f64, 0.0..0.5_f64, verdicts, 0..2_u64, 0.0..2.0_f64);
    prop::collection::vec(cell, 1..6).prop_map(move |cells| {
        let with_transport = cells.into_iter().zip(transports);
        with_transport
            .map(|((p50, noise_ratio, verdicts, lost, requests_per_line), transport)| MadeUp {
                noise_ratio,
                verdicts,
                lost,
                requests_per_line,
                ..MadeUp::of(transport, p50, 0)
            })
            .collect()
    })
}

proptest! {
    // Each case draws some ten thousand resamples.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_sentence_is_whole(cells in cells(), seed in 0..1_000_u64) {
        for sentence in found(&cells, seed) {
            let text = &sentence.text;
            prop_assert!(text.ends_with('.') && !text.contains("..") && !text.contains("  "), "{text}");
            for wrong in ["NaN", "inf", " ,", " .", "()", " to ;", "{", "}"] {
                prop_assert!(!text.contains(wrong), "{wrong}: {text}");
            }
            prop_assert_eq!(text.matches('(').count(), text.matches(')').count(), "{}", text);
        }
    }

    #[test]
    fn a_winner_has_six_valid_runs_and_an_interval_below_every_other(cells in cells(), seed in 0..1_000_u64) {
        let files = synthetic::files(&cells, seed);
        let folder = Folder::read(&files).unwrap();
        let aggregate = Aggregate::of(&folder);
        let said = finding(&folder, &aggregate, None);
        for sentence in &said {
            let Some((_, rest)) = sentence.text.split_once("Fastest was ") else { continue };
            let name = rest.split(':').next().unwrap();
            let winner = aggregate.groups.iter().find(|group| group.label == name).unwrap();
            let best = winner.summary(Figure::LatencyP50).unwrap();
            prop_assert!(winner.believed().count() >= RUNS_NEEDED, "{}", sentence.text);
            for other in aggregate.groups.iter().filter(|group| group.label != name) {
                if let Some(interval) = other.summary(Figure::LatencyP50).and_then(|summary| summary.interval) {
                    prop_assert!(interval.low > best.interval.unwrap().high, "{}", sentence.text);
                }
            }
        }
    }

    #[test]
    fn a_transport_without_a_valid_run_is_named_by_nothing_but_the_verdicts_and_its_defects(cells in cells(), seed in 0..1_000_u64) {
        let gone: Vec<&MadeUp> =
            cells.iter().filter(|cell| cell.verdicts.iter().all(|verdict| *verdict == "invalid")).collect();
        let is_figure = |sentence: &&Sentence| !matches!(sentence.topic, Topic::Validity | Topic::Delivery);
        for sentence in found(&cells, seed).iter().filter(is_figure) {
            let names: Vec<&str> =
                sentence.text.split([' ', ',', ':', ';', '.']).filter(|word| !word.is_empty()).collect();
            for cell in &gone {
                prop_assert!(!names.contains(&cell.transport), "{}", sentence.text);
            }
        }
    }
}

#[test]
fn runs_that_were_not_made_are_named() {
    let cells = [MadeUp::of("sse", 0.5, 6), MadeUp::of("short-poll", 100.0, 6)];
    let told = with(&cells, "manifest.json", "\"sse-1\"", "\"ndjson-1\", \"sse-1\"");
    let validity = of(&told, Topic::Validity);
    assert!(validity.ends_with("1 run of the plan is missing, of 13: ndjson-1."), "{validity}");
    assert!(!of(&found(&cells, 1), Topic::Validity).contains("missing"));
}

#[test]
fn a_disk_store_in_memory_is_told() {
    let cells = [MadeUp::of("sse", 0.5, 6)];
    let on = |file_system: &str| {
        let now = format!("\"store_file_system\": \"{file_system}\"");
        of(&with(&cells, "manifest.json", "\"store_file_system\": null", &now), Topic::Caution)
    };
    assert!(on("tmpfs").starts_with("The disk store lay on tmpfs, in memory"), "{}", on("tmpfs"));
    assert!(!on("xfs").contains("disk store"));
}

#[test]
fn a_cell_of_which_a_valid_run_lacks_the_figure_is_named() {
    let cells = [
        MadeUp::of("sse", 0.5, 6),
        MadeUp::of("short-poll", 100.0, 6),
        MadeUp::of("ndjson", 0.4, 6).with("delivery_latency_us_p99", ""),
    ];
    let told = found(&cells, 1);
    let latency = of(&told, Topic::Latency);
    assert!(latency.contains(" Not compared, because a valid run lacks the figure: ndjson."), "{latency}");
    assert_eq!(text(&told).matches("lacks the figure").count(), 1, "only p99 is missing");
}

/// Returns a cell whose subscribers are 25 ms away, each way.
fn away(transport: &'static str, p50_ms: f64, runs: usize) -> MadeUp {
    let cell = MadeUp::of(transport, p50_ms, runs).with("network", "line").with("rtt_ms", 50);
    match transport {
        "short-poll" => cell.with("poll_interval_ms", 200).with("poll_schedule", "fixed"),
        _ => cell,
    }
}

#[test]
fn one_run_over_a_distance_is_told_beside_what_distance_alone_gives_and_names_no_winner() {
    let cells = [
        away("sse", 26.2, 1),
        away("ndjson", 26.1, 1),
        away("long-poll", 58.0, 1),
        away("short-poll", 126.0, 1),
    ];
    let folder = synthetic::folder(&cells, 1);
    let aggregate = Aggregate::of(&folder);
    let said = in_short(&folder, &aggregate, None);
    assert!(said.starts_with("Typical latency (p50): "), "{said}");
    assert!(said.contains(
        "Distance alone gives short-poll 125 ms (half its interval and one way), long-poll 25 to 75 ms (one to three \
         ways) and sse and ndjson 25 ms (one way). A 95 % interval needs at least 6 runs."
    ), "{said}");
    assert!(
        said.ends_with("no winner is named. The same command with --repetitions 6 gives intervals."),
        "{said}"
    );
    for superlative in SUPERLATIVES {
        assert!(!said.contains(superlative), "{superlative}: {said}");
    }
    // The page and the other formats hold the same sentences.
    let all = text(&found(&cells, 1));
    for sentence in said.split(". ") {
        assert!(all.contains(sentence.trim_end_matches('.')), "{sentence}: {all}");
    }
    assert!(all.contains("Network: every subscriber is 25 ms away, each way"), "{all}");
    assert!(all.contains("It cannot show lost SYNs"), "{all}");
}

#[test]
fn six_runs_over_a_distance_have_a_winner_beside_what_distance_alone_gives() {
    let cells = [away("sse", 26.0, 6), away("short-poll", 126.0, 6)];
    let folder = synthetic::folder(&cells, 1);
    let said = in_short(&folder, &Aggregate::of(&folder), None);
    assert!(said.starts_with("Fastest was sse: ") && said.contains("Distance alone gives "), "{said}");
    assert!(!said.contains("--repetitions"), "{said}");
}

#[test]
fn without_a_valid_run_the_short_finding_claims_nothing() {
    let cell = MadeUp { verdicts: vec!["invalid"], ..away("sse", 26.0, 1) };
    let folder = synthetic::folder(&[cell], 1);
    let said = in_short(&folder, &Aggregate::of(&folder), None);
    assert_eq!(said, "nothing is claimed, because no run is valid.");
}

#[test]
fn distance_explains_nothing_where_cells_are_at_different_distances() {
    let far = away("sse", 101.0, 1).arm("far").with("rtt_ms", 200);
    let cells = [away("sse", 26.0, 1).arm("near"), far];
    assert_eq!(of(&found(&cells, 1), Topic::Distance), "");
}

#[test]
fn distance_alone_counts_the_connection_of_each_poll_after_a_pause() {
    let polls = |keep_alive: bool| {
        let cell = MadeUp::of("short-poll", 180.0, 6).with("network", "line").with("rtt_ms", 50);
        let cell =
            cell.with("poll_interval_ms", 200).with("poll_schedule", "pause").with("keep_alive", keep_alive);
        text(&found(&[cell], 1))
    };
    let (kept, anew) = (polls(true), polls(false));
    assert!(kept.contains("short-poll 150 ms (half its interval and round trip, and one way)"), "{kept}");
    assert!(
        anew.contains("short-poll 175 ms (half its interval and two round trips, and one way)"),
        "{anew}"
    );
}
