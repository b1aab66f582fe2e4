//! The keys that are described are those that the parser accepts, with its defaults, types and values.

use std::collections::BTreeSet;

use super::super::file::PLAN_KEYS;
use super::*;
use crate::harness::plan::Size;

/// A plan in which every table is there, so that a wrong key can be put into each.
const FULL: &str = r#"name = "a"
question = "?"
subscribers = 1
network = "tun"
# plan
[lines]
process = "poisson"
rate_hz = 1
duration = "10s"
# poisson
[stop]
at = "1s"
duration = "1s"
# stop
[stalled]
subscribers = 1
at = "1s"
# stalled
[late]
subscribers = 1
at = "1s"
# late
[up]
delay_ms = 1
# up
[down]
delay_ms = 1
# down
[smoke]
arms = ["b"]
[[arms]]
name = "b"
# arm
"#;

/// A key that no plan has.
const WRONG: &str = "no_such_key = 1";

fn error(text: &str) -> String {
    Plan::parse_with("x.toml", text, Size::Smoke, |_| panic!("no target is a profile"))
        .unwrap_err()
        .to_string()
}

/// The words that the parser expects, as its error lists them.
fn expected(error: &str) -> BTreeSet<String> {
    let (_, list) = error.split_once("expected ").unwrap_or_else(|| panic!("{error} lists nothing"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the parser expects in place of a wrong key at a mark of [`FULL`].
fn accepted(mark: &str) -> BTreeSet<String> {
    expected(&error(&FULL.replace(mark, WRONG)))
}

fn described() -> Vec<Key> {
    sections().into_iter().flat_map(|section| section.keys).collect()
}

/// Names of the described keys below a table; of the plan itself where it is empty.
fn below(table: &str) -> BTreeSet<String> {
    let inner = |path: &'static str| match path.split_once('.') {
        None => table.is_empty().then_some(path),
        Some((outer, inner)) => (outer == table).then_some(inner),
    };
    described().iter().filter_map(|key| inner(key.path)).map(str::to_owned).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_key_that_the_parser_accepts_is_described_and_no_other() {
    assert_eq!(below(""), accepted("# plan"));
    for table in ["stop", "stalled", "late", "up", "down"] {
        assert_eq!(below(table), accepted(&format!("# {table}")), "{table}");
    }
    let generated = accepted("# poisson");
    assert_eq!(
        generated,
        expected(&error(&FULL.replace("poisson\"", "periodic\"").replace("# poisson", WRONG)))
    );
    let replay = FULL.replace("poisson\"\nrate_hz = 1\nduration = \"10s\"", "replay\"\nrecording = \"r\"");
    let replay = expected(&error(&replay.replace("# poisson", WRONG)));
    let process = set(&["process"]);
    assert_eq!(below("lines"), &(&generated | &replay) | &process);
    // Only an arm's name and the arms of the short form are keys of their own.
    assert_eq!((below("smoke"), below("arms")), (set(&["arms"]), set(&["name"])));
    let paths: BTreeSet<_> = described().iter().map(|key| key.path).collect();
    assert_eq!(paths.len(), described().len(), "a key is described twice");
}

#[test]
fn the_keys_of_the_experiment_are_those_that_no_arm_may_have() {
    let outer = experiment().keys.into_iter().map(|key| key.path);
    let of_the_plan: BTreeSet<_> = outer.filter(|path| !path.contains('.') && *path != "name").collect();
    assert_eq!(of_the_plan, BTreeSet::from(PLAN_KEYS));
    for key in PLAN_KEYS {
        let said = error(&FULL.replace("# arm", &format!("{key} = 1")));
        assert!(said.contains(&format!("{key} of arm b is in an arm")), "{said}");
    }
}

#[test]
fn a_default_is_the_parsers_and_has_the_described_type() {
    let defaults = DEFAULTS_OF.map(resolved);
    for key in described() {
        let found = defaults.iter().find_map(|table| value(table, key.path));
        match key.absent {
            Absent::Default => {
                let found = found.unwrap_or_else(|| panic!("{} has no default", key.path));
                let fits = match key.kind {
                    Kind::Text | Kind::Duration => found.is_str(),
                    Kind::Integer => found.is_integer(),
                    Kind::Number => found.is_float(),
                    Kind::Boolean => found.is_bool(),
                    Kind::Texts | Kind::Durations | Kind::Transports | Kind::Tables => found.is_array(),
                    Kind::Table => found.is_table(),
                };
                assert!(fits, "{} is {found}, not a {}", key.path, key.kind.name());
            }
            Absent::Required => {}
            Absent::Means(_) => assert_eq!(found, None, "{} has a default", key.path),
        }
    }
}

#[test]
fn what_is_required_is_missed() {
    let without = |line: &str| {
        assert!(FULL.contains(line), "{line}");
        error(&FULL.replacen(line, "", 1))
    };
    for (key, line) in [
        ("name", "name = \"a\"\n"),
        ("question", "question = \"?\"\n"),
        ("subscribers", "subscribers = 1\n"),
        ("rate_hz", "rate_hz = 1\n"),
        ("duration", "duration = \"10s\"\n"),
        ("process", "process = \"poisson\"\n"),
    ] {
        let said = without(line);
        assert!(said.contains(&format!("missing field `{key}`")), "{key}: {said}");
    }
}

#[test]
fn the_allowed_words_are_the_parsers() {
    let words_of = |path: &str| {
        let key = described().into_iter().find(|key| key.path == path).expect("it is described");
        key.allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    for key in [
        "store",
        "poll_schedule",
        "poll_phase",
        "poll_adaptation",
        "http",
        "tls",
        "compression",
        "engine",
        "size",
    ] {
        let said = error(&FULL.replace("# plan", &format!("{key} = \"no such word\"")));
        assert_eq!(words_of(key), expected(&said), "{key}");
    }
    let said = error(&FULL.replace("process = \"poisson\"", "process = \"no such word\""));
    assert_eq!(words_of("lines.process"), expected(&said));
}

#[test]
fn the_example_is_a_plan() {
    for size in [Size::Full, Size::Smoke] {
        let plan = Plan::parse_with("mine", EXAMPLE, size, |_| panic!("no target is a profile")).unwrap();
        assert_eq!(plan.arms.len(), 2);
    }
}
