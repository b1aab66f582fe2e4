//! The upgrades that a client offers on a new connection: a list that has a WebSocket in it is reduced to that.
//!
//! A server may take any protocol of the list (RFC 9110 §7.8). actix hands the bytes of an upgraded connection over only
//! if the word stands alone, so the connection changes the bytes of the first head before the codec sees them. Pure.

/// Blanks the other protocols of an `Upgrade` field in the first bytes of a connection. Changes no length, and nothing
/// but such a field. A head that is not there as a whole is changed as far as it is there.
pub(super) fn single_out_websocket(first: &mut [u8]) {
    if !first.starts_with(b"GET ") {
        return;
    }
    let mut at = 0;
    while let Some(length) = first[at..].windows(2).position(|end| end == b"\r\n") {
        let line = &mut first[at..at + length];
        if line.is_empty() {
            return;
        }
        if let Some(colon) = line.iter().position(|byte| *byte == b':')
            && line[..colon].eq_ignore_ascii_case(b"upgrade")
        {
            single_out(&mut line[colon + 1..]);
        }
        at += length + 2;
    }
}

fn single_out(offered: &mut [u8]) {
    const WEBSOCKET: &[u8] = b"websocket";
    let is_offered = |word: &[u8]| word.trim_ascii().eq_ignore_ascii_case(WEBSOCKET);
    if offered.contains(&b',') && offered.split(|byte| *byte == b',').any(is_offered) {
        offered.fill(b' ');
        offered[..WEBSOCKET.len()].copy_from_slice(WEBSOCKET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_a_websocket_becomes_one_and_nothing_else_is_changed() {
        let changed = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            single_out_websocket(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        let head = |upgrade: &str| {
            format!("GET / HTTP/1.1\r\nHost: x\r\nuPgRaDe:{upgrade}\r\nA: b, websocket\r\n\r\n")
        };
        assert_eq!(changed(&head(" h2c, WebSocket")), head("websocket      "));
        assert_eq!(changed(&head("websocket,h2c")), head("websocket    "));
        for same in [
            head(" websocket"),
            head(" h2c, xwebsocketx"),
            head(" h2c"),
            head(""),
            "POST / HTTP/1.1\r\nUpgrade: h2c, websocket\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\n\r\nUpgrade: h2c, websocket\r\n".to_owned(),
            "GET / HTTP/1.1\r\nUpgrade: h2c, webso".to_owned(),
            String::new(),
        ] {
            assert_eq!(changed(&same), same);
        }
    }
}
