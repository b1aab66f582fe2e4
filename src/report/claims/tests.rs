//! Judgements on made-up runs: nothing in them was measured.

use wirelab_clients::harness::ending::Ending;
use wirelab_clients::harness::example;
use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::rows::{CLAIMS_COLUMNS, RunRow};
use wirelab_clients::harness::run_result::Verdict;
use wirelab_clients::harness::statistics::RUNS_MIN;
use wirelab_clients::wire::Transport;

use super::ruling::{Reach, Test};
use super::runs::{LEVELS, Of};
use super::{CLAIMS, Claim, Claims, File, Observations, PLAN, Ruling, answer};
use crate::report::synthetic;

/// Outcome of the made-up runs.
#[derive(Clone, Copy, PartialEq)]
enum World {
    /// The runs confirm every claim.
    AsTold,
    /// The runs show the opposite of every claim.
    Opposite,
}

const ARMS: [&str; 9] = ["quiet", "busy", "short-hold", "http2", "cut", "n50", "n150", "n250", "n350"];
const SUBSCRIBERS: f64 = 10.0;

fn numbers(world: World, arm: &str, transport: Transport, block: u32) -> Vec<(&'static str, String)> {
    use Transport::{LongPoll, ShortPoll, Sse};
    let level = LEVELS.iter().position(|level| *level == arm);
    let subscribers = level.map_or(SUBSCRIBERS, |level| 50.0 + 100.0 * level as f64);
    // In this order: short poll, long poll, SSE, WebSocket.
    let by = |values: [f64; 4]| match transport {
        ShortPoll => values[0],
        LongPoll => values[1],
        Sse => values[2],
        _ => values[3],
    };
    let told = |told: f64, opposite: f64| if world == World::AsTold { told } else { opposite };
    let noise = 1.0 + 0.001 * f64::from(block);
    let per_connection = told(by([0.0, 4e3, 3e3, 9e3]), by([0.0, -1e3, 3e3, -2e3])) * noise;
    let connections = told(by([10.0, 50.0, 10.0, 10.0]), by([10.0, 10.0, 10.0, 20.0]));
    let numbers = [
        ("subscribers_count", subscribers),
        ("payload_bytes", 100.0),
        ("lost_count", told(0.0, 3.0)),
        ("censored_count", 0.0),
        ("duplicated_count", 0.0),
        ("out_of_order_count", 0.0),
        ("requests_count", told(connections, 3.0 * connections)),
        ("requests_timeout_count", told(5.0, 0.0)),
        ("requests_per_line_ratio", told(by([5.0, 1.0, 0.01, 0.01]), by([5.0, 0.5, 1.0, 1.0])) * noise),
        ("empty_ratio", told(0.9, 0.1) * noise),
        ("connections_opened_count", connections),
        ("connections_cut_count", 10.0),
        ("waiters_count_mean", told(9.0, 1.0) * noise),
        ("reconnects_count", told(10.0, 5.0)),
        ("delivery_latency_us_p50", told(by([3e3, 3e3, 2e3, 1e3]), by([3e3, 3e3, 4e3, 5e3])) * noise),
        ("delivery_latency_us_p99", told(5e4, 2e5) * noise),
        (
            "l7_per_line_bytes",
            told(by([400.0, 300.0, 200.0, 150.0]), by([150.0, 300.0, 200.0, 400.0])) * noise,
        ),
        ("server_cpu_per_line_us", told(by([20.0, 20.0, 10.0, 20.0]), by([20.0, 20.0, 30.0, 20.0])) * noise),
        ("server_pss_anon_bytes", 5e6 + subscribers * per_connection),
        // Another program gave some back.
        ("kernel_slab_bytes", -4_096.0),
        ("send_lateness_us_p99", 100.0),
    ];
    numbers.map(|(column, number)| (column, synthetic::cell(column, number))).into()
}

fn runs(world: World, blocks: usize) -> Observations {
    let mut runs = Vec::new();
    for block in 1..=blocks as u32 {
        for arm in ARMS {
            for transport in [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::Websocket]
            {
                let words = [
                    ("run_id", format!("{arm}-{transport}-{block}")),
                    ("arm", arm.to_owned()),
                    ("transport", transport.to_string()),
                    ("block", block.to_string()),
                ];
                runs.push(synthetic::row(words.into_iter().chain(numbers(world, arm, transport, block))));
            }
        }
    }
    let answered = match world {
        World::AsTold => [("sse", 0.0), ("websocket", 100.0)],
        World::Opposite => [("sse", 100.0), ("websocket", 0.0)],
    };
    let two_way = answered.map(|(transport, percent)| (transport.to_owned(), percent)).into();
    Observations { runs, seed: 7, two_way }
}

