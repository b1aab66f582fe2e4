//! Tests of the session's rules as data: what a client sends and what follows, without a socket.

use actix_http::ws::CloseReason;
use bytes::Bytes;
use serde_json::{Value, json};
use wirelab_clients::wire::{Gap, Status};

use super::*;
use crate::store::StoreError;

const ONE: &str = "01k3aaaaaa";
const TWO: &str = "01k3bbbbbb";

fn id(id: &str) -> DeploymentId {
    id.parse().unwrap()
}

fn cursor(after: u64) -> Cursor {
    Cursor { epoch: "k3x9".parse().unwrap(), after }
}

/// Makes a session in room `ONE` at `k3x9.0` whose greeting is already taken.
fn session() -> Session {
    let mut session = Session::greet(id(ONE), cursor(0), Duration::from_secs(15));
    session.take_output();
    session
}

/// Sends a command. Returns what the session sends and its effect on the rooms.
fn told(session: &mut Session, command: Value) -> (Vec<Value>, Option<Effect>) {
    let effect = session.receive(Message::Text(command.to_string()), 7);
    (said(session), effect)
}

/// Returns all that the session sends now: JSON frames as they are, other frames as a word.
fn said(session: &mut Session) -> Vec<Value> {
    let word = |outgoing| match outgoing {
        Outgoing::Frame(frame) => serde_json::to_value(frame).unwrap(),
        Outgoing::Lines(batch) => json!({"lines": batch.line_count}),
        Outgoing::Control(ControlFrame::Ping) => json!("ping"),
        Outgoing::Control(ControlFrame::Pong(payload)) => json!({"pong": &payload[..]}),
        Outgoing::Control(ControlFrame::Close(None)) => json!("close"),
        Outgoing::Control(ControlFrame::Close(Some(reason))) => json!({"close": u16::from(reason.code)}),
    };
    session.take_output().map(word).collect()
}

fn status_of(frame: &Value) -> u64 {
    assert_eq!(frame["type"], "error", "{frame}");
    frame["problem"]["status"].as_u64().unwrap()
}

/// Sends a command that needs I/O, passes in the answer, and returns what the session sends.
fn carried_out(session: &mut Session, command: Value, answer: impl FnOnce(Ask) -> Answer) -> Vec<Value> {
    match told(session, command) {
        (said, Some(Effect::Ask(ask))) if said.is_empty() => session.answer(answer(ask)),
        other => panic!("{other:?}"),
    }
    said(session)
}

fn subscribed_at(after: u64) -> impl FnOnce(Ask) -> Answer {
    move |ask| match ask {
        Ask::Subscribe(room, _, reference) => Answer::Subscribed(room, Ok(cursor(after)), reference),
        Ask::Publish(..) => panic!("{ask:?}"),
    }
}

fn batch(up_to: u64, line_count: usize, finished: Option<Status>) -> Result<FramedBatch, ReadError> {
    Ok(FramedBatch { bytes: Bytes::new(), line_count, next: cursor(up_to), is_full: false, finished })
}

#[test]
fn the_path_s_room_is_live_at_once() {
    let mut session = Session::greet(id(ONE), cursor(41), Duration::from_secs(15));
    let greeting = [
        json!({"type": "hello", "heartbeat_s": 15}),
        json!({"type": "subscribed", "deployment": ONE, "cursor": "k3x9.41"}),
    ];
    assert_eq!(said(&mut session), greeting);
    session.deliver(id(ONE), batch(42, 1, None));
    assert_eq!(said(&mut session), [json!({"lines": 1})]);
}

#[test]
fn a_room_is_entered_and_left_and_the_answers_carry_the_ref() {
    let mut session = session();
    let subscribe = json!({"type": "subscribe", "deployment": TWO, "from": "k3x9.5", "ref": {"a": [1]}});
    let said = carried_out(&mut session, subscribe.clone(), |ask| {
        let position = Position::After(cursor(5));
        assert_eq!(ask, Ask::Subscribe(id(TWO), position, Some(json!({"a": [1]}))));
        subscribed_at(5)(ask)
    });
    let entered = json!({"type": "subscribed", "deployment": TWO, "cursor": "k3x9.5", "ref": {"a": [1]}});
    assert_eq!(said, [entered]);
    assert_eq!(status_of(&told(&mut session, subscribe).0[0]), 409, "it is followed already");

    session.deliver(id(TWO), batch(9, 4, None));
    session.take_output();
    let unsubscribe = json!({"type": "unsubscribe", "deployment": TWO, "ref": 0});
    let left = json!({"type": "unsubscribed", "deployment": TWO, "cursor": "k3x9.9", "ref": 0});
    assert_eq!(told(&mut session, unsubscribe.clone()), (vec![left], Some(Effect::Leave(id(TWO)))));
    // Lines that were read before are no longer sent.
    session.deliver(id(TWO), batch(10, 1, None));
    assert_eq!(session.take_output().len(), 0);
    assert_eq!(status_of(&told(&mut session, unsubscribe).0[0]), 404, "it is not followed any more");
}

