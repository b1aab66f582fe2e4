//! X9, the other way round: a client that sends without pause delays nobody.
//!
//! No clock decides. Everything runs on one worker, and the hasty client sends its requests in one piece. Between the
//! first, which brings a line, and the last, which looks, the server must have served somebody else.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wirelab_clients::wire::{Batch, ClientFrame, Position, Transport, Waits};

use super::{Kept, subscriber};
use crate::http::{Api, Connection, SOON, TEXT, path};
use crate::server::holds_within;

/// Requests in one piece, of 44 bytes each: all of them fit into one segment of the loopback.
const REQUESTS: usize = 500;
/// Pieces that are sent one after the other.
const BURSTS: usize = 5;
/// In so many of them the subscriber must get its line before the last answer. A short poll may just not ask meanwhile.
const SERVED_MIN: usize = 3;
/// Looks at a flood that does not end. The fewest requests between two of them tell, since this client may be slow too.
const LOOKS: usize = 20;
/// Requests that may be answered between two answers to another client: some turns of 64. What the server reads at once
/// holds thousands.
const BETWEEN_MAX: i64 = 200;
/// Pings in one piece.
const PINGS: usize = 1_000;

/// On a server with one worker.
pub(crate) async fn x9_a_hasty_sender_delays_nobody(transport: Transport, api: &Api) -> Kept {
    let id = api.create().id;
    let mut other = subscriber(transport, api, &id, Position::Start);
    let mut served = 0;
    for burst in 1..=BURSTS {
        let next = other.next_batch();
        let (server, lines) = (api.clone(), format!("/api/deployments/{id}/lines"));
        let sent = spawn_blocking(move || {
            // Who is woken by the line must wait for it first.
            let waits =
                transport.waits() == Waits::Client || holds_within(SOON, || server.waiters(transport) == 1);
            if !waits {
                return Err("the subscriber never waited".to_owned());
            }
            delivered_at_the_end(transport, &server, &lines).map_err(|error| error.to_string())
        });
        let (received, delivered) = tokio::join!(timeout(SOON, next), sent);
        let lines =
            received.map_err(|_| "the line never came".to_owned())?.map_err(|error| error.to_string())?;
        if lines.batch.lines.len() != 1 {
            return Err(format!("{} lines came of one", lines.batch.lines.len()));
        }
        let delivered = delivered.map_err(|error| error.to_string())??;
        served += usize::from(delivered == burst as i64);
    }
    if served < SERVED_MIN {
        return Err(format!(
            "only {served} of {BURSTS} lines were delivered while {REQUESTS} requests of another client were answered"
        ));
    }
    Ok(())
}

/// Appends a line and sends many requests in the same piece; how many lines were delivered when the last was answered.
fn delivered_at_the_end(transport: Transport, api: &Api, lines: &str) -> std::io::Result<i64> {
    let mut bytes = format!(
        "POST {lines} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n\r\nx"
    );
    bytes.push_str(&"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(REQUESTS));
    bytes.push_str("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut connection = api.connection();
    connection.socket.write_all(bytes.as_bytes())?;
    connection.answer("POST")?;
    for _ in 0..REQUESTS {
        connection.answer("GET")?;
    }
    let metrics = connection.answer("GET")?;
    let name = format!("wirelab_lines_delivered_total{{transport=\"{transport}\"}} ");
    let delivered = metrics.text().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    Ok(delivered.expect("every transport is counted"))
}

/// On a server with one worker: between two answers to one client, only some requests of another are answered, which has
/// always more of them.
pub(crate) async fn x9_a_long_flood_lets_others_in(api: &Api) -> Kept {
    let server = api.clone();
    let between = spawn_blocking(move || fewest_between_two_answers(&server)).await;
    let unanswered = |error| format!("beside the requests of another client none was answered: {error}");
    match between.map_err(|error| error.to_string())?.map_err(unanswered)? {
        fewest if fewest <= BETWEEN_MAX => Ok(()),
        fewest => Err(format!("at least {fewest} requests of another client came between two answers")),
    }
}

fn fewest_between_two_answers(api: &Api) -> std::io::Result<i64> {
    let flood = api.connection().socket;
    let (mut answers, mut requests) = (flood.try_clone()?, flood.try_clone()?);
    let reading =
        thread::spawn(move || while answers.read(&mut [0; 1 << 16]).is_ok_and(|count| count > 0) {});
    let writing = thread::spawn(move || {
        let piece = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(10_000);
        while requests.write_all(piece.as_bytes()).is_ok() {}
    });
    let mut other = api.connection();
    let mut answered = || {
        let metrics = other.ask("GET", "/metrics", &[], b"")?;
        let name = "wirelab_requests_total{transport=\"api\",outcome=\"data\"} ";
        let count = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.parse::<i64>().ok());
        Ok::<_, std::io::Error>(count.expect("the api is counted"))
    };
    let looks: std::io::Result<Vec<i64>> = (0..LOOKS).map(|_| answered()).collect();
    // Both threads end with the connection.
    flood.shutdown(Shutdown::Both)?;
    let _ = (reading.join(), writing.join());
    Ok(looks?.windows(2).map(|two| two[1] - two[0]).min().expect("there are several looks"))
}

/// On a server with one worker: a held poll is answered between two lines that a socket publishes, with many pings in
/// between, in one piece. If it is answered after both, it holds both.
pub(crate) async fn x9_a_flood_of_pings_delays_nobody(api: &Api) -> Kept {
    let server = api.clone();
    let polled = spawn_blocking(move || between_two_lines(&server));
    let batch = polled.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    match batch.lines.len() {
        1 => Ok(()),
        count => Err(format!("{count} lines were answered after {PINGS} pings of another client")),
    }
}

fn between_two_lines(api: &Api) -> std::io::Result<Batch> {
    let (id, of_the_socket) = (api.create().id, api.create().id);
    let mut poll: Connection = api.connection();
    poll.send("GET", &path(Transport::LongPoll, &id, "?wait=20"), &[], b"")?;
    let held = holds_within(Duration::from_secs(10), || api.waiters(Transport::LongPoll) == 1);
    assert!(held, "the poll is held");
    let mut hasty =
        api.websocket(&path(Transport::Websocket, &of_the_socket, ""), &[]).expect("it is upgraded");
    let publish = ClientFrame::Publish { deployment: id.to_string(), text: "x".to_owned() };
    let publish = masked(0x80 | TEXT, &serde_json::to_vec(&publish).expect("it is JSON"));
    let pings = masked(0x89, b"").repeat(PINGS);
    hasty.connection.socket.write_all(&[&publish[..], &pings, &publish].concat())?;
    let answer = poll.answer("GET")?;
    Ok(answer.json())
}

/// A short frame, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short frame");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
