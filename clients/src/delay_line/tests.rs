//! Tests of delay lines, over real sockets.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::deadlines::deadlines_count;
use super::leaving::{CHUNK_WEIGHT, LEAVING_MAX};
use super::socket::WEIGHT_MAX;
use super::*;

const MS: Duration = Duration::from_millis(1);

/// Returns the delayed client's end of a connection, and the server's.
async fn connected(line: &Arc<Line>) -> (DelayedSocket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (DelayedSocket::new(socket, line.clone(), End::Client, |_| {}), server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_chunks_do_not_drift() {
    let line = Line::new(Link::distance(100 * MS));
    let (mut client, mut server) = connected(&line).await;
    let writing = tokio::spawn(async move {
        let start = Instant::now();
        let mut sent = Vec::new();
        for number in 0..200_u8 {
            until(start + 20 * MS * u32::from(number)).await;
            sent.push(Instant::now());
            server.write_all(&[number]).await.unwrap();
        }
        (sent, server)
    });
    let mut received = Vec::new();
    for number in 0..200_u8 {
        assert_eq!(client.read_u8().await.unwrap(), number);
        received.push(Instant::now());
    }
    let (sent, _server) = writing.await.unwrap();
    let took: Vec<Duration> = sent.iter().zip(&received).map(|(sent, received)| *received - *sent).collect();
    assert!(took.iter().all(|took| *took >= 100 * MS), "{took:?}");
    // A delay that is slept for each chunk would be seconds by now. The median is held by a busy machine, too.
    let mut last = took[150..].to_vec();
    last.sort_unstable();
    assert!(last[25] < 110 * MS, "{last:?}");
}

#[tokio::test]
async fn bytes_go_both_ways_with_the_delay_of_each() {
    let mut link = Link::distance(30 * MS);
    link.down.delay = 60 * MS;
    let line = Line::new(link);
    let (mut client, mut server) = connected(&line).await;
    let asked = Instant::now();
    client.write_all(b"question").await.unwrap();
    let mut bytes = [0; 8];
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"question");
    assert!(asked.elapsed() >= 30 * MS);
    server.write_all(b"answered").await.unwrap();
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"answered");
    assert!(asked.elapsed() >= 90 * MS);

    let began = Instant::now();
    line.connects().await;
    assert!(began.elapsed() >= 90 * MS, "a connection costs a round trip");

    // The last bytes arrive, and then the end.
    client.write_all(b"goodbye.").await.unwrap();
    client.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(server.read(&mut bytes).await.unwrap(), 0);
    drop(server);
    assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn jitter_and_rate_change_no_byte_and_no_order() {
    let mut link = Link::distance(5 * MS).seeded(3);
    link.down.jitter = crate::link::Jitter::Uniform { within: 5 * MS };
    link.down.rate = Some(Rate { kbit_s: 8_000, queue_bytes: 16_000 });
    let line = Line::new(link);
    let (mut client, mut server) = connected(&line).await;
    let sent: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let expected = sent.clone();
    let began = Instant::now();
    tokio::spawn(async move { server.write_all(&sent).await.unwrap() });
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert!(received == expected);
    // 800 000 bits at 8 000 kbit/s.
    assert!(began.elapsed() >= 100 * MS, "{:?}", began.elapsed());
}

#[tokio::test]
async fn in_a_silence_bytes_vanish_and_who_lost_some_is_reset_afterwards() {
    let line = Line::new(Link::distance(MS));
    let (mut hit, mut hit_server) = connected(&line).await;
    let (mut spared, mut spared_server) = connected(&line).await;
    line.fall_silent(200 * MS);
    let began = Instant::now();
    hit_server.write_all(b"lost").await.unwrap();
    let mut bytes = [0; 8];
    let failed = hit.read(&mut bytes).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
    assert!(began.elapsed() >= 190 * MS, "the socket stayed open meanwhile");
    assert_eq!(hit.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(!line.is_silent());
    spared_server.write_all(b"there").await.unwrap();
    assert_eq!(spared.read(&mut bytes).await.unwrap(), 5);
}

#[tokio::test]
async fn a_connection_that_opens_lets_nothing_arrive_before_its_round_trip_and_the_way() {
    let line = Line::new(Link::distance(50 * MS));
    let (mut client, mut server) = connected(&line).await;
    let opened = Instant::now();
    client.opens_at(opened + line.link().round_trip());
    server.write_all(b"question").await.unwrap();
    let mut bytes = [0; 8];
    client.read_exact(&mut bytes).await.unwrap();
    assert!(opened.elapsed() >= 150 * MS, "{:?}", opened.elapsed());
}

#[tokio::test]
async fn who_is_cut_hears_no_goodbye_and_who_is_left_hears_everything() {
    let line = Line::new(Link::distance(30 * MS));
    let mut bytes = [0; 8];
    let (cut, mut other) = connected(&line).await;
    cut.socket().set_zero_linger().unwrap();
    drop(cut);
    assert_eq!(other.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let (mut left, mut other) = connected(&line).await;
    let began = Instant::now();
    left.write_all(b"goodbye.").await.unwrap();
    left.leave();
    other.read_exact(&mut bytes).await.unwrap();
    assert!(began.elapsed() >= 30 * MS);
    assert_eq!(other.read(&mut bytes).await.unwrap(), 0);

    let (left, mut other) = connected(&line).await;
    line.fall_silent(100 * MS);
    let began = Instant::now();
    left.leave();
    assert_eq!(other.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(began.elapsed() >= 90 * MS, "the client heard of it in the silence");
}

#[tokio::test]
async fn a_connection_can_follow_another_line() {
    let (slow, quick) = (Line::new(Link::distance(200 * MS)), Line::new(Link::default()));
    let (mut client, mut server) = connected(&slow).await;
    client.follow(&quick);
    let began = Instant::now();
    client.write_all(b"question").await.unwrap();
    let mut bytes = [0; 8];
    server.read_exact(&mut bytes).await.unwrap();
    assert!(began.elapsed() < 190 * MS, "{:?}", began.elapsed());
    client.follow(&slow);
    client.write_all(b"question").await.unwrap();
    server.read_exact(&mut bytes).await.unwrap();
    assert!(began.elapsed() >= 200 * MS, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_link_that_changes_lets_nothing_overtake() {
    let line = Line::new(Link::distance(80 * MS));
    let (mut client, mut server) = connected(&line).await;
    server.write_all(b"first").await.unwrap();
    let began = Instant::now();
    while client.unreleased_bytes() < 5 {
        assert!(poll_once(&mut client, &mut [0; 10]).await.is_pending());
        tokio::task::yield_now().await;
    }
    line.set(Link::distance(MS));
    server.write_all(b"after").await.unwrap();
    let mut bytes = [0; 10];
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"firstafter");
    assert!(began.elapsed() >= 80 * MS, "what was on the way kept its time: {:?}", began.elapsed());
}

/// Polls a read once, with the waker of this task.
async fn poll_once(client: &mut DelayedSocket, bytes: &mut [u8]) -> Poll<io::Result<()>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *client).poll_read(cx, &mut ReadBuf::new(bytes)))).await
}

/// Deadlines that other tests of this process may set meanwhile.
const OTHER_DEADLINES: usize = 500;

#[tokio::test]
async fn a_task_that_is_polled_again_and_again_sets_one_deadline() {
    let mut link = Link::distance(Duration::from_secs(60));
    let rate = Some(Rate { kbit_s: 8, queue_bytes: 1_500 });
    (link.up.rate, link.down.rate) = (rate, rate);
    let line = Line::new(link);
    let (mut client, mut server) = connected(&line).await;
    server.write_all(&[0; 20_000]).await.unwrap();
    let before = deadlines_count();
    for _ in 0..5_000 {
        // A waker of its own each time, as of a task that looks at several things at once.
        let waker = futures_util::task::waker(Arc::new(Idle));
        let mut cx = Context::from_waker(&waker);
        let mut bytes = [0; 64];
        assert!(Pin::new(&mut client).poll_read(&mut cx, &mut ReadBuf::new(&mut bytes)).is_pending());
        let _ = Pin::new(&mut client).poll_write(&mut cx, &[0; 1_448]);
        let mut sleep = until(Instant::now() + Duration::from_secs(60));
        assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    }
    let after = deadlines_count();
    assert!(after < before + OTHER_DEADLINES, "{before} deadlines became {after}");
}

/// A task that does nothing when it is woken.
struct Idle;

impl futures_util::task::ArcWake for Idle {
    fn wake_by_ref(_: &Arc<Self>) {}
}

#[tokio::test]
async fn single_bytes_take_no_more_memory_than_packets_and_their_writer_is_woken() {
    let line = Line::new(Link::distance(300 * MS));
    let (mut client, mut server) = connected(&line).await;
    let began = Instant::now();
    let mut written = 0;
    while let Some(wrote) = client.write(b"x").now_or_never() {
        written += wrote.unwrap();
    }
    assert_eq!(written, WEIGHT_MAX / (CHUNK_WEIGHT + 1));
    client.write_all(b"y").await.unwrap();
    assert!(began.elapsed() >= 300 * MS, "there was no room before the first byte had left");
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    client.shutdown().await.unwrap();
    let bytes = reading.await.unwrap();
    assert_eq!((bytes.len(), bytes.last()), (written + 1, Some(&b'y')));
}

#[tokio::test]
async fn a_reader_that_stays_away_leaves_bytes_to_the_kernel() {
    let line = Line::new(Link::distance(300 * MS));
    let (mut client, mut server) = connected(&line).await;
    let sent = 3 * WEIGHT_MAX;
    let writing = tokio::spawn(async move { server.write_all(&vec![7; sent]).await });
    let began = Instant::now();
    while began.elapsed() < 200 * MS {
        assert!(poll_once(&mut client, &mut [0; 64]).await.is_pending());
        assert!(client.unreleased_bytes() < WEIGHT_MAX + READ_BYTES);
        tokio::task::yield_now().await;
    }
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), sent);
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_writer_that_waits_for_the_queue_of_a_rate_goes_on() {
    let mut link = Link::distance(MS);
    link.up.rate = Some(Rate { kbit_s: 8_000, queue_bytes: 3_000 });
    let line = Line::new(link);
    let (mut client, mut server) = connected(&line).await;
    let began = Instant::now();
    client.write_all(&[7; 100_000]).await.unwrap();
    // 800 000 bits at 8 000 kbit/s, but for the queue and the packet behind it.
    assert!(began.elapsed() >= 95 * MS, "{:?}", began.elapsed());
    client.shutdown().await.unwrap();
    assert!(began.elapsed() >= 101 * MS, "{:?}", began.elapsed());
    drop(client);
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), 100_000);
}

