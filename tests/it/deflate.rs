//! Compressed WebSockets between wirelab and other people's programs: npm's `ws` and PyPI's `websockets`, as clients of our
//! server and as servers of our client; and servers that break the rules.
//!
//! Needs node, and what `scripts/test` installs below `target/`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flate2::{Compress, Compression as Level, FlushCompress};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wirelab::context::WebsocketEngine;
use wirelab::exchange::compression::WebsocketCompression;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{BODY_BYTES_MAX, Position, Status, Transport};
use wirelab_clients::{Compression, Options, Subscriber, Target, connect};

use crate::http::{SOON, path};
use crate::server::Setup;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Prints what was agreed on and the text of each line to the end, and publishes a compressed line at the beginning.
const WS_CLIENT: &str = r#"
const WebSocket = require("ws");
const [url, deployment, offer] = process.argv.slice(1);
const socket = new WebSocket(url, { perMessageDeflate: JSON.parse(offer) });
socket.on("open", () => {
  console.log(socket.extensions || "nothing");
  const text = "published ".repeat(100);
  socket.send(JSON.stringify({ type: "publish", deployment, text }), { compress: true });
});
socket.on("message", (data) => {
  const frame = JSON.parse(data);
  if (frame.type === "line") console.log(frame.line.text);
  if (frame.type === "error") console.log("error", JSON.stringify(frame));
});
socket.on("error", (error) => console.log("failed", error));
socket.on("close", (code) => console.log("closed", code));
"#;

const WEBSOCKETS_CLIENT: &str = r#"
import json, sys
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect
url, deployment, offer = sys.argv[1:]
factory = ClientPerMessageDeflateFactory(**json.loads(offer))
with connect(url, compression=None, extensions=[factory]) as socket:
    print(socket.response.headers.get("Sec-WebSocket-Extensions", "nothing"), flush=True)
    socket.send(json.dumps({"type": "publish", "deployment": deployment, "text": "published " * 100}))
    try:
        while True:
            frame = json.loads(socket.recv())
            if frame["type"] == "line":
                print(frame["line"]["text"], flush=True)
            if frame["type"] == "error":
                print("error", frame, flush=True)
    except ConnectionClosed as closed:
        print("closed", closed.rcvd.code, flush=True)
"#;

