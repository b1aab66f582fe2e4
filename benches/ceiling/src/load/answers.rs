//! Reads one HTTP/1.1 answer off the begin of a buffer, for the publisher and the polls. It opens no connection.

/// More fields than any measured server sends.
const FIELDS_MAX: usize = 48;
/// Longest body of an answer: 512 of wirelab's lines with their names, several times over.
const BODY_BYTES_MAX: usize = 8 << 20;

/// A whole answer.
pub(crate) struct Answer<'buffer> {
    pub(crate) status: u16,
    /// The fields, as they came.
    pub(crate) fields: Vec<(&'buffer str, &'buffer [u8])>,
    pub(crate) body: &'buffer [u8],
    /// Bytes of all of it.
    pub(crate) bytes: usize,
}

/// The first answer in `buffer`, or nothing while it is not whole.
pub(crate) fn answer(buffer: &[u8]) -> Result<Option<Answer<'_>>, String> {
    let Some((status, fields, head)) = head(buffer)? else { return Ok(None) };
    let has_body = status >= 200 && status != 204 && status != 304;
    let field =
        |name: &str| fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|found| found.1);
    if has_body && field("transfer-encoding").is_some() {
        return Err(
            "an answer comes in chunks, which this client does not read; give it a content-length".into()
        );
    }
    let length = match field("content-length") {
        Some(length) if has_body => std::str::from_utf8(length)
            .ok()
            .and_then(|length| length.trim().parse().ok())
            .filter(|length| *length <= BODY_BYTES_MAX)
            .ok_or("an answer has an invalid content-length, or one above 8 MiB")?,
        Some(_) | None => 0,
    };
    let body = buffer.get(head..head + length);
    Ok(body.map(|body| Answer { status, fields, body, bytes: head + length }))
}

type Head<'buffer> = (u16, Vec<(&'buffer str, &'buffer [u8])>, usize);

/// Status, fields and length of the head, or nothing while it is not whole.
pub(crate) fn head(buffer: &[u8]) -> Result<Option<Head<'_>>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => {
            let fields = response.headers.iter().map(|field| (field.name, field.value)).collect();
            Ok(Some((response.code.unwrap_or_default(), fields, head)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(format!("the server sent no HTTP answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_answers_are_read_one_by_one() {
        let buffer =
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nNext: 7\r\n\r\nokHTTP";
        let first = answer(buffer).unwrap().unwrap();
        assert_eq!((first.status, first.body, first.bytes), (204, b"".as_slice(), 27));
        let second = answer(&buffer[first.bytes..]).unwrap().unwrap();
        assert_eq!(
            (second.status, second.body, second.fields[1]),
            (200, b"ok".as_slice(), ("Next", b"7".as_slice()))
        );
        assert!(answer(&buffer[first.bytes + second.bytes..]).unwrap().is_none());
        assert!(answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
