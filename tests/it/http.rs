//! HTTP and WebSocket by hand, blocking, over a plain socket: the bytes that a test sends are the bytes on the wire.
//!
//! Independent of the clients on purpose: a mistake that server and clients share must not hide here.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;
use wirelab_clients::wire::{
    Appended, Batch, Deployment, DeploymentId, Problem, ServerFrame, Status, Transport,
};

/// Nothing here takes long; whatever hangs must fail.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Opcodes of RFC 6455 §5.2.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;

/// Extra header fields of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer, with its body if that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(head: &str) -> io::Result<Self> {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status.and_then(|line| line.get(..3)?.parse().ok()).ok_or_else(|| bad(head))?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or_else(|| bad(line))?;
                Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { status, headers, body: Vec::new() })
    }

    /// One that came in another way.
    pub(crate) fn of(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, body }
    }

    /// The one field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "header {name} stands twice in {self:?}");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {} {}", self.status, String::from_utf8_lossy(&self.body)),
        }
    }

    /// The problem document, checked to be one.
    pub(crate) fn problem(&self) -> Result<Problem, String> {
        if self.header("content-type") != Some("application/problem+json") {
            return Err(format!("{} is no problem document: {:?}", self.status, self.headers));
        }
        let problem: Problem = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        if problem.status != self.status || problem.detail.is_empty() {
            return Err(format!("a problem of {} that says {problem:?}", self.status));
        }
        if self.header("cache-control") != Some("no-store") {
            return Err(format!("a problem that may be stored: {:?}", self.headers));
        }
        Ok(problem)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no HTTP/1.1: {what:?}"))
}

fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// One TCP connection and what was read of it too early.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    authority: String,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(authority: &str, patience: Duration) -> io::Result<Self> {
        Self::over(TcpStream::connect(authority)?, authority, patience)
    }

    /// A connection that is there already.
    pub(crate) fn over(socket: TcpStream, authority: &str, patience: Duration) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(SOON))?;
        Ok(Self { socket, authority: authority.to_owned(), unread: Vec::new() })
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: Headers, body: &[u8]) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if matches!(method, "POST" | "PUT") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.socket.write_all(&bytes)
    }

    /// The head of the next answer.
    pub(crate) fn head(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            self.fill()?;
        };
        let head = self.take(end + 4)?;
        Answer::parse(std::str::from_utf8(&head[..end]).map_err(|_| bad("bytes"))?)
    }

    /// The next whole answer; `method` decides whether it has a body.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let head = self.head()?;
        self.body_of(head, method)
    }

    /// What follows a head.
    pub(crate) fn body_of(&mut self, mut answer: Answer, method: &str) -> io::Result<Answer> {
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(piece) = self.piece()? {
                answer.body.extend_from_slice(&piece);
            }
        } else {
            let length = answer.header("content-length").and_then(|length| length.parse().ok());
            answer.body = self.take(length.ok_or_else(|| bad("a body without length"))?)?;
        }
        Ok(answer)
    }

    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers,
        body: &[u8],
    ) -> io::Result<Answer> {
        self.send(method, path, headers, body)?;
        self.answer(method)
    }

    /// The next chunk of a chunked body; `None` at its proper end.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\r\n") {
                break end;
            }
            self.fill()?;
        };
        let size = self.take(end + 2)?;
        let size =
            std::str::from_utf8(&size[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| bad("chunk size"))?;
        let mut chunk = self.take(size + 2)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.fill()?;
        }
        let rest = self.unread.split_off(count);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65_536];
        match self.socket.read(&mut buffer)? {
            0 => Err(cut()),
            count => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    /// Whether the server closes the connection, and sends nothing more before.
    pub(crate) fn is_closed_by_server(&mut self) -> bool {
        self.unread.is_empty() && matches!(self.socket.read(&mut [0]), Ok(0))
    }

    /// Whether the server is gone from the connection, and sent nothing more before. A server whose process ends at
    /// the moment at which the client's last bytes arrive resets the connection instead of closing it: it will never
    /// read them.
    pub(crate) fn is_left_by_server(&mut self) -> Result<(), String> {
        if !self.unread.is_empty() {
            return Err(format!("sent {} bytes more", self.unread.len()));
        }
        match self.socket.read(&mut [0]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Ok(_) => Err("sent more".to_owned()),
            Err(error) => Err(format!("is still connected: {error}")),
        }
    }
}

