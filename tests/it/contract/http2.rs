//! HTTP/2 by prior knowledge: what belongs to the protocol itself. The promises of every transport over it are in
//! `conformance/over_http2`.

use std::io::{Read, Write};
use std::time::Duration;

use wirelab::context::ServerOptions;
use wirelab_clients::wire::{Batch, Transport};

use crate::http::{UPGRADE, path};
use crate::http2::{Http2, PREFACE, frame, get, get_fields};
use crate::server::{Server, Setup, wait_until};

/// RFC 9113 §4.1: no payload, SETTINGS, stream 0.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Frame types of RFC 9113 §6.
const GOAWAY: u8 = 7;

fn server_with(change: impl FnOnce(&mut ServerOptions)) -> Server {
    let mut setup = Setup::default();
    change(&mut setup.options);
    setup.start()
}

/// The next frame that comes on a socket: type and payload.
fn next_frame(socket: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    socket.read_exact(&mut head)?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    socket.read_exact(&mut payload)?;
    Ok((head[3], payload))
}

/// The error code of the goodbye that must come.
fn goodbye_code(socket: &mut impl Read) -> u32 {
    loop {
        let (kind, payload) = next_frame(socket).expect("a goodbye comes before the end");
        if kind == GOAWAY {
            return u32::from_be_bytes(payload[4..8].try_into().unwrap());
        }
    }
}

