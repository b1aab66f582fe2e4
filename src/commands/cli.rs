//! The command line: clap types only, no behaviour.
//!
//! Durations are written as `250ms`, `1.5s` or `2m`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use wirelab_clients::harness::crowd::SUBSCRIBERS_MAX;
use wirelab_clients::wire::{Position, Transport};

use crate::context::{LINGER_MAX, POLL_ADVICE_MAX, POLL_ADVICE_MIN, WebsocketEngine};
use crate::exchange::compression::Compression;
use crate::report::Format;
use crate::report::changes::Tolerated;

/// Where a server listens unless told otherwise, and where the clients look for it.
pub const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";

/// A polling-strategy lab: one deployment log over every transport, delivery measured.
///
/// Without a command: `wirelab run quick`, a minute that compares them all.
#[derive(Debug, Parser)]
#[command(version, about, long_about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// One command, one file in `src/commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure transports by a plan, or by flags; write a table and CSV files.
    Run(Run),
    /// Serve deployment logs over every transport.
    Serve(Serve),
    /// Stream a command's output, or stdin, into a deployment while still showing it.
    Publish(Publish),
    /// Follow a deployment in the terminal.
    Tail(Tail),
    /// Follow a deployment many times over, and say what the subscribers see.
    Crowd(Crowd),
    /// Record a command's output with its timing, to be replayed.
    Record(Record),
    /// Make report.html again from the files of a results folder.
    Report(Report),
    /// Say what changed between two results folders, beyond the noise.
    Compare(Compare),
    /// Judge what people say about polling, SSE and WebSocket by runs of the plan claims.
    Claims(Claims),
    /// List the plans with their questions.
    Plans(Plans),
    /// Print results/README.md: what every column means.
    Dictionary,
    /// Print the completions of a shell.
    Completions(Completions),
    /// Print the manual page.
    Man(ManPage),
}

const RUN_EXIT_CODES: &str = "\
Without a plan and without flags: the plan quick. With flags: a plan made of them.

A target that runs already (http://host:port) is measured where it is, over those of the asked transports that it has.
Its deployment is deleted when its counts were read: nothing stays on that server, also after Ctrl-C. What its process
costs cannot be seen from here and stays empty. Profiles of other servers are explained in docs/targets.md.

Exit codes, the highest wins: 0 every line arrived once and in order; 2 wrong usage; 3 a line was lost, censored,
reordered or duplicated, or a threshold of the plan was missed; 4 a run contradicts the theory (docs/theory.md says how
a row of theory.csv comes about); 5 a run is invalid; 6 the server or the environment failed; 130 Ctrl-C, with what was
measured written.";

/// `wirelab run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXIT_CODES)]
pub struct Run {
    /// A plan: a name in data/plans, or a path to a TOML file.
    #[arg(conflicts_with_all = ["transport", "subscribers", "rate", "duration", "poll_interval", "recording", "speed", "store", "cut_at"])]
    pub plan: Option<String>,
    /// How much of the plan: as it is written, or made short by its table `smoke`, to see that it works.
    #[arg(long, default_value = "full")]
    pub size: Size,
    /// Go on with an experiment that was interrupted: the folder it wrote.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["plan", "size", "target", "transport", "subscribers", "rate", "duration", "poll_interval", "recording", "speed", "store", "cut_at"])]
    pub resume: Option<PathBuf>,
    /// Transports to measure, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_parser = transport())]
    pub transport: Vec<Transport>,
    /// Servers to measure, separated by commas: wirelab (its own, started fresh), http://host:port (one that is
    /// running), or profiles of data/targets; instead of the plan's [default: wirelab]
    #[arg(long, value_delimiter = ',', value_name = "TARGET")]
    pub target: Vec<String>,
    /// Cut every subscriber's connection at these times after the first due time, such as 4s,8s [default: never]
    #[arg(long, value_delimiter = ',', value_parser = humantime::parse_duration, value_name = "TIMES")]
    pub cut_at: Vec<Duration>,
    /// Subscribers per transport, each over its own TCP connection [default: 10]
    #[arg(long)]
    pub subscribers: Option<u32>,
    /// Lines per second, at Poisson times [default: 50]
    #[arg(long, value_name = "HZ", conflicts_with = "recording")]
    pub rate: Option<f64>,
    /// How long lines are published, such as 10s or 1m [default: 10s]
    #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "recording")]
    pub duration: Option<Duration>,
    /// Replay this recording instead.
    #[arg(long)]
    pub recording: Option<String>,
    /// Speed of the replay; 2 is twice as fast [default: 1]
    #[arg(long, requires = "recording")]
    pub speed: Option<f64>,
    /// Interval of short polls, such as 250ms or 2s [default: 200ms]
    #[arg(long, value_parser = humantime::parse_duration)]
    pub poll_interval: Option<Duration>,
    /// Where the measured server keeps its logs [default: memory]
    #[arg(long)]
    pub store: Option<Store>,
    /// Folder with plans, recordings and deployments.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
    /// Folder for results.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
    /// How far it is: a bar, or for programs lines of JSON, the last of which says how it ended and where the files are.
    #[arg(long, value_enum, default_value_t = ProgressFormat::Bar)]
    pub progress: ProgressFormat,
    /// Stop when stdin is closed, as after Ctrl-C, so that a run started by a program does not outlive it.
    #[arg(long)]
    pub stop_at_stdin_end: bool,
}

/// How a command says how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressFormat {
    /// A bar and a table, for people.
    Bar,
    /// Only lines of JSON on stdout.
    Json,
}

