//! The command line of `wirelab run`: clap types only, no behaviour.
//!
//! For `cli.rs`, which shares the size of a plan with `wirelab claims`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use wirelab_clients::Compression;
use wirelab_clients::harness::cell::Tls;
use wirelab_clients::harness::ending::Ending;
use wirelab_clients::harness::network::emulated::NetworkKind;
use wirelab_clients::harness::plan::NetworkFlags;
use wirelab_clients::wire::Transport;

use super::{DATA_DEFAULT, Store, TrustArguments, data_folder, transport};
use crate::commands::Exit;

const RUN_HELP: &str = "\
Without a plan and without options, the plan quick is run. With options, a plan is made of them. --repetitions and the
options of the network make no plan: they apply to any.

A target that is already running (http://host:port) is measured where it is, over those of the chosen transports that
it has. The deployment of the run is deleted there once its counts are read, also after Ctrl-C. The costs of its process
cannot be seen from here, so their columns stay empty. docs/targets.md explains profiles of other servers.

Exit codes, the highest wins:
";

/// Returns the text below the options: what is run, and what the exit codes mean.
fn run_help() -> String {
    let endings = Ending::ALL.map(Exit::from);
    let mut exits: Vec<Exit> = endings.into_iter().chain([Exit::Usage, Exit::Interrupted]).collect();
    exits.sort_by_key(|exit| exit.code());
    let lines = exits.iter().map(|exit| format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    RUN_HELP.to_owned() + lines.collect::<String>().trim_end()
}

/// Arguments of `wirelab run`.
#[derive(Debug, Args)]
#[command(after_help = run_help())]
pub struct RunArguments {
    /// Plan to run: a name that `wirelab plans` lists, or the path of a TOML file.
    #[arg(conflicts_with = "AdHocArguments")]
    pub plan: Option<String>,
    /// Size of the plan: as it is written, or short by its table `smoke`, to see that it works.
    #[arg(long, default_value = "full")]
    pub size: SizeArgument,
    /// Continue an interrupted experiment; give the folder that it wrote.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["plan", "size", "target", "through_proxy", "repetitions", "NetworkArguments", "AdHocArguments"])]
    pub resume: Option<PathBuf>,
    /// Servers to measure instead of the plan's, separated by commas: wirelab (its own, started fresh),
    /// http://host:port or https://host:port (one that is already running), or profiles of data/targets [default: wirelab]
    #[arg(long, value_delimiter = ',', value_name = "TARGET")]
    pub target: Vec<String>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// Say that the URLs of --target are those of a proxy, which writes heads of its own: bytes are then not compared
    /// with the server's count. A proxy that adds Via or Server to answers is noticed without it.
    #[arg(long, requires = "target")]
    pub through_proxy: bool,
    /// Number of times that every run is made, each time in a new random order. Six give intervals [default: the plan's,
    /// or 1]
    #[arg(long, value_name = "COUNT")]
    pub repetitions: Option<u32>,
    /// Network between the subscribers and the server, for every run of the plan.
    #[command(flatten)]
    pub network: NetworkArguments,
    /// Plan that is made of options.
    #[command(flatten)]
    pub ad_hoc: AdHocArguments,
    /// Folder with plans, recordings and targets. What is not there comes from wirelab itself.
    #[arg(long, default_value = DATA_DEFAULT, value_parser = data_folder(DATA_DEFAULT))]
    pub data: PathBuf,
    /// Folder to which results are written.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
    /// Keep every delivery too, one by one, in raw/RUN.ndjson.gz: subscriber, seq, due time and receipt in µs. A run
    /// may expect at most 4,194,304 deliveries then.
    #[arg(long)]
    pub raw: bool,
    /// Form of the progress: a bar, or lines of JSON for programs. The last line of JSON says how the run ended and
    /// where the files are.
    #[arg(long, value_enum, default_value_t = ProgressFormat::Bar)]
    pub progress: ProgressFormat,
    /// Stop when stdin is closed, as after Ctrl-C, so that a run started by a program does not outlive that program.
    #[arg(long)]
    pub stop_at_stdin_end: bool,
}

/// Options of `wirelab run` that put a network between the subscribers and the server of every run of the plan.
#[derive(Debug, Default, PartialEq, Args)]
pub struct NetworkArguments {
    /// What makes the network: none (the machine's own), line (a delay line in each subscriber's socket), tun (packets
    /// between two network namespaces; Linux, as root), or auto (tun where it may be, else line) [default: the plan's,
    /// and line with one of the options below]
    #[arg(long, value_name = "KIND", value_parser = network_kind())]
    pub network: Option<NetworkKind>,
    /// Round-trip time of the network, such as 50ms; each way takes half [default: the plan's, or 50ms]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub rtt: Option<Duration>,
    /// Largest difference of each way's delay, such as 5ms.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub jitter: Option<Duration>,
    /// Share of the packets that each way loses, such as 0.01; with tun only.
    #[arg(long, value_name = "RATIO")]
    pub loss: Option<f64>,
    /// Rate of each way, kbit/s.
    #[arg(long, value_name = "KBIT_S")]
    pub link_kbit_s: Option<u64>,
}

impl From<&NetworkArguments> for NetworkFlags {
    fn from(arguments: &NetworkArguments) -> Self {
        let NetworkArguments { network, rtt, jitter, loss, link_kbit_s } = *arguments;
        Self { kind: network, rtt, jitter, loss_ratio: loss, kbit_s: link_kbit_s }
    }
}

fn network_kind() -> impl TypedValueParser<Value = NetworkKind> {
    let names = PossibleValuesParser::new(NetworkKind::ALL.map(NetworkKind::name));
    names.map(|name| {
        let kind = NetworkKind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.expect("the parser admits names of kinds only")
    })
}

fn tls() -> impl TypedValueParser<Value = Tls> {
    PossibleValuesParser::new(Tls::ALL.map(Tls::name)).map(|name| {
        let tls = Tls::ALL.into_iter().find(|tls| tls.name() == name);
        tls.expect("the parser admits names of values only")
    })
}

/// Options of `wirelab run` that make a plan. `wirelab plans --keys` explains the keys that they set.
#[derive(Debug, Default, PartialEq, Args)]
pub struct AdHocArguments {
    /// Transports to measure, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_parser = transport())]
    pub transport: Vec<Transport>,
    /// Cut every subscriber's connection at these times after the first line is due, such as 4s,8s [default: never]
    #[arg(long, value_delimiter = ',', value_parser = humantime::parse_duration, value_name = "TIMES")]
    pub cut_at: Vec<Duration>,
    /// Subscribers per transport, each with its own TCP connection [default: 10]
    #[arg(long)]
    pub subscribers: Option<u32>,
    /// Lines per second, at random (Poisson) times [default: 50]
    #[arg(long, value_name = "HZ", conflicts_with = "recording")]
    pub rate: Option<f64>,
    /// Time for which lines are published, such as 10s or 1m [default: 10s]
    #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "recording")]
    pub duration: Option<Duration>,
    /// Bytes of each line's text [default: 100]
    #[arg(long, value_name = "BYTES", conflicts_with = "recording")]
    pub payload: Option<u64>,
    /// Recording that is replayed instead of generated lines.
    #[arg(long)]
    pub recording: Option<String>,
    /// Speed of the replay; 2 is twice as fast [default: 1]
    #[arg(long, requires = "recording")]
    pub speed: Option<f64>,
    /// Interval of short polls, such as 250ms or 2s [default: 200ms]
    #[arg(long, value_parser = humantime::parse_duration)]
    pub poll_interval: Option<Duration>,
    /// Time for which a long poll asks to be held, at most 55s [default: 25s]
    #[arg(long, value_parser = humantime::parse_duration)]
    pub hold: Option<Duration>,
    /// Version of HTTP that is asked over. WebSocket has 1.1 only [default: 1.1]
    #[arg(long, value_name = "VERSION")]
    pub http: Option<HttpArgument>,
    /// TLS between the subscribers and the server; a target with https:// has it anyway [default: none]
    #[arg(long, value_name = "TLS", value_parser = tls())]
    pub tls: Option<Tls>,
    /// Compression that the clients ask for and the server offers: gzip over HTTP, deflate on a WebSocket, where a line
    /// refers to earlier ones or is compressed without their context [default: identity]
    #[arg(long, value_parser = compression())]
    pub compression: Option<Compression>,
    /// Where the measured server keeps its logs [default: memory]
    #[arg(long)]
    pub store: Option<Store>,
}

fn compression() -> impl TypedValueParser<Value = Compression> {
    PossibleValuesParser::new(Compression::ALL.map(Compression::name)).map(|name| {
        let compression = Compression::ALL.into_iter().find(|compression| compression.name() == name);
        compression.expect("the parser admits names only")
    })
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HttpArgument {
    /// HTTP/1.1.
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2, by prior knowledge, or by ALPN inside of TLS.
    #[value(name = "2")]
    Http2,
}

/// Form in which a command shows its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressFormat {
    /// A bar and a table, for people.
    Bar,
    /// Only lines of JSON on stdout.
    Json,
}

/// Size of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SizeArgument {
    /// The short form of the plan, which takes seconds.
    Smoke,
    /// The plan as it is written, for figures to rely on.
    Full,
}
