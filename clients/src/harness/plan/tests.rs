//! Plans: what a text means, which defaults it gets, and which texts are refused.

use super::*;
use crate::harness::cell::StoreKind;
use crate::options::{Options, PollSchedule};
use crate::recording::Recording;
use crate::wire::Transport;
use proptest::prelude::*;
use std::sync::Arc;

const SMALLEST: &str = r#"
name = "small"
question = "What is the least a plan must say?"
subscribers = 2
[lines]
process = "replay"
recording = "cargo-build"
"#;

const POISSON: &str = r#"
name = "poisson"
question = "?"
seed = 7
transports = ["sse", "short-poll"]
subscribers = 3
repetitions = 2
store = "disk"
poll_interval = "1500ms"
hold = "5s"
warm_up = "2s"
drain = "1m"
[lines]
process = "poisson"
rate_hz = 50
duration = "10s"
payload_bytes = 200
"#;

fn with_subscribers(subscribers: u32) -> AdHoc {
    let factors = Given { subscribers: Some(subscribers), ..Given::default() };
    AdHoc { factors, ..AdHoc::default() }
}

fn refusal(text: &str) -> String {
    Plan::parse("x.toml", text).unwrap_err().to_string()
}

#[test]
fn a_plan_gets_every_default() {
    let plan = Plan::parse("small.toml", SMALLEST).unwrap();
    assert_eq!(plan.base.transports, Transport::ALL);
    let resolved = r#"name = "small"
question = "What is the least a plan must say?"
size = "full"
seed = 1
targets = ["wirelab"]
repetitions = 1
aa = false
predict = false
thresholds = []
transports = ["short-poll", "long-poll", "sse", "ndjson", "websocket"]
fallback = []
subscribers = 2
deployments = 1
store = "memory"
poll_interval = "200ms"
poll_schedule = "fixed"
poll_phase = "random"
poll_jitter_ratio = 0.0
poll_adaptation = "none"
conditional = true
hold = "25s"
turn = "0s"
http = "1.1"
tls = "none"
keep_alive = true
compression = "identity"
linger = "0s"
heartbeat = "15s"
without = []
engine = "cursor"
warm_up = "1s"
drain = "10s"
cut_at = []
network = "none"

[lines]
process = "replay"
recording = "cargo-build"
speed = 1.0
"#;
    assert_eq!(plan.to_toml(), resolved);
}

#[test]
fn a_resolved_plan_parses_to_itself() {
    for text in [SMALLEST, POISSON] {
        let plan = Plan::parse("x.toml", text).unwrap();
        assert_eq!(Plan::parse("x.toml", &plan.to_toml()).unwrap(), plan);
    }
}

#[test]
fn cells_are_every_transport_once_per_block_in_an_order_of_its_own() {
    let text = POISSON.replace("[\"sse\", \"short-poll\"]", "\"all\"");
    let cells = Plan::parse("x.toml", &text).unwrap().cells();
    assert_eq!(cells, Plan::parse("x.toml", &text).unwrap().cells(), "the seed decides");
    assert_eq!(cells.len(), 2 * Transport::ALL.len());
    let mut orders = Vec::new();
    for (index, block) in cells.chunks(Transport::ALL.len()).enumerate() {
        let repetition = index as u32 + 1;
        let mut ids: Vec<_> = block.iter().map(|cell| cell.run_id.as_str()).collect();
        orders.push(block.iter().map(|cell| cell.transport).collect::<Vec<_>>());
        ids.sort_unstable();
        let mut expected: Vec<_> = Transport::ALL.iter().map(|name| format!("{name}-{repetition}")).collect();
        expected.sort_unstable();
        assert_eq!(ids, expected);
        for (position, cell) in (1..).zip(block) {
            assert_eq!((cell.block, cell.repetition, cell.position), (repetition, repetition, position));
            assert_eq!(cell.seed, 6 + u64::from(repetition));
            assert_eq!(cell.options.polling.interval, Duration::from_millis(1500));
            assert_eq!(cell.serve.store, StoreKind::Disk);
        }
    }
    assert_ne!(orders[0], orders[1]);
}

