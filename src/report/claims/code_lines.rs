//! Length of wirelab's own client halves: lines of code in the sources that this build carries.
//!
//! Comments, blank lines and tests are not counted. Nor is code outside these files: what all clients share (HTTP,
//! back-off, the wire's types) and what a library does (WebSocket frames).

use rust_embed::RustEmbed;
use wirelab_clients::wire::Transport;

/// Text that begins the tests of a source; they come last.
const TESTS: &str = "\n#[cfg(test)]\nmod tests";

/// Rust halves. A release binary carries them; a debug build reads its sources as they are now.
#[derive(RustEmbed)]
#[folder = "clients/src/transports/"]
struct RustHalves;

/// Browser halves, which the page loads.
#[derive(RustEmbed)]
#[folder = "static/transports/"]
struct BrowserHalves;

/// Half of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// `clients/src/transports/NAME.rs`.
    Rust,
    /// `static/transports/NAME.js`.
    Browser,
}

/// Counts the lines of code of one half.
pub(super) fn of(transport: Transport, half: Half) -> usize {
    let stem = transport.name().replace('-', "_");
    let source = match half {
        Half::Rust => RustHalves::get(&format!("{stem}.rs")),
        Half::Browser => BrowserHalves::get(&format!("{stem}.js")),
    };
    let source = source.expect("a transport has its halves: a tidy test looks").data;
    code_lines(&String::from_utf8_lossy(&source))
}

/// Counts the lines of code of a Rust or JavaScript source. Comments stand on lines of their own.
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
