//! Verdicts on made-up runs: nothing in them was measured.

use wirelab_clients::harness::example;
use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::rows::{PercentileRow, REPRODUCTION_COLUMNS, TheoryRow};
use wirelab_clients::harness::run_result::{TheoryVerdict, Verdict as RunVerdict};
use wirelab_clients::harness::statistics::RUNS_MIN;
use wirelab_clients::wire::Transport::{self, LongPoll, ShortPoll, Sse, Websocket};

use super::figure::Outcome;
use super::point::Point;
use super::*;
use crate::report;
use crate::report::synthetic;

/// Outcome of the made-up runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum World {
    /// Law and constants are the printed ones.
    AsPrinted,
    /// The law is the printed one, a constant is not.
    OtherConstant,
    /// The law does not hold.
    Opposite,
}

/// A made-up cell: the columns of its runs, and what theory and distributions say of each.
#[derive(Default)]
struct MadeUp {
    arm: &'static str,
    transport: Option<Transport>,
    columns: Vec<(&'static str, f64)>,
    /// Formula, quantity, predicted, measured.
    theory: Vec<(&'static str, &'static str, f64, f64)>,
    /// Distribution, quantile, µs.
    quantiles: Vec<(&'static str, f64, f64)>,
}

fn cell(arm: &'static str, transport: Transport, columns: &[(&'static str, f64)]) -> MadeUp {
    MadeUp { arm, transport: Some(transport), columns: columns.to_vec(), ..MadeUp::default() }
}

impl MadeUp {
    fn theory(
        mut self,
        formula: &'static str,
        quantity: &'static str,
        predicted: f64,
        measured: f64,
    ) -> Self {
        self.theory.push((formula, quantity, predicted, measured));
        self
    }

    fn quantile(mut self, metric: &'static str, quantile: f64, us: f64) -> Self {
        self.quantiles.push((metric, quantile, us));
        self
    }
}

/// Makes a folder with `runs` runs of each cell. Runs differ by up to 1 in 500.
fn folder(plan: &str, runs: usize, cells: &[MadeUp]) -> Folder {
    let mut folder = synthetic::folder(&[], 1);
    folder.plan.name = plan.to_owned();
    folder.manifest.seed = example::result_set().manifest.seed;
    for block in 1..=runs {
        for made_up in cells {
            let transport = made_up.transport.unwrap();
            let (arm, run_id) = (made_up.arm.to_owned(), format!("{}-{transport}-{block}", made_up.arm));
            let noise = 1.0 + 0.000_3 * (block % 7) as f64;
            let words = [
                ("run_id", run_id.clone()),
                ("arm", arm.clone()),
                ("transport", transport.to_string()),
                ("block", block.to_string()),
            ];
            let numbers = made_up.columns.iter().map(|(column, number)| {
                // Settings are the same in every run, and so is a share near 1, whose rest would be all noise.
                let is_same = ["_ms", "_count", "_s", "payload_bytes", "empty_ratio"];
                let is_measured = !is_same.iter().any(|end| column.ends_with(end));
                let number = if is_measured { number * noise } else { *number };
                (*column, synthetic::cell(column, number))
            });
            folder.rows.runs.push(synthetic::row(words.into_iter().chain(numbers)));
            for (formula, quantity, predicted, measured) in &made_up.theory {
                folder.rows.theory.push(TheoryRow {
                    run_id: run_id.clone(),
                    transport,
                    arm: arm.clone(),
                    formula: (*formula).to_owned(),
                    quantity: (*quantity).to_owned(),
                    unit: String::new(),
                    predicted: Some(*predicted),
                    measured: Some(*measured),
                    residual_ratio: None,
                    tolerance_ratio: None,
                    verdict: TheoryVerdict::Reported,
                    assumption_broken: String::new(),
                });
            }
            for (metric, quantile, us) in &made_up.quantiles {
                folder.rows.percentiles.push(PercentileRow {
                    run_id: run_id.clone(),
                    transport,
                    arm: arm.clone(),
                    metric: (*metric).to_owned(),
                    quantile: *quantile,
                    value_us: Some((us * noise) as u64),
                    samples_count: 1_000,
                    ci_low_us: None,
                    ci_high_us: None,
                });
            }
        }
    }
    folder
}

/// Returns the first, second or third value, by the world.
fn by(world: World, values: [f64; 3]) -> f64 {
    match world {
        World::AsPrinted => values[0],
        World::OtherConstant => values[1],
        World::Opposite => values[2],
    }
}