#[test]
fn transports_of_one_repetition_share_their_schedules() {
    let text = POISSON.replace("subscribers = 3", "subscribers = 3\ndeployments = 2");
    let cells = Plan::parse("x.toml", &text).unwrap().cells();
    let none = |_: &str| -> Result<Arc<Recording>, String> { Err("no recording is asked for".into()) };
    let schedules: Vec<_> = cells.iter().map(|cell| cell.schedules(none).unwrap()).collect();
    assert_eq!(schedules[0], schedules[1]);
    assert_ne!(schedules[0], schedules[2]);
    assert_ne!(schedules[0][0], schedules[0][1], "each deployment has its own");
    assert_eq!((cells[0].subscribers_total(), cells[0].connections()), (6, 6));
}

const ARMS: &str = r#"
name = "arms"
question = "?"
prediction = "Less."
transports = ["short-poll"]
subscribers = 4
repetitions = 6
aa = true
thresholds = ["*.lost_count == 0"]
lines = { process = "poisson", rate_hz = 50, duration = "10s" }
[smoke]
repetitions = 1
lines = { duration = "1s" }
arms = ["slow", "gone"]
[[arms]]
name = "fast"
poll_interval = "100ms"
[[arms]]
name = "slow"
poll_interval = "1s"
poll_schedule = "pause"
lines = { rate_hz = 10 }
[[arms]]
name = "gone"
transports = ["sse"]
fallback = ["long-poll", "short-poll"]
without = ["sse"]
stop = { at = "500ms", duration = "1s" }
late = { subscribers = 2, at = "100ms" }
"#;

fn parsed(text: &str, size: Size) -> Result<Plan, PlanError> {
    Plan::parse_with("x.toml", text, size, |name| {
        Err(ProfileError::Unknown { given: name.to_owned(), known: Vec::new() })
    })
}

#[test]
fn an_arm_is_the_plan_with_some_factors_changed() {
    let plan = parsed(ARMS, Size::Full).unwrap();
    let slow = &plan.arms[1].factors;
    assert_eq!((slow.subscribers, slow.options.polling.schedule), (4, PollSchedule::Pause));
    let lines = slow.lines.generated().unwrap();
    assert_eq!((lines.rate_hz, lines.duration), (10.0, Duration::from_secs(10)), "merged key by key");
    let cells = plan.cells();
    assert_eq!(cells.len(), 6 * 4, "three arms, and one of them again");
    let again: Vec<_> = cells.iter().filter(|cell| cell.is_aa).map(|cell| cell.run_id.as_str()).collect();
    let expected: Vec<_> = (1..=6).map(|n| format!("fast-short-poll-aa-{n}")).collect();
    assert_eq!(again, expected);
    let gone = cells.iter().find(|cell| cell.arm.as_deref() == Some("gone")).unwrap();
    assert_eq!(gone.fallback, [Transport::LongPoll, Transport::ShortPoll]);
    assert_eq!((gone.connections(), gone.late.unwrap().subscribers), (6, 2));
    assert_eq!(gone.fault.as_ref().unwrap().name(), "stop");
    assert_eq!(parsed(&plan.to_toml(), Size::Full).unwrap(), plan);
}

#[test]
fn a_smoke_run_is_the_plan_made_short_and_says_so() {
    let plan = parsed(ARMS, Size::Smoke).unwrap();
    let names: Vec<_> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["slow", "gone"]);
    assert_eq!((plan.size, plan.repetitions), (Size::Smoke, 1));
    let lines = plan.arms[0].factors.lines.generated().unwrap();
    assert_eq!((lines.rate_hz, lines.duration), (10.0, Duration::from_secs(1)));
    assert_eq!(
        plan.duration(|_| Duration::from_secs(1)).as_secs(),
        11,
        "three cells, two with slow polls, and a calibration"
    );
    assert_eq!(parsed(&plan.to_toml(), Size::Full).unwrap(), plan);
    let said = parsed(SMALLEST, Size::Smoke).unwrap_err().to_string();
    assert!(said.contains("smoke is absent; a plan needs a table [smoke]"), "{said}");
}

