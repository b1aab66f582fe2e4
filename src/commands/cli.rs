//! The command line: clap types only, no behaviour. The doc comments are the texts of `--help`.
//!
//! Durations are written as `250ms`, `1.5s` or `2m`.

mod reproduce;
mod run;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use wirelab_clients::harness::crowd::SUBSCRIBERS_MAX;
use wirelab_clients::wire::{Position, Transport};

use crate::access::Role;
use crate::access::addresses::AddressBounds;
use crate::context::{LINGER_MAX, POLL_ADVICE_MAX, POLL_ADVICE_MIN, WebsocketEngine};
use crate::deployments::RUNNING_MAX_DEFAULT;
use crate::exchange::compression::{Compression, WebsocketCompression};
use crate::exchange::host;
use crate::report::changes::Tolerated;

pub use reproduce::ReproduceArguments;
pub use run::{AdHocArguments, HttpArgument, ProgressFormat, RunArguments, SizeArgument};

/// Default address of a server, where clients look for it and the server listens.
pub const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";
/// Transport of `tail` and `crowd`, unless the command line or the deployment's URL names one.
pub const TRANSPORT_DEFAULT: Transport = Transport::Sse;
/// Default folder of plans, recordings and targets.
const DATA_DEFAULT: &str = "data";
/// Default folder of recordings.
const RECORDINGS_DEFAULT: &str = "data/recordings";

/// Measure how the lines of a log reach subscribers by short polling, long polling, SSE, NDJSON and WebSocket.
///
/// Without a command it runs `wirelab run quick`, which compares all transports in about a minute.
#[derive(Debug, Parser)]
#[command(version, about, long_about)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands; each has one file in `src/commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure transports by a plan or by options; print a table and write CSV files.
    Run(RunArguments),
    /// Serve deployment logs over every transport.
    Serve(ServeArguments),
    /// Make a token, which gives a role on a server that is started with --access.
    Token(TokenArguments),
    /// Stream a command's output, or stdin, into a deployment while still showing it.
    Publish(PublishArguments),
    /// Follow a deployment in the terminal.
    Tail(TailArguments),
    /// Follow a deployment with many subscribers and print what they see.
    Crowd(CrowdArguments),
    /// Record a command's output with its timing, for replays.
    Record(RecordArguments),
    /// Make the report of a results folder again.
    Report(ReportArguments),
    /// Print what changed between two results folders, beyond the noise.
    Compare(CompareArguments),
    /// Test common claims about polling, SSE and WebSocket by measurement.
    Claims(ClaimsArguments),
    /// Measure figures that others printed, and print theirs beside ours with a verdict.
    Reproduce(ReproduceArguments),
    /// List the plans with their questions, print one, or explain their keys.
    Plans(PlansArguments),
    /// Print the meaning of every column (results/README.md).
    Dictionary,
    /// Print the completions of a shell.
    Completions(Completions),
    /// Print the manual page.
    Man(ManPage),
}

/// Where a server keeps its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Append-only files; an acknowledged line survives power loss.
    Disk,
    /// Memory; all lines are lost when the process ends.
    Memory,
}

/// Certificates that a server makes for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsArgument {
    /// Signed by its own key.
    SelfSigned,
}