fn lubbers(world: World) -> Vec<MadeUp> {
    let poll = by(world, [871.0, 422.0, 422.0]);
    let message = by(world, [2.0, 103.0, 103.0]);
    let polls = |arm, clients: f64, per_s: f64| {
        let columns = [
            ("subscribers_count", clients),
            ("payload_bytes", 20.0),
            ("poll_interval_ms", 1_000.0),
            ("l7_per_line_bytes", poll + 20.0),
            ("app_per_line_bytes", 20.0),
            ("requests_per_line_ratio", 1.0),
            ("wire_per_line_bytes", poll + 20.0 + 198.0),
        ];
        cell(arm, ShortPoll, &columns)
            .theory("F9", "l7 bytes per line", poll + 20.0, poll + 20.0)
            .theory("F9", "wire bytes per line", poll + 218.0, poll + 218.0)
            .theory("F2", "requests per second", clients, per_s)
    };
    let columns = [
        ("payload_bytes", 20.0),
        ("l7_per_line_bytes", message + 20.0),
        ("app_per_line_bytes", 20.0),
        ("wire_per_line_bytes", message + 152.0),
    ];
    let messages = cell("n100", Websocket, &columns)
        .theory("F9", "l7 bytes per line", message + 20.0, message + 20.0)
        .theory("F9", "wire bytes per line", message + 152.0, message + 152.0);
    vec![polls("n10", 10.0, 10.0), polls("n100", 100.0, by(world, [100.0, 100.0, 30.0])), messages]
}

