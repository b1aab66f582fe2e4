//! A log on axum, as small as its examples: a broadcast channel for streams, a watch for held polls. It has one thread,
//! since scripts/bench gives every server one core, and keeps the last lines in memory, for polls.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

/// Lines that polls may ask for, and that a stream may be behind.
const KEPT_MAX: usize = 65_536;
const HOLD_MAX: Duration = Duration::from_secs(25);

struct Log {
    kept: Mutex<Kept>,
    lines: broadcast::Sender<Utf8Bytes>,
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Utf8Bytes>,
    count: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let log = Arc::new(Log {
        kept: Mutex::default(),
        lines: broadcast::channel(KEPT_MAX).0,
        count: watch::channel(0).0,
    });
    let app = Router::new()
        .route("/lines", post(publish))
        .route("/sse", get(sse))
        .route("/websocket", get(websocket))
        .route("/poll", get(poll))
        .with_state(log);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("it is bound"));
    let end = async {
        // The server ends with its stdin.
        let mut stdin = tokio::io::stdin();
        while stdin.read_u8().await.is_ok() {}
        std::process::exit(0)
    };
    let serve = async { axum::serve(listener, app).await };
    let (done, ()) = tokio::join!(serve, end);
    done.expect("the listener works");
}

async fn publish(State(log): State<Arc<Log>>, text: String) -> StatusCode {
    let line = Utf8Bytes::from(text);
    let count = {
        let mut kept = log.kept.lock().expect("no thread panics with it");
        kept.lines.push_back(line.clone());
        if kept.lines.len() > KEPT_MAX {
            kept.lines.pop_front();
        }
        kept.count += 1;
        kept.count
    };
    // Nobody listens: that is no error.
    let _ = log.lines.send(line);
    log.count.send_replace(count);
    StatusCode::NO_CONTENT
}

async fn sse(State(log): State<Arc<Log>>) -> Response {
    let connected = futures_util::stream::once(async { Bytes::from_static(b": connected\n\n") });
    // A stream that is too far behind skips what it missed, which the load client sees.
    let lines = BroadcastStream::new(log.lines.subscribe())
        .filter_map(|line| async move { line.ok().map(|text| Bytes::from(format!("data: {text}\n\n"))) });
    let body = Body::from_stream(connected.chain(lines).map(Ok::<_, Infallible>));
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn websocket(State(log): State<Arc<Log>>, upgrade: WebSocketUpgrade) -> Response {
    let mut lines = log.lines.subscribe();
    upgrade.on_upgrade(move |mut socket: WebSocket| async move {
        while let Ok(line) = lines.recv().await {
            if socket.send(Message::Text(line)).await.is_err() {
                return;
            }
        }
    })
}

#[derive(Deserialize)]
struct Asked {
    from: Option<u64>,
    wait: Option<u64>,
}

async fn poll(State(log): State<Arc<Log>>, Query(asked): Query<Asked>) -> Response {
    let from = asked.from.unwrap_or_default();
    let mut count = log.count.subscribe();
    if *count.borrow() <= from {
        if asked.wait.is_none() {
            return StatusCode::NO_CONTENT.into_response();
        }
        let news = count.wait_for(|count| *count > from);
        if !matches!(tokio::time::timeout(HOLD_MAX, news).await, Ok(Ok(_))) {
            return StatusCode::NO_CONTENT.into_response();
        }
    }
    let kept = log.kept.lock().expect("no thread panics with it");
    let new = usize::try_from(kept.count.saturating_sub(from)).unwrap_or(KEPT_MAX).min(kept.lines.len());
    let mut body = String::new();
    for line in kept.lines.range(kept.lines.len() - new..) {
        if !body.is_empty() {
            body.push('\n');
        }
        body.push_str(line);
    }
    ([("next", kept.count.to_string())], body).into_response()
}
