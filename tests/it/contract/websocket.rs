//! WebSocket by raw frames (RFC 6455), on both engines: handshake, frames, rooms, commands and goodbyes.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};
use wirelab::server::Options;
use wirelab_clients::wire::{
    BODY_BYTES_MAX, DeploymentId, LINE_BYTES_MAX, NewLine, ServerFrame, Status, Transport,
};

use crate::http::{Api, CLOSE, Headers, PING, Socket, TEXT, path};
use crate::server::{Server, Setup, wait_until};

const ENGINES: [Transport; 2] = [Transport::Websocket, Transport::WebsocketActor];

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const PONG: u8 = 10;

fn server_with(change: impl FnOnce(&mut Options)) -> Server {
    let mut setup = Setup::default();
    change(&mut setup.options);
    setup.start()
}

/// A socket in the room of a deployment, its greeting read.
fn enter(api: &Api, engine: Transport, id: &DeploymentId, query: &str) -> Socket {
    let mut socket = api.websocket(&path(engine, id, query), &[]).unwrap();
    assert!(matches!(socket.told(), Ok(ServerFrame::Hello { .. })));
    assert!(matches!(socket.told(), Ok(ServerFrame::Subscribed { deployment, .. }) if deployment == *id));
    socket
}

/// One masked frame. `first` is FIN, reserved bits and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

fn write(socket: &mut Socket, bytes: &[u8]) {
    socket.connection.socket.write_all(bytes).unwrap();
}

fn command(socket: &mut Socket, command: Value) {
    write(socket, &frame(0x80 | TEXT, command.to_string().as_bytes()));
}

/// The frame that must come now, as JSON.
#[track_caller]
fn told(socket: &mut Socket) -> Value {
    serde_json::to_value(socket.told().unwrap()).unwrap()
}

/// Members of the frame that must come now.
#[track_caller]
fn is_told(socket: &mut Socket, members: Value) {
    let frame = told(socket);
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(&frame[name], value, "{name} of {frame}");
    }
}

/// The text of the line that must come now.
#[track_caller]
fn line(socket: &mut Socket) -> (String, String) {
    match socket.told().unwrap() {
        ServerFrame::Line { deployment, line } => (deployment.to_string(), line.line.text),
        frame => panic!("{frame:?}"),
    }
}

// Handshake.

#[test]
fn an_unfit_handshake_is_refused_as_plain_http() {
    let server = Server::start();
    let id = server.create().id;
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    for engine in ENGINES {
        let path = path(engine, &id, "");
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
            ("an empty key", upgrade("Upgrade", "websocket", "13", "")),
            ("a key of 15 bytes", upgrade("Upgrade", "websocket", "13", "AQIDBAUGBwgJCgsMDQ4P")),
            ("a key that is no base64", upgrade("Upgrade", "websocket", "13", "????????????????????????")),
        ] {
            assert_eq!(refused.problem().unwrap().status, 400, "{engine}: {what}");
        }
        let old = upgrade("Upgrade", "websocket", "8", KEY);
        assert_eq!(old.problem().unwrap().status, 426);
        assert_eq!(old.header("sec-websocket-version"), Some("13"));
        let good = upgrade("keep-alive, UPGRADE", "WebSocket", "13", KEY);
        assert_eq!(good.status, 101, "tokens have no case and stand in lists");
        // The example of RFC 6455 §1.3.
        assert_eq!(good.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

#[test]
fn http_1_0_is_not_upgraded() {
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        let mut connection = server.connection();
        let request = format!(
            "GET {} HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            path(engine, &id, "")
        );
        connection.socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 400 "), "{engine}: {answer}");
        assert!(answer.contains("a WebSocket starts from HTTP/1.1"), "{engine}: {answer}");
    }
}

#[test]
fn nothing_is_accepted_that_was_not_agreed_on() {
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        let offers: Headers = &[
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ];
        let socket = server.websocket(&path(engine, &id, ""), offers).unwrap();
        assert_eq!(socket.head.header("sec-websocket-protocol"), None);
        assert_eq!(socket.head.header("sec-websocket-extensions"), None);
    }
}

