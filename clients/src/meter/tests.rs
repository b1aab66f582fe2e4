//! Tests of the meter and its socket.

use std::io;

use futures_util::FutureExt;
use tokio::net::TcpStream;

use super::*;
use crate::delay_line::Line;
use crate::link::Link;
use crate::os;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Distance of the tests' delay line: so long that a test sees bytes on the way, even on a busy machine.
#[cfg(target_os = "linux")]
const FAR: Duration = Duration::from_millis(150);

#[cfg(target_os = "linux")]
fn far() -> Arc<Meter> {
    Meter::over(Route::Line(Line::new(Link::distance(FAR))))
}

async fn connected(meter: &Arc<Meter>) -> (MeteredSocket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let socket = MeteredSocket::connect(&authority, Layer::Http, meter.clone()).await.unwrap();
    (socket, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn a_cut_wakes_who_waits_closes_the_socket_and_spares_the_next_one() {
    let meter = Meter::new();
    let (mut socket, mut server) = connected(&meter).await;
    let mut bytes = [0; 8];
    {
        let mut reading = std::pin::pin!(socket.read(&mut bytes));
        assert!(futures_util::poll!(&mut reading).is_pending());
        meter.cut();
        assert_eq!(reading.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(server.read(&mut bytes).await.unwrap(), 0, "the server sees the end");
    assert_eq!(socket.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(meter.connections_cut(), 1);

    let (mut next, mut server) = connected(&meter).await;
    server.write_all(b"hello").await.unwrap();
    assert_eq!(next.read(&mut bytes).await.unwrap(), 5);
    assert_eq!((meter.connections_cut(), meter.traffic().reconnects), (1, 1));
}

/// Checks that the wrapper and the kernel counted alike, and returns the kernel's counts.
#[cfg(target_os = "linux")]
#[track_caller]
fn both_counts_agree(meter: &Meter) -> Packets {
    let (traffic, packets) = (meter.traffic(), meter.packets().unwrap());
    assert_eq!((packets.bytes_up, packets.bytes_down), (traffic.up_bytes, traffic.down_bytes), "{packets:?}");
    packets
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn every_byte_that_the_wrapper_counts_the_kernel_counts_too() {
    let meter = Meter::new();
    assert_eq!((meter.packets(), meter.connections_open()), (Some(Packets::default()), 0));
    let (mut socket, mut server) = connected(&meter).await;
    let mut bytes = [0; 64];
    for _ in 0..10 {
        socket.write_all(b"question").await.unwrap();
        server.read_exact(&mut bytes[..8]).await.unwrap();
        server.write_all(b"the answer").await.unwrap();
        socket.read_exact(&mut bytes[..10]).await.unwrap();
        both_counts_agree(&meter);
    }
    let open = both_counts_agree(&meter);
    assert_eq!((open.bytes_up, open.bytes_down, meter.connections_open()), (80, 100, 1));
    // SYN, acknowledgement and ten questions; the other's SYN and ten answers.
    assert!(open.segments_up >= 12 && open.segments_down >= 11, "{open:?}");

    // The server ends first, and this side reads its end: that is no byte.
    drop(server);
    assert_eq!(socket.read(&mut bytes).await.unwrap(), 0);
    socket.shutdown().await.unwrap();
    drop(socket);
    let ended = both_counts_agree(&meter);
    assert_eq!((ended.bytes_down, ended.unread_bytes, meter.connections_open()), (100, 0, 0));
    assert!(ended.segments_up >= open.segments_up);
}

/// After both ends the kernel no longer knows them, and has counted one of them as a byte.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_connection_that_both_sides_have_ended_has_no_byte_more() {
    let meter = Meter::new();
    let (mut socket, mut server) = connected(&meter).await;
    server.write_all(b"bytes").await.unwrap();
    socket.read_exact(&mut [0; 5]).await.unwrap();
    socket.shutdown().await.unwrap();
    drop(server);
    let descriptor = socket.descriptor().unwrap();
    while !os::tcp_info(descriptor).unwrap().is_closed {
        tokio::task::yield_now().await;
    }
    drop(socket);
    assert_eq!(both_counts_agree(&meter).bytes_down, 5);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_was_never_read_is_counted_apart_and_a_cut_connection_too() {
    let meter = Meter::new();
    let (mut socket, mut server) = connected(&meter).await;
    server.write_all(b"twelve bytes").await.unwrap();
    let mut bytes = [0; 64];
    socket.read_exact(&mut bytes[..6]).await.unwrap();
    meter.cut();
    assert!(socket.read(&mut bytes).await.is_err());
    let cut = both_counts_agree(&meter);
    assert_eq!((cut.bytes_down, cut.unread_bytes, meter.connections_open()), (6, 6, 0));
    assert_eq!(cut.ip().down_bytes, 12 + 52 * cut.segments_down + 8);
}

#[tokio::test]
async fn a_question_is_timed_from_its_write_and_only_with_a_timed_meter() {
    let timing = SharedTiming::new();
    timing.measure(Instant::now()..Instant::now() + Duration::from_secs(3_600));
    let meter = Meter::timed(timing.clone(), Route::Direct);
    let intended = Instant::now();
    meter.asks(Question::Scheduled { intended, interval: None });
    let (mut socket, mut server) = connected(&meter).await;
    socket.write_all(b"question").await.unwrap();
    server.read_exact(&mut [0; 8]).await.unwrap();
    server.write_all(b"answer").await.unwrap();
    socket.read_exact(&mut [0; 6]).await.unwrap();
    meter.opened();
    meter.answered(meter.last_read());
    let counts = timing.timing();
    assert_eq!(
        (counts.request_service.len(), counts.request_response.len(), counts.handshake.len()),
        (1, 1, 1)
    );
    let (service, response) =
        (counts.request_service.quantile_us(1.0).unwrap(), counts.request_response.quantile_us(1.0).unwrap());
    assert!(service <= response, "{service} {response}");
}

#[tokio::test]
async fn who_stalls_reads_nothing_until_it_resumes() {
    let meter = Meter::new();
    let (mut socket, mut server) = connected(&meter).await;
    server.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 8];
    meter.stall();
    {
        let mut reading = std::pin::pin!(socket.read(&mut bytes));
        assert!(futures_util::poll!(&mut reading).is_pending());
        meter.resume();
        assert_eq!(reading.await.unwrap(), 5);
    }
    meter.stall();
    let mut reading = std::pin::pin!(socket.read(&mut bytes));
    assert!(futures_util::poll!(&mut reading).is_pending());
    meter.cut();
    assert_eq!(reading.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reader_in_another_task_is_woken_by_the_cut() {
    let meter = Meter::new();
    let (mut socket, _server) = connected(&meter).await;
    let reading = tokio::spawn(async move { socket.read(&mut [0; 8]).await });
    // The task waits once its waker is there; the waker is taken and put back.
    let waker = loop {
        match meter.reader.take() {
            Some(waker) => break waker,
            None => tokio::task::yield_now().await,
        }
    };
    meter.reader.register(&waker);
    meter.cut();
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

const MS: Duration = Duration::from_millis(1);

/// A meter whose connections have this delay each way.
fn delayed(each_way: Duration) -> Arc<Meter> {
    Meter::over(Route::Line(Line::new(Link::distance(each_way))))
}

/// The bytes that a delay line gives up when its connection is dropped are counted by neither or by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn a_delayed_connection_that_is_dropped_at_any_moment_is_counted_as_the_kernel_counts_it() {
    for round in 0..150_u32 {
        let meter = delayed(MS);
        let (mut socket, server) = connected(&meter).await;
        let (mut from_client, mut to_client) = server.into_split();
        let answering = tokio::spawn(async move { while to_client.write_all(&[1; 700]).await.is_ok() {} });
        let counting = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // A reset loses nothing that was read before it, and the client has left nothing unread here.
            let _ = from_client.read_to_end(&mut bytes).await;
            bytes.len() as u64
        });
        let (end, mut bytes) = (Instant::now() + round * MS / 30, [0; 2_000]);
        while Instant::now() < end {
            socket.write_all(&[2; 300]).await.unwrap();
            let _ = tokio::time::timeout(MS / 5, socket.read(&mut bytes)).await;
        }
        match round % 2 {
            0 => drop(socket),
            _ => {
                meter.cut();
                assert!(socket.read(&mut bytes).await.is_err());
            }
        }
        let counted = both_counts_agree(&meter);
        assert!(counting.await.unwrap() <= counted.bytes_up);
        assert_eq!(both_counts_agree(&meter), counted, "nothing is written afterwards");
        answering.abort();
    }
}

#[tokio::test]
async fn a_connection_that_is_given_up_on_its_way_is_counted_as_the_server_counts_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let meter = delayed(Duration::from_secs(600));
    {
        let mut connecting = std::pin::pin!(MeteredSocket::connect(&authority, Layer::Http, meter.clone()));
        tokio::select! {
            _ = &mut connecting => panic!("it takes twenty minutes"),
            accepted = listener.accept() => drop(accepted.unwrap()),
        }
        while meter.connections_open() == 0 {
            assert!(futures_util::poll!(&mut connecting).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((meter.traffic().connections_opened, meter.connections_open()), (1, 0));
}

#[tokio::test]
async fn a_cut_ends_a_goodbye_that_is_on_its_way() {
    let (meter, listener) = (delayed(MS), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let authority = listener.local_addr().unwrap().to_string();
    let mut socket = MeteredSocket::connect(&authority, Layer::Http, meter.clone()).await.unwrap();
    // Nothing reads at the other side: the kernel takes a part, and the rest waits in the line.
    while let Some(wrote) = socket.write(&[0; 65_536]).now_or_never() {
        wrote.unwrap();
        tokio::task::yield_now().await;
    }
    let closing = tokio::spawn(async move { socket.shutdown().await });
    while meter.writer.take().map(|waker| meter.writer.register(&waker)).is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    meter.cut();
    assert_eq!(closing.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// Waits until so many bytes came to the socket and were taken into its line. None of them is released yet.
#[cfg(target_os = "linux")]
async fn takes_into_the_line(socket: &mut MeteredSocket, bytes: u64) {
    let descriptor = socket.descriptor().unwrap();
    loop {
        {
            let mut nothing = [0; 8];
            let mut reading = std::pin::pin!(socket.read(&mut nothing));
            assert!(futures_util::poll!(&mut reading).is_pending(), "it was released");
        }
        let info = os::tcp_info(descriptor).unwrap();
        if (info.received_bytes, info.unread_bytes) == (bytes, 0) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn bytes_in_a_delay_line_are_counted_when_they_enter_and_when_they_leave_it() {
    let meter = far();
    let (mut socket, mut server) = connected(&meter).await;
    let mut bytes = [0; 16];
    let asked = Instant::now();
    socket.write_all(b"question").await.unwrap();
    assert_eq!(both_counts_agree(&meter).bytes_up, 0, "the line has them, and the kernel has not");
    server.read_exact(&mut bytes[..8]).await.unwrap();
    assert!(asked.elapsed() >= FAR);
    while meter.traffic().up_bytes < 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(both_counts_agree(&meter).bytes_up, 8);

    server.write_all(b"the answer").await.unwrap();
    let sent = Instant::now();
    takes_into_the_line(&mut socket, 10).await;
    assert_eq!(both_counts_agree(&meter).bytes_down, 0, "it came out of the socket and reached no reader");
    socket.read_exact(&mut bytes[..10]).await.unwrap();
    assert_eq!(both_counts_agree(&meter).bytes_down, 10);
    // Stamped when the chunk was released, not when it came out of the socket.
    assert!(meter.last_read() >= sent + FAR && meter.last_read() <= Instant::now());
}

/// Ends a connection that has bytes on the way in both directions, and checks both counts against what the server saw.
#[cfg(target_os = "linux")]
async fn ended_with_bytes_on_the_way(end: impl FnOnce(&Meter, MeteredSocket)) {
    let meter = far();
    let (mut socket, mut server) = connected(&meter).await;
    server.write_all(b"down below").await.unwrap();
    takes_into_the_line(&mut socket, 10).await;
    socket.write_all(b"up").await.unwrap();
    end(&meter, socket);
    // The server counted ten bytes down. What is on the way up is lost: it must neither arrive nor be counted.
    let mut arrived = Vec::new();
    let _ = server.read_to_end(&mut arrived).await;
    let ended = both_counts_agree(&meter);
    assert_eq!((ended.bytes_up, ended.bytes_down, ended.unread_bytes), (arrived.len() as u64, 10, 0));
    assert_eq!((arrived.len(), meter.connections_open()), (0, 0));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_subscriber_that_is_dropped_leaves_no_byte_of_its_line_uncounted() {
    ended_with_bytes_on_the_way(|_, socket| drop(socket)).await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_cut_leaves_no_byte_of_the_line_uncounted() {
    ended_with_bytes_on_the_way(|meter, mut socket| {
        meter.cut();
        let waker = std::task::Waker::noop();
        let mut bytes = [0; 8];
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes);
        let read = tokio::io::AsyncRead::poll_read(
            std::pin::Pin::new(&mut socket),
            &mut std::task::Context::from_waker(waker),
            &mut buffer,
        );
        assert!(matches!(read, std::task::Poll::Ready(Err(_))));
        assert_eq!(meter.connections_cut(), 1);
    })
    .await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_stalled_subscriber_leaves_what_is_on_the_way_until_it_resumes_or_ends() {
    let meter = far();
    let (mut socket, mut server) = connected(&meter).await;
    server.write_all(b"before").await.unwrap();
    takes_into_the_line(&mut socket, 6).await;
    meter.stall();
    let mut bytes = [0; 16];
    {
        let mut reading = std::pin::pin!(socket.read(&mut bytes));
        assert!(futures_util::poll!(&mut reading).is_pending());
        assert_eq!(both_counts_agree(&meter).bytes_down, 0);
        meter.resume();
        assert_eq!(reading.await.unwrap(), 6);
    }
    assert_eq!(both_counts_agree(&meter).bytes_down, 6);
    server.write_all(b"meanwhile").await.unwrap();
    takes_into_the_line(&mut socket, 15).await;
    // It ends asleep: what the line has came out of the socket, and what the kernel still has was never read.
    meter.stall();
    server.write_all(b"later").await.unwrap();
    while os::tcp_info(socket.descriptor().unwrap()).unwrap().received_bytes < 20 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    let ended = both_counts_agree(&meter);
    assert_eq!((ended.bytes_down, ended.unread_bytes), (15, 5));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn connections_that_follow_each_other_over_a_line_add_up() {
    let meter = far();
    let mut bytes = [0; 8];
    for round in 1..=3 {
        let (mut socket, mut server) = connected(&meter).await;
        socket.write_all(b"hello").await.unwrap();
        server.read_exact(&mut bytes[..5]).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        takes_into_the_line(&mut socket, 6).await;
        drop(socket);
        let packets = both_counts_agree(&meter);
        assert_eq!((packets.bytes_up, packets.bytes_down), (5 * round, 6 * round));
    }
    assert_eq!(meter.traffic().reconnects, 2);
}

/// A real way and a delay line behind each other take the time of both.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_time_to_connect_over_a_line_is_the_machines_and_the_links() {
    let far = Duration::from_millis(200);
    let here = std::net::Ipv4Addr::LOCALHOST;
    // With room for one connection: the kernel ignores the next one, whose client asks again after a second.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((here, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let (began, authority) = (Instant::now(), address.to_string());
    let connecting =
        tokio::spawn(
            async move { MeteredSocket::connect(&authority, Layer::Http, delayed(far)).await.map(drop) },
        );
    tokio::time::sleep(300 * MS).await;
    assert!(!connecting.is_finished(), "there was room");
    let _accepted = listener.accept().await.unwrap();
    let _second = listener.accept().await.unwrap();
    let machine = began.elapsed();
    connecting.await.unwrap().unwrap();
    assert!(machine >= 900 * MS, "the kernel took it at once: {machine:?}");
    let both = began.elapsed();
    assert!(both >= 900 * MS + 2 * far, "{both:?}");
}

/// Bytes that a silence swallows came out of the server's socket: the server has counted them, and so does the meter.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_a_silence_swallows_is_counted_as_the_kernel_counts_it() {
    let line = Line::new(Link::default());
    let meter = Meter::over(Route::Line(line.clone()));
    let (mut socket, mut server) = connected(&meter).await;
    line.fall_silent(Duration::from_millis(200));
    server.write_all(b"unheard").await.unwrap();
    takes_into_the_line(&mut socket, 7).await;
    socket.write_all(b"unsaid").await.unwrap();
    let reset = socket.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    drop(socket);
    let packets = both_counts_agree(&meter);
    assert_eq!((packets.bytes_up, packets.bytes_down), (0, 7));
    let _ = server.read(&mut [0; 8]).await;
}
