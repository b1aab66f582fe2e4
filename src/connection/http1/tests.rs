//! Tests of what a connection of HTTP/1.1 holds while it waits, which no client can see. Real sockets, a service of a few
//! lines.

use std::future::{pending, ready};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use actix_http::body::BodyStream;
use bytes::Bytes;
use futures_util::stream;
use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

use super::room::READ_BYTES_MAX;
use super::*;
use crate::access::addresses::AddressBounds;
use crate::connection::Connections;
use crate::exchange::arriving::ArrivingBounds;
use crate::metrics::Metrics;

const MINUTE: Duration = Duration::from_secs(60);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// An application that answers every request alike.
struct Always<F>(F);

impl<F, A> Answers for Always<F>
where
    F: Fn() -> A + 'static,
    A: Future<Output = Response<BoxBody>> + 'static,
{
    async fn answer(self: Rc<Self>, _: Request, _: Arc<Ledger>) -> Response<BoxBody> {
        (self.0)().await
    }
}

fn terms() -> Terms {
    Terms {
        head_timeout: MINUTE,
        keep_alive: MINUTE,
        write_timeout: MINUTE,
        turn_requests: 16,
        shutdown: CancellationToken::new(),
    }
}

fn with_body(body: impl MessageBody + 'static) -> Response<BoxBody> {
    Response::with_body(StatusCode::OK, BoxBody::new(body))
}

/// A connection to this service, and its client.
fn connected<A: Answers>(app: A, terms: &Terms) -> (Connection<'_, A>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let connections = Connections::new(1, 1, ArrivingBounds::default(), AddressBounds::NONE);
    let metrics = Metrics::new(Counter::default());
    let socket = actix_rt::net::TcpStream::from_std(socket).unwrap();
    let (stream, _) = MeteredStream::new(socket, metrics, connections, MINUTE);
    (Connection::new(stream, None, Rc::new(app), Codec::new(config(terms)), terms), client)
}

/// Lets the connection do what it can until `is_there`.
async fn until<A: Answers>(
    connection: &mut Connection<'_, A>,
    mut is_there: impl FnMut(&Connection<'_, A>) -> bool,
) {
    let there = poll_fn(|task| {
        assert!(connection.poll(task).is_pending(), "the connection has ended");
        if is_there(connection) { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::time::timeout(MINUTE / 6, there).await.expect("it comes soon");
}

fn test(promise: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(promise);
}

#[test]
fn a_connection_that_waits_has_given_its_buffers_back() {
    test(async {
        let terms = terms();
        let app = Always(|| ready(with_body("x".repeat(1 << 20))));
        let (mut connection, mut client) = connected(app, &terms);
        for answered in 1..=2 {
            client.write_all(GET).unwrap();
            let reader = std::thread::spawn({
                let mut client = client.try_clone().unwrap();
                move || client.read_exact(&mut vec![0; 1 << 20]).unwrap()
            });
            until(&mut connection, |waits| {
                waits.ledger.between_requests() == Some(answered) && waits.waits_since.is_some()
            })
            .await;
            reader.join().unwrap();
            assert_eq!((connection.received.capacity(), connection.unsent.held_bytes()), (0, 0));
            client.set_nonblocking(true).unwrap();
            while client.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {}
            client.set_nonblocking(false).unwrap();
        }
    });
}

#[test]
fn a_held_request_and_a_silent_stream_keep_no_buffer() {
    test(async {
        let terms = terms();
        let held = Always(pending);
        let (mut connection, mut client) = connected(held, &terms);
        client.write_all(GET).unwrap();
        until(&mut connection, |holds| matches!(holds.stage, Stage::Called(_))).await;
        assert_eq!((connection.received.capacity(), connection.unsent.held_bytes()), (0, 0));

        let silent = Always(|| {
            let stream = stream::pending::<Result<Bytes, std::io::Error>>();
            ready(with_body(BodyStream::new(stream)))
        });
        let (mut connection, mut client) = connected(silent, &terms);
        client.write_all(GET).unwrap();
        until(&mut connection, |streams| matches!(streams.stage, Stage::Answers(_))).await;
        assert_eq!((connection.received.capacity(), connection.unsent.held_bytes()), (0, 0));
        assert_eq!(client.read(&mut [0; 12]).unwrap(), 12, "the head has left");
    });
}

#[test]
fn requests_that_come_before_an_answer_wait_in_their_socket_beyond_a_bound() {
    test(async {
        let terms = terms();
        let (mut connection, mut client) = connected(Always(pending), &terms);
        client.set_nonblocking(true).unwrap();
        while client.write(&GET.repeat(1000)).is_ok() {}
        until(&mut connection, |reads| reads.received.len() >= READ_AHEAD_BYTES_MAX).await;
        for _ in 0..10 {
            until(&mut connection, |_| true).await;
            assert!(connection.received.len() < READ_AHEAD_BYTES_MAX + READ_BYTES_MAX);
        }
    });
}

#[test]
fn an_answer_that_is_not_read_is_asked_for_no_more() {
    test(async {
        let terms = terms();
        let endless = Always(|| {
            let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]));
            ready(with_body(BodyStream::new(stream::repeat_with(piece))))
        });
        let (mut connection, mut client) = connected(endless, &terms);
        client.write_all(GET).unwrap();
        until(&mut connection, |stalls| stalls.unsent.len() > 0).await;
        let unsent = connection.unsent.len();
        assert!(unsent < WRITE_BYTES_MAX + 2048, "{unsent} bytes wait");
        until(&mut connection, |_| true).await;
        assert_eq!(connection.unsent.len(), unsent);
        assert!(connection.unsent.held_bytes() < 2 * WRITE_BYTES_MAX);
    });
}