/// Arguments of `wirelab serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address to listen on; port 0 chooses a free port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// Where the server keeps its logs.
    #[arg(long, default_value = "disk")]
    pub store: Store,
    /// Folder of the disk store.
    #[arg(long, default_value = "data/deployments")]
    pub data: PathBuf,
    /// Folder of the recordings that can be replayed, beside those that wirelab carries.
    #[arg(long, default_value = RECORDINGS_DEFAULT, value_parser = data_folder(RECORDINGS_DEFAULT))]
    pub recordings: PathBuf,
    /// Largest number of open connections; a request on one more is answered 503.
    #[arg(long, default_value_t = 19_000)]
    pub connections_max: usize,
    /// Largest number of deployments that run at once; the creation of one more is answered 503.
    #[arg(long, default_value_t = RUNNING_MAX_DEFAULT)]
    pub running_max: usize,
    /// Silence on a stream after which the server sends a sign of life. wirelab's own clients give up a stream after a
    /// silence of 35 s.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    pub heartbeat: Duration,
    /// Longest time for which a long poll is held.
    #[arg(long, default_value = "55s", value_parser = humantime::parse_duration)]
    pub hold_max: Duration,
    /// Time without progress in a write after which the connection is closed.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub write_timeout: Duration,
    /// Time for which an idle connection is kept open for its next request; at least 1s.
    #[arg(long, default_value = "75s", value_parser = humantime::parse_duration)]
    pub keep_alive: Duration,
    /// Number of lines kept per deployment, the newest; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    pub retain_lines: u64,
    /// Transports to serve, separated by commas; the paths of the others answer 404 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "TRANSPORTS", value_parser = transport())]
    pub transports: Vec<Transport>,
    /// What drives a WebSocket. The frames are the same.
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t = WebsocketEngine::Cursor)]
    pub websocket_engine: WebsocketEngine,
    /// Compression of the lines of a WebSocket (permessage-deflate), for clients that offer it. A line by itself is
    /// compressed once for all sockets. With a context it is compressed once per socket, which holds some 200 KiB.
    #[arg(long, value_enum, value_name = "COMPRESSION", default_value_t = WebsocketCompression::Off)]
    pub websocket_compression: WebsocketCompression,
    /// Coding of bodies that carry lines, for clients that accept it. gzip holds some 320 KiB per open stream and
    /// compresses each line once per subscriber.
    #[arg(long, value_enum, default_value_t = Compression::Identity)]
    pub compression: Compression,
    /// Time for which a waiting answer gathers more lines after a first one, at most 10s. It does not delay lines that
    /// were already there, the end of the log, a full batch of 512 lines or the end of a hold.
    #[arg(long, default_value = "0s", value_parser = linger)]
    pub linger: Duration,
    /// Interval that short polls without a new line are advised to keep, by Retry-After, in whole seconds [default: no
    /// advice]
    #[arg(long, value_parser = whole_seconds)]
    pub poll_advice: Option<Duration>,
    /// Stop when stdin is closed, so that a server started by a program does not outlive that program.
    #[arg(long)]
    pub stop_at_stdin_end: bool,
    /// Another origin whose pages may use this server, such as `https://lab.example`; may be repeated.
    #[arg(long, value_parser = origin)]
    pub allow_origin: Vec<String>,
    /// Another origin as by --allow-origin, whose pages may also send the cookie of a login, and so act in the name of the
    /// person who visits them; may be repeated.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub allow_credentials: Vec<String>,
    /// Another name by which clients may call a server that listens on the loopback, such as the name of a proxy before
    /// it; may be repeated. Other names than those of the loopback are refused, since any page could be given such a
    /// name. A server that listens elsewhere takes every name.
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub host: Vec<String>,
    /// File with the tokens of those who may use this server, one line each: `ROLE TOKEN [NAME]`, the role being reader,
    /// publisher or owner; `env` reads these lines from the variable WIRELAB_ACCESS. `wirelab token` makes a line. Without
    /// this flag everybody is owner.
    #[arg(long, value_name = "FILE")]
    pub access: Option<PathBuf>,
    /// Let everybody who reaches this server do everything, although it listens on more than the loopback.
    #[arg(long, conflicts_with = "access")]
    pub open: bool,
    /// Largest number of open connections of one address; a request on one more is answered 429. 0 turns this bound off.
    /// The loopback is not bounded, and an IPv6 network of 64 bits is one address.
    #[arg(long, value_name = "COUNT", default_value_t = AddressBounds::default().connections_max)]
    pub address_connections_max: usize,
    /// Requests per second of one address, twice as many at once; one more is answered 429. 0 turns this bound off.
    #[arg(long, value_name = "COUNT", default_value_t = AddressBounds::default().requests_max)]
    pub address_requests_max: u32,
    /// Deployments that one address may create per minute; one more is answered 429. 0 turns this bound off.
    #[arg(long, value_name = "COUNT", default_value_t = AddressBounds::default().creations_max)]
    pub address_creations_max: u32,
    /// Speak HTTPS with a certificate that the server makes for itself and keeps in --tls-folder. Browsers ask before they
    /// trust it; its fingerprint is printed.
    #[arg(long, value_enum, conflicts_with = "tls_cert")]
    pub tls: Option<TlsArgument>,
    /// Folder of the certificate that the server makes for itself.
    #[arg(long, default_value = "data/tls")]
    pub tls_folder: PathBuf,
    /// Speak HTTPS with this certificate: a file in PEM, with the certificates between it and its authority behind it.
    /// SIGHUP reads it again; open connections stay.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert: a file in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Folder of the results that the page's lab shows.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
    /// Folder with the plans that the page's lab runs and the recordings that they replay. What is not there comes from
    /// wirelab itself.
    #[arg(long, default_value = DATA_DEFAULT, value_parser = data_folder(DATA_DEFAULT))]
    pub lab_data: PathBuf,
    /// Serve no lab: the calls below /api/lab, which cut connections, start runs and read results. With --access the lab is
    /// for owners. Without it the lab admits requests from this machine only, but of every local account: then give this
    /// flag behind any proxy on this machine, since the proxy's clients may look local.
    #[arg(long)]
    pub no_lab: bool,
}

