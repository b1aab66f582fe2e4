//! What fits into an event of an event stream: computed with the parser of wirelab's client, without a run.

use wirelab_clients::event_stream::EventStreamParser;

/// Counts the byte values that pass unchanged through the data of an event. A stream is UTF-8, and its lines end at
/// CR and LF (WHATWG HTML §9.2.5).
pub(super) fn bytes_through_an_event() -> usize {
    (0..=u8::MAX).filter(|byte| through_an_event(*byte)).count()
}

fn through_an_event(byte: u8) -> bool {
    let stream = [b"data: <".as_slice(), &[byte], b">\n\n"].concat();
    let mut events = Vec::new();
    let parsed = EventStreamParser::new("").push(&stream, &mut events);
    let came = events.first().map(|event| event.data.as_bytes());
    parsed.is_ok() && came == Some([b"<".as_slice(), &[byte], b">"].concat().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_comes_through_but_for_the_two_line_ends() {
        let lost: Vec<u8> = (0..=127).filter(|byte| !through_an_event(*byte)).collect();
        assert_eq!(lost, b"\n\r");
        assert_eq!(bytes_through_an_event(), 126);
    }
}
