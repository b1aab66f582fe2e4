//! Compressed WebSockets in the browser: browsers always offer permessage-deflate, and read what the server makes of it.

use serde_json::{Value, json};
use wirelab_clients::wire::{Status, Transport};

use crate::browser::{Engine, in_every_browser};
use crate::http::path;
use crate::page::{Page, wait_until};
use crate::server::Binary;

in_every_browser! {
    a_compressed_socket_is_read_and_may_send_commands;
}

/// Publishes a long line over a socket of its own, and notes what was agreed on and what came.
const FOLLOW: &str = r#"
const [path, deployment, text] = arguments;
const url = new URL(path, location.href);
url.protocol = "ws";
const socket = new WebSocket(url);
const seen = (window.seen = { extensions: null, texts: [], code: null });
socket.addEventListener("open", () => {
  seen.extensions = socket.extensions;
  socket.send(JSON.stringify({ type: "publish", deployment, text }));
});
socket.addEventListener("message", (event) => {
  const frame = JSON.parse(event.data);
  if (frame.type === "line") seen.texts.push(frame.line.text);
});
socket.addEventListener("close", (event) => (seen.code = event.code));
"#;

fn a_compressed_socket_is_read_and_may_send_commands(engine: Engine) {
    for (compression, agreed) in [("context-takeover", false), ("no-context-takeover", true)] {
        for driver in ["cursor", "actor"] {
            let flags =
                ["--store", "memory", "--websocket-compression", compression, "--websocket-engine", driver];
            let server = Binary::serve("127.0.0.1:0", &flags);
            let page = Page::shown_by(engine, &server);
            let name = format!("{compression} by {driver}");
            let id = server.create().id;
            let mut all: Vec<_> =
                (0..60).map(|i| format!("line {i} – ä 😀 {}", "x".repeat(i * 200))).collect();
            server.append(&id, &all[..30]);
            page.open(&id, "websocket");
            page.wait_for("live", &name);
            // Long enough that the browser compresses it.
            let published = "published ".repeat(500);
            let path = path(Transport::Websocket, &id, "");
            page.run::<Value>(FOLLOW, &[json!(path), json!(id), json!(published)]);
            wait_until("the line is published", || server.show(&id).next.after == 31);
            all.insert(30, published);
            for piece in all[31..].chunks(7) {
                server.append(&id, piece);
            }
            server.finish(&id, Status::Succeeded);
            page.wait_for("finished", &name);
            page.shows(&all, &name);
            let seen = || page.run::<Value>("return window.seen", &[]);
            wait_until("the other socket is closed", || !seen()["code"].is_null());
            let seen = seen();
            assert_eq!(seen["code"], 1000, "{name}");
            assert_eq!(seen["texts"], json!(all), "{name}");
            let extensions = seen["extensions"].as_str().unwrap();
            assert!(extensions.starts_with("permessage-deflate"), "{name}: {extensions:?}");
            // Firefox says the name of an extension alone.
            if engine == Engine::Chromium {
                assert_eq!(extensions.contains("server_no_context_takeover"), agreed, "{name}: {extensions}");
            }
            page.is_quiet();
        }
    }
}