const TOKEN_EXAMPLE: &str = "\
Prints one line for the file of `wirelab serve --access FILE`:
  wirelab token owner --name 'the teacher' >> tokens
  wirelab token reader --name 'class 7b' >> tokens
  chmod 600 tokens
  wirelab serve --access tokens

The second word of a line is the token. Give it to its holder, who sets WIRELAB_TOKEN for the commands of wirelab, sends
`Authorization: Bearer TOKEN`, or logs in with a browser at /login. One token may be given to many.";

/// Arguments of `wirelab token`.
#[derive(Debug, Args)]
#[command(after_help = TOKEN_EXAMPLE)]
pub struct TokenArguments {
    /// What its holder may do: reader follows and lists, publisher also creates, appends and finishes, owner also deletes and
    /// uses the lab.
    pub role: Role,
    /// Who holds it, for people who read the file.
    #[arg(long, value_parser = holder)]
    pub name: Option<String>,
}

const PUBLISH_CODES: &str = "\
The command starts whatever the server says, and is shown as it prints. docs/running.md says how long lines wait for a
server that is away.

Exit codes: those of the command, 128 + n if signal n killed it; 126 it cannot be run; 127 it is not found; 6 it
succeeded, but not all lines are published and finished; 2 wrong usage, nothing was run; 130 stdin was interrupted,
or wirelab before it started the command.";

/// Arguments of `wirelab publish`.
#[derive(Debug, Args)]
#[command(after_help = PUBLISH_CODES)]
pub struct PublishArguments {
    /// Id or URL of a deployment, or a name: the newest running deployment of that name, else a new one.
    #[arg(long, value_name = "NAME")]
    pub deployment: String,
    /// URL of the server, unless the deployment is given by its URL.
    #[arg(long, default_value = SERVER_DEFAULT)]
    pub server: String,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// Leave the deployment running at the end.
    #[arg(long)]
    pub keep_open: bool,
    /// Command to run; without one, stdin is published.
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

/// Options of every command that calls a server by HTTPS. A token for the server is taken from the variable WIRELAB_TOKEN.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct TrustArguments {
    /// Trust the certificates of the authorities in this file (PEM) instead of those that this machine trusts; a
    /// certificate that a server made for itself is its own authority. For https:// only.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate, whoever shows it. Whoever stands between may read and change everything; for https://
    /// only.
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
}

/// Arguments of `wirelab tail`.
#[derive(Debug, Args)]
pub struct TailArguments {
    /// Id or URL of a deployment, or a name: the newest deployment of that name. The URL may be that of a transport or
    /// of the page.
    pub deployment: String,
    /// URL of the server, unless the deployment is given by its URL.
    #[arg(long, default_value = SERVER_DEFAULT)]
    pub server: String,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// How lines reach this terminal [default: the transport of the URL, else sse]
    #[arg(long, value_parser = transport())]
    pub transport: Option<Transport>,
    /// Cursor to start after, such as k3x9.42, or `now` [default: that of the URL, else start at the first kept line]
    #[arg(long)]
    pub from: Option<Position>,
    /// Interval of short polls.
    #[arg(long, default_value = "1s", value_parser = poll_interval)]
    pub poll_interval: Duration,
}

const CROWD_FIGURES: &str = "\
Prints one JSON object per second, and a last one with \"ended\":true when the log is over. All subscribers begin after
the newest line. Latencies count from the time stamps of the lines, so the server must be on this machine.

Exit codes: 0 every line arrived once and in order; 2 wrong usage; 3 a line was lost, reordered or duplicated; 6 the
server failed, or a subscriber gave up.";

/// Arguments of `wirelab crowd`.
#[derive(Debug, Args)]
#[command(after_help = CROWD_FIGURES)]
pub struct CrowdArguments {
    /// Id or URL of a deployment, or a name: the newest deployment of that name.
    #[arg(long, value_name = "NAME")]
    pub deployment: String,
    /// URL of the server, unless the deployment is given by its URL.
    #[arg(long, default_value = SERVER_DEFAULT)]
    pub server: String,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// How lines reach them [default: the transport of the URL, else sse]
    #[arg(long, value_parser = transport())]
    pub transport: Option<Transport>,
    /// Number of subscribers, each with its own TCP connection; at most 2000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(SUBSCRIBERS_MAX)))]
    pub subscribers: u32,
    /// Interval of short polls.
    #[arg(long, default_value = "1s", value_parser = poll_interval)]
    pub poll_interval: Duration,
    /// Stop when stdin is closed, so that a crowd started by a program does not outlive that program.
    #[arg(long)]
    pub stop_at_stdin_end: bool,
}