// Frames.

#[test]
fn a_broken_protocol_fails_the_connection_with_its_code() {
    let server = Server::start();
    let id = server.create().id;
    let head = |bytes: &[u8], length: &[u8]| [bytes, length, &[0; 4]].concat();
    let close = |payload: &[u8]| frame(0x80 | CLOSE, payload);
    let cases = |engine: Transport| {
        [
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
        ]
        .map(|(what, bytes, code)| (engine, what, bytes, code))
    };
    // All at once: after a broken protocol the server lingers, or its close frame could be lost.
    let cases = ENGINES.map(cases).concat();
    let sockets = cases.into_iter().map(|(engine, what, bytes, code)| {
        let mut socket = enter(&server, engine, &id, "");
        write(&mut socket, &bytes);
        assert_eq!(socket.close_code(), Ok(code), "{engine}: {what}");
        socket.send(CLOSE, &code.to_be_bytes()).unwrap();
        (engine, what, socket)
    });
    for (engine, what, mut socket) in sockets.collect::<Vec<_>>() {
        assert!(socket.connection.is_closed_by_server(), "{engine}: {what}");
    }
    wait_until("every room is left", || ENGINES.iter().all(|engine| server.waiters(*engine) == 0));
}

#[test]
fn fragments_that_are_too_big_together_are_refused() {
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        let mut socket = enter(&server, engine, &id, "");
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
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        for payload in [&b""[..], &1000_u16.to_be_bytes(), b"\x03\xe9bye", &4999_u16.to_be_bytes()] {
            let mut socket = enter(&server, engine, &id, "");
            write(&mut socket, &frame(0x80 | CLOSE, payload));
            let (opcode, echo) = socket.frame().unwrap();
            assert_eq!((opcode, &echo[..]), (CLOSE, &payload[..payload.len().min(2)]), "{engine}");
            assert!(socket.connection.is_closed_by_server(), "{engine}");
        }
    }
}

#[test]
fn a_client_that_does_not_answer_a_close_is_not_waited_for() {
    let server = Server::start();
    for engine in ENGINES {
        let id = server.create().id;
        let mut socket = enter(&server, engine, &id, "");
        server.finish(&id, Status::Succeeded);
        is_told(&mut socket, json!({"type": "finished"}));
        assert_eq!(socket.close_code(), Ok(1000));
        assert!(socket.connection.is_closed_by_server(), "{engine}");
    }
}

