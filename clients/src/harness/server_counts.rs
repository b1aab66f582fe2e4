//! The server's counts: `/metrics` as a second opinion on the clients' own counts.

use std::time::{Duration, Instant};

use crate::api::Api;
use crate::traffic::{Requests, Traffic};
use crate::wire::{Outcome, Transport};

/// Longest time until a server notices that its subscribers have gone: only then its counts are whole.
const CLOSED_MAX: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Other clients that may be connected to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// No other client: the server was started for this run.
    None,
    /// Any other client: the server was running before.
    Perhaps,
}

/// Returns the traffic of some transports as the server counted it since its start, once their connections are closed.
/// `None`: the server cannot say.
pub(super) async fn server_traffic(
    api: &mut Api,
    transports: &[Transport],
    others: Others,
) -> Option<Traffic> {
    let until = Instant::now() + CLOSED_MAX;
    loop {
        let text = api.metrics().await.ok()?;
        let open_of = |transport: &Transport| value(&text, "wirelab_connections", *transport, None);
        let open: u64 = transports.iter().map(open_of).sum::<Option<u64>>()?;
        let late = Instant::now() > until;
        if open == 0 || late && others == Others::Perhaps {
            // The server is asked once more: the counters of this answer may have been read before its gauge.
            return traffic_of(&api.metrics().await.ok()?, transports);
        }
        if late {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the server's counts now, whether clients are connected or not. `None`: the server cannot say.
pub(super) async fn traffic_so_far(api: &mut Api, transports: &[Transport]) -> Option<Traffic> {
    traffic_of(&api.metrics().await.ok()?, transports)
}

fn traffic_of(text: &str, transports: &[Transport]) -> Option<Traffic> {
    transports.iter().map(|transport| traffic(text, *transport)).sum()
}

/// Counts the subscribers that the server holds at this moment: polls that wait, and open streams. `None`: the server
/// cannot say.
pub(super) async fn waiters_now(api: &mut Api, transports: &[Transport]) -> Option<u64> {
    let text = api.metrics().await.ok()?;
    transports.iter().map(|transport| value(&text, "wirelab_waiters", *transport, None)).sum()
}

fn traffic(text: &str, transport: Transport) -> Option<Traffic> {
    let requests = |outcome: Outcome| {
        value(text, "wirelab_requests_total", transport, Some(("outcome", outcome.name())))
    };
    let bytes = |direction| value(text, "wirelab_bytes_total", transport, Some(("direction", direction)));
    // A server that does not speak of TLS speaks none.
    let tls = |direction| value(text, "wirelab_tls_bytes_total", transport, Some(("direction", direction)));
    Some(Traffic {
        requests: Requests {
            data: requests(Outcome::Data)?,
            empty: requests(Outcome::Empty)?,
            timeout: requests(Outcome::Timeout)?,
            refused: requests(Outcome::Refused)?,
            error: requests(Outcome::Error)?,
        },
        up_bytes: bytes("up")?,
        down_bytes: bytes("down")?,
        tls_up_bytes: tls("up").unwrap_or_default(),
        tls_down_bytes: tls("down").unwrap_or_default(),
        ..Traffic::default()
    })
}

/// Returns the sample of one metric, whatever the order of its labels.
fn value(text: &str, name: &str, transport: Transport, label: Option<(&str, &str)>) -> Option<u64> {
    let wanted = |(key, value): (&str, &str)| format!("{key}=\"{value}\"");
    let transport = wanted(("transport", transport.name()));
    text.lines().find_map(|line| {
        let labels = line.strip_prefix(name)?.strip_prefix('{')?;
        let (labels, value) = labels.split_once('}')?;
        let mut parts = labels.split(',');
        let all = parts.clone().any(|part| part == transport)
            && label.is_none_or(|label| parts.any(|part| part == wanted(label)));
        all.then(|| value.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE wirelab_requests counter
wirelab_requests_total{transport=\"sse\",outcome=\"data\"} 3
wirelab_requests_total{outcome=\"data\",transport=\"ndjson\"} 4
wirelab_connections{transport=\"sse\"} 0
";

    #[test]
    fn samples_are_found_by_their_labels() {
        let data = Some(("outcome", "data"));
        assert_eq!(value(TEXT, "wirelab_requests_total", Transport::Sse, data), Some(3));
        assert_eq!(value(TEXT, "wirelab_requests_total", Transport::Ndjson, data), Some(4));
        assert_eq!(
            value(TEXT, "wirelab_requests_total", Transport::Ndjson, Some(("outcome", "empty"))),
            None
        );
        assert_eq!(value(TEXT, "wirelab_connections", Transport::Sse, None), Some(0));
        assert_eq!(value(TEXT, "wirelab_connections", Transport::LongPoll, None), None);
        assert_eq!(traffic(TEXT, Transport::Sse), None);
    }
}
