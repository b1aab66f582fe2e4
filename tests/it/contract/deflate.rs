//! permessage-deflate by raw frames (RFC 7692), on both engines: the agreement, lines as they are sent, and what a client
//! may not send. Other people's clients are in `deflate`.

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress};
use serde_json::Value;
use wirelab::context::WebsocketEngine;
use wirelab::exchange::compression::WebsocketCompression;
use wirelab_clients::wire::{BODY_BYTES_MAX, DeploymentId, ServerFrame, Status, Transport};

use super::websocket::{BINARY, CONTINUATION, enter_with, frame, write};
use crate::http::{CLOSE, PING, Socket, TEXT, path};
use crate::server::{Server, Setup, wait_until};

const EXTENSIONS: &str = "sec-websocket-extensions";
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const RSV1: u8 = 0x40;

fn server(engine: WebsocketEngine, offered: WebsocketCompression) -> Server {
    let mut setup = Setup::driven_by(engine);
    setup.options.websocket_compression = offered;
    setup.start()
}

fn enter(server: &Server, id: &DeploymentId, offer: &str) -> Socket {
    enter_with(server, id, "", &[(EXTENSIONS, offer)])
}

/// A message as a client compresses it.
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Level::best(), false);
    let mut message = Vec::with_capacity(text.len() + 100);
    compress.compress_vec(text, &mut message, FlushCompress::Sync).unwrap();
    assert_eq!(message[message.len() - 4..], TAIL);
    message.truncate(message.len() - 4);
    message
}

/// The next frame of a line: its text, whether it was compressed, and its bytes on the wire.
fn line(socket: &mut Socket, inflate: &mut Decompress) -> (String, bool, Vec<u8>) {
    let (first, payload) = socket.marked_frame().unwrap();
    let is_deflated = first & RSV1 != 0;
    let text = if is_deflated {
        let mut text = Vec::with_capacity(1 << 16);
        for part in [&payload[..], &TAIL] {
            inflate.decompress_vec(part, &mut text, FlushDecompress::Sync).unwrap();
        }
        text
    } else {
        payload.clone()
    };
    let frame: ServerFrame = serde_json::from_slice(&text).unwrap();
    let ServerFrame::Line { line, .. } = frame else { panic!("{frame:?} is no line") };
    (line.line.text, is_deflated, payload)
}

#[test]
fn the_server_answers_what_it_was_started_to_offer() {
    for engine in WebsocketEngine::ALL {
        for (offered, answer) in [
            (WebsocketCompression::Off, None),
            (
                WebsocketCompression::NoContextTakeover,
                Some(
                    "permessage-deflate; client_no_context_takeover; server_no_context_takeover; \
                     server_max_window_bits=12",
                ),
            ),
            (
                WebsocketCompression::ContextTakeover,
                Some("permessage-deflate; client_no_context_takeover; server_max_window_bits=12"),
            ),
        ] {
            let server = server(engine, offered);
            let id = server.create().id;
            let path = path(Transport::Websocket, &id, "");
            let socket = server.websocket(&path, &[(EXTENSIONS, "permessage-deflate")]).unwrap();
            assert_eq!(socket.head.header(EXTENSIONS), answer, "{engine}, {offered}");
            // Several fields are one list, and what cannot be taken is passed over.
            let several =
                [(EXTENSIONS, "x, permessage-deflate; level=9"), (EXTENSIONS, "permessage-deflate")];
            let socket = server.websocket(&path, &several).unwrap();
            assert_eq!(socket.head.header(EXTENSIONS), answer, "{engine}, {offered}");
            for offer in ["permessage-deflate; server_max_window_bits=8", "x-webkit-deflate-frame", "; ,"] {
                let socket = server.websocket(&path, &[(EXTENSIONS, offer)]).unwrap();
                assert_eq!(socket.head.header(EXTENSIONS), None, "{engine}, {offered}: {offer}");
            }
            let socket = server.websocket(&path, &[]).unwrap();
            assert_eq!(socket.head.header(EXTENSIONS), None, "{engine}, {offered}");
        }
    }
}

