//! WebSocket by raw frames (RFC 6455), on both engines: the handshake and what breaks the protocol.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};
use wirelab::context::{ServerOptions, WebsocketEngine};
use wirelab_clients::wire::{BODY_BYTES_MAX, DeploymentId, LINE_BYTES_MAX, ServerFrame, Status, Transport};

use crate::http::{Api, CLOSE, Headers, PING, Socket, TEXT, path};
use crate::server::{Server, Setup, wait_until};

pub(super) const CONTINUATION: u8 = 0;
pub(super) const BINARY: u8 = 2;
pub(super) const PONG: u8 = 10;

pub(super) fn server_with(change: impl FnOnce(&mut ServerOptions)) -> Server {
    let mut setup = Setup::default();
    change(&mut setup.options);
    setup.start()
}

/// A socket in the room of a deployment, its greeting read.
pub(super) fn enter(api: &Api, id: &DeploymentId, query: &str) -> Socket {
    enter_with(api, id, query, &[])
}

/// The same, its handshake with these headers.
pub(super) fn enter_with(api: &Api, id: &DeploymentId, query: &str, headers: Headers) -> Socket {
    let mut socket = api.websocket(&path(Transport::Websocket, id, query), headers).unwrap();
    assert!(matches!(socket.told(), Ok(ServerFrame::Hello { .. })));
    assert!(matches!(socket.told(), Ok(ServerFrame::Subscribed { deployment, .. }) if deployment == *id));
    socket
}

/// One masked frame. `first` is FIN, reserved bits and opcode.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x5a, 0x01, 0xff, 0x80];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub(super) fn write(socket: &mut Socket, bytes: &[u8]) {
    socket.connection.socket.write_all(bytes).unwrap();
}

pub(super) fn command(socket: &mut Socket, command: Value) {
    write(socket, &frame(0x80 | TEXT, command.to_string().as_bytes()));
}

/// The frame that must come now, as JSON.
#[track_caller]
pub(super) fn told(socket: &mut Socket) -> Value {
    serde_json::to_value(socket.told().unwrap()).unwrap()
}

/// Members of the frame that must come now.
#[track_caller]
pub(super) fn is_told(socket: &mut Socket, members: Value) {
    let frame = told(socket);
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(&frame[name], value, "{name} of {frame}");
    }
}

/// The text of the line that must come now.
#[track_caller]
pub(super) fn line(socket: &mut Socket) -> (String, String) {
    match socket.told().unwrap() {
        ServerFrame::Line { deployment, line } => (deployment.to_string(), line.line.text),
        frame => panic!("{frame:?}"),
    }
}

// Handshake.

/// W1. A socket that is accepted must also be answered.
#[test]
fn tokens_of_a_handshake_have_no_case_and_may_stand_in_lists() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let path = path(Transport::Websocket, &server.create().id, "");
        let (version, key) =
            (("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        for tokens in [
            vec![("connection", "upgrade"), ("upgrade", "WebSocket")],
            vec![("connection", "Keep-Alive, UPGRADE"), ("upgrade", "WEBSOCKET")],
            vec![("connection", "keep-alive"), ("connection", "Upgrade"), ("upgrade", "websocket")],
            vec![("connection", "Upgrade"), ("upgrade", "h2c, websocket")],
            vec![("connection", "Upgrade"), ("upgrade", "Websocket ,h2c")],
            vec![("connection", "Upgrade"), ("upgrade", "h2c"), ("upgrade", "websocket")],
            vec![("connection", "Upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")],
        ] {
            let mut connection = server.connection();
            connection.send("GET", &path, &[&tokens[..], &[version, key]].concat(), b"").unwrap();
            let head = connection.answer("GET").unwrap();
            assert_eq!(head.status, 101, "{engine}: {tokens:?}");
            let mut socket = Socket { head, connection };
            is_told(&mut socket, json!({"type": "hello"}));
            is_told(&mut socket, json!({"type": "subscribed"}));
            command(&mut socket, json!({"type": "ping", "ref": 1}));
            is_told(&mut socket, json!({"type": "pong", "ref": 1}));
        }
    }
}