fn rfc6202(world: World) -> Vec<MadeUp> {
    let base = [
        ("rtt_ms", 100.0),
        ("hold_ms", 25_000.0),
        ("deployments_count", 1.0),
        ("measured_s", 6.0),
        ("distinct_lines_count", 60.0),
    ];
    let with = |latencies: [(&'static str, f64); 3]| [&base[..], &latencies].concat();
    let rare = by(world, [51e3, 75e3, 51e3]);
    let close = [
        ("delivery_latency_us_mean", by(world, [87e3, 87e3, 55e3])),
        ("delivery_latency_us_p99", by(world, [149e3, 149e3, 75e3])),
        ("delivery_latency_us_max", by(world, [152e3, 152e3, 80e3])),
    ];
    let same = |us| {
        with([
            ("delivery_latency_us_mean", us),
            ("delivery_latency_us_p99", us),
            ("delivery_latency_us_max", us),
        ])
    };
    vec![
        cell("rare", LongPoll, &same(rare)),
        cell("close", LongPoll, &with(close)),
        cell("close", Sse, &same(50e3)),
    ]
}

fn wrk2(world: World) -> Vec<MadeUp> {
    // The other constant is that of a stall half as long in half the time.
    let of = |seconds: f64| by(world, [seconds, seconds / 2.0, seconds]) * 1e6;
    let polls = cell("", ShortPoll, &[])
        .theory("F11", "delivery latency p99", of(1.22), of(1.22))
        .theory("F11", "delivery latency max", of(1.42), of(1.42))
        .quantile("request_response", 0.99, of(1.24))
        .quantile("request_response", 1.0, of(1.43))
        .quantile("request_service", 0.99, 5e3)
        .quantile("delivery_latency", 0.99, by(world, [1.23e6, 0.61e6, 0.3e6]));
    vec![polls]
}

fn vandevyvere(world: World) -> Vec<MadeUp> {
    let polls = |arm, interval_ms: f64, cpu_us: f64| {
        let columns = [
            ("poll_interval_ms", interval_ms),
            ("requests_count", 10_000.0),
            ("server_cpu_us", cpu_us),
            ("delivery_latency_us_max", interval_ms * 1e3),
        ];
        cell(arm, ShortPoll, &columns)
    };
    vec![
        polls("mal-1", 100.0, 5e5),
        polls("mal-2", 200.0, by(world, [5e5, 5e5, 12e5])),
        polls("mal-4", 400.0, by(world, [5e5, 5e5, 15e5])),
        cell("push", Sse, &[("server_cpu_per_line_us", by(world, [5.04, 25.0, 5.04]))]),
    ]
}

fn cometd(world: World) -> Vec<MadeUp> {
    let polls = |arm, per_response: f64, predicted_over_measured: f64| {
        let columns = [
            ("requests_per_line_ratio", 1.0 / per_response),
            ("measured_s", 4.0),
            ("delivered_count", 31_284.0),
            ("delivery_latency_us_mean", 15e3),
        ];
        cell(arm, LongPoll, &columns)
            .theory("F4", "requests per second and subscriber", 30.0 * predicted_over_measured, 30.0)
            .theory("F6", "delivery latency mean", 14e3, 15e3)
    };
    vec![
        polls("turn-14", 1.43, by(world, [1.0, 1.0, 2.0])),
        // The other ratio is that of another gap, under the same law.
        polls("turn-28", by(world, [2.32, 1.4, 2.32]), 1.0),
        polls("turn-56", 4.41, 1.0),
    ]
}

fn fleet(world: World) -> Vec<MadeUp> {
    let polls = |arm, empty: f64, lines: f64, measured_s: f64| {
        let columns = [
            ("subscribers_count", 10.0),
            ("poll_interval_ms", 5.0),
            ("deployments_count", 1.0),
            ("empty_ratio", empty),
            ("distinct_lines_count", lines),
            ("measured_s", measured_s),
        ];
        cell(arm, ShortPoll, &columns).theory("F2", "requests per second", 2_000.0, 2_000.0)
    };
    vec![
        // The other share is that of other news, under the same law.
        polls("fleet", by(world, [0.997, 0.98, 0.997]), by(world, [9.0, 60.0, 9.0]), 15.0),
        polls("quarter", by(world, [0.778_8, 0.778_8, 0.5]), 250.0, 5.0),
        polls("one", 0.367_9, 1_000.0, 5.0),
    ]
}

fn first_byte(world: World) -> Vec<MadeUp> {
    // The other constant is that of another round trip, under the same law.
    let rtt_ms = by(world, [200.0, 100.0, 200.0]);
    let polls = |arm, round_trips: f64| {
        let answered_us = (1.0 + by(world, [round_trips, round_trips, 0.0])) * rtt_ms * 1e3;
        cell(arm, ShortPoll, &[("rtt_ms", rtt_ms)]).quantile("request_response", 0.5, answered_us)
    };
    vec![
        polls("reused", 0.0),
        polls("new", 2.0),
        polls("reused-http2", 0.0),
        polls("new-http2", 2.0),
        polls("reused-plain", 0.0),
        polls("new-plain", 1.0),
    ]
}

fn cells(name: &str, world: World) -> Vec<MadeUp> {
    match name {
        "lubbers2010" => lubbers(world),
        "rfc6202" => rfc6202(world),
        "wrk2-freeze" => wrk2(world),
        "vandevyvere2020" => vandevyvere(world),
        "cometd-batching" => cometd(world),
        "fleet-polling" => fleet(world),
        "first-byte" => first_byte(world),
        other => panic!("{other} has no made-up runs"),
    }
}

/// One run more than an interval needs.
const RUNS: usize = RUNS_MIN + 1;

fn judged(name: &str, world: World) -> Reproduced {
    Reproduced::of(&folder(name, RUNS, &cells(name, world))).unwrap()
}

fn is(name: &str, world: World, verdict: Verdict) {
    let reproduced = judged(name, world);
    assert_eq!(reproduced.verdict, verdict, "{}", reproduced.render());
    assert_eq!(reproduced.why.is_empty(), verdict == Verdict::Reproduced, "{}", reproduced.why);
}

/// What a rule says of runs that cannot tell: too short, too few, invalid, or none.
fn cannot_be_shown(name: &str) {
    let judge = |folder: &Folder| Reproduced::of(folder).unwrap();
    let whole = || folder(name, RUNS, &cells(name, World::AsPrinted));
    let mut smoke = whole();
    smoke.plan.size = Size::Smoke;
    let few = folder(name, RUNS_MIN - 1, &cells(name, World::AsPrinted));
    let mut invalid = whole();
    invalid.rows.runs.iter_mut().for_each(|run| run.verdict = RunVerdict::Invalid);
    let none = folder(name, 0, &[]);
    let reasons = [
        (smoke, "the size is smoke"),
        (few, "too few runs: 5 of the 6"),
        (invalid, "no valid run measured it"),
        (none, "no valid run measured it"),
    ];
    for (folder, said) in reasons {
        let reproduced = judge(&folder);
        assert_eq!(reproduced.verdict, Verdict::CannotBeShownHere, "{}", reproduced.render());
        assert!(reproduced.why.contains(said), "{said}: {}", reproduced.why);
    }
}

/// Reproductions whose printed numbers their plans are made from: ours would equal them whatever the law is, so no
/// constant decides.
const CONSTANTS_ARE_THE_PLAN_S: [&str; 3] = ["cometd-batching", "fleet-polling", "first-byte"];

/// Returns what a rule says where the law holds and a number is not the printed one.
fn under_another_constant(name: &str) -> Verdict {
    match CONSTANTS_ARE_THE_PLAN_S.contains(&name) {
        true => Verdict::Reproduced,
        false => Verdict::SameLawOtherConstant,
    }
}

macro_rules! rules {
    ($($module:ident: $name:literal),* $(,)?) => {
        $(mod $module {
            use super::*;

            #[test]
            fn printed_law_and_constants_are_reproduced() {
                is($name, World::AsPrinted, Verdict::Reproduced);
            }

            #[test]
            fn another_constant_under_the_same_law_is_told_apart_unless_the_plan_sets_it() {
                is($name, World::OtherConstant, under_another_constant($name));
            }

            #[test]
            fn a_law_that_fails_contradicts_the_source() {
                is($name, World::Opposite, Verdict::Contradicted);
            }

            #[test]
            fn runs_that_cannot_tell_show_nothing() {
                cannot_be_shown($name);
            }
        })*

        #[test]
        fn every_reproduction_has_its_rule_tested() {
            assert_eq!(Reproduction::ALL.map(|known| known.name), [$($name),*]);
        }
    };
}

rules! {
    lubbers2010_rule: "lubbers2010",
    rfc6202_rule: "rfc6202",
    wrk2_freeze_rule: "wrk2-freeze",
    vandevyvere2020_rule: "vandevyvere2020",
    cometd_batching_rule: "cometd-batching",
    fleet_polling_rule: "fleet-polling",
    first_byte_rule: "first-byte",
}

#[test]
fn an_interval_that_holds_the_limit_or_misses_it_by_the_harness_lateness_cannot_tell() {
    let figure = |low: f64, high: f64, error: f64| {
        let ours = [low, high, low, high, low, high, low];
        let points = ours.map(|ours| Point::of(ours, Some(1.0)).late_by(Some(error)));
        super::figure::outcome(Asks::Law { within: 0.1 }, None, &points, 1)
    };
    assert_eq!(figure(0.95, 1.05, 0.0), Outcome::Agrees);
    assert_eq!(figure(1.2, 1.3, 0.0), Outcome::Differs);
    assert_eq!(
        figure(0.95, 1.3, 0.0),
        Outcome::CannotTell("its interval holds the limit of what agrees".into())
    );
    let late = Outcome::CannotTell("it misses the limit by less than the harness was late".into());
    assert_eq!(figure(1.2, 1.21, 0.2), late);
    // A starved machine makes latencies that no law has; it makes no bytes.
    let starved = |error: Option<f64>| {
        let point = |ours| Point { unresolved: true, ..Point::of(ours, Some(1.0)).late_by(error) };
        super::figure::outcome(Asks::Law { within: 0.1 }, None, &[80.0; 7].map(point), 1)
    };
    let cannot = Outcome::CannotTell("it differs in runs whose latencies are unresolved".into());
    assert_eq!([starved(Some(0.001)), starved(None)], [cannot, Outcome::Differs]);
    let unknown = super::figure::outcome(Asks::Law { within: 0.1 }, None, &[Point::of(1.0, None)], 1);
    assert_eq!(unknown, Outcome::CannotTell("the theory predicts nothing for a run".into()));
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() {
    let error = Reproduction::named("luber2010").unwrap_err().to_string();
    assert!(error.contains("the nearest are lubbers2010, "), "{error}");
    assert_eq!(Reproduction::named("rfc6202").unwrap().name, "rfc6202");
}

#[test]
fn every_source_is_cited_and_every_figure_has_a_name_that_fits_a_plot() {
    for reproduction in Reproduction::ALL {
        let Source { authors, year, title, place } = reproduction.source;
        assert!(
            !authors.is_empty() && (2000..2100).contains(&year) && !title.is_empty() && !place.is_empty()
        );
        assert!(!reproduction.differs.is_empty(), "{}", reproduction.name);
        let figures = (reproduction.figures)();
        let mut names: Vec<&str> = figures.iter().map(|figure| figure.what).collect();
        assert!(names.iter().all(|name| name.chars().count() <= 40), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), figures.len(), "{names:?}");
        // Each asks for a law, and for a constant where its plan does not set it.
        let asks = |wanted: fn(&Asks) -> bool| figures.iter().any(|figure| wanted(&figure.asks));
        let sets_its_own = CONSTANTS_ARE_THE_PLAN_S.contains(&reproduction.name);
        let has_constant = asks(|asks| matches!(asks, Asks::Constant { .. }));
        assert_eq!(has_constant, !sets_its_own, "{}", reproduction.name);
        assert!(asks(|asks| matches!(asks, Asks::Law { .. })), "{}", reproduction.name);
    }
}

#[test]
fn the_table_and_the_file_say_the_same() {
    for reproduction in Reproduction::ALL {
        let reproduced = judged(reproduction.name, World::OtherConstant);
        let files = reproduced.files();
        let csv = files.iter().find(|file| file.path == FILE).unwrap();
        let mut reader = csv::Reader::from_reader(csv.bytes.as_slice());
        let names: Vec<&str> = REPRODUCTION_COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(reader.headers().unwrap(), names);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), reproduced.figures.len());
        let text = reproduced.render();
        let verdict = names.iter().position(|name| *name == "verdict").unwrap();
        for (row, figure) in rows.iter().zip(&reproduced.figures) {
            assert!(text.contains(figure.what) && row[verdict] == *reproduced.verdict.name(), "{text}");
        }
        let said = match CONSTANTS_ARE_THE_PLAN_S.contains(&reproduction.name) {
            true => "Verdict: reproduced",
            false => "Verdict: same law, other constant (another constant: ",
        };
        assert!(text.contains(said), "{text}");
        for difference in reproduction.differs {
            assert!(text.contains(difference), "{text}");
        }
    }
}

