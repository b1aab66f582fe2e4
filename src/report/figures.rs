//! The figures that a report shows, and the factors that a plan may vary, each with its column, unit and words.
//!
//! To add one: a variant, and a line in each match, which the compiler asks for.

use wirelab_clients::harness::rows::RunRow;

/// Figure of a run. For every figure, less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Figure {
    /// Delivery latency that half of the lines did not exceed.
    LatencyP50,
    /// Delivery latency that 90 % of the lines did not exceed.
    LatencyP90,
    /// Delivery latency that 99 % of the lines did not exceed.
    LatencyP99,
    /// Delivery latency of the slowest line.
    LatencyMax,
    /// Age of information, average over time.
    StalenessMean,
    /// Requests per delivered line.
    Requests,
    /// Text of the log per delivered line.
    AppBytes,
    /// Bytes through the sockets, both directions, per delivered line.
    L7Bytes,
    /// Bytes in IP packets per delivered line: those through the sockets, with the headers of IP and TCP.
    IpBytes,
    /// Bytes on the wire per delivered line: those in IP packets, with the frames of the link.
    WireBytes,
    /// Processor time of the server per delivered line.
    Cpu,
    /// Anonymous memory of the server.
    Memory,
    /// Anonymous memory of the server per connection: the slope over several numbers of connections.
    MemoryPerConnection,
}

/// Origin of a figure's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Each run measured its own value: the values vary as runs do.
    EachRun,
    /// One number was made from many runs and written into each: the count of runs says nothing about its error.
    ManyRuns,
}

impl Figure {
    /// Every figure, in the order of the tables.
    pub(super) const ALL: [Self; 13] = [
        Self::LatencyP50,
        Self::LatencyP90,
        Self::LatencyP99,
        Self::LatencyMax,
        Self::StalenessMean,
        Self::Requests,
        Self::AppBytes,
        Self::L7Bytes,
        Self::IpBytes,
        Self::WireBytes,
        Self::Cpu,
        Self::Memory,
        Self::MemoryPerConnection,
    ];

    /// Returns the figure's value in a run, in [`Self::unit`]s.
    pub(super) fn of(self, run: &RunRow) -> Option<f64> {
        run.number(self.name()).map(|value| value * self.scale())
    }

    /// Returns the figure's place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|figure| *figure == self).expect("every figure is in the list")
    }

    /// Returns the figure's name in machine-readable formats: the column of `runs.csv` that it comes from.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::LatencyP50 => "delivery_latency_us_p50",
            Self::LatencyP90 => "delivery_latency_us_p90",
            Self::LatencyP99 => "delivery_latency_us_p99",
            Self::LatencyMax => "delivery_latency_us_max",
            Self::StalenessMean => "staleness_ms_mean",
            Self::Requests => "requests_per_line_ratio",
            Self::AppBytes => "app_per_line_bytes",
            Self::L7Bytes => "l7_per_line_bytes",
            Self::IpBytes => "ip_per_line_bytes",
            Self::WireBytes => "wire_per_line_bytes",
            Self::Cpu => "server_cpu_per_line_us",
            Self::Memory => "server_pss_anon_bytes",
            Self::MemoryPerConnection => "server_pss_anon_per_connection_bytes",
        }
    }

    /// Returns the figure's name in `theory.csv`, where a formula predicts it.
    pub(super) const fn quantity(self) -> Option<&'static str> {
        match self {
            Self::LatencyP50 => Some("delivery latency p50"),
            Self::LatencyP90 => Some("delivery latency p90"),
            Self::LatencyP99 => Some("delivery latency p99"),
            Self::LatencyMax => Some("delivery latency max"),
            Self::StalenessMean => Some("age of information mean"),
            Self::Requests => Some("requests per line"),
            Self::L7Bytes => Some("l7 bytes per line"),
            Self::WireBytes => Some("wire bytes per line"),
            Self::AppBytes | Self::IpBytes | Self::Cpu | Self::Memory | Self::MemoryPerConnection => None,
        }
    }

    /// Returns the value of one unit of the column, in [`Self::unit`]s.
    pub(super) const fn scale(self) -> f64 {
        match self {
            Self::LatencyP50 | Self::LatencyP90 | Self::LatencyP99 | Self::LatencyMax => 1e-3,
            Self::Memory => 1.0 / (1024.0 * 1024.0),
            Self::MemoryPerConnection => 1.0 / 1024.0,
            Self::StalenessMean | Self::Requests | Self::Cpu => 1.0,
            Self::AppBytes | Self::L7Bytes | Self::IpBytes | Self::WireBytes => 1.0,
        }
    }

    /// Returns the unit in which the figure is shown.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::LatencyP50 | Self::LatencyP90 | Self::LatencyP99 | Self::LatencyMax => "ms",
            Self::StalenessMean => "ms",
            Self::Requests => "",
            Self::AppBytes | Self::L7Bytes | Self::IpBytes | Self::WireBytes => "bytes",
            Self::Cpu => "µs",
            Self::Memory => "MiB",
            Self::MemoryPerConnection => "KiB",
        }
    }

    /// Returns the figure's name over a column and beside an axis.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::LatencyP50 => "latency p50",
            Self::LatencyP90 => "latency p90",
            Self::LatencyP99 => "latency p99",
            Self::LatencyMax => "latency max",
            Self::StalenessMean => "mean age of information",
            Self::Requests => "requests per line",
            Self::AppBytes => "log text per line",
            Self::L7Bytes => "bytes per line (l7)",
            Self::IpBytes => "bytes per line (ip)",
            Self::WireBytes => "bytes per line (wire)",
            Self::Cpu => "server CPU per line",
            Self::Memory => "server memory",
            Self::MemoryPerConnection => "server memory per connection",
        }
    }

    /// Returns the origin of the figure's values.
    pub(super) const fn origin(self) -> Origin {
        match self {
            Self::LatencyP50 | Self::LatencyP90 | Self::LatencyP99 | Self::LatencyMax => Origin::EachRun,
            Self::StalenessMean | Self::Requests | Self::Cpu | Self::Memory => Origin::EachRun,
            Self::AppBytes | Self::L7Bytes | Self::IpBytes | Self::WireBytes => Origin::EachRun,
            Self::MemoryPerConnection => Origin::ManyRuns,
        }
    }

    /// Returns the quantile of a percentile, which needs enough distinct lines; `None` for other figures.
    pub(super) const fn quantile(self) -> Option<f64> {
        match self {
            Self::LatencyP50 => Some(0.5),
            Self::LatencyP90 => Some(0.9),
            Self::LatencyP99 => Some(0.99),
            Self::LatencyMax | Self::StalenessMean | Self::Requests => None,
            Self::AppBytes | Self::L7Bytes | Self::IpBytes | Self::WireBytes => None,
            Self::Cpu | Self::Memory | Self::MemoryPerConnection => None,
        }
    }

    /// Returns the figure's name with its unit.
    pub(super) fn title_with_unit(self) -> String {
        match self.unit() {
            "" => self.title().to_owned(),
            // The title says already that bytes are counted.
            "bytes" if self != Self::AppBytes => self.title().to_owned(),
            unit => format!("{} ({unit})", self.title()),
        }
    }
}