#[test]
fn every_refused_command_is_an_error_frame_with_status_and_ref() {
    let session = &mut session();
    for (command, status) in [
        (json!({"type": "fly"}), 400),
        (json!({}), 400),
        (json!({"type": "subscribe"}), 400),
        (json!({"type": "subscribe", "deployment": 7}), 400),
        (json!({"type": "subscribe", "deployment": "?"}), 404),
        (json!({"type": "subscribe", "deployment": TWO, "from": ""}), 400),
        (json!({"type": "subscribe", "deployment": TWO, "from": "k3x9.01"}), 400),
        (json!({"type": "subscribe", "deployment": TWO, "from": 4}), 400),
        (json!({"type": "subscribe", "deployment": ONE}), 409),
        (json!({"type": "unsubscribe", "deployment": "?"}), 404),
        (json!({"type": "publish", "deployment": ONE}), 400),
        (json!({"type": "publish", "deployment": "", "text": "x"}), 404),
    ] {
        let mut command = command;
        command["ref"] = json!("r");
        let (said, effect) = told(session, command.clone());
        assert_eq!((said.len(), effect), (1, None), "{command:.80}");
        assert_eq!(status_of(&said[0]), status, "{command:.80}: {}", said[0]);
        assert_eq!(said[0]["ref"], "r", "{command:.80}");
    }
    // The answer is bounded, whatever was sent.
    let long = "\u{200b}".repeat(1 << 20);
    for long in [
        json!({"type": long}),
        json!({"type": "unsubscribe", "deployment": long}),
        json!({"type": "subscribe", "deployment": long}),
        json!({"type": "publish", "deployment": long, "text": "x"}),
        json!({"type": "ping", "ref": long}),
    ] {
        let (said, _) = told(session, long);
        status_of(&said[0]);
        assert!(said[0].to_string().len() < 8 << 10, "{:.200}", said[0].to_string());
    }
    for no_command in ["", "{", "7", "null", "[\"ping\"]", "\"ping\"", "{\"type\":\"ping\"} x"] {
        session.receive(Message::Text(no_command.to_owned()), 7);
        assert_eq!(status_of(&said(session)[0]), 400, "{no_command}");
    }
    assert_eq!(session.phase(), Phase::Open);
}

#[test]
fn what_the_server_refuses_comes_back_with_its_problem() {
    let mut session = session();
    let problem = Refusal::gone(Gap { earliest: cursor(3), latest: cursor(9) }, "gone").problem().clone();
    let said =
        carried_out(
            &mut session,
            json!({"type": "subscribe", "deployment": TWO, "ref": 1}),
            |ask| match ask {
                Ask::Subscribe(room, _, reference) => Answer::Subscribed(room, Err(problem), reference),
                Ask::Publish(..) => panic!("{ask:?}"),
            },
        );
    assert_eq!((status_of(&said[0]), &said[0]["ref"]), (410, &json!(1)));
    assert_eq!(
        (&said[0]["problem"]["earliest"], &said[0]["problem"]["latest"]),
        (&json!("k3x9.3"), &json!("k3x9.9"))
    );
    assert_eq!(
        told(&mut session, json!({"type": "unsubscribe", "deployment": TWO})).1,
        None,
        "it was not entered"
    );
}

#[test]
fn published_text_is_passed_on_as_it_came() {
    let mut session = session();
    let publish = json!({"type": "publish", "deployment": TWO, "text": "a\r\nb\n", "ref": "p"});
    let said = carried_out(&mut session, publish, |ask| match ask {
        Ask::Publish(room, text, reference) => {
            assert_eq!(text, "a\r\nb\n");
            Answer::Published(room, Ok(Appended { first: 8, last: 9, cursor: cursor(9) }), reference)
        }
        Ask::Subscribe(..) => panic!("{ask:?}"),
    });
    assert_eq!(said, [json!({"type": "published", "deployment": TWO, "first": 8, "last": 9, "ref": "p"})]);
}

#[test]
fn pings_pause_and_resume_are_passed_on() {
    let session = &mut session();
    assert_eq!(told(session, json!({"type": "pause", "ref": 1})), (vec![], Some(Effect::Pause)));
    let pong = json!({"type": "pong", "at_us": 7, "ref": 2});
    assert_eq!(told(session, json!({"type": "ping", "ref": 2})), (vec![pong], None));
    assert_eq!(told(session, json!({"type": "resume"})), (vec![], Some(Effect::Resume)));
    session.receive(Message::Ping(Bytes::from_static(b"hi")), 7);
    session.receive(Message::Pong, 7);
    assert_eq!(said(session), [json!({"pong": b"hi"})]);
}