/// The body of an endless answer.
pub(crate) struct Stream {
    pub(crate) head: Answer,
    pub(crate) connection: Connection,
    text: String,
}

impl Stream {
    /// Reads until `needle` has arrived; everything so far.
    pub(crate) fn until(&mut self, needle: &str) -> Result<&str, String> {
        while !self.text.contains(needle) {
            match self.connection.piece() {
                Ok(Some(piece)) => self.text.push_str(&String::from_utf8_lossy(&piece)),
                Ok(None) => return Err(format!("{needle:?} never came; the body was {:?}", self.text)),
                Err(error) => return Err(format!("{needle:?} did not come: {error}, after {:?}", self.text)),
            }
        }
        Ok(&self.text)
    }

    /// Reads to the proper end of the body; everything.
    pub(crate) fn rest(mut self) -> Result<String, String> {
        loop {
            match self.connection.piece() {
                Ok(Some(piece)) => self.text.push_str(&String::from_utf8_lossy(&piece)),
                Ok(None) => return Ok(self.text),
                Err(error) => return Err(format!("the body was cut: {error}, after {:?}", self.text)),
            }
        }
    }
}

/// An upgraded connection.
pub(crate) struct Socket {
    pub(crate) head: Answer,
    pub(crate) connection: Connection,
}

impl Socket {
    /// The next frame: opcode and payload.
    pub(crate) fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let (first, payload) = self.marked_frame()?;
        Ok((first & 0x0f, payload))
    }

    /// The next frame: its first byte, with the reserved bits, and its payload.
    pub(crate) fn marked_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let head = self.connection.take(2)?;
        assert!(head[0] & 0x80 != 0 && head[1] & 0x80 == 0, "the server sends whole, unmasked frames");
        let length = match head[1] {
            126 => u16::from_be_bytes(self.connection.take(2)?.try_into().expect("two bytes")).into(),
            127 => u64::from_be_bytes(self.connection.take(8)?.try_into().expect("eight bytes")),
            length => length.into(),
        };
        Ok((head[0], self.connection.take(length as usize)?))
    }

    /// The next text frame as the contract has it; a ping before it is passed over.
    pub(crate) fn told(&mut self) -> Result<ServerFrame, String> {
        loop {
            match self.frame().map_err(|error| error.to_string())? {
                (PING, _) => {}
                (TEXT, json) => return serde_json::from_slice(&json).map_err(|error| error.to_string()),
                (opcode, payload) => return Err(format!("a frame of opcode {opcode}: {payload:?}")),
            }
        }
    }

    /// The code of the close frame that must come now.
    pub(crate) fn close_code(&mut self) -> Result<u16, String> {
        match self.frame().map_err(|error| error.to_string())? {
            (CLOSE, payload) if payload.len() >= 2 => Ok(u16::from_be_bytes([payload[0], payload[1]])),
            (opcode, payload) => {
                Err(format!("opcode {opcode} instead of a close with a code: {}", payload.escape_ascii()))
            }
        }
    }

    /// Sends one frame, masked with zeros.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short frame");
        let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.connection.socket.write_all(&frame)
    }
}

/// Where a server listens, and the calls of its API. Panics when a call that must work does not.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) authority: String,
    patience: Duration,
}

impl Api {
    pub(crate) fn new(authority: String) -> Self {
        Self { authority, patience: SOON }
    }

    /// The same server, asked by somebody who waits `patience` for the next byte.
    pub(crate) fn impatient(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::open(&self.authority, self.patience).expect("the server accepts")
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: Headers, body: &[u8]) -> Answer {
        self.try_ask(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path} was not answered: {error}"))
    }