/// Evidence that a claim is judged by.
#[derive(Debug, PartialEq)]
enum By {
    Observations,
    Counts,
    /// Sources and parser of this build, which are equal in every world.
    ThisBuild,
    Nothing,
}

fn judged_by(claim: &Claim) -> By {
    let of_figure = |of: Of, otherwise: By| match of {
        Of::Arm(..) | Of::Defects(_) | Of::PerConnection(_) => otherwise,
        Of::TwoWay => By::Counts,
        Of::Sources(_) | Of::TextOnly => By::ThisBuild,
    };
    match claim.test {
        Test::Each { figure, .. } => of_figure(figure.of, By::Counts),
        Test::NoneOf { .. } => By::Counts,
        Test::Above { figure, .. } | Test::Below { figure, .. } => of_figure(figure.of, By::Observations),
        Test::Smaller { first, .. } => of_figure(first.of, By::Observations),
        Test::Nothing(_) => By::Nothing,
    }
}

fn find(claim: &str, about: &str) -> &'static Claim {
    let found = CLAIMS.iter().find(|known| known.claim == claim && known.about.contains(about));
    found.unwrap_or_else(|| panic!("no claim {claim:?}, {about:?}"))
}

fn why(claim: &Claim, runs: &Observations) -> String {
    let answer = answer(claim, runs);
    assert_eq!(answer.ruling, Ruling::NotMeasurableHere, "{}: {}", claim.claim, claim.about);
    answer.why.unwrap()
}

#[test]
fn every_claim_that_runs_can_judge_holds_as_told_and_fails_in_the_opposite() {
    let (as_told, opposite) = (runs(World::AsTold, RUNS_MIN), runs(World::Opposite, RUNS_MIN));
    let mut reached = Vec::new();
    for claim in CLAIMS {
        let named = format!("{}: {}", claim.claim, claim.about);
        let rulings = [answer(claim, &as_told).ruling, answer(claim, &opposite).ruling];
        reached.extend(rulings);
        match judged_by(claim) {
            By::Observations | By::Counts => {
                assert!(matches!(rulings[0], Ruling::Holds | Ruling::HoldsHere), "{named}: {:?}", rulings[0]);
                assert_eq!(rulings[1], Ruling::DoesNotHold, "{named}");
            }
            By::ThisBuild => {
                assert_eq!(rulings[0], rulings[1], "{named}");
                assert_ne!(rulings[0], Ruling::NotMeasurableHere, "{named}");
            }
            By::Nothing => {
                assert_eq!(rulings, [Ruling::NotMeasurableHere; 2], "{named}");
                assert!(why(claim, &as_told).len() > 10, "{named}");
            }
        }
    }
    assert!(Ruling::ALL.iter().all(|ruling| reached.contains(ruling)), "{reached:?}");
}

#[test]
fn nothing_is_estimated_from_fewer_than_six_runs() {
    for blocks in [1, RUNS_MIN - 1] {
        let few = runs(World::AsTold, blocks);
        for claim in CLAIMS {
            match judged_by(claim) {
                By::Observations => {
                    let said = why(claim, &few);
                    assert_eq!(said, format!("too few runs: {blocks} of the 6 that an interval needs"));
                }
                By::Counts => assert_ne!(answer(claim, &few).ruling, Ruling::NotMeasurableHere),
                By::ThisBuild | By::Nothing => {}
            }
        }
    }
}

#[test]
fn an_invalid_run_is_no_evidence() {
    for world in [World::AsTold, World::Opposite] {
        let mut runs = runs(world, RUNS_MIN);
        for run in &mut runs.runs {
            run.verdict = Verdict::Invalid;
            // A lost line is evidence also in an invalid run.
            run.lost_count = 0;
        }
        runs.two_way.clear();
        for claim in CLAIMS {
            if matches!(judged_by(claim), By::Observations | By::Counts) {
                let said = why(claim, &runs);
                assert!(said.starts_with("no valid run measured the figure"), "{}: {said}", claim.claim);
            }
        }
    }
    let mut runs = runs(World::AsTold, RUNS_MIN);
    runs.runs[0].verdict = Verdict::Invalid;
    let claim = find("most requests return no update", "about a line");
    assert_eq!(runs.runs[0].run_id, "quiet-short-poll-1");
    assert_eq!(why(claim, &runs), "too few runs: 5 of the 6 that an interval needs");
}

