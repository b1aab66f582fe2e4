//! The parser of answers: bytes of a connection in, the answer to a request out.
//!
//! Used by the publisher's reading thread. A body ends by its length, by its last chunk or with the connection: all
//! that HTTP/1.1 allows a server (RFC 9112 §6.3). Only wirelab's own servers are known to send a length.

/// Most bytes of one answer: a 201 has about 200.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_HEADERS_MAX: usize = 64;

/// An answer that has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the server closes the connection after this answer.
    pub(super) closes: bool,
    /// Bytes of the answer in the stream.
    pub(super) length: usize,
}

/// State of a connection: whether more bytes may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Open,
    Closed,
}

/// Parses the first answer in `received`. `None`: it has not arrived whole.
pub(super) fn parse(received: &[u8], connection: Connection) -> Result<Option<Answer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; ANSWER_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(received) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer is not HTTP: {error}")),
    };
    let status = response.code.expect("a complete head has a status");
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let has = |name: &str, word: &str| {
        let words = header(name).into_iter().flat_map(|value| value.split(','));
        words.into_iter().any(|found| found.trim().eq_ignore_ascii_case(word))
    };
    let body = &received[head..];
    let old = response.version == Some(0);
    let closes = has("connection", "close") || old && !has("connection", "keep-alive");
    let whole = |body: Vec<u8>, length: usize, closes: bool| {
        Ok(Some(Answer { status, body, closes, length: head + length }))
    };
    if status < 200 || status == 204 || status == 304 {
        return whole(Vec::new(), 0, closes);
    }
    if has("transfer-encoding", "chunked") {
        return match dechunk(body)? {
            Some((body, length)) => whole(body, length, closes),
            None => Ok(None),
        };
    }
    match header("content-length") {
        Some(length) => {
            let length: usize = length
                .parse()
                .map_err(|_| format!("the server sent an invalid Content-Length, {length:?}"))?;
            match body.get(..length) {
                Some(body) => whole(body.to_vec(), length, closes),
                None => Ok(None),
            }
        }
        None if !closes => Err(format!(
            "an answer with status {status} has no Content-Length, no chunks and no Connection: close"
        )),
        None => match connection {
            Connection::Closed => whole(body.to_vec(), body.len(), true),
            Connection::Open => Ok(None),
        },
    }
}

/// Joins the chunks of a body (RFC 9112 §7.1). Returns it with the bytes that the chunks took. `None`: the last chunk
/// has not arrived.
fn dechunk(mut bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let all = bytes.len();
    let mut body = Vec::new();
    let wrong = || "the server sent an answer with invalid chunks".to_owned();
    loop {
        let (head, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(parsed)) => parsed,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(wrong()),
        };
        bytes = &bytes[head..];
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= ANSWER_BYTES_MAX).ok_or_else(wrong)?;
        let Some(chunk) = bytes.get(..size + 2) else { return Ok(None) };
        body.extend_from_slice(chunk.strip_suffix(b"\r\n").ok_or_else(wrong)?);
        bytes = &bytes[size + 2..];
    }
    // Skips the trailers, which end with an empty line.
    loop {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        bytes = &bytes[end + 2..];
        if end == 0 {
            return Ok(Some((body, all - bytes.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns status, body, whether the server closes, and how many bytes are left.
    fn told(bytes: &str, connection: Connection) -> Option<(u16, String, bool, usize)> {
        let answer = parse(bytes.as_bytes(), connection).unwrap()?;
        let left = bytes.len() - answer.length;
        Some((answer.status, String::from_utf8(answer.body).unwrap(), answer.closes, left))
    }

    #[test]
    fn an_answer_ends_as_http_lets_it_end() {
        use Connection::{Closed, Open};
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n";
        let next = "HTTP/1.1";
        for (bytes, connection, expected) in [
            (
                "HTTP/1.1 201 C\r\nContent-Length: 2\r\n\r\nab".to_owned() + next,
                Open,
                Some((201, "ab", false, 8)),
            ),
            ("HTTP/1.1 204 N\r\n\r\n".to_owned() + next, Open, Some((204, "", false, 8))),
            ("HTTP/1.1 100 C\r\n\r\n".to_owned() + next, Open, Some((100, "", false, 8))),
            (chunked.to_owned() + next, Open, Some((200, "abcde", false, 8))),
            (
                "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n".into(),
                Open,
                Some((200, "", true, 0)),
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n".into(), Open, Some((200, "", true, 0))),
            ("HTTP/1.0 200 OK\r\n\r\nab".into(), Open, None),
            ("HTTP/1.0 200 OK\r\n\r\nab".into(), Closed, Some((200, "ab", true, 0))),
            ("HTTP/1.1 201 C\r\nContent-Length: 3\r\n\r\nab".into(), Closed, None),
        ] {
            let expected =
                expected.map(|(status, body, closes, left)| (status, body.to_owned(), closes, left));
            assert_eq!(told(&bytes, connection), expected, "{bytes:?}");
        }
        for cut in 0..chunked.len() {
            assert_eq!(told(&chunked[..cut], Open), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
        ] {
            assert!(parse(bytes.as_bytes(), Connection::Open).is_err(), "{bytes:?}");
        }
    }
}
