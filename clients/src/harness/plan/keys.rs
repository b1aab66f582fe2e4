//! The keys of a plan file, explained: `docs/plans.md` and `wirelab plans --keys`.
//!
//! Every key that `file.rs` accepts stands here once, with its type, unit, default, allowed values and meaning. Defaults
//! are those that the parser fills in, and bounds are those of `check.rs`. A test compares the keys with the parser's.

mod network;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::{Table, Value};

use super::Plan;
use super::check::{
    DEPLOYMENTS, DRAIN, EXTRAS, HEARTBEAT, HOLD, JITTER_RATIO, LINES_DURATION, LINGER, NAME_CHARS_MAX,
    PAYLOAD_BYTES, POLL_ADVICE, POLL_INTERVAL, RATE_HZ, REPETITIONS, SPEED, STOP, SUBSCRIBERS, TURN, WARM_UP,
    text_of,
};
use crate::options::Compression;
use crate::wire::Transport;

/// A key of a plan file.
struct Key {
    /// Name of the key; below a table it is written `table.key`.
    path: &'static str,
    kind: Kind,
    /// Unit of a number; empty where there is none.
    unit: &'static str,
    absent: Absent,
    allowed: String,
    meaning: &'static str,
}

/// Type of a key's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Duration,
    Texts,
    Durations,
    Transports,
    Table,
    Tables,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "true or false",
            Self::Duration => "duration",
            Self::Texts => "list of texts",
            Self::Durations => "list of durations",
            Self::Transports => "list of transports",
            Self::Table => "table",
            Self::Tables => "list of tables",
        }
    }
}

/// Meaning of a key that is absent.
#[derive(Clone, Copy)]
enum Absent {
    /// The plan is refused.
    Required,
    /// The parser fills a value in.
    Default,
    /// There is no value, which means this.
    Means(&'static str),
}

/// Keys that belong together.
struct Section {
    title: &'static str,
    about: &'static str,
    keys: Vec<Key>,
}

const HEAD: &str = "\
# The keys of a plan

Read this page to write an experiment of your own. It is what `wirelab plans --keys` prints, made from
`clients/src/harness/plan/keys.rs`; do not edit it here.

A *plan* is one experiment as a TOML file. `wirelab plans` lists those that there are, `wirelab plans NAME` prints one,
and `wirelab run FILE.toml` runs yours. A plan in `data/plans/` is found by its name.

```toml
";

/// Plan that the page shows.
const EXAMPLE: &str = r#"name = "mine"
question = "What does a longer hold save while little is printed?"
transports = ["long-poll"]
subscribers = 5
repetitions = 6
lines = { process = "poisson", rate_hz = 0.5, duration = "30s" }

[smoke]
repetitions = 1
lines = { rate_hz = 5, duration = "3s" }

[[arms]]
name = "hold-1s"
hold = "1s"

[[arms]]
name = "hold-25s"
hold = "25s"
"#;

const AFTER_EXAMPLE: &str = "\
```

A duration is a text with a number and a unit, such as `200ms`, `25s` or `1m 30s`. A key that is not listed here is an
error. `plan.toml` in a results folder has every key with its value.
";

/// Plans whose absent keys show the defaults: one for generated lines, one for a replay.
const DEFAULTS_OF: [&str; 2] = [
    "name = \"a\"\nquestion = \"?\"\nsubscribers = 1\n\
     lines = { process = \"poisson\", rate_hz = 1, duration = \"10s\" }",
    "name = \"a\"\nquestion = \"?\"\nsubscribers = 1\nlines = { process = \"replay\", recording = \"a\" }",
];

/// Returns the text of `docs/plans.md`.
pub fn page() -> String {
    let defaults = DEFAULTS_OF.map(resolved);
    let mut page = format!("{HEAD}{EXAMPLE}{AFTER_EXAMPLE}");
    for Section { title, about, keys } in sections() {
        page += &format!("\n## {title}\n\n{about}\n\n");
        page += "| key | type | unit | default | allowed | meaning |\n|---|---|---|---|---|---|\n";
        for key in keys {
            let default = match key.absent {
                Absent::Required => "required".to_owned(),
                Absent::Means(meaning) => format!("absent: {meaning}"),
                Absent::Default => {
                    let found = defaults.iter().find_map(|defaults| value(defaults, key.path));
                    format!("`{}`", found.expect("a test looks at every default"))
                }
            };
            let Key { path, kind, allowed, meaning, .. } = key;
            let unit = if kind == Kind::Duration { "in the text" } else { key.unit };
            page += &format!("| `{path}` | {} | {unit} | {default} | {allowed} | {meaning} |\n", kind.name());
        }
    }
    page
}

/// Returns the plan with every default explicit.
fn resolved(text: &str) -> Table {
    let plan = Plan::parse("defaults", text).expect("a test parses it");
    plan.to_toml().parse().expect("a plan is written as TOML")
}

fn value<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((outer, inner)) => value(table.get(outer)?.as_table()?, inner),
    }
}

