//! The application without a socket: what `benches/micro` asks. Nothing in the server calls it.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::{BodySize, MessageBody};
use actix_http::h1::{Codec, Message};
use bytes::BytesMut;
use tokio_util::codec::{Decoder as _, Encoder as _};
use tokio_util::sync::CancellationToken;

use super::application::Application;
use crate::connection::{Answers, Ledger, Terms, http1};
use crate::context::ServerOptions;
use crate::deployments::Deployments;

/// An application and one connection to it, whose bytes the caller brings.
pub struct Bench {
    app: Rc<Application>,
    ledger: Arc<Ledger>,
    codec: Codec,
}

impl Bench {
    /// Makes the application of one thread.
    pub async fn new(deployments: Deployments, options: ServerOptions) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let shutdown = CancellationToken::new();
        let terms = Terms {
            head_timeout: Duration::from_secs(5),
            keep_alive: options.keep_alive,
            write_timeout: options.write_timeout,
            turn_requests: options.turn_requests,
            shutdown: shutdown.clone(),
        };
        let context = super::context(deployments, options, address, shutdown);
        // This connection is never cut.
        let (ledger, _) = Ledger::open(context.metrics.clone(), context.connections.clone(), None);
        let app = Application::new(context, None).await.expect("the routes are sound");
        Self { app: Rc::new(app), ledger, codec: Codec::new(http1::config(&terms)) }
    }

    /// Answers a request without a body: from the bytes of its head to those of its answer.
    pub async fn answer(&mut self, head: &[u8]) -> BytesMut {
        let decoded = self.codec.decode(&mut BytesMut::from(head)).expect("the head is sound");
        let Some(Message::Item(request)) = decoded else { panic!("the head is not whole") };
        let (head, mut body) = self.app.clone().answer(request, self.ledger.clone()).await.into_parts();
        let mut bytes = BytesMut::new();
        let mut write = |message| self.codec.encode(message, &mut bytes).expect("the answer is sound");
        let size = body.size();
        write(Message::Item((head, size)));
        if !matches!(size, BodySize::None | BodySize::Sized(0)) {
            while let Some(piece) = poll_fn(|task| Pin::new(&mut body).poll_next(task)).await {
                write(Message::Chunk(Some(piece.expect("the body is sound"))));
            }
            write(Message::Chunk(None));
        }
        bytes
    }
}