/// Where logs live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Append-only files; an acknowledged line survives power loss.
    Disk,
    /// As long as the process lives.
    Memory,
}

/// How much of a plan is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Seconds.
    Smoke,
    /// What the figures come from.
    Full,
}

/// `wirelab serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// Where logs live.
    #[arg(long, default_value = "disk")]
    pub store: Store,
    /// Folder of the disk store.
    #[arg(long, default_value = "data/deployments")]
    pub data: PathBuf,
    /// Folder of recordings that can be replayed.
    #[arg(long, default_value = "data/recordings")]
    pub recordings: PathBuf,
    /// Open connections; one more is answered 503.
    #[arg(long, default_value_t = 19_000)]
    pub connections_max: usize,
    /// Silence after which a stream sends a sign of life. wirelab's own clients give a stream up after 35 s.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    pub heartbeat: Duration,
    /// Longest hold of a long poll.
    #[arg(long, default_value = "55s", value_parser = humantime::parse_duration)]
    pub hold_max: Duration,
    /// A write without progress for this long closes the connection.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub write_timeout: Duration,
    /// How long an idle connection is kept for its next request; at least 1s.
    #[arg(long, default_value = "75s", value_parser = humantime::parse_duration)]
    pub keep_alive: Duration,
    /// Lines kept per deployment, the newest; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    pub retain_lines: u64,
    /// Transports to serve, separated by commas; the paths of the others answer 404 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "TRANSPORTS", value_parser = transport())]
    pub transports: Vec<Transport>,
    /// What drives a WebSocket. The frames are the same.
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t = WebsocketEngine::Cursor)]
    pub websocket_engine: WebsocketEngine,
    /// Coding of bodies that carry lines, for clients that accept it: gzip holds some 200 KiB per open stream and
    /// compresses each line once per subscriber. WebSocket frames stay as they are.
    #[arg(long, value_enum, default_value_t = Compression::Identity)]
    pub compression: Compression,
    /// How long a waiting answer gathers lines behind a first one, at most 10s. Lines that were there when it was
    /// asked for, the end of the log, 512 lines and the end of a hold are not kept back.
    #[arg(long, default_value = "0s", value_parser = linger)]
    pub linger: Duration,
    /// Advise pollers without news to stay away for this long, in whole seconds, by Retry-After [default: no advice]
    #[arg(long, value_parser = whole_seconds)]
    pub poll_advice: Option<Duration>,
    /// Stop when stdin is closed, so that a server started by a program does not outlive it.
    #[arg(long)]
    pub stop_at_stdin_end: bool,
    /// Another origin whose pages may use this server, such as `https://lab.example`; may be repeated.
    #[arg(long, value_parser = origin)]
    pub allow_origin: Vec<String>,
    /// Folder of results that the page's lab shows.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
    /// Folder with the plans that the page's lab runs, and the recordings that they replay.
    #[arg(long, default_value = "data")]
    pub lab_data: PathBuf,
    /// Serve no lab: the calls below /api/lab, which cut connections, start runs and read results. They answer only at
    /// this machine, to every local account. Behind any proxy on this machine, give this flag: the proxy's clients may
    /// look like one of this machine.
    #[arg(long)]
    pub no_lab: bool,
}