    pub(crate) fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: Headers,
        body: &[u8],
    ) -> io::Result<Answer> {
        Connection::open(&self.authority, self.patience)?.ask(method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// A GET of HTTP/1.0, to the end of its connection: head and body as they came.
    pub(crate) fn get_http_1_0(&self, path: &str) -> String {
        let mut connection = self.connection();
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.authority);
        connection.socket.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        connection.socket.read_to_string(&mut answer).expect("the server ends the connection");
        answer
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", path, &[("content-type", kind)], body.as_ref())
    }

    /// An endless answer, of which the head is there.
    pub(crate) fn stream(&self, path: &str, headers: Headers) -> Result<Stream, Answer> {
        let mut connection = self.connection();
        connection.send("GET", path, headers, b"").expect("the server reads");
        let head = connection.head().expect("the head comes at once");
        if head.status == 200 && head.header("transfer-encoding") == Some("chunked") {
            return Ok(Stream { head, connection, text: String::new() });
        }
        let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        Err(Answer { body: connection.take(length).expect("the body comes"), ..head })
    }

    /// An upgraded connection, or the answer instead of it.
    pub(crate) fn websocket(&self, path: &str, headers: Headers) -> Result<Socket, Answer> {
        let mut connection = self.connection();
        let headers = [UPGRADE, headers].concat();
        connection.send("GET", path, &headers, b"").expect("the server reads");
        let head = connection.answer("GET").expect("the server answers");
        if head.status == 101 { Ok(Socket { head, connection }) } else { Err(head) }
    }

    pub(crate) fn create(&self) -> Deployment {
        let answer = self.post("/api/deployments", "application/json", r#"{"name":"test"}"#);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    pub(crate) fn show(&self, id: &DeploymentId) -> Deployment {
        self.get(&format!("/api/deployments/{id}")).json()
    }

    /// Appends lines of any text.
    pub(crate) fn append(&self, id: &DeploymentId, texts: &[impl AsRef<str>]) -> Appended {
        let answer =
            self.post(&format!("/api/deployments/{id}/lines"), "application/x-ndjson", ndjson(texts));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    pub(crate) fn finish(&self, id: &DeploymentId, status: Status) {
        let path = format!("/api/deployments/{id}/finish");
        let answer = self.post(&path, "application/json", json!({ "status": status }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// A piece of the log through the regular API; `query` as in `?from=…`.
    pub(crate) fn lines(&self, id: &DeploymentId, query: &str) -> Batch {
        let answer = self.get(&format!("/api/deployments/{id}/lines{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// One counter or gauge of `/metrics`, by its full name and labels.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let answer = self.get("/metrics");
        let line = answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// `wirelab_waiters` of one transport.
    pub(crate) fn waiters(&self, transport: Transport) -> i64 {
        self.metric(&format!("wirelab_waiters{{transport=\"{transport}\"}}"))
    }
}

/// What makes a request a WebSocket handshake; the key is that of RFC 6455 §1.3.
pub(crate) const UPGRADE: Headers = &[
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// What a request for this transport needs besides its path.
pub(crate) fn upgrade(transport: Transport) -> Headers<'static> {
    if transport.is_upgraded() { UPGRADE } else { &[] }
}

/// Lines of any text as the body of an append.
pub(crate) fn ndjson(texts: &[impl AsRef<str>]) -> String {
    texts.iter().map(|text| json!({ "text": text.as_ref() }).to_string() + "\n").collect()
}

/// The path of a transport for one deployment.
pub(crate) fn path(transport: Transport, id: &DeploymentId, query: &str) -> String {
    transport.path().replace("{id}", id.as_str()) + query
}

/// Says goodbye to the server's reads; its writes still arrive.
pub(crate) fn half_close(socket: &TcpStream) {
    socket.shutdown(Shutdown::Write).expect("an open socket can be shut down");
}