fn key(path: &'static str, kind: Kind, absent: Absent, allowed: String, meaning: &'static str) -> Key {
    Key { path, kind, unit: "", absent, allowed, meaning }
}

impl Key {
    fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }
}

fn range<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("{} to {}", range.start(), range.end())
}

fn times(range: &RangeInclusive<Duration>) -> String {
    format!("`{}` to `{}`", text_of(*range.start()), text_of(*range.end()))
}

fn words(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn any() -> String {
    "any".to_owned()
}

fn transports() -> String {
    format!("`\"all\"`, or a list of {}", words(&Transport::ALL.map(Transport::name)))
}

fn sections() -> [Section; 7] {
    [experiment(), measured(), clients(), server(), lines(), network::section(), faults()]
}

fn experiment() -> Section {
    use Absent::{Default, Means, Required};
    use Kind::{Boolean, Integer, Table, Tables, Text, Texts};
    let name = || format!("1 to {NAME_CHARS_MAX} characters of a-z, 0-9 and dash");
    Section {
        title: "The experiment",
        about: "These keys belong to the plan as a whole. An arm cannot have them, except its own `name`.",
        keys: vec![
            key("name", Text, Required, name(), "name of the experiment and of its results folder"),
            key("question", Text, Required, any(), "question of the experiment, in one sentence"),
            key("prediction", Text, Means("none"), any(), "expected answer, written before the measurement"),
            key("seed", Integer, Default, format!("0 to {}", i64::MAX), "what random times and orders follow from"),
            key(
                "targets",
                Texts,
                Default,
                "`wirelab`, `http://host:port`, names of profiles; `http://host:port through-proxy` for a URL of a proxy".to_owned(),
                "servers to measure: wirelab's own, a running one, others by their profile",
            ),
            key(
                "repetitions",
                Integer,
                Default,
                range(&REPETITIONS),
                "blocks: in each, every transport and arm is run once. An interval needs 6; a plan with fewer is a *demonstration*",
            ),
            key("aa", Boolean, Default, any(), "run one cell of every block twice: its difference is noise"),
            key(
                "predict",
                Boolean,
                Default,
                any(),
                "print what theory predicts of every cell before the first run, and what came after the last",
            ),
            key(
                "thresholds",
                Texts,
                Default,
                "`TRANSPORT.COLUMN < NUMBER` or `TRANSPORT/ARM.COLUMN < NUMBER`, with `*` for every transport or arm \
                 and `<`, `<=`, `==`, `!=`, `>=` or `>`"
                    .to_owned(),
                "limits that columns of `runs.csv` must keep in every run; else the exit code is 3",
            ),
            key(
                "size",
                Text,
                Default,
                words(&["full", "smoke"]),
                "which size was run; wirelab writes it into `plan.toml`",
            ),
            key(
                "smoke",
                Table,
                Means("no short form"),
                "any key of the plan".to_owned(),
                "changes that make the plan short, for `run --size smoke`",
            ),
            key(
                "smoke.arms",
                Texts,
                Means("all arms"),
                "names of arms".to_owned(),
                "arms that the short form keeps",
            ),
            key(
                "arms",
                Tables,
                Means("one variant"),
                "any key of the sections below".to_owned(),
                "variants to compare. Each is the plan with these keys changed",
            ),
            key("arms.name", Text, Required, name(), "name of the arm, unique in the plan; part of `run_id`"),
        ],
    }
}

fn measured() -> Section {
    use Absent::{Default, Means, Required};
    use Kind::{Duration, Integer, Transports};
    Section {
        title: "What is measured",
        about: "Each arm may change the keys of this section and of those below.",
        keys: vec![
            key(
                "transports",
                Transports,
                Default,
                transports(),
                "transports to measure, one after the other",
            ),
            key(
                "fallback",
                Transports,
                Default,
                transports(),
                "transports that a subscriber steps down to when its own fails, in this order",
            ),
            key(
                "subscribers",
                Integer,
                Required,
                range(&SUBSCRIBERS),
                "subscribers of each deployment, each with its own connection",
            ),
            key(
                "deployments",
                Integer,
                Default,
                range(&DEPLOYMENTS),
                "logs that are published at the same time",
            ),
            key(
                "warm_up",
                Duration,
                Default,
                times(&WARM_UP),
                "lines due earlier are sent and not measured. The default is at most a quarter of `lines.duration`",
            ),
            key(
                "drain",
                Duration,
                Default,
                times(&DRAIN),
                "longest wait for the last lines. The default is at least two intervals of the short poll",
            ),
            key(
                "stalled",
                Kind::Table,
                Means("none"),
                "the next two".to_owned(),
                "subscribers that stop reading",
            ),
            key(
                "stalled.subscribers",
                Integer,
                Required,
                range(&EXTRAS),
                "their number, for each deployment",
            ),
            key(
                "stalled.at",
                Duration,
                Required,
                before_the_end(),
                "when they stop; they read on after the drain",
            ),
            key("late", Kind::Table, Means("none"), "the next two".to_owned(), "subscribers that join late"),
            key("late.subscribers", Integer, Required, range(&EXTRAS), "their number, for each deployment"),
            key(
                "late.at",
                Duration,
                Required,
                before_the_end(),
                "when they join; they read from the first line",
            ),
        ],
    }
}

fn before_the_end() -> String {
    "before the last line".to_owned()
}

fn clients() -> Section {
    use Absent::{Default, Means};
    use Kind::{Boolean, Duration, Number, Text};
    let encodings = words(&Compression::ALL.map(Compression::name));
    Section {
        title: "The clients",
        about: "What a subscriber decides by itself. `poll_…` and `conditional` are about short polls.",
        keys: vec![
            key("poll_interval", Duration, Default, times(&POLL_INTERVAL), "time from one poll to the next"),
            key(
                "poll_schedule",
                Text,
                Default,
                words(&["fixed", "pause"]),
                "`fixed`: the interval counts from the time that the last poll was due; `pause`: from the last answer",
            ),
            key(
                "poll_phase",
                Text,
                Default,
                words(&["random", "aligned"]),
                "first poll: at a random time of the interval, or together with all other clients",
            ),
            key(
                "poll_jitter_ratio",
                Number,
                Default,
                range(&JITTER_RATIO),
                "random part of the interval: each gap is uniform within interval · (1 ± this)",
            )
            .unit("ratio"),
            key(
                "poll_adaptation",
                Text,
                Default,
                words(&["none", "idle", "server"]),
                "`idle`: the interval doubles while nothing comes; `server`: a `Retry-After` above the interval decides",
            ),
            key(
                "poll_interval_max",
                Duration,
                Means("none"),
                format!("`poll_interval` to `{}`", text_of(*POLL_INTERVAL.end())),
                "longest interval with `poll_adaptation = \"idle\"`, which needs it",
            ),
            key(
                "conditional",
                Boolean,
                Default,
                any(),
                "say what was seen: no news is then a 304 without a body",
            ),
            key("hold", Duration, Default, times(&HOLD), "time for which a long poll asks to be held"),
            key(
                "turn",
                Duration,
                Default,
                times(&TURN),
                "pause of a long poll between an answer and its next request",
            ),
            key(
                "http",
                Text,
                Default,
                words(&["1.1", "2"]),
                "version of HTTP; `2` is by prior knowledge, or by ALPN with `tls`, and not for websocket",
            ),
            key(
                "tls",
                Text,
                Default,
                words(&["none", "full-handshake", "resumption"]),
                "make connections inside of TLS, each with the full handshake, or resuming the last session",
            ),
            key("keep_alive", Boolean, Default, any(), "keep the connection of a poll for the next one"),
            key(
                "compression",
                Text,
                Default,
                encodings,
                "compression that clients ask for and the server offers; `gzip` is not for websocket, the others are for it alone",
            ),
        ],
    }
}

fn server() -> Section {
    use Absent::{Default, Means};
    use Kind::{Duration, Text, Transports};
    Section {
        title: "The server",
        about: "What wirelab's own server is started with. Other targets refuse these keys, except `store`, which they \
                ignore.",
        keys: vec![
            key("store", Text, Default, words(&["memory", "disk"]), "where the server keeps its logs"),
            key(
                "linger",
                Duration,
                Default,
                times(&LINGER),
                "time that an answer waits for more lines after a first",
            ),
            key(
                "heartbeat",
                Duration,
                Default,
                times(&HEARTBEAT),
                "silence of a stream before a sign of life",
            ),
            key(
                "poll_advice",
                Duration,
                Means("no advice"),
                format!("whole seconds, {}", times(&POLL_ADVICE)),
                "interval that the server advises to polls without news, as `Retry-After`",
            ),
            key("without", Transports, Default, transports(), "transports that the server does not serve"),
            key("engine", Text, Default, words(&["cursor", "actor"]), "code that drives its WebSockets"),
        ],
    }
}

fn lines() -> Section {
    use Absent::{Default, Required};
    use Kind::{Duration, Integer, Number, Table, Text};
    Section {
        title: "The lines",
        about: "`recording` and `speed` belong to `process = \"replay\"`, the others to `periodic` and `poisson`.",
        keys: vec![
            key("lines", Table, Required, "the keys below".to_owned(), "lines to publish"),
            key(
                "lines.process",
                Text,
                Required,
                words(&["replay", "periodic", "poisson"]),
                "a recording with its own timing, lines at equal gaps, or lines at random and independent gaps",
            ),
            key(
                "lines.recording",
                Text,
                Required,
                "a name in `data/recordings/`, or one that wirelab carries".to_owned(),
                "recording to replay",
            ),
            key("lines.speed", Number, Default, range(&SPEED), "speed of the replay; 2 is twice as fast"),
            key(
                "lines.rate_hz",
                Number,
                Required,
                range(&RATE_HZ),
                "lines per second, the mean with `poisson`",
            )
            .unit("Hz"),
            key(
                "lines.duration",
                Duration,
                Required,
                times(&LINES_DURATION),
                "time for which lines are published",
            ),
            key(
                "lines.payload_bytes",
                Integer,
                Default,
                range(&PAYLOAD_BYTES),
                "size of each line's text; a text is longer when its number needs more",
            )
            .unit("bytes"),
        ],
    }
}

fn faults() -> Section {
    use Absent::{Default, Means, Required};
    use Kind::{Duration, Durations, Table};
    Section {
        title: "Faults",
        about: "What goes wrong meanwhile, one fault at a time. Times count from the first due time.",
        keys: vec![
            key(
                "cut_at",
                Durations,
                Default,
                "2 s or more apart, before the last line".to_owned(),
                "times at which every subscriber's connection is cut",
            ),
            key(
                "stop",
                Table,
                Means("none"),
                "the next two".to_owned(),
                "the server's process is stopped (SIGSTOP)",
            ),
            key("stop.at", Duration, Required, before_the_end(), "when it is stopped"),
            key("stop.duration", Duration, Required, times(&STOP), "how long it is stopped"),
        ],
    }
}

#[cfg(test)]
mod tests;