#[test]
fn the_estimate_of_a_plan_knows_its_distance_and_its_loss() {
    let with = |keys: &str| {
        let plan =
            parsed(&ARMS.replacen("repetitions", &format!("{keys}\nrepetitions"), 1), Size::Full).unwrap();
        plan.duration(|_| Duration::from_secs(1))
    };
    let (near, far) = (with("network = \"line\"\nrtt_ms = 0"), with("network = \"line\"\nrtt_ms = 400"));
    let cells = parsed(ARMS, Size::Full).unwrap().cells().len() as u32;
    let (besides, calibrated) = (4 * cells * Duration::from_millis(400), 100 * Duration::from_millis(400));
    assert!(far >= near + besides + calibrated, "{near:?}, {far:?}");
    let (whole, lossy) =
        (with("network = \"tun\"\nrtt_ms = 400"), with("network = \"tun\"\nrtt_ms = 400\nloss_ratio = 0.01"));
    assert_eq!(lossy, whole + cells * Duration::from_secs(1));
}

#[test]
fn what_an_arm_says_wrongly_is_refused_with_its_name() {
    for (from, to, said) in [
        (
            "poll_interval = \"1s\"",
            "poll_intervall = \"1s\"",
            "a key or value of arm slow is invalid; unknown field `poll_intervall`",
        ),
        ("poll_interval = \"1s\"", "poll_interval = \"1h\"", "poll_interval of arm slow is 1h; 1ms to 5m"),
        ("poll_interval = \"1s\"", "seed = 3", "seed of arm slow is in an arm; it belongs to the plan"),
        ("name = \"slow\"", "name = \"fast\"", "arms is a list with \"fast\" twice"),
        ("name = \"slow\"", "name = \"Slow\"", "arms.name is \"Slow\"; 1 to 60 characters"),
        (
            "fallback = [\"long-poll\"",
            "fallback = [\"sse\"",
            "fallback of arm gone is a list with sse; transports lists it already",
        ),
        ("at = \"500ms\"", "at = \"10s\"", "stop.at of arm gone is 10s; must be before the last line"),
        (
            "duration = \"1s\" }\nlate",
            "duration = \"1m\" }\nlate",
            "stop.duration of arm gone is 1m; 10ms to 8s",
        ),
        ("at = \"100ms\"", "at = \"10s\"", "late.at of arm gone is 10s; must be before"),
        (
            "transports = [\"sse\"]",
            "transports = [\"websocket\"]\nhttp = \"2\"",
            "http of arm gone is \"2\"; websocket does not support that",
        ),
        (
            "transports = [\"sse\"]",
            "transports = [\"sse\"]\nengine = \"actor\"",
            "engine of arm gone is \"actor\"; that drives WebSockets alone; list websocket",
        ),
        ("[\"slow\", \"gone\"]", "[\"slov\"]", "smoke.arms is [\"slov\"]; a list of fast, slow, gone"),
        ("poll_schedule = \"pause\"", "poll_adaptation = \"idle\"", "without poll_interval_max"),
        (
            "thresholds = [\"*.lost_count == 0\"]",
            "thresholds = [\"*.lost_counts == 0\"]",
            "runs.csv has no number \"lost_counts\"; the nearest are lost_count, ",
        ),
        ("poll_schedule = \"pause\"", "poll_interval_max = \"3s\"", "belongs to poll_adaptation = \"idle\""),
        (
            "poll_schedule = \"pause\"",
            "poll_jitter_ratio = 1.5",
            "poll_jitter_ratio of arm slow is 1.5; 0 to 1",
        ),
        ("poll_schedule = \"pause\"", "poll_advice = \"1500ms\"", "whole seconds"),
        (
            "aa = true",
            "aa = true\ntargets = [\"wirelab\", \"http://h:1\"]",
            "only wirelab's own server takes that, and http://h:1 is measured too",
        ),
    ] {
        assert!(ARMS.contains(from), "{from}");
        let size = if from.starts_with("name") { Size::Full } else { Size::Smoke };
        let refused = parsed(&ARMS.replacen(from, to, 1), size).unwrap_err().to_string();
        assert!(refused.starts_with("plan \"x.toml\"") && refused.contains(said), "{refused}");
    }
}