#[tokio::test]
async fn the_end_and_a_reset_take_their_time_too() {
    let line = Line::new(Link::distance(40 * MS));
    let mut bytes = [0; 8];

    let (mut client, mut server) = connected(&line).await;
    let began = Instant::now();
    tokio::spawn(async move { client.shutdown().await.map(|()| client) });
    assert_eq!(server.read(&mut bytes).await.unwrap(), 0);
    assert!(began.elapsed() >= 40 * MS, "the client's end: {:?}", began.elapsed());

    let (mut client, server) = connected(&line).await;
    let began = Instant::now();
    drop(server);
    assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
    assert!(began.elapsed() >= 40 * MS, "the server's end: {:?}", began.elapsed());

    let (mut client, mut server) = connected(&line).await;
    server.write_all(b"last").await.unwrap();
    client.read_exact(&mut bytes[..4]).await.unwrap();
    server.set_zero_linger().unwrap();
    let began = Instant::now();
    drop(server);
    let failed = client.read(&mut bytes).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
    assert!(began.elapsed() >= 40 * MS, "the server's reset: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_is_cut_behind_the_line_is_reset_and_not_ended() {
    let line = Line::new(Link::distance(MS));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let server = DelayedSocket::new(server, line, End::Server, |_| {});
    server.socket().set_zero_linger().unwrap();
    drop(server);
    let failed = client.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_writer_that_waits_for_room_learns_that_its_connection_broke() {
    let line = Line::new(Link::distance(Duration::from_secs(600)));
    let (client, mut server) = connected(&line).await;
    let (mut reading, mut writing) = tokio::io::split(client);
    let full = Arc::new(tokio::sync::Notify::new());
    let told = full.clone();
    let writer = tokio::spawn(async move {
        loop {
            let mut write = std::pin::pin!(writing.write(&[0; READ_BYTES]));
            let wrote = match futures_util::poll!(&mut write) {
                Poll::Ready(wrote) => wrote,
                Poll::Pending => {
                    told.notify_one();
                    write.await
                }
            };
            if let Err(failed) = wrote {
                return failed.kind();
            }
        }
    });
    full.notified().await;
    line.fall_silent(50 * MS);
    server.write_all(b"lost").await.unwrap();
    assert_eq!(reading.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(writer.await.unwrap(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_end_that_falls_into_a_silence_is_not_heard_before_it_is_over() {
    let line = Line::new(Link::distance(MS));
    let (mut client, mut server) = connected(&line).await;
    line.fall_silent(100 * MS);
    let began = Instant::now();
    client.shutdown().await.unwrap();
    assert!(began.elapsed() >= 99 * MS, "{:?}", began.elapsed());
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    drop(client);
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

/// Longer than a test waits: a silence of this length is over early, or never.
const LONG: Duration = Duration::from_secs(600);

/// Fails after a time in which a busy machine does anything that is not waiting.
async fn soon<T>(job: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), job)
        .await
        .expect("it waits for the end that the silence had")
}

#[tokio::test]
async fn a_silence_that_is_ended_early_is_over_for_everyone_who_waits_for_its_end() {
    let line = Line::new(Link::distance(MS));
    let (mut hit, mut hit_server) = connected(&line).await;
    let (left, mut left_server) = connected(&line).await;
    let (mut ended, mut ended_server) = connected(&line).await;
    line.fall_silent(LONG);
    hit_server.write_all(b"lost").await.unwrap();
    left.leave();
    let opening = tokio::spawn({
        let line = line.clone();
        async move { line.connects().await }
    });
    let reading = tokio::spawn(async move { hit.read(&mut [0; 8]).await });
    let ending = tokio::spawn(async move { ended.shutdown().await });
    tokio::time::sleep(50 * MS).await;
    assert!(!opening.is_finished() && !reading.is_finished() && !ending.is_finished());

    // A silence in the place of another one lasts as long as it says itself.
    line.fall_silent(LONG);
    tokio::time::sleep(20 * MS).await;
    assert!(!opening.is_finished() && !reading.is_finished() && !ending.is_finished());

    line.fall_silent(Duration::ZERO);
    soon(opening).await.unwrap();
    assert_eq!(soon(reading).await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    soon(ending).await.unwrap().unwrap();
    let mut bytes = [0; 8];
    assert_eq!(soon(left_server.read(&mut bytes)).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(soon(ended_server.read(&mut bytes)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reader_in_another_task_learns_that_a_write_was_lost() {
    let line = Line::new(Link::distance(MS));
    let (client, _server) = connected(&line).await;
    let (mut reading, mut writing) = tokio::io::split(client);
    let reader = tokio::spawn(async move { reading.read(&mut [0; 8]).await });
    tokio::task::yield_now().await;
    line.fall_silent(50 * MS);
    writing.write_all(b"lost").await.unwrap();
    assert_eq!(soon(reader).await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_what_was_left_for_it_is_reset_after_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let account = Arc::new(());
    let kept = account.clone();
    let wrote = move |_| _ = &kept;
    let mut server = DelayedSocket::new(server, Line::new(Link::default()), End::Server, wrote);
    let mut written = 0;
    while let Some(wrote) = server.write(&[7; READ_BYTES]).now_or_never() {
        written += wrote.unwrap();
        tokio::task::yield_now().await;
    }
    server.leave();
    let left = tokio::time::Instant::now();
    while Arc::strong_count(&account) > 1 {
        assert!(left.elapsed() < 2 * LEAVING_MAX, "its account is kept");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(left.elapsed() >= LEAVING_MAX - Duration::from_secs(1), "{:?}", left.elapsed());
    let mut bytes = Vec::new();
    let failed = client.read_to_end(&mut bytes).await.unwrap_err();
    assert!(failed.kind() == io::ErrorKind::ConnectionReset && bytes.len() < written, "{failed}");
}