/// `wirelab publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// A deployment's id, else the newest running one of that name, else a new one.
    #[arg(long, value_name = "NAME")]
    pub deployment: String,
    /// The server.
    #[arg(long, default_value = SERVER_DEFAULT)]
    pub server: String,
    /// Leave the deployment running at the end.
    #[arg(long)]
    pub keep_open: bool,
    /// The command to run; without one, stdin is published.
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// `wirelab tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// A deployment's id or name, or its URL.
    pub deployment: String,
    /// The server, unless a URL was given.
    #[arg(long, default_value = SERVER_DEFAULT)]
    pub server: String,
    /// How lines reach this terminal.
    #[arg(long, default_value = "sse", value_parser = transport())]
    pub transport: Transport,
    /// Start after this cursor, such as k3x9.42, or at `now` [default: the first kept line]
    #[arg(long)]
    pub from: Option<Position>,
    /// Interval of short polls.
    #[arg(long, default_value = "1s", value_parser = poll_interval)]
    pub poll_interval: Duration,
}

const CROWD_FIGURES: &str = "\
Prints one JSON object per second and a last one with \"ended\":true when the log is over. All subscribers begin after
the newest line. Latencies count from the time stamps of the lines, so the server must be on this machine.

Exit codes: 0 every line came once and in order; 2 wrong usage; 3 a line was lost, reordered or duplicated; 6 the server
failed, or a subscriber gave up.";

/// `wirelab crowd`.
#[derive(Debug, Args)]
#[command(after_help = CROWD_FIGURES)]
pub struct Crowd {
    /// A deployment's id, else the newest of that name.
    #[arg(long, value_name = "NAME")]
    pub deployment: String,
    /// The server.
    #[arg(long, default_value = SERVER_DEFAULT)]
    pub server: String,
    /// How lines reach them.
    #[arg(long, default_value = "sse", value_parser = transport())]
    pub transport: Transport,
    /// How many there are, each over its own TCP connection; at most 2000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(SUBSCRIBERS_MAX)))]
    pub subscribers: u32,
    /// Interval of short polls.
    #[arg(long, default_value = "1s", value_parser = poll_interval)]
    pub poll_interval: Duration,
    /// Stop when stdin is closed, so that a crowd started by a program does not outlive it.
    #[arg(long)]
    pub stop_at_stdin_end: bool,
}

/// `wirelab record`.
#[derive(Debug, Args)]
pub struct Record {
    /// Name of the recording.
    #[arg(long)]
    pub name: String,
    /// Folder of recordings.
    #[arg(long, default_value = "data/recordings")]
    pub recordings: PathBuf,
    /// Replace a text in every line before it is written, as FROM=TO; may be repeated, applied in order.
    #[arg(long, value_name = "FROM=TO", value_parser = replacement)]
    pub replace: Vec<(String, String)>,
    /// Overwrite a recording of that name.
    #[arg(long)]
    pub force: bool,
    /// The command to run.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// `wirelab report`.
#[derive(Debug, Args)]
pub struct Report {
    /// A results folder: results/PLAN/UTC-COMMIT, as `run` names it at its end.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// html is written into the folder, the others to the standard output.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    pub format: Format,
}

const COMPARE_RULES: &str = "\
Runs of one transport and arm are one group. A change is claimed where the 95 % interval of the ratio of medians over
runs excludes 1, and where it is larger than what an A/A pair of either folder differs by; that takes 6 runs of each
side. Invalid runs are left out and named. docs/statistics.md says more.

Exit codes: 0; 2 wrong usage or no results folder; 3 with --fail-above, when a figure got worse by more than that.";

/// `wirelab compare`.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_RULES)]
pub struct Compare {
    /// The results folder that is compared with.
    #[arg(value_name = "RUN_A")]
    pub run_a: PathBuf,
    /// The results folder that is compared.
    #[arg(value_name = "RUN_B")]
    pub run_b: PathBuf,
    /// End with 3 when a figure of RUN_B is worse than RUN_A's by more than this, beyond the noise; such as 10%.
    #[arg(long, value_name = "PERCENT")]
    pub fail_above: Option<Tolerated>,
    /// How the changes are written.
    #[arg(long, default_value = "md")]
    pub format: CompareFormat,
}

/// How changes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// A table for people, valid Markdown.
    Md,
    /// A row per figure.
    Csv,
    /// Everything, points included.
    Json,
}