#[test]
fn an_unfit_handshake_is_refused_as_plain_http() {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let path = path(Transport::Websocket, &id, "");
        assert_eq!(server.get(&path).problem().unwrap().status, 400);
        let answer = |headers: Headers| {
            let mut connection = server.connection();
            connection.send("GET", &path, headers, b"").unwrap();
            connection.answer("GET").unwrap()
        };
        let upgrade = |connection, upgrade, version, key| {
            answer(&[
                ("connection", connection),
                ("upgrade", upgrade),
                ("sec-websocket-version", version),
                ("sec-websocket-key", key),
            ])
        };
        for (what, refused) in [
            ("a connection that is kept", upgrade("keep-alive", "websocket", "13", KEY)),
            ("another upgrade", upgrade("Upgrade", "h2c", "13", KEY)),
            ("an upgrade that only holds the word", upgrade("Upgrade", "xwebsocketx", "13", KEY)),
            ("an empty key", upgrade("Upgrade", "websocket", "13", "")),
            ("a key of 15 bytes", upgrade("Upgrade", "websocket", "13", "AQIDBAUGBwgJCgsMDQ4P")),
            ("a key that is no base64", upgrade("Upgrade", "websocket", "13", "????????????????????????")),
        ] {
            assert_eq!(refused.problem().unwrap().status, 400, "{engine}: {what}");
        }
        let old = upgrade("Upgrade", "websocket", "8", KEY);
        assert_eq!(old.problem().unwrap().status, 426);
        assert_eq!(old.header("sec-websocket-version"), Some("13"));
        // RFC 9110 §15.5.22.
        assert_eq!(old.header("upgrade"), Some("websocket"));
        let good = upgrade("keep-alive, UPGRADE", "WebSocket", "13", KEY);
        assert_eq!(good.status, 101, "tokens have no case and stand in lists");
        // The example of RFC 6455 §1.3.
        assert_eq!(good.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

#[test]
fn http_1_0_is_not_upgraded() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut connection = server.connection();
        let request = format!(
            "GET {} HTTP/1.0\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            path(Transport::Websocket, &id, "")
        );
        connection.socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 400 "), "{engine}: {answer}");
        assert!(answer.contains("a WebSocket needs a request in HTTP/1.1"), "{engine}: {answer}");
    }
}

#[test]
fn nothing_is_accepted_that_was_not_agreed_on() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let offers: Headers = &[
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ];
        let socket = server.websocket(&path(Transport::Websocket, &id, ""), offers).unwrap();
        assert_eq!(socket.head.header("sec-websocket-protocol"), None);
        assert_eq!(socket.head.header("sec-websocket-extensions"), None);
    }
}

// Frames.

#[test]
fn a_broken_protocol_fails_the_connection_with_its_code() {
    for engine in WebsocketEngine::ALL {
        fails_what_breaks_the_protocol(engine);
    }
}

fn fails_what_breaks_the_protocol(engine: WebsocketEngine) {
    let server = Setup::driven_by(engine).start();
    let id = server.create().id;
    let head = |bytes: &[u8], length: &[u8]| [bytes, length, &[0; 4]].concat();
    let close = |payload: &[u8]| frame(0x80 | CLOSE, payload);
    let cases = [
        ("an unmasked frame", vec![0x81, 1, b'x'], 1002),
        ("a reserved bit", frame(0xc1, b"x"), 1002),
        ("a reserved opcode", frame(0x83, b"x"), 1002),
        ("a reserved control opcode", frame(0x8f, b"x"), 1002),
        ("5 bytes, said in two", head(&[0x81, 0xfe], &[0, 5]), 1002),
        ("5 bytes, said in eight", head(&[0x81, 0xff], &5_u64.to_be_bytes()), 1002),
        ("2^63 bytes", head(&[0x81, 0xff], &(1_u64 << 63).to_be_bytes()), 1002),
        ("a ping of 126 bytes", frame(0x80 | PING, &[b'x'; 126]), 1002),
        ("a fragmented ping", frame(PING, b"x"), 1002),
        ("a stray continuation", frame(0x80 | CONTINUATION, b"x"), 1002),
        ("a message inside a message", [frame(TEXT, b"x"), frame(0x80 | TEXT, b"x")].concat(), 1002),
        ("a close of one byte", close(&[3]), 1002),
        ("a close code that may not be sent", close(&1006_u16.to_be_bytes()), 1002),
        ("a close code that is none", close(&[0, 0]), 1002),
        ("a close reason that is no text", close(&[3, 0xe8, 0xc3]), 1007),
        ("text that is none", frame(0x80 | TEXT, b"\xff"), 1007),
        (
            "fragments that are no text together",
            [frame(TEXT, b"\xc3"), frame(0x80 | CONTINUATION, b"x")].concat(),
            1007,
        ),
        (
            "one byte too many, by the head",
            head(&[0x81, 0xff], &(BODY_BYTES_MAX as u64 + 1).to_be_bytes()),
            1009,
        ),
        ("bytes instead of text", frame(0x80 | BINARY, b"x"), 1003),
    ];
    // All at once: after a broken protocol the server lingers, or its close frame could be lost.
    let sockets = cases.into_iter().map(|(what, bytes, code)| {
        let mut socket = enter(&server, &id, "");
        write(&mut socket, &bytes);
        assert_eq!(socket.close_code(), Ok(code), "{engine}: {what}");
        socket.send(CLOSE, &code.to_be_bytes()).unwrap();
        (what, socket)
    });
    for (what, mut socket) in sockets.collect::<Vec<_>>() {
        assert!(socket.connection.is_closed_by_server(), "{engine}: {what}");
    }
    wait_until("every room is left", || server.waiters(Transport::Websocket) == 0);
}

#[test]
fn fragments_that_are_too_big_together_are_refused() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut socket = enter(&server, &id, "");
        let half = vec![b' '; BODY_BYTES_MAX / 2 + 1];
        let mut writer = socket.connection.socket.try_clone().unwrap();
        let sent = std::thread::spawn(move || {
            writer.write_all(&frame(TEXT, &half)).and_then(|()| writer.write_all(&frame(CONTINUATION, &half)))
        });
        assert_eq!(socket.close_code(), Ok(1009), "{engine}");
        // The server may be gone before it took the rest.
        let _ = sent.join().unwrap();
    }
}