#[test]
fn a_socket_ends_when_a_room_is_over_and_none_is_live() {
    type Over = fn() -> Result<FramedBatch, ReadError>;
    let overs: [(Over, &str); 4] = [
        (|| batch(1, 1, Some(Status::Succeeded)), "finished"),
        (|| batch(0, 0, Some(Status::Failed)), "finished"),
        (|| Err(ReadError::Gap(Gap { earliest: cursor(3), latest: cursor(9) })), "gap"),
        (|| Err(ReadError::Deleted(id(ONE))), "deleted"),
    ];
    for (over, kind) in overs {
        let mut session = session();
        carried_out(&mut session, json!({"type": "subscribe", "deployment": TWO}), subscribed_at(0));
        session.deliver(id(ONE), over());
        assert_eq!(said(&mut session).last().unwrap()["type"], kind);
        assert!(!session.is_over(), "a room is live");
        session.deliver(id(TWO), batch(0, 0, Some(Status::Succeeded)));
        assert!(session.is_over());
        session.take_output();
        // A command that has already arrived is answered, and may even enter a room.
        carried_out(&mut session, json!({"type": "subscribe", "deployment": ONE}), subscribed_at(0));
        assert!(!session.is_over());
        session.deliver(id(ONE), batch(0, 0, Some(Status::Succeeded)));
        session.take_output();
        session.settle();
        assert_eq!((said(&mut session), session.phase()), (vec![json!({"close": 1000})], Phase::Closing));
        assert!(!session.is_over(), "once is enough");
    }
}

#[test]
fn a_socket_whose_rooms_were_only_left_stays_open() {
    let mut session = session();
    told(&mut session, json!({"type": "unsubscribe", "deployment": ONE}));
    assert!(!session.is_over());
    carried_out(&mut session, json!({"type": "subscribe", "deployment": TWO}), subscribed_at(0));
    session.deliver(id(TWO), batch(0, 0, Some(Status::Succeeded)));
    assert!(session.is_over(), "now one is over, and none is live");
}

#[test]
fn a_socket_has_a_bound_on_its_rooms() {
    let mut session = session();
    let room = |number: usize| json!({"type": "subscribe", "deployment": format!("room{number:06}")});
    for number in 1..ROOMS_MAX {
        carried_out(&mut session, room(number), subscribed_at(0));
    }
    assert_eq!(status_of(&told(&mut session, room(ROOMS_MAX)).0[0]), 429);
    told(&mut session, json!({"type": "unsubscribe", "deployment": ONE}));
    carried_out(&mut session, room(ROOMS_MAX), subscribed_at(0));
}

#[test]
fn each_way_to_close_has_its_code() {
    type Close = fn(&mut Session);
    let closes: [(Close, u16); 6] = [
        (|session| session.shut_down(), 1001),
        (|session| session.violate(Violation { code: CloseCode::Protocol, reason: "" }), 1002),
        (|session| drop(session.receive(Message::Binary, 7)), 1003),
        (
            |session| {
                for _ in 0..=2 {
                    session.fall_silent();
                }
            },
            1008,
        ),
        (
            |session| {
                let path = "data".into();
                let error = StoreError::Corrupt { path, offset: 0, what: "nothing".to_owned() };
                session.deliver(id(ONE), Err(ReadError::Store(error)));
            },
            1011,
        ),
        (|session| session.answer(Answer::Overloaded), 1013),
    ];
    for (close, code) in closes {
        let mut session = session();
        close(&mut session);
        assert_eq!(said(&mut session).last(), Some(&json!({"close": code})));
        assert_eq!(session.phase(), Phase::Closing);
        // Nothing more is sent or done until the client answers.
        session.shut_down();
        session.fall_silent();
        assert_eq!(told(&mut session, json!({"type": "ping"})), (vec![], None));
        session.receive(Message::Close(None), 7);
        assert_eq!((said(&mut session), session.phase()), (vec![], Phase::Closed));
    }
}

#[test]
fn a_client_s_close_is_echoed_and_its_silence_forgiven_when_it_speaks() {
    let mut first = session();
    let description = Some("enough".to_owned());
    first.receive(Message::Close(Some(CloseReason { code: CloseCode::Other(4000), description })), 7);
    assert_eq!((said(&mut first), first.phase()), (vec![json!({"close": 4000})], Phase::Closed));

    let mut second = session();
    for _ in 0..6 {
        second.fall_silent();
        second.receive(Message::Pong, 7);
    }
    assert!(said(&mut second).iter().all(|said| said == "ping"));
    second.vanish();
    assert_eq!(second.phase(), Phase::Closed);
}
