//! Tests of delay lines, over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
    line.connects(began).await;
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
    assert_eq!(line.silent_for(), None);
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
    assert!(began.elapsed() >= 90 * MS, "nobody hears of it in the silence");
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
    let mut bytes = [0; 5];
    {
        // What is read now was stamped with the old delay.
        let mut reading = std::pin::pin!(client.read_exact(&mut bytes));
        while futures_util::poll!(&mut reading).is_pending() && client_has(&line) {
            line.set(Link::distance(MS));
            server.write_all(b"after").await.unwrap();
        }
        reading.await.unwrap();
    }
    assert_eq!(&bytes, b"first");
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"after");
}

/// Tells whether the line still has its first link.
fn client_has(line: &Line) -> bool {
    line.link().down.delay > MS
}