const RECORD_CODES: &str = "\
Exit codes: those of the command, 128 + n if signal n killed it; 126 it cannot be run; 127 it is not found; 6 it
succeeded, but not all lines are recorded, or the folder cannot be written and nothing was run; 2 wrong usage, nothing
was run.";

/// Arguments of `wirelab record`.
#[derive(Debug, Args)]
#[command(after_help = RECORD_CODES)]
pub struct RecordArguments {
    /// Name of the recording.
    #[arg(long)]
    pub name: String,
    /// Folder of the recordings.
    #[arg(long, default_value = RECORDINGS_DEFAULT)]
    pub recordings: PathBuf,
    /// Replace a text in every line before it is written, as FROM=TO; may be repeated and is applied in order.
    #[arg(long, value_name = "FROM=TO", value_parser = replacement)]
    pub replace: Vec<(String, String)>,
    /// Overwrite an existing recording of that name.
    #[arg(long)]
    pub force: bool,
    /// Command to run.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Arguments of `wirelab report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Results folder, such as results/PLAN/UTC-COMMIT, which `run` prints at its end.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What to make: html, svg, hgrm and datapackage are written into the folder, the others to the standard output.
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    pub format: ReportFormat,
}

/// What a report can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// The page, report.html, written into the folder.
    Html,
    /// One long table: a row per transport, arm and figure.
    Csv,
    /// The finding, the figures, theory and checks, for programs.
    Json,
    /// The finding and its tables, for a README.
    Md,
    /// What did not hold, then the figures: Markdown for the summary of a job (GITHUB_STEP_SUMMARY).
    Summary,
    /// Gates, thresholds, theory and delivery as JUnit XML, for continuous integration.
    Junit,
    /// Figures as customSmallerIsBetter of github-action-benchmark: name, unit, value, range.
    Benchmark,
    /// Each plot as a file that stands alone, written into the folder svg/.
    Svg,
    /// Percentile texts for HdrHistogram's plotters, written into the folder, one beside each log in hdr/.
    Hgrm,
    /// The description of the tables for programs (Frictionless Data Package), written into the folder; `run` writes it
    /// too.
    Datapackage,
}

const COMPARE_RULES: &str = "\
Runs of one transport and arm form a group; an arm is a variant that the plan names. A change is claimed if the 95 %
interval of the ratio of medians excludes 1. It must also be larger than the difference within an A/A pair (two equal
runs) of either folder. A claim takes 6 runs on each side. Invalid runs are left out and named. docs/statistics.md
explains more.

Exit codes: 0 the comparison was made; 2 wrong usage, or not a results folder; 3 with --fail-above, a figure got worse
by more than that, or a transport or arm could not be compared. With fewer than 6 runs on a side no figure but the counts
of lines is judged, and stderr says so.";

/// Arguments of `wirelab compare`.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_RULES)]
pub struct CompareArguments {
    /// Results folder of the state before.
    #[arg(value_name = "RUN_A")]
    pub run_a: PathBuf,
    /// Results folder of the state after.
    #[arg(value_name = "RUN_B")]
    pub run_b: PathBuf,
    /// Exit with 3 if a figure of RUN_B is worse than in RUN_A by more than this, beyond the noise; such as 10%.
    #[arg(long, value_name = "PERCENT")]
    pub fail_above: Option<Tolerated>,
    /// Format of the changes.
    #[arg(long, default_value = "md")]
    pub format: CompareFormat,
}

/// Format of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// A table in Markdown, for people.
    Md,
    /// One row per figure.
    Csv,
    /// Everything, with the points behind each figure.
    Json,
}

const CLAIMS_RULES: &str = "\
Runs the plan claims, or reads an existing folder, and writes claims.csv and claims.md into it. No claim is judged from
invalid runs, from fewer than the 6 runs that an interval needs, or if intervals overlap. Counts are not estimates, so
one run is enough for them.

Exit codes: those of `wirelab run`, whatever the verdicts on the claims are.";

/// Arguments of `wirelab claims`.
#[derive(Debug, Args)]
#[command(after_help = CLAIMS_RULES)]
pub struct ClaimsArguments {
    /// Judge this results folder again without running the plan.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["size", "results", "data"])]
    pub from: Option<PathBuf>,
    /// Size of the plan: as it is written, or short, to see that it works. The short form has too few runs for most
    /// claims.
    #[arg(long, default_value = "full")]
    pub size: SizeArgument,
    /// Folder with plans and recordings. What is not there comes from wirelab itself.
    #[arg(long, default_value = DATA_DEFAULT, value_parser = data_folder(DATA_DEFAULT))]
    pub data: PathBuf,
    /// Folder to which results are written.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
}