fn html_of(folder: &Folder) -> String {
    String::from_utf8(report::page(folder).unwrap().bytes).unwrap()
}

#[test]
fn the_page_and_the_json_show_the_verdict_and_overlay_the_printed_figures() {
    for reproduction in Reproduction::ALL {
        let folder = folder(reproduction.name, RUNS, &cells(reproduction.name, World::AsPrinted));
        let page = html_of(&folder);
        for expected in
            ["What was printed, and what is it here?", "Verdict: reproduced.", "Measured over printed"]
        {
            assert!(page.contains(expected), "{}: {expected}", reproduction.name);
        }
        let json = report::report(&folder, report::TextFormat::Json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["reproduction"]["verdict"], "reproduced");
        assert_eq!(json["reproduction"]["figures"].as_array().unwrap().len(), (reproduction.figures)().len());
    }
    let other = synthetic::folder(&[synthetic::MadeUp::of("sse", 0.5, 2)], 1);
    assert!(Reproduced::of(&other).is_none() && !html_of(&other).contains("What was printed"));
}

#[test]
fn a_request_that_costs_more_at_a_longer_interval_contradicts_f10() {
    let dearer = |times: f64| {
        let mut cells = vandevyvere(World::AsPrinted);
        for made_up in cells.iter_mut().filter(|cell| cell.arm == "mal-4") {
            let cpu = made_up.columns.iter_mut().find(|(column, _)| *column == "server_cpu_us").unwrap();
            cpu.1 *= times;
        }
        let reproduced = Reproduced::of(&folder("vandevyvere2020", RUNS, &cells)).unwrap();
        let is_it = |figure: &&Measured| figure.what == "CPU per request at 4 times the interval";
        let figure = reproduced.figures.iter().find(is_it).unwrap();
        (figure.value.map(|value| (value * 10.0).round() / 10.0), figure.predicted, figure.outcome.clone())
    };
    assert_eq!(dearer(1.0), (Some(1.0), Some(1.0), Outcome::Agrees));
    assert_eq!(dearer(1.5), (Some(1.5), Some(1.0), Outcome::Differs));
}

#[test]
fn an_interval_that_is_not_kept_and_news_that_miss_the_digit_contradict_fleet_s_law() {
    let verdict = |asks_per_s: f64, lines: f64| {
        let mut cells = fleet(World::AsPrinted);
        cells[0].theory[0].3 = asks_per_s;
        let column = cells[0].columns.iter_mut().find(|(column, _)| *column == "distinct_lines_count");
        column.unwrap().1 = lines;
        Reproduced::of(&folder("fleet-polling", RUNS, &cells)).unwrap().verdict
    };
    assert_eq!(verdict(2_000.0, 9.0), Verdict::Reproduced);
    // Within 10 % of the printed 9,168 a day, and far from the interval's 8,640.
    assert_eq!(verdict(2_000.0 * 1.15, 9.0), Verdict::Contradicted);
    assert_eq!(verdict(2_000.0, 12.0), Verdict::Contradicted);
}
