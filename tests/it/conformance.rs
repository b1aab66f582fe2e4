//! What every transport promises (PROTOCOL §2): one named test per promise and transport.
//!
//! A promise is one function over a server. It returns why it was broken instead of panicking, so that `broken`
//! can run it against a server that breaks it.

use std::time::Duration;

use tokio::time::timeout;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{Cursor, Deployment, DeploymentId, From as Position, Line, Status, Transport};
use wirelab_clients::{Options, Subscriber, Target, connect};

use crate::http::{Api, SOON};
use crate::server::Server;

/// Why a promise is broken.
pub(crate) type Kept = Result<(), String>;

/// One test per promise and transport; `$given` is what the promise is tried on.
macro_rules! on_every_transport {
    ($($promise:ident($given:expr);)+) => {$(
        mod $promise {
            use super::*;
            on_every_transport! { @ $promise($given) short_poll ShortPoll, long_poll LongPoll, sse Sse,
                ndjson Ndjson, websocket Websocket }
        }
    )+};
    (@ $promise:ident($given:expr) $($test:ident $transport:ident),+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $test() {
            super::$promise(Transport::$transport, &$given).await.unwrap();
        }
    )+};
}

on_every_transport! {
    x1_a_log_of_one_line_is_read_as_posted(Server::start());
    x1_a_log_of_a_hundred_lines_is_read_as_posted(Server::start());
    x1_a_log_of_a_hundred_thousand_lines_is_read_as_posted(Server::start());
}

pub(crate) async fn x1_a_log_of_one_line_is_read_as_posted(transport: Transport, api: &Api) -> Kept {
    a_log_is_read_as_posted(transport, api, 1).await
}

pub(crate) async fn x1_a_log_of_a_hundred_lines_is_read_as_posted(transport: Transport, api: &Api) -> Kept {
    a_log_is_read_as_posted(transport, api, 100).await
}

pub(crate) async fn x1_a_log_of_a_hundred_thousand_lines_is_read_as_posted(
    transport: Transport,
    api: &Api,
) -> Kept {
    a_log_is_read_as_posted(transport, api, 100_000).await
}

/// Half of the lines are there when the subscriber comes, the others are appended while it reads.
async fn a_log_is_read_as_posted(transport: Transport, api: &Api, count: usize) -> Kept {
    let texts: Vec<_> = (1..=count).map(|number| format!("line {number} of {count}")).collect();
    let id = api.create().id;
    let (before, after) = texts.split_at(count / 2);
    if !before.is_empty() {
        api.append(&id, before);
    }
    let following = tokio::spawn(follow(transport, api.clone(), id.clone(), Position::Start));
    for append in after.chunks(10_000) {
        api.append(&id, append);
    }
    api.finish(&id, Status::Succeeded);
    let received = following.await.map_err(|error| error.to_string())??;
    is_the_log(&received, &texts, 0)?;
    same_lines(&received, &snapshot(api, &id))
}

/// A subscriber as it comes, only quicker.
pub(crate) fn subscriber(
    transport: Transport,
    api: &Api,
    id: &DeploymentId,
    from: Position,
) -> Box<dyn Subscriber> {
    let server = format!("http://{}", api.authority).parse().expect("an authority makes a URL");
    let options = Options { poll_interval: Duration::from_millis(5), hold: Duration::from_secs(5) };
    connect(transport, Target { server, deployment: id.clone(), from }, &options, Meter::new())
}

/// Everything from a position to the end.
async fn follow(
    transport: Transport,
    api: Api,
    id: DeploymentId,
    from: Position,
) -> Result<Vec<Line>, String> {
    let mut subscriber = subscriber(transport, &api, &id, from);
    let mut lines = Vec::new();
    let followed = timeout(2 * SOON, async {
        loop {
            let received = subscriber.next_batch().await.map_err(|error| error.to_string())?;
            lines.extend(received.batch.lines);
            if received.batch.finished {
                return Ok(());
            }
        }
    });
    let followed = followed.await;
    followed.unwrap_or_else(|_| Err(format!("no end within {:?}, after {} lines", 2 * SOON, lines.len())))?;
    Ok(lines)
}

/// The whole log through the regular API.
fn snapshot(api: &Api, id: &DeploymentId) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut query = String::new();
    loop {
        let batch = api.lines(id, &query);
        lines.extend(batch.lines);
        query = format!("?from={}", batch.next);
        if !batch.more {
            return lines;
        }
    }
}

/// Whether `lines` are `texts`, whole and in order, the first with seq `after + 1`.
fn is_the_log(lines: &[Line], texts: &[impl AsRef<str>], after: u64) -> Kept {
    let is_seq = lines.iter().zip(after + 1..).find(|(line, seq)| line.seq != *seq);
    if let Some((line, seq)) = is_seq {
        return Err(format!("seq {} came where {seq} was due", line.seq));
    }
    let differs = lines.iter().zip(texts).find(|(line, text)| line.line.text != text.as_ref());
    if let Some((line, text)) = differs {
        let text = text.as_ref();
        return Err(format!("seq {} is {:.80?}, posted was {text:.80?}", line.seq, line.line.text));
    }
    if lines.len() != texts.len() {
        return Err(format!("{} lines came of {}", lines.len(), texts.len()));
    }
    Ok(())
}

fn same_lines(received: &[Line], snapshot: &[Line]) -> Kept {
    match received.iter().zip(snapshot).find(|(a, b)| a != b) {
        Some((a, b)) => Err(format!("{a:?} came where the regular API has {b:?}")),
        None if received.len() != snapshot.len() => {
            Err(format!("{} lines came, the regular API has {}", received.len(), snapshot.len()))
        }
        None => Ok(()),
    }
}

#[test]
fn every_transport_is_on_the_list() {
    // The macro names them; a new one must be named there too.
    assert_eq!(Transport::ALL.len(), 5);
}
