//! The words that the finding says about each figure.

use crate::report::figures::Figure;

/// Words of a sentence that ranks cells by one figure.
pub(super) struct Words {
    /// Praise of the cell with least: `Fastest` in "Fastest was sse".
    pub(super) lead: &'static str,
    /// Words before that cell's value.
    pub(super) before: &'static str,
    /// Words after that cell's value.
    pub(super) behind: &'static str,
    /// Verb for the other cells: `took` in "short-poll took 101 ms".
    pub(super) others: &'static str,
    /// Adjective of a ratio: `long` in "3 times as long".
    pub(super) times_as: &'static str,
    /// The figure in a sentence of its own.
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