#[test]
fn overlapping_intervals_name_no_winner() {
    let claim = find("lower latency than SSE", "");
    let mut runs = runs(World::AsTold, RUNS_MIN);
    for run in &mut runs.runs {
        let us = if run.block % 2 == 0 { 1_000.0 } else { 2_000.0 };
        run.delivery_latency_us_p50 = Some(us as u64);
    }
    assert_eq!(why(claim, &runs), "the intervals overlap");
}

#[test]
fn an_interval_that_holds_the_limit_decides_nothing() {
    let claim = find("most requests return no update", "about a line");
    let mut runs = runs(World::AsTold, RUNS_MIN);
    for run in &mut runs.runs {
        run.empty_ratio = Some(if run.block % 2 == 0 { 0.4 } else { 0.6 });
    }
    assert_eq!(why(claim, &runs), "the interval contains the limit, 50 %");
}

#[test]
fn a_difference_below_the_harness_own_error_is_not_claimed() {
    let claim = find("lower latency than SSE", "");
    let mut runs = runs(World::AsTold, RUNS_MIN);
    for run in runs.runs.iter_mut().filter(|run| run.transport == Transport::Sse) {
        run.verdict = Verdict::Unresolved;
        run.send_lateness_us_p99 = Some(1_500);
    }
    assert_eq!(why(claim, &runs), "the difference is smaller than the harness's own error");
    // A count of bytes is not late.
    assert_eq!(answer(find("low overhead", ""), &runs).ruling, Ruling::HoldsHere);
    for run in &mut runs.runs {
        run.send_lateness_us_p99 = Some(500);
    }
    assert_eq!(answer(claim, &runs).ruling, Ruling::HoldsHere);
}

#[test]
fn memory_per_connection_takes_all_four_levels() {
    let claim = find("each connection consumes memory", "");
    let mut runs = runs(World::AsTold, RUNS_MIN);
    let measured = answer(claim, &runs).deciding.remove(0);
    assert_eq!((measured.points.len(), measured.runs.len()), (RUNS_MIN, RUNS_MIN * LEVELS.len()));
    assert!((measured.value.unwrap() * 1024.0 - 9_000.0 * 1.0035).abs() < 1.0, "{:?}", measured.value);
    runs.runs.retain(|run| run.arm != "n350");
    assert_eq!(why(claim, &runs), "no valid run measured the figure: server memory");
}

/// Returns the runs of an arm and a transport.
fn of<'a>(
    runs: &'a mut Observations,
    arm: &'a str,
    transport: Transport,
) -> impl Iterator<Item = &'a mut RunRow> {
    runs.runs.iter_mut().filter(move |run| run.arm == arm && run.transport == transport)
}

#[test]
fn a_defect_of_one_run_decides_also_where_it_made_the_run_invalid() {
    use Transport::{LongPoll, ShortPoll, Sse, Websocket};
    let same_log = [ShortPoll, LongPoll, Sse, Websocket]
        .map(|transport| ("all clients receive the same log", "busy", transport));
    for (claim, arm, transport) in same_log.into_iter().chain([("HTTP/1.1 or HTTP/2", "http2", Sse)]) {
        for verdict in [Verdict::Ok, Verdict::Unresolved, Verdict::Invalid] {
            for column in [
                "lost_count",
                "censored_count",
                "duplicated_count",
                "out_of_order_count",
                "warm_up_defects_count",
            ] {
                let mut runs = runs(World::AsTold, RUNS_MIN);
                let run = of(&mut runs, arm, transport).next().unwrap();
                run.verdict = verdict;
                assert_eq!(run.number(column), Some(0.0));
                *run = synthetic::with(run, column, 2);
                let run_id = run.run_id.clone();
                let named = format!("{claim}, {run_id}, {verdict:?}, {column}");
                let answer = answer(find(claim, ""), &runs);
                assert_eq!(answer.ruling, Ruling::DoesNotHold, "{named}");
                let worst = &answer.deciding[0];
                assert_eq!((worst.transport, worst.value), (transport, Some(2.0)), "{named}");
                assert!(worst.runs.contains(&run_id) && worst.invalid.is_empty(), "{named}");
                let told = super::render::evidence(&answer);
                assert!(told.contains(&format!("{transport} 2 (in 1 of 6 runs)")), "{told}");
            }
        }
        let mut runs = runs(World::AsTold, RUNS_MIN);
        of(&mut runs, arm, transport).next().unwrap().verdict = Verdict::Invalid;
        assert_eq!(answer(find(claim, ""), &runs).ruling, Ruling::HoldsHere, "{claim}: for another reason");
        of(&mut runs, arm, transport).for_each(|run| run.verdict = Verdict::Invalid);
        assert!(why(find(claim, ""), &runs).starts_with("no valid run measured the figure"), "{claim}");
    }
}

