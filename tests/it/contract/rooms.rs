//! Rooms and commands of a WebSocket, on both engines: subscribe, pause, publish, and when it ends.

use serde_json::{Value, json};
use wirelab::context::WebsocketEngine;
use wirelab_clients::wire::{NewLine, ServerFrame, Status, Transport};

use super::websocket::{command, enter, frame, is_told, line, told, write};
use crate::http::TEXT;
use crate::server::{Setup, wait_until};

#[test]
fn rooms_are_kept_apart_and_each_starts_where_it_was_asked_to() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let (one, two, three) = (server.create().id, server.create().id, server.create().id);
        let seen = server.append(&two, &["two 1", "two 2", "two 3"]);
        let mut socket = enter(&server, &one, "");
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
        assert_eq!(server.waiters(Transport::Websocket), 3, "a waiter for each room");
    }
}

#[test]
fn what_cannot_be_done_is_an_error_frame_and_the_socket_lives() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let (one, two) = (server.create().id, server.create().id);
        let ended = server.create().id;
        server.finish(&ended, Status::Succeeded);
        let sourced = r#"{"name":"fed","source":{"kind":"generate","rate_hz":0.01}}"#;
        let sourced: Value = server.post("/api/deployments", "application/json", sourced).json();
        let cursor = server.append(&two, &["x"]).cursor;
        let mut socket = enter(&server, &one, "");
        for (refused, status) in [
            (json!({"type": "subscribe", "deployment": "01k3doesnotexist"}), 404),
            (json!({"type": "subscribe", "deployment": two, "from": "x"}), 400),
            (json!({"type": "subscribe", "deployment": two, "from": format!("{}.9", cursor.epoch)}), 410),
            (json!({"type": "subscribe", "deployment": one}), 409),
            (json!({"type": "unsubscribe", "deployment": two}), 404),
            (json!({"type": "publish", "deployment": ended, "text": "late"}), 409),
            (json!({"type": "publish", "deployment": sourced["id"], "text": "x"}), 409),
            (json!({"type": "publish", "deployment": "01k3doesnotexist", "text": "x"}), 404),
            (json!({"type": "publish", "deployment": one, "text": ""}), 400),
            (json!({"type": "publish", "deployment": one, "text": "x".repeat((1 << 20) + 1)}), 413),
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
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let (live, ended) = (server.create().id, server.create().id);
        let end = server.append(&ended, &["x"]).cursor;
        server.finish(&ended, Status::Failed);
        let mut socket = enter(&server, &live, "");
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
    /// More than a connection feeds at a time.
    const PINGS: usize = 2_000;
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let (one, two) = (server.create().id, server.create().id);
        let mut socket = enter(&server, &one, "");
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
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let mut socket = enter(&server, &id, "");
        command(&mut socket, json!({"type": "unsubscribe", "deployment": id}));
        is_told(&mut socket, json!({"type": "unsubscribed", "deployment": id}));
        wait_until("nothing is followed", || server.waiters(Transport::Websocket) == 0);
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
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let id = server.create().id;
        let other = server.create().id;
        let texts: Vec<_> = (1..=LINES).map(|number| format!("line {number}")).collect();
        let mut socket = enter(&server, &id, "");
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
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).start();
        let (here, there) = (server.create().id, server.create().id);
        let mut socket = enter(&server, &here, "");
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
    for engine in WebsocketEngine::ALL {
        let mut setup = Setup::driven_by(engine);
        setup.options.connections_max = 40;
        let server = setup.start();
        let mut socket = enter(&server, &server.create().id, "");
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
        let mut second = enter(&server, &server.create().id, "");
        for _ in 0..9 {
            command(&mut second, json!({"type": "subscribe", "deployment": server.create().id}));
            is_told(&mut second, json!({"type": "subscribed"}));
        }
        command(&mut second, json!({"type": "subscribe", "deployment": server.create().id}));
        assert_eq!(second.close_code(), Ok(1013), "{engine}");
        drop(second);
        drop(socket);
        wait_until("the rooms are free again", || server.waiters(Transport::Websocket) == 0);
    }
}