const PLANS_EXAMPLE: &str = "\
Plans are in the folder data/plans and in wirelab itself. A file in the folder wins over a carried plan of its name.

To make a plan of your own:
  wirelab plans e02-interval > mine.toml
  wirelab run mine.toml";

/// Arguments of `wirelab plans`.
#[derive(Debug, Args)]
#[command(after_help = PLANS_EXAMPLE)]
pub struct PlansArguments {
    /// Plan whose text is printed [default: all plans are listed]
    pub plan: Option<String>,
    /// Explain every key that a plan may have (docs/plans.md).
    #[arg(long, conflicts_with_all = ["plan", "data"])]
    pub keys: bool,
    /// Folder with plans, recordings and targets. What is not there comes from wirelab itself.
    #[arg(long, default_value = DATA_DEFAULT, value_parser = data_folder(DATA_DEFAULT))]
    pub data: PathBuf,
}

const COMPLETIONS_EXAMPLE: &str = "\
For bash, in this shell and in every later one:
  source <(wirelab completions bash)
  wirelab completions bash > ~/.local/share/bash-completion/completions/wirelab";

/// Arguments of `wirelab completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLE)]
pub struct Completions {
    /// Shell to complete in.
    pub shell: clap_complete::Shell,
}

const MAN_EXAMPLE: &str = "\
To read it:
  wirelab man | man -l -
  wirelab man run > wirelab-run.1";

/// Arguments of `wirelab man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLE)]
pub struct ManPage {
    /// Command whose page is printed [default: one page with all commands]
    pub command: Option<String>,
}

/// A transport by its name; help, completions and errors list them all.
fn transport() -> impl TypedValueParser<Value = Transport> {
    PossibleValuesParser::new(Transport::ALL.map(Transport::name))
        .map(|name| name.parse().expect("only names of transports get here"))
}

/// A folder that must be there, unless it is the default. wirelab carries plans, recordings and targets of its own, so it
/// needs no folder; but a misspelt one must not hide the caller's files.
fn data_folder(default: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |folder| match folder.is_dir() || folder == Path::new(default) {
        true => Ok(folder),
        false => Err("there is no such folder; name one that is there, or leave the option out"),
    })
}

/// Parses an origin as browsers send it: scheme, host and, unless it is the scheme's own, port. Nothing may follow.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || {
        "write an origin as browsers send it: http://host or https://host, perhaps with :port, and nothing after it"
            .to_owned()
    };
    let authority =
        text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    if authority.is_empty() || !authority.chars().all(plain) { Err(wrong()) } else { Ok(text.to_owned()) }
}

/// Parses the name of the holder of a token, which ends a line of a file.
fn holder(text: &str) -> Result<String, String> {
    let name = text.trim();
    match name.is_empty() || name.chars().any(char::is_control) {
        false => Ok(name.to_owned()),
        true => Err("write a name of one line, such as 'class 7b'".to_owned()),
    }
}

fn host_name(text: &str) -> Result<String, String> {
    match host::parts(text) {
        Some((name, None)) if name == text => Ok(name.to_owned()),
        Some(_) | None => {
            Err("write a name such as lab.example, without http:// and without a port".to_owned())
        }
    }
}

fn linger(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(linger) if linger <= LINGER_MAX => Ok(linger),
        Ok(_) => Err(format!("give at most {}s", LINGER_MAX.as_secs())),
        Err(error) => Err(format!("{error}; write it as 50ms or 1s")),
    }
}

/// Parses an interval that `Retry-After` can express (RFC 9110 §10.2.3), except 0, which would advise a busy loop.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval)
            if interval.subsec_nanos() == 0 && (POLL_ADVICE_MIN..=POLL_ADVICE_MAX).contains(&interval) =>
        {
            Ok(interval)
        }
        Ok(_) => Err(format!("give whole seconds, 1s to {}s", POLL_ADVICE_MAX.as_secs())),
        Err(error) => Err(format!("{error}; write it as 5s")),
    }
}

/// Parses a poll interval. Zero is refused: it would poll again before the answer is read.
fn poll_interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval >= Duration::from_millis(1) => Ok(interval),
        Ok(_) => Err("give at least 1ms".to_owned()),
        Err(error) => Err(format!("{error}; write it as 250ms or 2s")),
    }
}

fn replacement(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write it as FROM=TO, such as buildhost7=host".to_owned()),
    }
}