#[test]
fn pings_are_answered_pongs_are_taken_and_fragments_put_together() {
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        let mut socket = enter(&server, engine, &id, "");
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
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        let mut socket = enter(&server, engine, &id, "?from=now");
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
    let server = server_with(|options| options.heartbeat = Duration::from_millis(50));
    let id = server.create().id;
    for engine in ENGINES {
        let mut silent = enter(&server, engine, &id, "");
        let mut lively = enter(&server, engine, &id, "");
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

// Rooms and commands.

#[test]
fn rooms_are_kept_apart_and_each_starts_where_it_was_asked_to() {
    let server = Server::start();
    for engine in ENGINES {
        let (one, two, three) = (server.create().id, server.create().id, server.create().id);
        let seen = server.append(&two, &["two 1", "two 2", "two 3"]);
        let mut socket = enter(&server, engine, &one, "");
        let after = format!("{}.2", seen.cursor.epoch);
        command(&mut socket, json!({"type": "subscribe", "deployment": two, "from": after, "ref": 1}));
        is_told(&mut socket, json!({"type": "subscribed", "deployment": two, "cursor": after, "ref": 1}));
        assert_eq!(line(&mut socket), (two.to_string(), "two 3".to_owned()), "{engine}");
        command(&mut socket, json!({"type": "subscribe", "deployment": three, "from": "now"}));
        is_told(&mut socket, json!({"type": "subscribed", "deployment": three}));
        for (room, text) in [(&three, "three 1"), (&one, "one 1"), (&two, "two 4")] {
            server.append(room, &[text]);
            assert_eq!(line(&mut socket), (room.to_string(), text.to_owned()), "{engine}");
        }

        command(&mut socket, json!({"type": "unsubscribe", "deployment": two, "ref": 2}));
        let cursor = format!("{}.4", seen.cursor.epoch);
        is_told(&mut socket, json!({"type": "unsubscribed", "deployment": two, "cursor": cursor, "ref": 2}));
        server.append(&two, &["nobody hears this"]);
        server.append(&one, &["one 2"]);
        assert_eq!(line(&mut socket).1, "one 2", "{engine}");
        // And back, where it was left.
        command(&mut socket, json!({"type": "subscribe", "deployment": two, "from": cursor}));
        is_told(&mut socket, json!({"type": "subscribed", "deployment": two, "cursor": cursor}));
        assert_eq!(line(&mut socket).1, "nobody hears this", "{engine}");
        assert_eq!(server.waiters(engine), 3, "a waiter for each room");
    }
}

#[test]
fn what_cannot_be_done_is_an_error_frame_and_the_socket_lives() {
    let server = Server::start();
    for engine in ENGINES {
        let (one, two) = (server.create().id, server.create().id);
        let ended = server.create().id;
        server.finish(&ended, Status::Succeeded);
        let sourced = r#"{"name":"fed","source":{"kind":"generate","rate_hz":0.01}}"#;
        let sourced: Value = server.post("/api/deployments", "application/json", sourced).json();
        let cursor = server.append(&two, &["x"]).cursor;
        let mut socket = enter(&server, engine, &one, "");
        for (refused, status) in [
            (json!({"type": "subscribe", "deployment": "01k3doesnotexist"}), 404),
            (json!({"type": "subscribe", "deployment": two, "from": "x"}), 400),
            (json!({"type": "subscribe", "deployment": two, "from": format!("{}.9", cursor.epoch)}), 410),
            (json!({"type": "subscribe", "deployment": one}), 409),
            (json!({"type": "unsubscribe", "deployment": two}), 404),
            (json!({"type": "publish", "deployment": ended, "text": "late"}), 409),
            (json!({"type": "publish", "deployment": sourced["id"], "text": "x"}), 409),
            (json!({"type": "publish", "deployment": "01k3doesnotexist", "text": "x"}), 404),
            (json!({"type": "dance"}), 400),
        ] {
            let mut refused = refused;
            refused["ref"] = json!([status]);
            command(&mut socket, refused.clone());
            let frame = told(&mut socket);
            assert_eq!(frame["type"], "error", "{engine}: {refused}: {frame}");
            assert_eq!((&frame["problem"]["status"], &frame["ref"]), (&json!(status), &json!([status])));
            if status == 410 {
                assert_eq!(frame["problem"]["latest"], json!(cursor), "{engine}");
            }
        }
        server.append(&one, &["still here"]);
        assert_eq!(line(&mut socket).1, "still here", "{engine}");
    }
}

#[test]
fn a_room_that_is_over_already_says_so_at_once() {
    let server = Server::start();
    for engine in ENGINES {
        let (live, ended) = (server.create().id, server.create().id);
        let end = server.append(&ended, &["x"]).cursor;
        server.finish(&ended, Status::Failed);
        let mut socket = enter(&server, engine, &live, "");
        command(&mut socket, json!({"type": "subscribe", "deployment": ended, "from": end}));
        is_told(&mut socket, json!({"type": "subscribed", "cursor": end}));
        is_told(
            &mut socket,
            json!({"type": "finished", "deployment": ended, "cursor": end, "status": "failed"}),
        );
        // One room is live: the socket stays, until that one is over too.
        command(&mut socket, json!({"type": "ping", "ref": 1}));
        is_told(&mut socket, json!({"type": "pong", "ref": 1}));
        let deleted = server.ask("DELETE", &format!("/api/deployments/{live}"), &[], b"");
        assert_eq!(deleted.status, 204);
        is_told(&mut socket, json!({"type": "deleted", "deployment": live}));
        assert_eq!(socket.close_code(), Ok(1000), "{engine}");
    }
}

#[test]
fn commands_received_before_the_end_are_answered_before_the_goodbye() {
    const PINGS: usize = 40;
    let server = Server::start();
    for engine in ENGINES {
        let (one, two) = (server.create().id, server.create().id);
        let mut socket = enter(&server, engine, &one, "");
        command(&mut socket, json!({"type": "pause"}));
        command(&mut socket, json!({"type": "ping"}));
        is_told(&mut socket, json!({"type": "pong"}));
        server.finish(&one, Status::Succeeded);
        // In one write: the end can be told from the first of them on, and more are there already.
        let pings = (0..PINGS).map(|number| json!({"type": "ping", "ref": number}));
        let subscribe = json!({"type": "subscribe", "deployment": two});
        let commands = [json!({"type": "resume"})].into_iter().chain(pings).chain([subscribe]);
        let bytes: Vec<_> =
            commands.flat_map(|command| frame(0x80 | TEXT, command.to_string().as_bytes())).collect();
        write(&mut socket, &bytes);
        let frames: Vec<_> = (0..PINGS + 2).map(|_| told(&mut socket)).collect();
        let answers: Vec<_> = frames.iter().filter(|frame| frame["type"] == "pong").collect();
        assert!(answers.iter().zip(0..).all(|(pong, number)| pong["ref"] == number), "{engine}: {frames:?}");
        assert_eq!(answers.len(), PINGS, "{engine}");
        for kind in ["finished", "subscribed"] {
            assert!(frames.iter().any(|frame| frame["type"] == kind), "{engine}: no {kind}");
        }
        // The second room is live: no goodbye.
        server.append(&two, &["alive"]);
        assert_eq!(line(&mut socket).1, "alive", "{engine}");
        server.finish(&two, Status::Succeeded);
        is_told(&mut socket, json!({"type": "finished", "deployment": two}));
        assert_eq!(socket.close_code(), Ok(1000), "{engine}");
    }
}

#[test]
fn a_socket_left_without_rooms_stays_open() {
    let server = Server::start();
    for engine in ENGINES {
        let id = server.create().id;
        let mut socket = enter(&server, engine, &id, "");
        command(&mut socket, json!({"type": "unsubscribe", "deployment": id}));
        is_told(&mut socket, json!({"type": "unsubscribed", "deployment": id}));
        wait_until("nothing is followed", || server.waiters(engine) == 0);
        server.finish(&id, Status::Succeeded);
        command(&mut socket, json!({"type": "ping"}));
        is_told(&mut socket, json!({"type": "pong"}));
        command(&mut socket, json!({"type": "subscribe", "deployment": id}));
        is_told(&mut socket, json!({"type": "subscribed"}));
        is_told(&mut socket, json!({"type": "finished"}));
        assert_eq!(socket.close_code(), Ok(1000), "{engine}");
    }
}

#[test]
fn no_line_follows_the_pong_to_a_ping_after_pause_and_resume_goes_on_there() {
    const LINES: usize = 3_000;
    let server = Server::start();
    for engine in ENGINES {
        let id = server.create().id;
        let other = server.create().id;
        let texts: Vec<_> = (1..=LINES).map(|number| format!("line {number}")).collect();
        let mut socket = enter(&server, engine, &id, "");
        command(&mut socket, json!({"type": "subscribe", "deployment": other}));
        is_told(&mut socket, json!({"type": "subscribed"}));
        // A writer at full speed, so that batches are on their way when the pause comes.
        let (api, room, written) = ((*server).clone(), id.clone(), texts.clone());
        let writer = std::thread::spawn(move || {
            for texts in written.chunks(7) {
                api.append(&room, texts);
            }
        });
        let mut got = vec![line(&mut socket).1];
        for round in 0..5 {
            command(&mut socket, json!({"type": "pause"}));
            command(&mut socket, json!({"type": "ping", "ref": round}));
            loop {
                match socket.told().unwrap() {
                    ServerFrame::Line { line, .. } => got.push(line.line.text),
                    ServerFrame::Pong { reference, .. } => break assert_eq!(reference, Some(json!(round))),
                    frame => panic!("{frame:?}"),
                }
            }
            let before = server.show(&id).lines;
            wait_until("more lines are there", || {
                server.show(&id).lines > before || server.show(&id).lines == LINES as u64
            });
            // The whole socket is paused, and commands are answered all the same.
            server.append(&other, &["of the other room"]);
            command(&mut socket, json!({"type": "ping", "ref": "still paused"}));
            is_told(&mut socket, json!({"type": "pong", "ref": "still paused"}));
            command(&mut socket, json!({"type": "resume"}));
            let mut others = 0;
            while others < 1 {
                match line(&mut socket) {
                    (room, _) if room == other.as_str() => others += 1,
                    (_, text) => got.push(text),
                }
            }
        }
        writer.join().unwrap();
        server.finish(&id, Status::Succeeded);
        loop {
            match socket.told().unwrap() {
                ServerFrame::Line { line, .. } => got.push(line.line.text),
                ServerFrame::Finished { deployment, .. } => break assert_eq!(deployment, id),
                frame => panic!("{frame:?}"),
            }
        }
        assert_eq!(got, texts, "{engine}: each line once, in order");
    }
}

#[test]
fn what_is_published_is_in_the_log_before_it_is_acknowledged() {
    let server = Server::start();
    for engine in ENGINES {
        let (here, there) = (server.create().id, server.create().id);
        let mut socket = enter(&server, engine, &here, "");
        let publish = json!({"type": "publish", "deployment": there, "text": "a\r\nb\n", "ref": "p"});
        command(&mut socket, publish);
        is_told(
            &mut socket,
            json!({"type": "published", "deployment": there, "first": 1, "last": 2, "ref": "p"}),
        );
        let lines: Vec<_> = server.lines(&there, "").lines.into_iter().map(|line| line.line).collect();
        assert_eq!(lines, [NewLine::plain("a\r"), NewLine::plain("b")], "{engine}");
        // Commands are handled in order, also when each takes the store.
        for number in 0..50 {
            let text = format!("line {number}");
            command(
                &mut socket,
                json!({"type": "publish", "deployment": there, "text": text, "ref": number}),
            );
        }
        for number in 0..50 {
            let members =
                json!({"type": "published", "first": number + 3, "last": number + 3, "ref": number});
            is_told(&mut socket, members);
        }
    }
}

#[test]
fn a_socket_has_a_bound_on_its_rooms_and_a_server_on_all_of_them() {
    let server = server_with(|options| options.connections_max = 40);
    for engine in ENGINES {
        let mut socket = enter(&server, engine, &server.create().id, "");
        let mut entered = 1;
        let refused = loop {
            command(&mut socket, json!({"type": "subscribe", "deployment": server.create().id}));
            match socket.told().unwrap() {
                ServerFrame::Subscribed { .. } => entered += 1,
                ServerFrame::Error { problem, .. } => break problem,
                frame => panic!("{frame:?}"),
            }
        };
        assert_eq!((refused.status, entered), (429, 32), "{engine}: {}", refused.detail);
        // 31 of 40 are taken: another socket gets nine more, then the server is full.
        let mut second = enter(&server, engine, &server.create().id, "");
        for _ in 0..9 {
            command(&mut second, json!({"type": "subscribe", "deployment": server.create().id}));
            is_told(&mut second, json!({"type": "subscribed"}));
        }
        command(&mut second, json!({"type": "subscribe", "deployment": server.create().id}));
        assert_eq!(second.close_code(), Ok(1013), "{engine}");
        drop(second);
        drop(socket);
        wait_until("the rooms are free again", || server.waiters(engine) == 0);
    }
}

#[test]
fn a_frame_that_declares_more_than_the_bound_is_refused_before_it_has_arrived() {
    let server = Server::start();
    let id = server.create().id;
    for engine in ENGINES {
        let mut socket = enter(&server, engine, &id, "");
        let mut start = vec![0x81, 0xff];
        start.extend_from_slice(&(1_u64 << 40).to_be_bytes());
        write(&mut socket, &start);
        assert_eq!(socket.close_code(), Ok(1009), "{engine}: the head is enough");
    }
}
