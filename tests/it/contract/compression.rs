//! `--compression gzip`: agreed on, flushed per event, told to caches; and nothing of it by default.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use flate2::read::GzDecoder;
use wirelab::context::WebsocketEngine;
use wirelab::exchange::compression::Compression;
use wirelab_clients::wire::{Batch, ServerFrame, Status, Transport, cursor_of_entity_tag};

use crate::http::{Answer, Headers, Stream, path};
use crate::server::{Server, Setup};

const STREAMS: [Transport; 2] = [Transport::Sse, Transport::Ndjson];
const POLLS: [Transport; 2] = [Transport::ShortPoll, Transport::LongPoll];
const GZIP: Headers = &[("accept-encoding", "gzip, deflate, br, zstd")];

fn compressing() -> Server {
    let mut setup = Setup::default();
    setup.options.compression = Compression::Gzip;
    setup.options.heartbeat = Duration::from_millis(200);
    setup.start()
}

/// What can be read so far, and whether the end has come and its checksum is right.
fn decoded(gzip: &[u8]) -> (String, bool) {
    let (mut decoder, mut text, mut buffer) = (GzDecoder::new(gzip), Vec::new(), [0; 4096]);
    let is_whole = loop {
        match decoder.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break false,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&text)),
        }
    };
    (String::from_utf8(text).unwrap(), is_whole)
}

fn vary(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("content-encoding"), answer.header("vary"))
}

/// A stream in gzip, read as it comes.
struct Coded {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Coded {
    fn open(server: &Server, path: &str) -> Self {
        let stream = server.stream(path, GZIP).unwrap();
        assert_eq!(vary(&stream.head), (Some("gzip"), Some("accept-encoding")));
        Self { stream, bytes: Vec::new() }
    }

    /// Reads until all of `needle` can be decoded from what has come.
    fn until(&mut self, needle: &str) {
        while !decoded(&self.bytes).0.contains(needle) {
            let piece = self.stream.connection.piece().expect("it has left by now");
            self.bytes.extend(piece.expect("the stream goes on"));
        }
    }

