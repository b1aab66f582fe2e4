//! X1, X2, X5: what was appended arrives, all of it, once, in order and byte-exact.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rand::RngExt;
use tokio::time::timeout;
use wirelab_clients::Options;
use wirelab_clients::meter::Meter;
use wirelab_clients::route::Route;
use wirelab_clients::wire::{LINE_BYTES_MAX, Line, Position, Status, Transport};

use super::{Kept, follow, follow_to_the_end, is_the_log, quick, snapshot, subscriber_of, subscriber_with};
use crate::http::{Api, SOON, ndjson};
use crate::proxy::{self, Proxy};
use crate::server::wait_until;

pub(crate) async fn x1_a_log_of_one_line_is_read_as_posted(transport: Transport, api: &Api) -> Kept {
    a_log_is_read_as_posted(&quick(), transport, api, 1).await
}

pub(crate) async fn x1_a_log_of_a_hundred_lines_is_read_as_posted(transport: Transport, api: &Api) -> Kept {
    a_log_is_read_as_posted(&quick(), transport, api, 100).await
}

pub(crate) async fn x1_a_log_of_a_hundred_thousand_lines_is_read_as_posted(
    transport: Transport,
    api: &Api,
) -> Kept {
    a_log_is_read_as_posted(&quick(), transport, api, 100_000).await
}

/// Half of the lines are there when the subscriber comes, the others are appended while it reads.
pub(super) async fn a_log_is_read_as_posted(
    options: &Options,
    transport: Transport,
    api: &Api,
    count: usize,
) -> Kept {
    let texts: Vec<_> = (1..=count).map(|number| format!("line {number} of {count}")).collect();
    let id = api.create().id;
    let (before, after) = texts.split_at(count / 2);
    if !before.is_empty() {
        api.append(&id, before);
    }
    let subscriber = subscriber_with(options, transport, api, &id, Position::Start);
    let following = tokio::spawn(follow_to_the_end(subscriber));
    for append in after.chunks(10_000) {
        api.append(&id, append);
    }
    api.finish(&id, Status::Succeeded);
    let received = following.await.map_err(|error| error.to_string())??;
    is_the_log(&received, &texts, 0)?;
    same_lines(&received, &snapshot(api, &id))
}

const X6_CUTS: usize = 1_000;
/// A few lines at a time, so that a poll's answer often fits between two cuts.
const X6_LINES: usize = 3;
const X6_BYTES_MAX: usize = 2_500;

pub(crate) async fn x6_a_thousand_cuts_lose_and_repeat_nothing(transport: Transport, api: &Api) -> Kept {
    cuts_lose_and_repeat_nothing(&quick(), Route::Direct, transport, api, X6_CUTS).await
}

pub(super) async fn cuts_lose_and_repeat_nothing(
    options: &Options,
    route: Route,
    transport: Transport,
    api: &Api,
    cuts: usize,
) -> Kept {
    let id = api.create().id;
    let proxy = Proxy::start(api, proxy::Fault::Cuts(X6_BYTES_MAX));
    let meter = Meter::over(route);
    let mut subscriber = subscriber_of(meter, options, transport, &proxy.api(), &id, Position::Start);
    let (mut texts, mut count): (Vec<String>, usize) = (Vec::new(), 0);
    while proxy.cuts() < cuts {
        let more: Vec<_> = (0..X6_LINES).map(|i| format!("line {} – é", texts.len() + i)).collect();
        api.append(&id, &more);
        texts.extend(more);
        while count < texts.len() {
            let next = timeout(SOON, subscriber.next_batch()).await;
            let received = next.map_err(|_| format!("{count} lines came of {}", texts.len()))?;
            let new = received.map_err(|error| error.to_string())?.batch.lines;
            // Checked here: a line too few would let this wait for ever.
            let expected = texts.get(count..count + new.len()).ok_or("lines came that nobody posted")?;
            is_the_log(&new, expected, count as u64)?;
            count += new.len();
        }
    }
    Ok(())
}

/// Subscribers that each take a snapshot of random length at a random moment and go on from its `next`.
const CUTS: usize = 16;