#[test]
fn a_preface_in_pieces_is_recognised_and_what_only_begins_like_one_is_not() {
    let server = Server::start();
    for cut in [1, 2, 14, 18, 23] {
        let mut connection = server.connection();
        connection.socket.write_all(&PREFACE[..cut]).unwrap();
        // Another connection's answer: by now the piece has been looked at.
        server.get("/healthz");
        connection.socket.write_all(&[&PREFACE[cut..], SETTINGS].concat()).unwrap();
        let (kind, _) = next_frame(&mut connection.socket).unwrap();
        assert_eq!(kind, SETTINGS[3], "cut after {cut}");
    }
    let mut connection = server.connection();
    connection.socket.write_all(b"P").unwrap();
    server.get("/healthz");
    connection
        .socket
        .write_all(b"OST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(connection.answer("POST").unwrap().status, 405);
    let mut connection = server.connection();
    connection.socket.write_all(b"PRI * HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(matches!(connection.answer("GET").unwrap().status, 400..500));
}

/// The head timeout is 5 s; other connections are served meanwhile.
#[test]
fn who_says_too_little_to_tell_is_closed_and_holds_nobody_up() {
    let server = Server::start();
    let mut silent: Vec<_> = (0..4).map(|_| server.connection()).collect();
    for (connection, count) in silent.iter_mut().zip([0, 1, 3, 23]) {
        connection.socket.write_all(&PREFACE[..count]).unwrap();
    }
    assert_eq!(server.get("/healthz").status, 200);
    for connection in &mut silent {
        assert_eq!(connection.answer("GET").unwrap().status, 408);
        // Reset, if bytes were left unread.
        assert!(matches!(connection.socket.read(&mut [0]), Ok(0) | Err(_)));
    }
}

/// One for each worker and more: a worker that turned over such a connection would serve nobody.
#[test]
fn who_closes_within_the_preface_is_closed_and_holds_nobody_up() {
    let server = Server::start();
    let mut gone: Vec<_> = (0..8).map(|_| server.connection()).collect();
    for (connection, count) in gone.iter_mut().zip([1, 3, 23].into_iter().cycle()) {
        connection.socket.write_all(&PREFACE[..count]).unwrap();
        connection.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }
    assert_eq!(server.get("/healthz").status, 200);
    for connection in &mut gone {
        let mut rest = Vec::new();
        // What was not understood may be answered with 400; then it ends, if only by a reset.
        let ended = connection.socket.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400 "), "{ended:?} {rest:?}");
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "it is left open");
    }
}

/// S9, and heads that HTTP/1.1 frames by the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_field_of_a_connection_is_sent_and_lengths_are_kept() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let mut http2 = Http2::open(&server.authority).await;
    let poll = path(Transport::ShortPoll, &id, "");
    let got = http2.get(&poll).await;
    assert_eq!(got.header("content-length"), Some(got.body.len().to_string().as_str()));
    assert!(got.header("date").is_some_and(|date| date.ends_with(" GMT")));
    let head = http2.ask("HEAD", &poll, &[], b"").await;
    assert_eq!((head.header("content-length"), head.body.len()), (got.header("content-length"), 0));
    let tag = got.header("etag").unwrap().to_owned();
    let same = http2.ask("GET", &poll, &[("if-none-match", &tag)], b"").await;
    let expired = http2.get(&path(Transport::LongPoll, &id, "?from=now&wait=0")).await;
    for (answer, status) in [(&same, 304), (&expired, 204)] {
        assert_eq!((answer.status, answer.header("content-length")), (status, None));
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    let sse = http2.stream(&path(Transport::Sse, &id, ""), &[]).await;
    let ndjson = http2.stream(&path(Transport::Ndjson, &id, ""), &[]).await;
    // An answer that says so over HTTP/1.1.
    let refused = http2.ask("GET", &path(Transport::Websocket, &id, ""), &[], b"").await;
    for answer in [&got, &head, &same, &expired, &sse.head, &ndjson.head, &refused] {
        for name in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
            assert_eq!(answer.header(name), None, "{answer:?}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for stream in [sse, ndjson] {
        assert_eq!((stream.head.status, stream.head.header("content-length")), (200, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_calls_of_the_api_work_with_bodies() {
    let server = Server::start();
    let mut http2 = Http2::open(&server.authority).await;
    let created = http2.ask("POST", "/api/deployments", &[], br#"{"name":"x"}"#).await;
    assert_eq!(created.status, 201);
    let deployment: wirelab_clients::wire::Deployment = created.json();
    let lines = format!("/api/deployments/{}/lines", deployment.id);
    // Larger than the window that a server grants at first.
    let text = "y".repeat(1 << 20);
    let appended = http2.ask("POST", &lines, &[("content-type", "text/plain")], text.as_bytes()).await;
    assert_eq!(appended.status, 201, "{}", appended.text());
    assert_eq!(http2.get(&lines).await.json::<Batch>().lines[0].line.text, text);
    // The host of HTTP/1.1 is the authority here.
    let origin = format!("http://{}", server.authority);
    for (origin, status) in [(origin.as_str(), 200), ("http://elsewhere.example", 403)] {
        let finish = format!("/api/deployments/{}/finish", deployment.id);
        let headers = [("origin", origin)];
        let answer = http2.ask("POST", &finish, &headers, br#"{"status":"failed"}"#).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(http2.get("/api/nothing").await.problem().unwrap().status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_websocket_is_refused_with_the_remedy() {
    let server = Server::start();
    let id = server.create().id;
    let mut http2 = Http2::open(&server.authority).await;
    let version = &UPGRADE[2..];
    let refused = http2.ask("GET", &path(Transport::Websocket, &id, ""), version, b"").await;
    let problem = refused.problem().unwrap();
    assert_eq!(problem.status, 400);
    assert!(problem.detail.contains("HTTP/1.1"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_connection_too_many_is_told_so_and_closed() {
    let server = server_with(|options| options.connections_max = 2);
    let mut first = Http2::open(&server.authority).await;
    assert_eq!(first.get("/healthz").await.status, 200);
    let mut second = Http2::open(&server.authority).await;
    assert_eq!(second.get("/healthz").await.status, 200);
    for (transport, status) in [(Transport::ShortPoll, 503), (Transport::Ndjson, 503), (Transport::Sse, 200)]
    {
        let mut over = Http2::open(&server.authority).await;
        let answer = over.get(&path(transport, &"01k3aaaaaaaa".parse().unwrap(), "")).await;
        assert_eq!(answer.status, status, "{transport}");
        if status == 503 {
            assert!(answer.header("retry-after").is_some());
        } else {
            assert!(answer.text().starts_with("retry: "));
        }
        over.ended().await.unwrap();
    }
    second.close().await;
    wait_until("a place is free", || server.get("/healthz").status == 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_idle_connection_ends_and_one_with_an_open_request_does_not() {
    let server = server_with(|options| {
        options.keep_alive = Duration::from_secs(1);
        options.heartbeat = Duration::from_millis(200);
    });
    let id = server.create().id;
    let mut idle = Http2::open(&server.authority).await;
    assert_eq!(idle.get("/healthz").await.status, 200);
    let mut busy = Http2::open(&server.authority).await;
    let mut stream = busy.stream(&path(Transport::Sse, &id, ""), &[]).await;
    idle.ended().await.unwrap();
    // The other one is as old.
    stream.until(&": heartbeat\n".repeat(6)).await;
    assert_eq!(busy.get("/healthz").await.status, 200);
}

/// Even from a client that does not keep to what it was told.
#[test]
fn the_hundred_and_first_open_request_is_refused() {
    const RST_STREAM: u8 = 3;
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    let held = path(Transport::LongPoll, &id, "");
    let requests = (1..).step_by(2).take(101).flat_map(|stream| get(stream, &held));
    connection.socket.write_all(&[PREFACE, SETTINGS].concat()).unwrap();
    connection.socket.write_all(&requests.collect::<Vec<_>>()).unwrap();
    let (_, settings) = next_frame(&mut connection.socket).unwrap();
    let told = settings.chunks(6).find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS);
    assert_eq!(told.unwrap()[2..], 100_u32.to_be_bytes());
    let refused = std::iter::repeat_with(|| next_frame(&mut connection.socket).unwrap());
    let refused = refused.into_iter().find(|(kind, _)| *kind == RST_STREAM).unwrap();
    assert_eq!(refused.1, REFUSED_STREAM);
    wait_until("the others are held", || server.waiters(Transport::LongPoll) == 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_head_that_is_too_long_is_431_and_the_connection_goes_on() {
    let server = Server::start();
    let mut http2 = Http2::open(&server.authority).await;
    let long = "x".repeat(70_000);
    assert_eq!(http2.ask("GET", "/healthz", &[("cookie", &long)], b"").await.status, 431);
    assert_eq!(http2.get("/healthz").await.status, 200);
}

/// HEADERS and CONTINUATION frames of a request whose fields take `bytes` beside the usual ones, `step` bytes a frame.
fn request_in_pieces(stream: u32, bytes: usize, step: usize) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    let mut fields = get_fields("/healthz");
    for _ in 0..bytes / 1_000 {
        // Literal, without indexing, with a new name (RFC 7541 §6.2.2); 1000 bytes by RFC 9113 §6.5.2.
        fields.extend([0, 1, b'x', 0x7f, 0xc8, 0x06]);
        fields.resize(fields.len() + 967, b'y');
    }
    let count = fields.len().div_ceil(step);
    let pieces = fields.chunks(step).enumerate();
    let frames = pieces.flat_map(|(at, piece)| {
        let (kind, flags) = if at == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        frame(kind, flags | if at + 1 == count { END_HEADERS } else { 0 }, stream, piece)
    });
    frames.collect()
}

/// However a client cuts them: by frames of 1 KiB, or as large as they may be.
#[test]
fn headers_in_many_continuation_frames_are_answered_up_to_their_bound_and_431_beyond() {
    const HEADERS: u8 = 1;
    /// Indexed `:status: 200` of the static table.
    const OK: u8 = 0x88;
    let server = Server::start();
    for (bytes, step, is_ok) in [
        (30_000, 1_024, true),
        (60_000, 2_048, true),
        (60_000, 16_384, true),
        (70_000, 16_384, false),
        (200_000, 16_384, false),
        (500_000, 16_384, false),
    ] {
        let mut connection = server.connection();
        connection.socket.write_all(&[PREFACE, SETTINGS].concat()).unwrap();
        // Twice: the connection goes on.
        for stream in [1, 3] {
            connection.socket.write_all(&request_in_pieces(stream, bytes, step)).unwrap();
            let head = std::iter::repeat_with(|| next_frame(&mut connection.socket).unwrap())
                .find(|(kind, _)| *kind == HEADERS || *kind == GOAWAY)
                .unwrap();
            assert_eq!(head.0, HEADERS, "{bytes} bytes by {step}: the connection is ended");
            // A status that the static table does not have is a literal, in Huffman code: 431 here, dynamic afterwards.
            assert_eq!(head.1[0] == OK, is_ok, "{bytes} bytes by {step}: {}", head.1.escape_ascii());
        }
    }
}

/// CVE-2023-44487: requests that are taken back as soon as they are made.
#[test]
fn a_flood_of_requests_that_are_reset_ends_the_connection_and_leaves_the_server_well() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let server = Server::start();
    let mut connection = server.connection();
    let mut bytes = [PREFACE, SETTINGS].concat();
    for stream in (1_u32..).step_by(2).take(2_000) {
        bytes.extend(get(stream, "/"));
        // RST_STREAM: cancel.
        bytes.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    // It may be closed before all is written.
    let _ = connection.socket.write_all(&bytes);
    assert_eq!(goodbye_code(&mut connection.socket), ENHANCE_YOUR_CALM);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn what_is_no_frame_after_the_preface_ends_the_connection() {
    let server = Server::start();
    let mut connection = server.connection();
    connection
        .socket
        .write_all(&[PREFACE, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".as_slice()].concat())
        .unwrap();
    let mut said = Vec::new();
    // Reset or closed: it ends.
    let _ = connection.socket.read_to_end(&mut said);
    assert_eq!(server.get("/healthz").status, 200);
}
