//! Whole messages, however they are cut; and every violation with its code.

use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::exchange::upgrade::write_text_alone;

/// Makes a masked frame whose length takes `length_bytes` (0: in the seven bits).
fn frame_with_length(first: u8, length_bytes: usize, length: u64, payload: &[u8]) -> Vec<u8> {
    let seven = match length_bytes {
        0 => length as u8,
        2 => 126,
        _ => 127,
    };
    let mut bytes = vec![first, 0x80 | seven];
    bytes.extend(&length.to_be_bytes()[8 - length_bytes..]);
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length_bytes = match payload.len() {
        0..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    frame_with_length(first, length_bytes, payload.len() as u64, payload)
}

/// Returns the messages of `bytes` that arrive in pieces of `size`.
fn messages(bytes: &[u8], size: usize) -> Result<Vec<Message>, Violation> {
    messages_of(Longest::BODY, Inflating::Never, bytes, size)
}

fn messages_of(
    longest: Longest,
    inflating: Inflating,
    bytes: &[u8],
    size: usize,
) -> Result<Vec<Message>, Violation> {
    let mut messages = Messages::new(longest, inflating);
    let mut got = Vec::new();
    for piece in bytes.chunks(size) {
        messages.push(piece);
        while let Some(message) = messages.next()? {
            got.push(message);
        }
    }
    Ok(got)
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn messages_are_whole_however_they_are_cut() {
    let long = "x".repeat(70_000);
    let bytes = [
        frame(0x81, b"one"),
        frame(0x01, "f\u{fc}".as_bytes()),
        // A control frame may stand between fragments, and a code point may be split over them.
        frame(0x89, b"are you there"),
        frame(0x00, &"\u{1f600}".as_bytes()[..2]),
        frame(0x80, &"\u{1f600}".as_bytes()[2..]),
        frame(0x81, b""),
        frame(0x81, "x".repeat(126).as_bytes()),
        frame(0x81, long.as_bytes()),
        frame(0x8a, b"unasked"),
        frame(0x02, b"a"),
        frame(0x80, b"b"),
        frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
    ]
    .concat();
    let expected = vec![
        text("one"),
        Message::Ping(Bytes::from_static(b"are you there")),
        text("f\u{fc}\u{1f600}"),
        text(""),
        text(&"x".repeat(126)),
        text(&long),
        Message::Pong,
        Message::Binary,
        Message::Close(Some(CloseReason { code: CloseCode::Normal, description: Some("bye".into()) })),
    ];
    for size in [1, 2, 3, 7, 4096, bytes.len()] {
        assert_eq!(messages(&bytes, size).unwrap(), expected, "in pieces of {size}");
    }
}

#[test]
fn what_breaks_the_protocol_fails_the_connection_with_its_code() {
    let unmasked = vec![0x81, 1, b'x'];
    let big = BODY_BYTES_MAX as u64 + 1;
    let head_of = |first, length| frame_with_length(first, 8, length, b"");
    let halves = vec![b'x'; BODY_BYTES_MAX / 2 + 1];
    for (what, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("RSV1", frame(0xc1, b"x"), 1002),
        ("RSV2", frame(0xa1, b"x"), 1002),
        ("RSV3", frame(0x91, b"x"), 1002),
        ("opcode 3", frame(0x83, b"x"), 1002),
        ("opcode 11", frame(0x8b, b"x"), 1002),
        ("125 bytes in two length bytes", frame_with_length(0x81, 2, 125, &[b'x'; 125]), 1002),
        ("65 535 bytes in eight length bytes", head_of(0x81, 0xffff), 1002),
        ("a length above 2^63", head_of(0x81, 1 << 63), 1002),
        ("a long ping", frame(0x89, &[0; 126]), 1002),
        ("a long close", frame(0x88, &[0; 126]), 1002),
        ("a fragmented ping", frame(0x09, b"x"), 1002),
        ("a stray continuation", frame(0x80, b"x"), 1002),
        ("a message inside fragments", [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("a close of one byte", frame(0x88, &[3]), 1002),
        ("close code 999", frame(0x88, &999_u16.to_be_bytes()), 1002),
        ("close code 1005", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close code 1006", frame(0x88, &1006_u16.to_be_bytes()), 1002),
        ("close code 2999", frame(0x88, &2999_u16.to_be_bytes()), 1002),
        ("close code 5000", frame(0x88, &5000_u16.to_be_bytes()), 1002),
        ("a close reason that is not UTF-8", frame(0x88, &[3, 0xe8, 0xff]), 1007),
        ("text that is not UTF-8", frame(0x81, &[0xff]), 1007),
        ("half a code point", frame(0x81, &[0xc3]), 1007),
        ("a surrogate", frame(0x81, &[0xed, 0xa0, 0x80]), 1007),
        ("a frame that is too big, by its head alone", head_of(0x81, big), 1009),
        ("fragments that are too big", [frame(0x01, &halves), frame(0x80, &halves)].concat(), 1009),
    ] {
        let violation = messages(&bytes, 4096).expect_err(what);
        assert_eq!(u16::from(violation.code), code, "{what}: {}", violation.reason);
    }
}

/// Two messages of RFC 7692 §7.2.3, one of them in two fragments.
#[test]
fn compressed_messages_are_whole_however_they_are_cut() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let bytes = [
        frame(0xc1, &hello),
        frame(0x81, b"plain"),
        frame(0x41, &hello[..3]),
        frame(0x89, b"ping"),
        frame(0x80, &hello[3..]),
        frame(0xc2, &hello),
    ]
    .concat();
    let ping = Message::Ping(Bytes::from_static(b"ping"));
    let expected = [text("Hello"), text("plain"), ping, text("Hello"), Message::Binary];
    for size in [1, 2, 3, 7, bytes.len()] {
        let got = messages_of(Longest::BODY, Inflating::EachMessage, &bytes, size).unwrap();
        assert_eq!(got, expected, "in pieces of {size}");
    }
}

#[test]
fn what_breaks_the_rules_of_compression_fails_the_connection_with_its_code() {
    let longest = Longest { bytes: 200, reason: "200 bytes" };
    let bomb = {
        let mut frames = BytesMut::new();
        write_text_alone(&[b'x'; 201], &mut frames);
        frame(frames[0], &frames[2..])
    };
    for (what, bytes, code) in [
        ("a compressed ping", frame(0xc9, b""), 1002),
        ("a compressed close", frame(0xc8, b""), 1002),
        ("a compressed continuation", [frame(0x41, b"x"), frame(0xc0, b"y")].concat(), 1002),
        ("an unknown opcode", frame(0xc3, b"x"), 1002),
        ("RSV2", frame(0xe1, b"x"), 1002),
        ("RSV3", frame(0xd1, b"x"), 1002),
        ("garbage", frame(0xc1, &[0xff; 20]), 1007),
        ("text that is not UTF-8", frame(0xc1, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00]), 1007),
        ("a bomb", bomb, 1009),
    ] {
        let violation = messages_of(longest, Inflating::EachMessage, &bytes, 3).expect_err(what);
        assert_eq!(u16::from(violation.code), code, "{what}: {}", violation.reason);
    }
}

#[test]
fn the_largest_message_is_taken() {
    let whole = vec![b'x'; BODY_BYTES_MAX];
    assert_eq!(messages(&frame(0x82, &whole), 1 << 16).unwrap(), [Message::Binary]);
}

#[test]
fn a_socket_may_take_less() {
    let longest = Longest { bytes: 200, reason: "200 bytes" };
    let whole = frame(0x81, &[b'x'; 200]);
    assert_eq!(messages_of(longest, Inflating::Never, &whole, 7).unwrap(), [text(&"x".repeat(200))]);
    let parts = [frame(0x01, &[b'x'; 100]), frame(0x80, &[b'x'; 101])].concat();
    for longer in [frame_with_length(0x81, 2, 201, b""), parts] {
        let violation = messages_of(longest, Inflating::Never, &longer, 7).unwrap_err();
        assert_eq!((violation.code, violation.reason), (CloseCode::Size, "200 bytes"));
    }
}

#[test]
fn a_close_may_say_nothing_or_a_code_of_ones_own() {
    let reason = |code: u16| Message::Close(Some(CloseReason { code: code.into(), description: None }));
    assert_eq!(messages(&frame(0x88, b""), 9).unwrap(), [Message::Close(None)]);
    for code in [1000_u16, 1001, 1011, 3000, 4999] {
        assert_eq!(messages(&frame(0x88, &code.to_be_bytes()), 9).unwrap(), [reason(code)]);
    }
}

proptest! {
    /// A client that compresses what it likes, in as many fragments as it likes.
    #[test]
    fn any_compressed_texts_survive_any_cut(
        texts in proptest::collection::vec("([a-z ]{0,40}.{0,200}){0,3}", 1..8),
        is_compressed in proptest::collection::vec(any::<bool>(), 8),
        fragment in 1..200_usize,
        piece in 1..300_usize,
    ) {
        let mut bytes = BytesMut::new();
        for (written, is_compressed) in texts.iter().zip(is_compressed) {
            let mut whole = BytesMut::new();
            if is_compressed {
                write_text_alone(written.as_bytes(), &mut whole);
            } else {
                Parser::write_message(&mut whole, written, OpCode::Text, true, false);
            }
            let head = match whole[1] { 126 => 4, 127 => 10, _ => 2 };
            let payload = whole.split_off(head);
            let count = payload.len().div_ceil(fragment).max(1);
            for at in 0..count {
                let part = &payload[at * fragment..payload.len().min((at + 1) * fragment)];
                let fin = if at + 1 == count { 0x80 } else { 0 };
                let first = if at == 0 { whole[0] & 0x7f } else { 0 };
                bytes.put_slice(&frame(fin | first, part));
            }
        }
        let got = messages_of(Longest::BODY, Inflating::EachMessage, &bytes, piece).unwrap();
        let expected: Vec<_> = texts.iter().map(|written| text(written)).collect();
        prop_assert_eq!(got, expected);
    }
}