/// Serves one subscriber: the frames of stdin, each other one in fragments, then a close frame. Prints its
/// address first, then what was agreed on.
const WS_SERVER: &str = r#"
const { WebSocketServer } = require("ws");
const frames = JSON.parse(require("node:fs").readFileSync(0));
const perMessageDeflate = { ...JSON.parse(process.argv[1]), threshold: 0 };
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate });
server.on("listening", () => console.log(`127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
  console.log(socket.extensions || "nothing");
  frames.forEach((frame, i) => {
    if (i % 2 === 0) return socket.send(frame);
    socket.send(frame.slice(0, 10), { fin: false });
    socket.ping();
    socket.send(frame.slice(10));
  });
  socket.close(1000);
  server.close();
});
"#;

const WEBSOCKETS_SERVER: &str = r#"
import json, sys
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.server import serve
frames = json.load(sys.stdin)
def follow(socket):
    print(socket.response.headers.get("Sec-WebSocket-Extensions", "nothing"), flush=True)
    for i, frame in enumerate(frames):
        socket.send(frame if i % 2 == 0 else [frame[:10], frame[10:20], frame[20:]])
    socket.close(1000)
factory = ServerPerMessageDeflateFactory(**json.loads(sys.argv[1]))
with serve(follow, "127.0.0.1", 0, compression=None, extensions=[factory]) as server:
    print("127.0.0.1:%d" % server.socket.getsockname()[1], flush=True)
    server.serve_forever()
"#;

/// A program of other people, with its arguments.
fn program(language: Language, code: &str, arguments: &[&str], stdin: Stdio) -> Child {
    let target = Path::new(PROJECT).join("target");
    let mut command = match language {
        Language::Node => {
            let modules = target.join("node/node_modules");
            assert!(
                modules.join("ws").exists(),
                "{} with ws is missing: scripts/test makes it",
                modules.display()
            );
            let mut command = Command::new("node");
            command.env("NODE_PATH", modules).args(["-e", code, "--"]);
            command
        }
        Language::Python => {
            let python = target.join("venv/bin/python");
            assert!(python.exists(), "{} is missing: scripts/test makes it", python.display());
            let mut command = Command::new(python);
            command.args(["-c", code]);
            command
        }
    };
    command
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed: scripts/test does it")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Node,
    Python,
}

/// Offers of clients, and how an answer to each begins.
const CLIENTS: [(Language, &str, &str, &str); 6] = [
    (Language::Node, WS_CLIENT, r#"{"threshold":0}"#, "permessage-deflate"),
    (Language::Node, WS_CLIENT, r#"{"threshold":0,"serverNoContextTakeover":true}"#, "permessage-deflate"),
    (Language::Node, WS_CLIENT, r#"{"threshold":0,"serverMaxWindowBits":10}"#, "permessage-deflate"),
    (Language::Python, WEBSOCKETS_CLIENT, "{}", "permessage-deflate"),
    (Language::Python, WEBSOCKETS_CLIENT, r#"{"server_no_context_takeover":true}"#, "permessage-deflate"),
    (
        Language::Python,
        WEBSOCKETS_CLIENT,
        r#"{"server_max_window_bits":10,"client_max_window_bits":10}"#,
        "permessage-deflate; client_no_context_takeover; server_max_window_bits=10",
    ),
];

#[test]
fn clients_of_other_people_read_every_line() {
    for (engine, offered) in [
        (WebsocketEngine::Cursor, WebsocketCompression::ContextTakeover),
        (WebsocketEngine::Cursor, WebsocketCompression::NoContextTakeover),
        (WebsocketEngine::Actor, WebsocketCompression::ContextTakeover),
    ] {
        let mut setup = Setup::driven_by(engine);
        setup.options.websocket_compression = offered;
        let server = setup.start();
        for (language, code, offer, agreed) in CLIENTS {
            if offered == WebsocketCompression::NoContextTakeover && agreed.len() > 20 {
                // That answer names the context.
                continue;
            }
            let id = server.create().id;
            let texts: Vec<_> = (0..50).map(|i| format!("line {i} – ä 😀 {}", "x".repeat(i * 100))).collect();
            server.append(&id, &texts);
            let url = format!("ws://{}{}", server.authority, path(Transport::Websocket, &id, ""));
            let mut child = program(language, code, &[&url, id.as_str(), offer], Stdio::null());
            let mut stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
            let name = format!("{language:?} with {offer}, {engine}, {offered}");
            let said = stdout.next().expect("it says what was agreed on").unwrap();
            assert!(said.starts_with(agreed), "{name}: {said}");
            let published = "published ".repeat(100);
            let mut due: Vec<_> = texts.clone();
            due.push(published);
            for text in &due {
                assert_eq!(stdout.next().expect("a line comes").unwrap(), *text, "{name}");
            }
            server.finish(&id, Status::Succeeded);
            assert_eq!(stdout.next().expect("it ends").unwrap(), "closed 1000", "{name}");
            assert!(child.wait().unwrap().success(), "{name}");
        }
    }
}

fn frames() -> (Vec<String>, Vec<String>) {
    let texts: Vec<_> = (1..=40).map(|i| format!("line {i} – ä 😀 {}", "long ".repeat(i * i * 15))).collect();
    let mut frames = vec![
        r#"{"type":"hello","heartbeat_s":15}"#.to_owned(),
        r#"{"type":"subscribed","deployment":"01k3aaaa","cursor":"k3x9.0"}"#.to_owned(),
    ];
    frames.extend((1..).zip(&texts).map(|(seq, text)| {
        let line = serde_json::json!({"seq": seq, "at_us": 1, "text": text});
        format!(r#"{{"type":"line","deployment":"01k3aaaa","line":{line}}}"#)
    }));
    frames.push(
        r#"{"type":"finished","deployment":"01k3aaaa","cursor":"k3x9.40","status":"succeeded"}"#.to_owned(),
    );
    (texts, frames)
}

fn subscriber(authority: &str, compression: Compression) -> Box<dyn Subscriber> {
    let server = format!("http://{authority}").parse().unwrap();
    let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
    let soon = Duration::from_millis(1);
    let options = Options { compression, first_wait: Some(soon..=soon), ..Options::default() };
    connect(Transport::Websocket, target, &options, Meter::new())
}

#[tokio::test]
async fn our_client_reads_every_line_of_servers_of_other_people() {
    let (texts, frames) = frames();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_string(&frames).unwrap()).unwrap();
    let without = Compression::DeflateNoContextTakeover;
    for (language, code, options, compression, agreed) in [
        (Language::Node, WS_SERVER, "{}", Compression::Deflate, "permessage-deflate"),
        (Language::Node, WS_SERVER, "{}", without, "permessage-deflate"),
        (
            Language::Node,
            WS_SERVER,
            r#"{"serverMaxWindowBits":10}"#,
            Compression::Deflate,
            "permessage-deflate",
        ),
        (Language::Node, WS_SERVER, "{}", Compression::Identity, "nothing"),
        (Language::Python, WEBSOCKETS_SERVER, "{}", Compression::Deflate, "permessage-deflate"),
        (
            Language::Python,
            WEBSOCKETS_SERVER,
            "{}",
            without,
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            Language::Python,
            WEBSOCKETS_SERVER,
            r#"{"server_max_window_bits":10}"#,
            Compression::Deflate,
            "permessage-deflate; server_max_window_bits=10",
        ),
    ] {
        let name = format!("{language:?} with {options} for {compression}");
        let mut child = program(language, code, &[options], file.reopen().unwrap().into());
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let authority = stdout.next().expect("it listens").unwrap();
        let mut subscriber = subscriber(&authority, compression);
        let mut lines = Vec::new();
        let reading = async {
            loop {
                let received = subscriber.next_batch().await.unwrap();
                lines.extend(received.batch.lines.into_iter().map(|line| line.line.text));
                if received.batch.finished {
                    return;
                }
            }
        };
        timeout(SOON, reading).await.unwrap_or_else(|_| panic!("{name}: no end"));
        assert_eq!(lines, texts, "{name}");
        let traffic = subscriber.traffic();
        let text_bytes: u64 = texts.iter().map(|text| text.len() as u64).sum();
        match compression {
            Compression::Identity => assert!(traffic.down_bytes > text_bytes, "{name}: {traffic:?}"),
            _ => assert!(traffic.down_bytes < text_bytes / 4, "{name}: {traffic:?}"),
        }
        let said = stdout.next().expect("it says what was agreed on").unwrap();
        assert!(said.starts_with(agreed), "{name}: {said}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// One frame of a server. `first` is FIN, reserved bits and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 127];
    match payload.len() {
        length @ 0..=125 => bytes[1] = length as u8,
        length @ 126..=0xffff => {
            bytes[1] = 126;
            bytes.extend((length as u16).to_be_bytes());
        }
        length => bytes.extend((length as u64).to_be_bytes()),
    }
    bytes.extend(payload);
    bytes
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Level::best(), false);
    let mut message = Vec::with_capacity(text.len() + 100);
    compress.compress_vec(text, &mut message, FlushCompress::Sync).unwrap();
    message.truncate(message.len() - 4);
    message
}

/// Answers a first connection with `extensions` and `bytes`; the client must give it up, with no line of it, and come back.
async fn is_given_up(what: &str, compression: Compression, extensions: Option<&'static str>, bytes: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let mut subscriber = subscriber(&authority, compression);
    let subscribed = br#"{"type":"subscribed","deployment":"01k3aaaa","cursor":"k3x9.0"}"#;
    let serving = async {
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let answer = |_: &Request, mut response: Response| {
            if let Some(extensions) = extensions {
                response.headers_mut().insert("sec-websocket-extensions", extensions.parse().unwrap());
            }
            Ok(response)
        };
        let mut socket = accept_hdr_async(listener.accept().await.unwrap().0, answer).await.unwrap();
        // The client may be gone by now.
        let sent = [
            &frame(0x81, subscribed),
            bytes,
            &frame(
                0x81,
                br#"{"type":"line","deployment":"01k3aaaa","line":{"seq":9,"at_us":1,"text":"behind"}}"#,
            ),
        ]
        .concat();
        let _ = socket.get_mut().write_all(&sent).await;
        let _again = listener.accept().await.unwrap();
    };
    tokio::select! {
        batch = subscriber.next_batch() => panic!("{what}: {batch:?}"),
        came_back = timeout(SOON, serving) => came_back.unwrap_or_else(|_| panic!("{what} is not noticed")),
    }
}

#[tokio::test]
async fn a_server_that_answers_what_was_not_offered_is_given_up() {
    let deflate = Compression::Deflate;
    for (compression, answer) in [
        (Compression::Identity, "permessage-deflate"),
        (Compression::Gzip, "permessage-deflate"),
        (deflate, "x-webkit-deflate-frame"),
        (deflate, "permessage-deflate; client_max_window_bits=12"),
        (deflate, "permessage-deflate; server_max_window_bits=7"),
        (deflate, "permessage-deflate; level=9"),
        (deflate, "permessage-deflate, permessage-deflate"),
        (Compression::DeflateNoContextTakeover, "permessage-deflate"),
    ] {
        is_given_up(answer, compression, Some(answer), b"").await;
    }
}

#[tokio::test]
async fn a_server_that_breaks_the_rules_of_compression_is_given_up() {
    let line = deflated(br#"{"type":"line","deployment":"01k3aaaa","line":{"seq":1,"at_us":1,"text":"x"}}"#);
    let agreed = Some("permessage-deflate");
    let compressed = frame(0xc1, &line);
    for compression in [Compression::Identity, Compression::Deflate] {
        is_given_up("a compressed message without an agreement", compression, None, &compressed).await;
    }
    let bomb = deflated(&vec![b' '; BODY_BYTES_MAX + 1]);
    for (what, bytes) in [
        ("garbage", frame(0xc1, &[0xff; 40])),
        ("a compressed ping", frame(0xc9, b"")),
        ("a compressed continuation", [frame(0x41, &line[..9]), frame(0xc0, &line[9..])].concat()),
        ("another reserved bit", frame(0xe1, &line)),
        ("a message inside a message", [frame(0x41, &line[..9]), compressed.clone()].concat()),
        ("a compressed message inside a plain one", [frame(0x01, b"{"), compressed.clone()].concat()),
        ("a stray continuation", frame(0x80, &line)),
        ("a bomb", frame(0xc1, &bomb)),
        ("a frame that is too long by its head", [&[0xc1, 127][..], &(1_u64 << 40).to_be_bytes()].concat()),
    ] {
        is_given_up(what, Compression::Deflate, agreed, &bytes).await;
    }
}

#[test]
fn a_run_says_which_compression_does_not_go_with_a_transport() {
    for (transport, compression, said) in [
        ("websocket", "gzip", "websocket does not support that"),
        ("sse", "deflate", "sse does not support that: it compresses messages of a WebSocket"),
        ("websocket,long-poll", "deflate-no-context-takeover", "long-poll does not support that"),
    ] {
        let mut child = crate::server::wirelab()
            .args(["run", "--transport", transport, "--compression", compression])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2), "{error}");
        assert!(error.contains(said), "{error}");
    }
}