#[test]
fn lines_are_compressed_with_and_without_the_context_of_earlier_ones() {
    for engine in WebsocketEngine::ALL {
        let server = server(engine, WebsocketCompression::ContextTakeover);
        let id = server.create().id;
        let texts: Vec<_> = (0..4).map(|_| "the same line, again and again and again".to_owned()).collect();
        let mut with = enter(&server, &id, "permessage-deflate");
        let mut small = enter(&server, &id, "permessage-deflate; server_max_window_bits=9");
        let mut without = enter(&server, &id, "permessage-deflate; server_no_context_takeover");
        let small_alone = "permessage-deflate; server_no_context_takeover; server_max_window_bits=9";
        let mut small_alone = enter(&server, &id, small_alone);
        let mut plain = enter_with(&server, &id, "", &[]);
        for text in &texts {
            server.append(&id, &[text]);
        }
        server.finish(&id, Status::Succeeded);
        let mut lengths = Vec::new();
        for (socket, window_bits, has_context) in [
            (&mut with, 12, true),
            (&mut small, 9, true),
            (&mut without, 12, false),
            (&mut small_alone, 9, false),
        ] {
            let mut inflate = Decompress::new_with_window_bits(false, window_bits);
            let mut sum = 0;
            for text in &texts {
                if !has_context {
                    inflate.reset(false);
                }
                let (read, is_deflated, bytes) = line(socket, &mut inflate);
                assert_eq!((&read, is_deflated), (text, true), "{engine}");
                sum += bytes.len();
            }
            lengths.push(sum);
            // The rest is plain, and so is the close frame.
            assert!(matches!(socket.told(), Ok(ServerFrame::Finished { .. })));
            assert_eq!(socket.close_code(), Ok(1000));
        }
        let mut unused = Decompress::new(false);
        let whole: usize = texts.iter().map(|_| line(&mut plain, &mut unused).2.len()).sum();
        assert!(lengths[2] < whole && lengths[3] < whole, "{engine}: {lengths:?} of {whole}");
        assert!(lengths[0] * 2 < lengths[2] && lengths[1] * 2 < lengths[3], "{engine}: {lengths:?}");
    }
}

#[test]
fn a_compressed_command_is_obeyed_whole_or_in_fragments() {
    for engine in WebsocketEngine::ALL {
        let server = server(engine, WebsocketCompression::NoContextTakeover);
        let id = server.create().id;
        let mut socket = enter(&server, &id, "permessage-deflate; client_max_window_bits");
        let publish = |text: &str| {
            let command = serde_json::json!({"type": "publish", "deployment": id, "text": text, "ref": text});
            deflated(command.to_string().as_bytes())
        };
        let (one, two, three) = (publish("one"), publish("two"), publish("three"));
        let (begin, end) = two.split_at(9);
        let bytes = [
            frame(0x80 | RSV1 | TEXT, &one),
            frame(RSV1 | TEXT, begin),
            frame(0x80 | PING, b"x"),
            frame(0x80 | CONTINUATION, end),
            // The context of an earlier message is never needed.
            frame(0x80 | RSV1 | TEXT, &three),
            frame(0x80 | TEXT, br#"{"type":"ping","ref":"plain"}"#),
        ]
        .concat();
        for byte in bytes.chunks(5) {
            write(&mut socket, byte);
        }
        wait_until("all lines are there", || server.show(&id).next.after == 3);
        let texts: Vec<_> = server.lines(&id, "").lines.into_iter().map(|line| line.line.text).collect();
        assert_eq!(texts, ["one", "two", "three"], "{engine}");
        let mut answered = Vec::new();
        while answered.len() < 4 {
            let (first, payload) = socket.marked_frame().unwrap();
            if first == 0x80 | TEXT {
                let frame: Value = serde_json::from_slice(&payload).unwrap();
                answered.extend(frame["ref"].as_str().map(str::to_owned));
            }
        }
        assert_eq!(answered, ["one", "two", "three", "plain"], "{engine}");
    }
}

#[test]
fn what_breaks_the_rules_of_compression_fails_the_connection_with_its_code() {
    for engine in WebsocketEngine::ALL {
        let server = server(engine, WebsocketCompression::ContextTakeover);
        let id = server.create().id;
        let bomb = deflated(&vec![b' '; BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < BODY_BYTES_MAX / 500);
        let (begin, end) = bomb.split_at(bomb.len() / 2);
        for (what, bytes, code) in [
            ("a compressed ping", frame(0x80 | RSV1 | PING, b""), 1002),
            ("a compressed close", frame(0x80 | RSV1 | CLOSE, &1000_u16.to_be_bytes()), 1002),
            (
                "a compressed continuation",
                [frame(RSV1 | TEXT, b"x"), frame(0x80 | RSV1 | CONTINUATION, b"x")].concat(),
                1002,
            ),
            ("another reserved bit", frame(0x80 | 0x20 | TEXT, b"x"), 1002),
            ("both reserved bits", frame(0x80 | RSV1 | 0x20 | TEXT, b"x"), 1002),
            ("garbage", frame(0x80 | RSV1 | TEXT, &[0xff; 40]), 1007),
            ("text that is none", frame(0x80 | RSV1 | TEXT, &deflated(b"\xff\xff")), 1007),
            ("a bomb", frame(0x80 | RSV1 | TEXT, &bomb), 1009),
            (
                "a bomb in fragments",
                [frame(RSV1 | TEXT, begin), frame(0x80 | CONTINUATION, end)].concat(),
                1009,
            ),
            ("bytes instead of text", frame(0x80 | RSV1 | BINARY, &deflated(b"x")), 1003),
        ] {
            let mut socket = enter(&server, &id, "permessage-deflate");
            write(&mut socket, &bytes);
            assert_eq!(socket.close_code(), Ok(code), "{engine}: {what}");
        }
        // Without an agreement the bit stays what it was: a violation.
        let mut socket = enter_with(&server, &id, "", &[]);
        write(&mut socket, &frame(0x80 | RSV1 | TEXT, &deflated(b"x")));
        assert_eq!(socket.close_code(), Ok(1002), "{engine}");
    }
}