/// Factor that is a number and that a plan may vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Factor {
    /// Time between two polls.
    PollInterval,
    /// Time for which a long poll is held.
    Hold,
    /// Time for which the server gathers lines before it answers.
    Linger,
    /// Number of subscribers per deployment.
    Subscribers,
    /// Number of deployments at the same time.
    Deployments,
    /// Lines per second.
    LineRate,
    /// Bytes of a line.
    Payload,
    /// Time between two heartbeats.
    Heartbeat,
    /// Round-trip time of the link between subscribers and server.
    RoundTrip,
    /// Variation of the link's delay.
    Jitter,
    /// Share of the packets that the link loses.
    Loss,
    /// Rate of the link.
    LinkRate,
}

impl Factor {
    /// Every factor.
    pub(super) const ALL: [Self; 12] = [
        Self::PollInterval,
        Self::Hold,
        Self::Linger,
        Self::Subscribers,
        Self::Deployments,
        Self::LineRate,
        Self::Payload,
        Self::Heartbeat,
        Self::RoundTrip,
        Self::Jitter,
        Self::Loss,
        Self::LinkRate,
    ];

    /// Returns every factor that is a number in a run, with its value.
    pub(super) fn all_of(run: &RunRow) -> Vec<(Self, f64)> {
        Self::ALL.into_iter().filter_map(|factor| Some((factor, run.number(factor.column())?))).collect()
    }

    /// Returns the factor's column in `runs.csv`.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::PollInterval => "poll_interval_ms",
            Self::Hold => "hold_ms",
            Self::Linger => "linger_ms",
            Self::Subscribers => "subscribers_count",
            Self::Deployments => "deployments_count",
            Self::LineRate => "line_rate_hz",
            Self::Payload => "payload_bytes",
            Self::Heartbeat => "heartbeat_ms",
            Self::RoundTrip => "rtt_ms",
            Self::Jitter => "jitter_ms",
            Self::Loss => "loss_ratio",
            Self::LinkRate => "link_kbit_s",
        }
    }

    /// Returns the factor's name in words.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::PollInterval => "poll interval",
            Self::Hold => "hold",
            Self::Linger => "linger",
            Self::Subscribers => "subscribers per deployment",
            Self::Deployments => "deployments",
            Self::LineRate => "line rate",
            Self::Payload => "line size",
            Self::Heartbeat => "heartbeat interval",
            Self::RoundTrip => "round trip of the link",
            Self::Jitter => "jitter of the link",
            Self::Loss => "loss ratio of the link",
            Self::LinkRate => "rate of the link",
        }
    }

    /// Returns the factor's unit; empty for counts.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::PollInterval | Self::Hold | Self::Linger | Self::Heartbeat => "ms",
            Self::RoundTrip | Self::Jitter => "ms",
            Self::Subscribers | Self::Deployments | Self::Loss => "",
            Self::LinkRate => "kbit/s",
            Self::LineRate => "Hz",
            Self::Payload => "bytes",
        }
    }
}

/// Returns every factor that is a word in a run: its column and the word.
pub(super) fn words_of(run: &RunRow) -> Vec<(&'static str, String)> {
    let word = |column| Some((column, run.text(column).filter(|word| !word.is_empty())?));
    WORDS.into_iter().filter_map(word).collect()
}

/// Columns of factors that are words; with the transport they tell the series of a sweep apart.
const WORDS: [&str; 12] = [
    "line_process",
    "poll_schedule",
    "poll_phase",
    "conditional",
    "http_version",
    "tls",
    "keep_alive",
    "compression",
    "store",
    "engine",
    "fault",
    "network",
];
