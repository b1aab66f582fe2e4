//! How long wirelab's own client halves are: lines of code of the sources that this build carries.
//!
//! Without comments, blank lines and tests. What all clients share (HTTP, back-off, the wire's types) and what a library
//! does (WebSocket frames) is not in these files, and not counted.

use wirelab_clients::wire::Transport;

/// Where tests begin in a source: they come last.
const TESTS: &str = "\n#[cfg(test)]\nmod tests";

/// Which half of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// `clients/src/transports/NAME.rs`.
    Rust,
    /// `static/transports/NAME.js`.
    Browser,
}

/// Lines of code of one half.
pub(super) fn of(transport: Transport, half: Half) -> usize {
    let (rust, browser) = match transport {
        Transport::ShortPoll => (
            include_str!("../../../clients/src/transports/short_poll.rs"),
            include_str!("../../../static/transports/short_poll.js"),
        ),
        Transport::LongPoll => (
            include_str!("../../../clients/src/transports/long_poll.rs"),
            include_str!("../../../static/transports/long_poll.js"),
        ),
        Transport::Sse => (
            include_str!("../../../clients/src/transports/sse.rs"),
            include_str!("../../../static/transports/sse.js"),
        ),
        Transport::Ndjson => (
            include_str!("../../../clients/src/transports/ndjson.rs"),
            include_str!("../../../static/transports/ndjson.js"),
        ),
        Transport::Websocket => (
            include_str!("../../../clients/src/transports/websocket.rs"),
            include_str!("../../../static/transports/websocket.js"),
        ),
    };
    match half {
        Half::Rust => code_lines(rust),
        Half::Browser => code_lines(browser),
    }
}

/// Lines of code of a Rust or JavaScript source. Comments stand on lines of their own.
fn code_lines(source: &str) -> usize {
    let mut in_comment = false;
    let is_code = |line: &&str| {
        let line = line.trim();
        let is_comment = in_comment || line.starts_with("/*");
        if is_comment {
            in_comment = !line.contains("*/");
        }
        !is_comment && !line.is_empty() && !line.starts_with("//")
    };
    source.split(TESTS).next().unwrap_or_default().lines().filter(is_code).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_tests_are_no_code() {
        let source = "//! What it is.\n\n/** Two\n *  lines. */\nfn f() { // why\n    1 /* one */\n}\n/* a */\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(code_lines(source), 3);
        assert_eq!(code_lines(""), 0);
    }

    #[test]
    fn every_half_has_code_and_less_than_its_file() {
        for transport in Transport::ALL {
            for half in [Half::Rust, Half::Browser] {
                let lines = of(transport, half);
                assert!((20..300).contains(&lines), "{transport} {half:?}: {lines}");
            }
        }
    }
}
