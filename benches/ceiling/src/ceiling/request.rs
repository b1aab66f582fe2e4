//! Just enough of HTTP/1.1 to know what is asked. The connections of the ceiling server parse with it. It answers nothing.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

use crate::feed::Framing;

/// More fields than any client here sends.
const FIELDS_MAX: usize = 32;
/// Longest head: a client that sends more speaks something else.
pub(crate) const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest body: a batch of 1,000 lines of 100 bytes, several times over.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// What RFC 6455 has a server append to the client's key.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a request asks for.
pub(crate) enum Ask<'input> {
    /// A body with one line, or with one line after another.
    Publish {
        body: &'input [u8],
        is_batch: bool,
    },
    /// A stream from now on; with the head of its answer.
    Stream {
        framing: Framing,
        head: Vec<u8>,
    },
    /// The lines after the first `from` ones, now or when there is one.
    Poll {
        from: u64,
        waits: bool,
    },
    Unknown,
}

pub(crate) enum Parsed<'input> {
    /// A request, and the number of bytes that it took.
    Whole(Ask<'input>, usize),
    Partial,
    /// What no client here sends: the connection is closed.
    Invalid,
}

pub(crate) fn parse(input: &[u8]) -> Parsed<'_> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head = match request.parse(input) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => return Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Parsed::Invalid,
    };
    let field = |name: &str| {
        let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let length = match field("content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(length)) if length <= BODY_BYTES_MAX => length,
        Some(_) => return Parsed::Invalid,
    };
    let Some(body) = input.get(head..head + length) else { return Parsed::Partial };
    let (path, query) =
        request.path.unwrap_or_default().split_once('?').unwrap_or((request.path.unwrap_or_default(), ""));
    let ask = match path {
        "/lines" => Ask::Publish { body, is_batch: field("content-type") == Some("application/x-ndjson") },
        "/sse" => stream(Framing::Sse, "text/event-stream"),
        "/ndjson" => stream(Framing::Ndjson, "application/x-ndjson"),
        "/websocket" => Ask::Stream {
            framing: Framing::WebSocket,
            head: switching(field("sec-websocket-key").unwrap_or_default()),
        },
        "/poll" => {
            let value =
                |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            let from = value("from").and_then(|from| from.parse().ok()).unwrap_or(0);
            Ask::Poll { from, waits: value("wait").is_some() }
        }
        _ => Ask::Unknown,
    };
    Parsed::Whole(ask, head + length)
}

/// A body that ends with the connection, so that nothing but the lines themselves is written.
fn stream(framing: Framing, content_type: &str) -> Ask<'static> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
    Ask::Stream { framing, head: head.into_bytes() }
}

fn switching(key: &str) -> Vec<u8> {
    let accept =
        BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(WEBSOCKET_GUID).finalize());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_answers_as_the_example_of_the_standard() {
        let head = String::from_utf8(switching("dGhlIHNhbXBsZSBub25jZQ==")).unwrap();
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    }

    #[test]
    fn a_body_is_waited_for_and_the_next_request_left() {
        let input =
            b"POST /lines HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /poll?from=7&wait=1 HTTP/1.1\r\n\r\n";
        assert!(matches!(parse(&input[..45]), Parsed::Partial));
        let Parsed::Whole(Ask::Publish { body: b"abc", is_batch: false }, used) = parse(input) else {
            panic!("not a line")
        };
        assert!(matches!(parse(&input[used..]), Parsed::Whole(Ask::Poll { from: 7, waits: true }, _)));
    }
}