pub(crate) async fn x2_nothing_is_lost_between_a_snapshot_and_a_stream(
    transport: Transport,
    api: &Api,
) -> Kept {
    let id = api.create().id;
    let enough = AtomicBool::new(false);
    let log = thread::scope(|scope| {
        // At full speed: several requests under way on one connection, each of a few lines.
        let writer = scope.spawn(|| {
            let (mut connection, mut count) = (api.connection(), 0);
            let path = format!("/api/deployments/{id}/lines");
            while !enough.load(Ordering::Relaxed) {
                const PIPELINED: usize = 8;
                for _ in 0..PIPELINED {
                    let lines = rand::rng().random_range(1..=4);
                    let texts: Vec<_> =
                        (count + 1..=count + lines).map(|number| format!("line {number}")).collect();
                    let kind = [("content-type", "application/x-ndjson")];
                    connection.send("POST", &path, &kind, ndjson(&texts).as_bytes()).unwrap();
                    count += lines;
                }
                for _ in 0..PIPELINED {
                    assert_eq!(connection.answer("POST").unwrap().status, 201);
                }
            }
            api.finish(&id, Status::Failed);
            (1..=count).map(|number| format!("line {number}")).collect::<Vec<_>>()
        });
        let mut followed = Vec::new();
        for _ in 0..CUTS {
            let more = api.show(&id).lines + rand::rng().random_range(0..200);
            wait_until("the writer goes on", || api.show(&id).lines >= more);
            let from = rand::rng().random_range(more.saturating_sub(400)..=more);
            let limit = rand::rng().random_range(1..=512);
            let epoch = api.show(&id).next.epoch;
            let cut = api.lines(&id, &format!("?from={epoch}.{from}&limit={limit}"));
            let following = follow(transport, api.clone(), id.clone(), Position::After(cut.next.clone()));
            followed.push((from, cut, tokio::spawn(following)));
        }
        enough.store(true, Ordering::Relaxed);
        (writer.join().expect("the writer does not panic"), followed)
    });
    let (texts, followed) = log;
    for (from, cut, following) in followed {
        let mut lines = cut.lines;
        lines.extend(following.await.map_err(|error| error.to_string())??);
        is_the_log(&lines, &texts[from as usize..], from)
            .map_err(|why| format!("snapshot after {from} up to {}: {why}", cut.next))?;
    }
    Ok(())
}

/// Every text that some framing, encoding or line splitter somewhere would harm.
const HARMFUL: &[&str] = &[
    "",
    " ",
    " leading and trailing ",
    "a\rb",
    "ends with CR\r",
    "a\nb",
    "\n",
    "\n\n",
    "a\r\nb\r\n",
    "nul\0 in the middle\0",
    "\u{feff}byte order mark",
    "data: x",
    "id: 7\nevent: finished\ndata: {}\n\n",
    ": comment",
    "{\"finished\":{}}",
    "\u{2028}\u{2029}\u{85}\u{b}\u{c}",
    "שלום עולם \u{202e}right to left",
    "👩‍🚀🏳️‍🌈 e\u{301} 𝄞",
    "\u{1b}[31mred\u{1b}[0m\u{7f}",
    "\\u0000 \\n \"quoted\" </script>",
    "\u{fffd}\u{10ffff}\u{d7ff}\u{e000}",
];

pub(crate) async fn x5_any_text_arrives_byte_exact(transport: Transport, api: &Api) -> Kept {
    let id = api.create().id;
    api.append(&id, HARMFUL);
    api.finish(&id, Status::Succeeded);
    // Each byte on its own: every character of several bytes is split over chunks.
    let proxy = Proxy::start(api, proxy::Fault::SplitsEveryByte);
    let received = follow(transport, proxy.api(), id.clone(), Position::Start).await?;
    is_the_log(&received, HARMFUL, 0)?;
    same_lines(&received, &snapshot(api, &id))
}

pub(crate) async fn x5_a_line_of_a_mebibyte_arrives_byte_exact(transport: Transport, api: &Api) -> Kept {
    // NUL takes six bytes of JSON; the four bytes of the others fall on either side of some chunk's border.
    let texts = ["\0".repeat(LINE_BYTES_MAX), "𝄞".repeat(LINE_BYTES_MAX / 4), "after them".to_owned()];
    let id = api.create().id;
    for text in &texts {
        api.append(&id, &[text]);
    }
    api.finish(&id, Status::Succeeded);
    is_the_log(&follow(transport, api.clone(), id, Position::Start).await?, &texts, 0)
}

fn same_lines(received: &[Line], snapshot: &[Line]) -> Kept {
    match received.iter().zip(snapshot).find(|(a, b)| a != b) {
        Some((a, b)) => Err(format!("{a:.200?} came where the regular API has {b:.200?}")),
        None if received.len() != snapshot.len() => {
            Err(format!("{} lines came, the regular API has {}", received.len(), snapshot.len()))
        }
        None => Ok(()),
    }
}