#[test]
fn what_a_plan_says_wrongly_is_refused_with_key_and_allowed_values() {
    let with = |from: &str, to: &str| {
        assert!(POISSON.contains(from), "{from}");
        POISSON.replace(from, to)
    };
    for (text, said) in [
        (
            with("seed = 7", "sede = 7"),
            "plan \"x.toml\", line 4, sede: unknown field `sede`, expected one of",
        ),
        (with("question = \"?\"\n", ""), "missing field `question`"),
        (with("= 3", "= \"three\""), "plan \"x.toml\", line 6, subscribers: invalid type: string"),
        (with("= 3", "= -3"), "plan \"x.toml\", line 6, subscribers: invalid value"),
        (with("= 3", "= 0"), "plan \"x.toml\": subscribers is 0; 1 to 60000"),
        (with("= 3", "= 60001"), "plan \"x.toml\": subscribers is 60001; 1 to 60000"),
        (with("= 3", "= 4294967298"), "subscribers is 4294967298; 1 to 60000"),
        (with("= 3", "= 3 3"), "plan \"x.toml\", line 6"),
        (
            with("\"short-poll\"", "\"sock\""),
            "plan \"x.toml\": transports is [\"sse\", \"sock\"]; \"all\" or a list of short-poll, long-poll, sse",
        ),
        (with("[\"sse\", \"short-poll\"]", "\"sse\""), "transports is \"sse\"; \"all\" or a list of"),
        (with("[\"sse\", \"short-poll\"]", "[]"), "transports is empty; \"all\" or a list of"),
        (with("\"short-poll\"", "\"sse\""), "transports is a list with sse twice; name each once"),
        (with("= 2\nstore", "= 0\nstore"), "repetitions is 0; 1 to 1000"),
        (with("\"disk\"", "\"disc\""), "line 8, store: unknown variant `disc`, expected `memory` or `disk`"),
        (with("\"1500ms\"", "\"1500\""), "poll_interval is \"1500\"; time unit needed"),
        (with("\"1500ms\"", "\"0ms\""), "poll_interval is 0s; 1ms to 5m"),
        (
            with("\"1500ms\"", "\"40s\""),
            "drain is 1m; with short-poll at least 2 times poll_interval, 1m 20s",
        ),
        (with("\"5s\"", "\"56s\""), "hold is 56s; 0s to 55s"),
        (with("\"2s\"", "\"10s\""), "warm_up is 10s; must be shorter than lines.duration, 10s"),
        (with("\"1m\"", "\"1h\""), "drain is 1h; 100ms to 10m"),
        (with("\"poisson\"\nrate", "\"bursts\"\nrate"), "unknown variant `bursts`, expected one of `replay`"),
        (with("rate_hz", "rate"), "unknown field `rate`, expected one of `rate_hz`, `duration`"),
        (with("= 50", "= 0"), "lines.rate_hz is 0; 0.01 to 100000"),
        (with("= 50", "= nan"), "lines.rate_hz is NaN; 0.01 to 100000"),
        (with("\"10s\"", "\"25h\""), "lines.duration is 1day 1h; 1ms to 1day"),
        (with("\"10s\"", "\"24h\"").replace("= 50", "= 100"), "8640000 lines, more than 5000000"),
        (with("= 200", "= 0"), "lines.payload_bytes is 0; 1 to 1048576"),
        (with("\"poisson\"\nq", "\"../x\"\nq"), "name is \"../x\"; 1 to 60 characters"),
        (
            SMALLEST.replace("\"cargo-build\"", "\"cargo-build\"\nspeed = 0.0"),
            "lines.speed is 0; 0.01 to 1000",
        ),
        (SMALLEST.replace("\"cargo-build\"", "\"\""), "lines.recording is \"\"; the name of a recording"),
    ] {
        let refused = refusal(&text);
        assert!(refused.starts_with("plan \"x.toml\"") && refused.contains(said), "{refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[test]
fn a_threshold_of_no_run_is_refused_and_one_of_an_arm_that_a_short_run_leaves_out_is_dropped() {
    let with = |threshold: &str, size| {
        let thresholds = format!("thresholds = [\"{threshold}\", \"*.lost_count == 0\"]");
        parsed(&ARMS.replacen("thresholds = [\"*.lost_count == 0\"]", &thresholds, 1), size)
    };
    let count = |threshold: &str, size| with(threshold, size).unwrap().thresholds.len();
    let fast = "*/fast.lost_count == 0";
    assert_eq!((count(fast, Size::Full), count(fast, Size::Smoke)), (2, 1));
    let refused = with("*/fats.lost_count == 0", Size::Full).unwrap_err().to_string();
    assert!(refused.contains("*/fats.lost_count == 0") && refused.contains("no run matches; there are "));
    assert!(refused.contains("short-poll/fast"), "{refused}");
}

#[test]
fn an_unknown_plan_is_answered_with_those_there_are() {
    let known = vec!["quick".to_owned(), "fan-out".to_owned()];
    let said = PlanError::Unknown { given: "quik".to_owned(), known }.to_string();
    assert_eq!(said, "unknown plan \"quik\"; one of quick, fan-out, or the path of a .toml file");
}

#[test]
fn flags_make_a_plan_that_is_checked_like_a_file() {
    let plan = Plan::ad_hoc(AdHoc::default()).unwrap();
    assert_eq!((plan.name.as_str(), plan.base.subscribers), (AD_HOC, 10));
    assert_eq!(Plan::parse("x.toml", &plan.to_toml()).unwrap(), plan);
    let refused = Plan::ad_hoc(with_subscribers(0)).unwrap_err();
    assert_eq!(refused.to_string(), "plan \"ad-hoc\": subscribers is 0; 1 to 60000");
}

#[test]
fn too_few_descriptors_are_refused_with_the_number_and_how_to_raise_it() {
    let plan = Plan::ad_hoc(with_subscribers(1_000)).unwrap();
    assert_eq!(plan.check_descriptors(2_066), Ok(()));
    let said = plan.check_descriptors(2_065).unwrap_err().to_string();
    assert!(said.contains("1000 subscribers need 2066 open files"), "{said}");
    assert!(said.contains("may have 2065") && said.contains("ulimit -n 2066"), "{said}");
}

#[test]
fn a_cohort_without_lines_is_refused() {
    let plan = Plan::parse("x.toml", SMALLEST).unwrap();
    let recording = |json: &str| Schedule::Replay {
        recording: Arc::new(Recording::parse("r", json.as_bytes()).unwrap()),
        speed: 1.0,
    };
    let end = "{\"offset_us\":5000000,\"status\":\"succeeded\"}";
    let early = format!("{{\"offset_us\":999999,\"text\":\"\"}}\n{end}");
    let in_time = format!("{{\"offset_us\":1000000,\"text\":\"\"}}\n{end}");
    let cell = &plan.cells()[0];
    assert_eq!(plan.check_cohort(cell, &recording(&in_time)), Ok(()));
    let said = plan.check_cohort(cell, &recording(&early)).unwrap_err().to_string();
    assert!(said.contains("warm_up is 1s; the last line is due at 999ms 999us"), "{said}");
    let said = plan.check_cohort(cell, &recording(end)).unwrap_err().to_string();
    assert!(said.contains("no line at all"), "{said}");
}

proptest! {
    #[test]
    fn any_text_is_a_plan_or_a_one_line_refusal(text in "[a-z=\\[\\]\"\n\u{e9} 0-9]{0,80}") {
        if let Err(error) = Plan::parse("x.toml", &text) {
            prop_assert!(error.to_string().starts_with("plan \"x.toml\""));
        }
    }

    #[test]
    fn durations_survive_the_file(nanos in 0..=55_000_000_000u64) {
        let hold = Duration::from_nanos(nanos);
        let options = Options { hold, ..Factors::options_default() };
        let factors = Given { options: Some(options), ..Given::default() };
        let plan = Plan::ad_hoc(AdHoc { factors, ..AdHoc::default() }).unwrap();
        prop_assert_eq!(Plan::parse("x.toml", &plan.to_toml()).unwrap().base.options.hold, hold);
    }
}