#[test]
fn a_difference_below_what_the_harness_was_late_in_a_good_run_is_not_claimed() {
    for (claim, about) in [("lower latency than SSE", ""), ("low latency", "")] {
        let claim = find(claim, about);
        for column in ["send_lateness_us_p99", "hiccup_us_p99"] {
            let mut runs = runs(World::AsTold, RUNS_MIN);
            let late = of(&mut runs, "busy", Transport::Websocket).last().unwrap();
            *late = synthetic::with(late, column, 60_000);
            assert_eq!(late.verdict, Verdict::Ok);
            assert_eq!(
                why(claim, &runs),
                "the difference is smaller than the harness's own error",
                "{column}"
            );
        }
        assert_eq!(answer(claim, &runs(World::AsTold, RUNS_MIN)).ruling, Ruling::HoldsHere);
    }
}

#[test]
fn one_reconnect_is_not_one_after_each_response() {
    let claim = find("reconnects after each response", "");
    let ruled = |connections: u64| {
        let mut runs = runs(World::AsTold, RUNS_MIN);
        for run in of(&mut runs, "quiet", Transport::LongPoll) {
            (run.requests_count, run.connections_opened_count) = (200, connections);
        }
        answer(claim, &runs).ruling
    };
    // Ten subscribers.
    assert_eq!([10, 11, 100].map(ruled), [Ruling::DoesNotHold; 3]);
    assert_eq!([199, 200].map(ruled), [Ruling::HoldsHere; 2]);
}

#[test]
fn what_the_server_holds_is_what_it_counted_and_no_memory() {
    let claim = find("holds server connections open", "");
    let mut runs = runs(World::AsTold, RUNS_MIN);
    let measured = answer(claim, &runs).deciding.remove(0);
    assert!((measured.value.unwrap() - 0.9).abs() < 0.01, "{:?}", measured.value);
    for run in &mut runs.runs {
        run.waiters_count_mean = Some(0.1);
    }
    assert_eq!(answer(claim, &runs).ruling, Ruling::DoesNotHold);
    for run in &mut runs.runs {
        run.waiters_count_mean = None;
    }
    assert_eq!(why(claim, &runs), "no valid run measured the figure: requests held, average over time");
}

#[test]
fn a_latency_that_a_run_withholds_holds_nothing() {
    let rows = [
        ("low latency", "delivery_latency_us_p99", Transport::Websocket),
        ("near real-time updates", "delivery_latency_us_p99", Transport::LongPoll),
        ("lower latency than SSE", "delivery_latency_us_p50", Transport::Websocket),
        ("lower latency than SSE", "delivery_latency_us_p50", Transport::Sse),
    ];
    for (claim, column, transport) in rows {
        // One more than an interval needs: there is one without that run.
        let mut runs = runs(World::AsTold, RUNS_MIN + 1);
        assert_eq!(answer(find(claim, ""), &runs).ruling, Ruling::HoldsHere);
        let run = of(&mut runs, "busy", transport).next().unwrap();
        *run = synthetic::with(run, column, "");
        let said = why(find(claim, ""), &runs);
        assert!(said.starts_with(&format!("1 valid {transport} runs lack the figure: ")), "{said}");
        of(&mut runs, "busy", transport).next().unwrap().verdict = Verdict::Invalid;
        assert_eq!(answer(find(claim, ""), &runs).ruling, Ruling::HoldsHere);
    }
}

#[test]
fn two_figures_are_compared_in_one_arm_and_one_unit() {
    let arm = |of: Of| match of {
        Of::Arm(arm, _) | Of::Defects(arm) => arm,
        Of::PerConnection(_) => "levels",
        Of::Sources(_) => "sources",
        Of::TwoWay | Of::TextOnly => "this build",
    };
    for claim in CLAIMS {
        if let Test::Smaller { first, second, .. } = claim.test {
            assert_eq!((first.what, first.unit), (second.what, second.unit), "{}", claim.claim);
            assert_eq!(arm(first.of), arm(second.of), "{}", claim.claim);
            assert_ne!(first.transport, second.transport, "{}", claim.claim);
        }
    }
}

