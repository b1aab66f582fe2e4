//! The words that the finding says about each figure.

use crate::report::figures::Figure;

/// The words of a figure: who leads in it, and what the others do.
pub(super) struct Words {
    /// `Fastest` was sse: …
    pub(super) lead: &'static str,
    /// … before the value …
    pub(super) before: &'static str,
    /// … and behind it.
    pub(super) behind: &'static str,
    /// The others `took` …
    pub(super) others: &'static str,
    /// … 3 times as `long`.
    pub(super) times_as: &'static str,
    /// In a sentence about itself.
    pub(super) noun: &'static str,
}

pub(super) const fn words(figure: Figure) -> Words {
    match figure {
        Figure::LatencyP50 => Words {
            lead: "Fastest",
            before: "half of the lines arrived within ",
            behind: "",
            others: "took",
            times_as: "long",
            noun: "typical latency (p50)",
        },
        Figure::LatencyP90 => Words {
            lead: "Fastest at p90",
            before: "nine of ten lines arrived within ",
            behind: "",
            others: "took",
            times_as: "long",
            noun: "latency p90",
        },
        Figure::LatencyP99 => Words {
            lead: "Fastest in the tail (p99)",
            before: "99 of 100 lines arrived within ",
            behind: "",
            others: "took",
            times_as: "long",
            noun: "tail latency (p99)",
        },
        Figure::LatencyMax => Words {
            lead: "Least late at worst",
            before: "the slowest line arrived after ",
            behind: "",
            others: "took",
            times_as: "long",
            noun: "latency of the slowest line",
        },
        Figure::StalenessMean => Words {
            lead: "Freshest",
            before: "the newest known line was on average ",
            behind: " old",
            others: "had",
            times_as: "long",
            noun: "mean age of information",
        },
        Figure::Requests => Words {
            lead: "Most sparing with requests",
            before: "",
            behind: " per line",
            others: "needed",
            times_as: "many",
            noun: "requests per line",
        },
        Figure::AppBytes => Words {
            lead: "Shortest in log text",
            before: "",
            behind: " per line",
            others: "had",
            times_as: "many",
            noun: "log text per line",
        },
        Figure::L7Bytes => Words {
            lead: "Most sparing with bytes",
            before: "",
            behind: " per line through the sockets",
            others: "moved",
            times_as: "many",
            noun: "bytes per line",
        },
        Figure::IpBytes => Words {
            lead: "Most sparing with bytes",
            before: "",
            behind: " per line in IP packets",
            others: "moved",
            times_as: "many",
            noun: "bytes per line",
        },
        Figure::WireBytes => Words {
            lead: "Most sparing with bytes",
            before: "",
            behind: " per line on the wire",
            others: "moved",
            times_as: "many",
            noun: "bytes per line on the wire",
        },
        Figure::Cpu => Words {
            lead: "Lightest on the server's CPU",
            before: "",
            behind: " per line",
            others: "used",
            times_as: "much",
            noun: "server CPU per line",
        },
        Figure::Memory => Words {
            lead: "Lightest on the server's memory",
            before: "",
            behind: "",
            others: "used",
            times_as: "much",
            noun: "server memory",
        },
        Figure::MemoryPerConnection => Words {
            lead: "Lightest per connection",
            before: "",
            behind: " of server memory each",
            others: "used",
            times_as: "much",
            noun: "server memory per connection",
        },
    }
}