    fn rest(mut self) -> String {
        while let Some(piece) = self.stream.connection.piece().unwrap() {
            self.bytes.extend(piece);
        }
        let (text, is_whole) = decoded(&self.bytes);
        assert!(is_whole, "the trailer is missing after {text:?}");
        text
    }
}

/// S10, N6: a coder that kept bytes back for the next event would hang here.
#[test]
fn each_event_leaves_at_once_and_whole() {
    let server = compressing();
    for transport in STREAMS {
        let id = server.create().id;
        let mut stream = Coded::open(&server, &path(transport, &id, ""));
        stream.until("hello");
        for number in 0..20 {
            // Small and large ones, hard to compress and easy.
            let text = format!("{number}:{}", "x".repeat(number * 1_000));
            server.append(&id, &[&text]);
            let end = if transport == Transport::Sse { "\n\n" } else { "\n" };
            stream.until(&format!("\"text\":\"{text}\"}}{end}"));
        }
        stream.until(if transport == Transport::Sse { ": heartbeat\n" } else { "\n\n" });
        server.finish(&id, Status::Succeeded);
        let plain = server.stream(&path(transport, &id, ""), &[]).unwrap();
        assert_eq!(vary(&plain.head), (None, Some("accept-encoding")), "P6: the plain one varies as well");
        let events = |text: &str| -> Vec<String> {
            // Whether there is a heartbeat between two events is a matter of time.
            let text = text.replace(": heartbeat\n", "");
            let events = text.split(if transport == Transport::Sse { "\n\n" } else { "\n" });
            let lines = events.filter(|event| event.contains("\"text\"") || event.contains("finished"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(events(&stream.rest()), events(&plain.rest().unwrap()), "{transport}");
    }
}

/// P2, P4, P6.
#[test]
fn a_polls_tag_is_weak_where_its_body_is_coded_and_compared_weakly() {
    let server = compressing();
    let id = server.create().id;
    server.append(&id, &["x".repeat(10_000)]);
    for transport in POLLS {
        let ask =
            |method: &str, headers: Headers| server.ask(method, &path(transport, &id, ""), headers, b"");
        let (plain, coded) = (ask("GET", &[]), ask("GET", GZIP));
        assert_eq!(vary(&plain), (None, Some("accept-encoding")));
        assert_eq!(vary(&coded), (Some("gzip"), Some("accept-encoding")));
        assert!(coded.body.len() < 500, "{} bytes", coded.body.len());
        assert_eq!(decoded(&coded.body), (plain.text().to_owned(), true));
        let (strong, weak) = (plain.header("etag").unwrap(), coded.header("etag").unwrap());
        assert_eq!(weak, format!("W/{strong}"));
        assert_eq!(cursor_of_entity_tag(weak), cursor_of_entity_tag(strong));

        for (accept, whole) in [(&[][..], &plain), (GZIP, &coded)] {
            let head = ask("HEAD", accept);
            assert_eq!(head.status, 200);
            for name in ["etag", "vary", "content-encoding", "content-length", "content-type"] {
                assert_eq!(head.header(name), whole.header(name), "{transport} {name}");
            }
            if transport == Transport::ShortPoll {
                for known in [strong, weak, "*", &format!("\"a.1\", {weak}")] {
                    let same = ask("GET", &[accept, &[("if-none-match", known)]].concat());
                    assert_eq!((same.status, same.body.len()), (304, 0), "{known}");
                    assert_eq!(same.header("etag"), whole.header("etag"));
                    assert_eq!(vary(&same), (None, Some("accept-encoding")));
                }
            }
        }
    }
    let expired = server.ask("GET", &path(Transport::LongPoll, &id, "?from=now&wait=0"), GZIP, b"");
    assert_eq!((expired.status, vary(&expired)), (204, (None, None)));
    assert!(expired.header("etag").unwrap().starts_with('"'));

    let lines = format!("/api/deployments/{id}/lines");
    let (plain, coded) = (server.get(&lines), server.ask("GET", &lines, GZIP, b""));
    assert_eq!((vary(&plain).1, vary(&coded)), (Some("accept-encoding"), (Some("gzip"), vary(&plain).1)));
    assert_eq!(decoded(&coded.body).0, plain.text());
}

#[test]
fn who_does_not_accept_gzip_gets_none() {
    let server = compressing();
    let id = server.create().id;
    server.append(&id, &["x"]);
    for accept in ["identity", "br", "gzip;q=0", "gzip;q=0, *", "identity;q=1, gzip;q=0.5", ""] {
        let headers = [("accept-encoding", accept)];
        for transport in POLLS {
            let answer = server.ask("GET", &path(transport, &id, ""), &headers, b"");
            assert_eq!(vary(&answer), (None, Some("accept-encoding")), "{transport} {accept:?}");
            assert_eq!(answer.json::<Batch>().lines.len(), 1);
            assert!(answer.header("etag").unwrap().starts_with('"'));
        }
    }
}

/// Refusals stay readable, and what carries no lines is not touched.
#[test]
fn what_carries_no_lines_is_sent_as_it_is() {
    let server = compressing();
    let id = server.create().id;
    for path in ["/".to_owned(), "/metrics".to_owned(), path(Transport::Sse, &id, "?from=x")] {
        assert_eq!(vary(&server.ask("GET", &path, GZIP, b"")), (None, None), "{path}");
    }
    for engine in WebsocketEngine::ALL {
        let mut setup = Setup::driven_by(engine);
        setup.options.compression = Compression::Gzip;
        let server = setup.start();
        let id = server.create().id;
        let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), GZIP).unwrap();
        assert_eq!(vary(&socket.head), (None, None));
        assert!(matches!(socket.told(), Ok(ServerFrame::Hello { .. })));
    }
}

/// N4 under gzip: goodbye ends the member, too.
#[test]
fn goodbye_ends_the_coded_body_properly() {
    let server = compressing();
    let id = server.create().id;
    let mut streams = STREAMS.map(|transport| Coded::open(&server, &path(transport, &id, "")));
    streams.iter_mut().for_each(|stream| stream.until("hello"));
    server.say_goodbye();
    let [sse, ndjson] = streams.map(Coded::rest);
    let (_, retry) = sse.rsplit_once("\nretry: ").unwrap();
    assert!(retry.trim_end().parse::<u32>().is_ok(), "{sse}");
    assert!(ndjson.trim_end().ends_with("}}"), "{ndjson}");
}

/// The default: no answer is encoded, and none claims to differ by what is accepted.
#[test]
fn unless_told_otherwise_nothing_is_compressed_and_no_answer_claims_to_vary() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x".repeat(10_000)]);
    let lines = format!("/api/deployments/{id}/lines");
    let polls = POLLS.map(|transport| path(transport, &id, ""));
    for path in ["/", "/metrics", &lines, &polls[0], &polls[1]] {
        let answer = server.ask("GET", path, GZIP, b"");
        assert_eq!(vary(&answer), (None, None), "{path}");
        if path != "/metrics" {
            assert_eq!(answer.body, server.get(path).body, "{path}");
        }
    }
    for transport in STREAMS {
        let mut stream = server.stream(&path(transport, &id, ""), GZIP).unwrap();
        assert_eq!(vary(&stream.head), (None, None));
        stream.until("xxx").unwrap();
    }
}