const CLAIMS_RULES: &str = "\
Runs the plan claims, or takes a folder that is there, and writes claims.csv and claims.md into it. Nothing is ruled from
invalid runs, from fewer than the 6 runs that an interval needs, or where intervals overlap; counts are no estimates, and
one run is enough for them.

Exit codes: those of `wirelab run`, whatever becomes of the claims.";

/// `wirelab claims`.
#[derive(Debug, Args)]
#[command(after_help = CLAIMS_RULES)]
pub struct Claims {
    /// Judge this results folder again, and run nothing.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["size", "results", "data"])]
    pub from: Option<PathBuf>,
    /// How much of the plan: as it is written, or made short to see that it works: too few runs for most claims.
    #[arg(long, default_value = "full")]
    pub size: Size,
    /// Folder with plans, recordings and deployments.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
    /// Folder for results.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
}

/// `wirelab plans`.
#[derive(Debug, Args)]
pub struct Plans {
    /// Folder with plans.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
}

const COMPLETIONS_EXAMPLE: &str = "\
For bash, now and in every later one:
  source <(wirelab completions bash)
  wirelab completions bash > ~/.local/share/bash-completion/completions/wirelab";

/// `wirelab completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLE)]
pub struct Completions {
    /// Which shell.
    pub shell: clap_complete::Shell,
}

const MAN_EXAMPLE: &str = "\
To read it:
  wirelab man | man -l -
  wirelab man run > wirelab-run.1";

/// `wirelab man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLE)]
pub struct ManPage {
    /// Only this command's page [default: one page with all of them]
    pub command: Option<String>,
}

/// A transport by its name; help, completions and errors list them all.
fn transport() -> impl TypedValueParser<Value = Transport> {
    PossibleValuesParser::new(Transport::ALL.map(Transport::name))
        .map(|name| name.parse().expect("only names of transports get here"))
}

/// An origin as browsers send it: scheme, host and, unless it is the scheme's own, port. Nothing after it.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || {
        "write it as browsers send it: http://host, https://host or with a :port, and nothing after"
            .to_owned()
    };
    let authority =
        text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    if authority.is_empty() || !authority.chars().all(plain) { Err(wrong()) } else { Ok(text.to_owned()) }
}

fn linger(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(linger) if linger <= LINGER_MAX => Ok(linger),
        Ok(_) => Err(format!("at most {} s", LINGER_MAX.as_secs())),
        Err(error) => Err(format!("{error}; write it as 50ms or 1s")),
    }
}

/// What `Retry-After` can say (RFC 9110 §10.2.3), and not 0, which would advise a busy loop.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval)
            if interval.subsec_nanos() == 0 && (POLL_ADVICE_MIN..=POLL_ADVICE_MAX).contains(&interval) =>
        {
            Ok(interval)
        }
        Ok(_) => Err(format!("whole seconds, 1s to {}s", POLL_ADVICE_MAX.as_secs())),
        Err(error) => Err(format!("{error}; write it as 5s")),
    }
}

/// Zero would ask again before the answer is read.
fn poll_interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval >= Duration::from_millis(1) => Ok(interval),
        Ok(_) => Err("at least 1ms".to_owned()),
        Err(error) => Err(format!("{error}; write it as 250ms or 2s")),
    }
}

fn replacement(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write it as FROM=TO, such as buildhost7=host".to_owned()),
    }
}