#[test]
fn a_close_is_echoed_and_the_server_closes_first() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        for payload in [&b""[..], &1000_u16.to_be_bytes(), b"\x03\xe9bye", &4999_u16.to_be_bytes()] {
            let mut socket = enter(&server, &id, "");
            write(&mut socket, &frame(0x80 | CLOSE, payload));
            let (opcode, echo) = socket.frame().unwrap();
            assert_eq!((opcode, &echo[..]), (CLOSE, &payload[..payload.len().min(2)]), "{engine}");
            assert!(socket.connection.is_closed_by_server(), "{engine}");
        }
    }
}

#[test]
fn a_client_that_does_not_answer_a_close_is_not_waited_for() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut socket = enter(&server, &id, "");
        server.finish(&id, Status::Succeeded);
        is_told(&mut socket, json!({"type": "finished"}));
        assert_eq!(socket.close_code(), Ok(1000));
        assert!(socket.connection.is_closed_by_server(), "{engine}");
    }
}

#[test]
fn pings_are_answered_pongs_are_taken_and_fragments_put_together() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut socket = enter(&server, &id, "");
        write(&mut socket, &frame(0x80 | PONG, b"unasked"));
        write(&mut socket, &frame(0x80 | PING, &[7; 125]));
        assert_eq!(socket.frame().unwrap(), (PONG, vec![7; 125]));
        let whole = json!({"type": "ping", "ref": "\u{1f600}"}).to_string();
        let bytes = whole.as_bytes();
        // Every byte a fragment, code points split, a ping in between, and cut anywhere by TCP.
        for (i, byte) in bytes.iter().enumerate() {
            let opcode = if i == 0 { TEXT } else { CONTINUATION };
            let last = if i + 1 == bytes.len() { 0x80 } else { 0 };
            write(&mut socket, &frame(last | opcode, &[*byte]));
            if i == 3 {
                write(&mut socket, &frame(0x80 | PING, b"mid"));
            }
        }
        assert_eq!(socket.frame().unwrap(), (PONG, b"mid".to_vec()), "{engine}");
        is_told(&mut socket, json!({"type": "pong", "ref": "\u{1f600}"}));
    }
}

#[test]
fn a_message_of_the_largest_size_is_taken() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut socket = enter(&server, &id, "?from=now");
        // Eight lines of a mebibyte do not fit with the rest of the command.
        let line = "x".repeat(LINE_BYTES_MAX);
        let text = [line.as_str(); 7].join("\n");
        let mut bytes = json!({"type": "publish", "deployment": id, "text": text}).to_string();
        bytes.push_str(&" ".repeat(BODY_BYTES_MAX - bytes.len()));
        let mut writer = socket.connection.socket.try_clone().unwrap();
        let sent = std::thread::spawn(move || writer.write_all(&frame(0x80 | TEXT, bytes.as_bytes())));
        let mut published = 0;
        let mut lines = 0;
        while published + lines < 8 {
            match socket.told().unwrap() {
                ServerFrame::Published { first, last, .. } => {
                    assert_eq!(last, first + 6);
                    published += 1;
                }
                ServerFrame::Line { line, .. } => {
                    assert_eq!(line.line.text.len(), LINE_BYTES_MAX);
                    lines += 1;
                }
                frame => panic!("{frame:?}"),
            }
        }
        assert_eq!((published, lines), (1, 7), "{engine}");
        sent.join().unwrap().unwrap();
    }
}

#[test]
fn a_socket_that_never_answers_a_ping_is_closed_and_one_that_does_lives() {
    for engine in WebsocketEngine::ALL {
        let mut setup = Setup::driven_by(engine);
        setup.options.heartbeat = Duration::from_millis(50);
        let server = setup.start();
        let id = server.create().id;
        let mut silent = enter(&server, &id, "");
        let mut lively = enter(&server, &id, "");
        for _ in 0..10 {
            let (opcode, payload) = lively.frame().unwrap();
            assert_eq!(opcode, PING);
            lively.send(PONG, &payload).unwrap();
        }
        let mut pings = 0;
        let closed = loop {
            match silent.frame().unwrap() {
                (PING, _) => pings += 1,
                (opcode, payload) => break (opcode, u16::from_be_bytes([payload[0], payload[1]])),
            }
        };
        assert_eq!((closed, pings), ((CLOSE, 1008), 2), "{engine}");
    }
}

#[test]
fn a_frame_that_declares_more_than_the_bound_is_refused_before_it_has_arrived() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut socket = enter(&server, &id, "");
        let mut start = vec![0x81, 0xff];
        start.extend_from_slice(&(1_u64 << 40).to_be_bytes());
        write(&mut socket, &start);
        assert_eq!(socket.close_code(), Ok(1009), "{engine}: the head is enough");
    }
}