/// Lists the claims that may hold on every machine; to add one, give the reason here. Latencies, bytes, CPU, memory,
/// lost lines and broken connections depend on machines, networks and programs.
#[test]
fn holds_is_said_only_of_what_follows_from_the_protocol() {
    let anywhere = |test: &Test| match test {
        Test::Each { reach, .. } | Test::NoneOf { reach, .. } | Test::Above { reach, .. } => *reach,
        Test::Below { reach, .. } | Test::Smaller { reach, .. } => *reach,
        Test::Nothing(_) => Reach::Here,
    };
    let found: Vec<(&str, &str)> = CLAIMS
        .iter()
        .filter(|claim| anywhere(&claim.test) == Reach::Anywhere)
        .map(|claim| (claim.claim, claim.about.split([',', ':', ' ']).next().unwrap()))
        .collect();
    let expected = [
        // A line fills one poll: of five polls a line, four are empty at least.
        ("most requests return no update", "short"),
        // An answer ends its request; a stream is one request.
        ("still has HTTP overhead on reconnect", "long"),
        // The schedule has gaps longer than the hold.
        ("needs timeout handling", "long"),
        ("no HTTP headers per message", "WebSocket"),
        ("bidirectional", "WebSocket"),
        ("the server can push anytime", "SSE"),
        // An answer comes in the order of its request, and the stream's does not end (RFC 9112, section 9.3.2).
        ("one-way: server to client", "SSE"),
        ("text only", "SSE"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_short_run_says_that_it_is_not_for_citing() {
    let mut results = example::result_set();
    (results.plan.name, results.plan.size) = (PLAN.to_owned(), Size::Smoke);
    let claims = Claims::judge(&crate::report::render(&results).unwrap()).unwrap();
    let said = "size: smoke, not for citing";
    assert_eq!(claims.render().lines().next(), Some(said));
    let files = claims.files();
    let page = files.iter().find(|file| file.path == "claims.md").unwrap();
    assert!(page.bytes.starts_with(said.as_bytes()));
    results.plan.size = Size::Full;
    let full = Claims::judge(&crate::report::render(&results).unwrap()).unwrap().render();
    assert!(!full.contains("smoke"), "{full}");
}

/// A table that the package names and the folder lacks would make the folder invalid for every reader of packages.
#[test]
fn the_package_names_the_tables_of_claims_that_are_there() {
    let mut results = example::result_set();
    results.plan.name = PLAN.to_owned();
    results.manifest.plan = PLAN.to_owned();
    let names = |files: &[File]| -> Vec<String> {
        let claims = Claims::judge(files).unwrap().files();
        let package = claims.iter().find(|file| file.path == "datapackage.json").unwrap();
        let package: serde_json::Value = serde_json::from_slice(&package.bytes).unwrap();
        let resources = package["resources"].as_array().unwrap();
        resources.iter().map(|resource| resource["path"].as_str().unwrap().to_owned()).collect()
    };
    let mut files = crate::report::render(&results).unwrap();
    let of_runs = names(&files);
    assert_eq!(of_runs.last().map(String::as_str), Some("claims.csv"));
    files.push(super::two_way_file(&[]));
    let with_two_way = names(&files);
    assert_eq!(with_two_way[with_two_way.len() - 2..], ["two_way.csv", "claims.csv"]);
}

/// Judges claims by rows, as `judge` does by files.
fn claims(runs: &Observations) -> Claims {
    Claims {
        origin: "2026-01-02T03:04:05Z, commit 0123abc".to_owned(),
        size: Size::Full,
        invalid: vec!["quiet-sse-2".to_owned()],
        ending: Ending::Good,
        package: File::new("datapackage.json", ""),
        answers: CLAIMS.iter().map(|claim| answer(claim, runs)).collect(),
    }
}

#[test]
fn a_row_says_claim_figures_verdict_and_runs() {
    let claims = claims(&runs(World::AsTold, RUNS_MIN));
    let text = claims.render();
    let row = |claim: &str| {
        let row = text.lines().find(|line| line.contains(&format!("| \"{claim}\""))).unwrap().to_owned();
        row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let less = row("less overhead than short polling");
    assert_eq!(
        less[3..6],
        [
            "bytes besides the text: long-poll 201 [200, 202] against short-poll 301 [300, 302] bytes per line; requests: \
             long-poll 1.00 [1.00, 1.01], short-poll 5.02 [5.00, 5.03] per line",
            "holds here",
            "quiet-long-poll (6), quiet-short-poll (6)"
        ]
    );
    let single = row("single persistent connection");
    let connections = "connections: websocket 1 per subscriber; connections: sse 1, long-poll 5, short-poll 1 per subscriber";
    assert_eq!(single[3..5], [connections, "holds here"]);
    assert_eq!(
        row("text only")[3..6],
        ["byte values that pass through: sse 126 of 256", "holds", "this build's parser"]
    );
    assert_eq!(row("works everywhere")[4..6], ["not measurable here", ""]);
    assert!(
        text.contains("2026-01-02T03:04:05Z, commit 0123abc: ")
            && text.contains("Left out as invalid: quiet-sse-2.")
    );
}

#[test]
fn programs_get_a_row_per_claim_under_the_columns_of_the_dictionary() {
    let claims = claims(&runs(World::AsTold, RUNS_MIN));
    let files = claims.files();
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["claims.csv", "claims.md", "datapackage.json"]);
    let mut reader = csv::Reader::from_reader(files[0].bytes.as_slice());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header, CLAIMS_COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), CLAIMS.len());
    let cell = |row: &csv::StringRecord, name: &str| {
        row[header.iter().position(|column| column == name).unwrap()].to_owned()
    };
    let row = rows.iter().find(|row| &row[0] == "lower latency than SSE").unwrap();
    assert_eq!(cell(row, "figure"), "websocket delivery latency p50");
    assert_eq!(
        (cell(row, "value"), cell(row, "other_value"), cell(row, "unit")),
        ("1.0035".into(), "2.007".into(), "ms".into())
    );
    assert!(cell(row, "runs").starts_with("busy-websocket-1 busy-websocket-2 "), "{}", cell(row, "runs"));
    let number = |name: &str| cell(row, name).parse::<f64>().unwrap();
    assert!(number("ci_low") < 1.0035 && number("ci_high") > 1.0035);
    let nothing = rows.iter().find(|row| &row[0] == "works everywhere").unwrap();
    assert_eq!(
        (cell(nothing, "value"), cell(nothing, "verdict")),
        (String::new(), "not measurable here".into())
    );
    assert_eq!(
        cell(nothing, "why"),
        "the runs use one machine and its loopback; \"everywhere\" needs many networks"
    );
}

#[test]
fn a_folder_of_another_plan_is_refused() {
    let files = crate::report::render(&example::result_set()).unwrap();
    let said = Claims::judge(&files).unwrap_err().to_string();
    assert_eq!(
        said,
        "the folder holds runs of plan \"ad-hoc\", but claims are judged by runs of the plan \"claims\"; name a folder that \
         `wirelab claims` wrote"
    );
}

#[test]
fn a_folder_of_its_plan_is_read_also_where_the_kernel_gave_memory_back() {
    let mut results = example::result_set();
    results.plan.name = PLAN.to_owned();
    let mut files = crate::report::render(&results).unwrap();
    let runs = files.iter_mut().find(|file| file.path == "runs.csv").unwrap();
    let mut reader = csv::Reader::from_reader(runs.bytes.as_slice());
    let header = reader.headers().unwrap().clone();
    let slab = header.iter().position(|name| name == "kernel_slab_bytes").unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).unwrap();
    for row in reader.records().map(Result::unwrap) {
        writer
            .write_record(row.iter().enumerate().map(|(i, cell)| if i == slab { "-4096" } else { cell }))
            .unwrap();
    }
    runs.bytes = writer.into_inner().unwrap();
    let claims = Claims::judge(&files).unwrap();
    assert_eq!(claims.answers.len(), CLAIMS.len());
    assert_eq!((claims.ending(), claims.size), (Ending::Good, Size::Full));
    let quiet =
        claims.answers.iter().find(|answer| answer.claim == "most requests return no update").unwrap();
    assert_eq!(
        quiet.why.as_deref(),
        Some("no valid run measured the figure: empty answers"),
        "it has none of the arms"
    );
}

#[test]
fn no_claim_is_told_twice_and_every_arm_of_the_plan_is_looked_at() {
    let mut seen = Vec::new();
    for claim in CLAIMS {
        assert!(!seen.contains(&(claim.claim, claim.about)), "{}", claim.claim);
        seen.push((claim.claim, claim.about));
    }
    let plan = include_str!("../../../data/plans/claims.toml");
    let plan = wirelab_clients::harness::plan::Plan::parse("claims", plan).unwrap();
    let arms: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(arms, ARMS);
    assert!(plan.name == PLAN && plan.repetitions as usize > RUNS_MIN, "one run may be invalid");
}
