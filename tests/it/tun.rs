//! A link of packets: what TCP and UDP see of it. Runs over it are in `tun/runs.rs`.
//!
//! Such a link needs Linux and root. Where it is not possible, each test checks instead that the refusal says why and
//! names the remedy.

mod runs;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use wirelab_clients::harness::network::emulated::{Network, NetworkKind};
use wirelab_clients::harness::network::error::NetworkError;
use wirelab_clients::harness::network::laid::{Laid, Place};
use wirelab_clients::link::{Link, Loss, OneWay, Rate};
use wirelab_clients::os;

const MS: Duration = Duration::from_millis(1);
/// Time within which a busy machine does anything small.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lays a link of packets. `None`: this machine does not allow it, and says so well.
fn lay(link: Link) -> Option<Laid> {
    let network = Network { kind: NetworkKind::Tun, link, ..Network::default() };
    match Laid::lay(&network, 1) {
        Ok(laid) => Some(laid),
        Err(error) => {
            let said = error.to_string();
            println!("no packets were sent, only the refusal was checked: {said}");
            assert!(matches!(error, NetworkError::NoTun { .. }), "{said}");
            assert!(said.contains("as root") && said.contains("network = \"line\""), "{said}");
            assert!(!may_lay(), "this process may: {said}");
            None
        }
    }
}

/// Whether this process has all that a link of packets needs: the right to make namespaces and devices, and the device
/// that makes them. Root in a container may lack them.
fn may_lay() -> bool {
    /// Bits of `linux/capability.h`.
    const CAP_NET_ADMIN: u64 = 1 << 12;
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.map_or(0, |bits| u64::from_str_radix(bits.trim(), 16).unwrap());
    let needed = CAP_NET_ADMIN | CAP_SYS_ADMIN;
    effective & needed == needed && Path::new("/dev/net/tun").exists()
}

/// Listens beside the server, and gives every connection to `serve`.
fn listen(laid: &Laid, serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = laid.listen_beside().unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
    address
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 1_024];
    stream.set_nodelay(true).unwrap();
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..count]).unwrap();
    }
}

/// Connects from the subscribers' place; the time that it took.
fn connect(laid: &Laid, to: SocketAddr) -> (TcpStream, Duration) {
    let connect = move || {
        let began = Instant::now();
        (TcpStream::connect_timeout(&to, PATIENCE).unwrap(), began.elapsed())
    };
    let (stream, took) = laid.run_at(Place::Across, connect).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (stream, took)
}

#[test]
fn a_connection_takes_a_round_trip_and_an_echo_another_one() {
    let Some(laid) = lay(Link::distance(25 * MS)) else { return };
    let (mut stream, connected) = connect(&laid, listen(&laid, echo));
    assert!((50 * MS..1_000 * MS).contains(&connected), "{connected:?}");
    let mut echoes: Vec<_> = (0..20)
        .map(|_| {
            let began = Instant::now();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            began.elapsed()
        })
        .collect();
    echoes.sort_unstable();
    println!("25 ms each way: connect {connected:?}, echo p50 {:?}, max {:?}", echoes[10], echoes[19]);
    assert!(echoes[0] >= 50 * MS, "{echoes:?}");
    // The fastest one shows what the link itself adds, on a busy machine too.
    assert!(echoes[0] < 75 * MS, "{echoes:?}");
    let counts = laid.counts().unwrap();
    assert!(counts.up.delivered.count >= 20 && counts.down.delivered.bytes >= 20 * 41, "{counts:?}");
    assert_eq!((counts.up.lost.count, counts.unplanned_count()), (0, 0), "{counts:?}");
}

#[test]
fn what_stands_beside_the_server_is_not_delayed() {
    let Some(laid) = lay(Link::distance(200 * MS)) else { return };
    let to = listen(&laid, echo);
    let connect = move || TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    let _stream = laid.run_at(Place::Beside, connect).unwrap();
    // No packet of it was on the link.
    assert_eq!(laid.counts().unwrap().up.taken.count, 0);
}

#[test]
fn a_lost_syn_costs_the_second_that_tcp_waits_before_it_sends_another() {
    // Off from 1.0 to 1.5 s, and on again when the second SYN comes, one second later (RFC 6298, section 2.1).
    let off = Loss::OnOff { on: 1_000 * MS, off: 500 * MS };
    let up = OneWay { delay: 5 * MS, loss: off, ..OneWay::default() };
    loop {
        let before = Instant::now();
        let Some(laid) = lay(Link { up: up.clone(), ..Link::distance(5 * MS) }) else { return };
        let to = listen(&laid, echo);
        thread::sleep(1_050 * MS);
        let (_stream, took) = connect(&laid, to);
        // The link began after `before`. On a busy machine the time in which it is off may be missed.
        if before.elapsed() - took > 1_450 * MS {
            continue;
        }
        println!("a lost SYN: connect {took:?}");
        assert!((1_000 * MS..2_900 * MS).contains(&took), "{took:?}");
        assert!(laid.counts().unwrap().up.lost.count >= 1);
        return;
    }
}

#[test]
fn tcp_sends_lost_packets_again_and_every_byte_arrives() {
    let loss = Loss::Independent { ratio: 0.03 };
    let way = OneWay { delay: 2 * MS, loss, ..OneWay::default() };
    let Some(laid) = lay(Link { up: way.clone(), down: way, seed: 0 }) else { return };
    let (mut stream, _) = connect(&laid, listen(&laid, echo));
    let sent: Vec<u8> = (0..500_000_u32).map(|n| (n / 7) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let bytes = sent.clone();
    let writing = thread::spawn(move || writer.write_all(&bytes).unwrap());
    let mut received = vec![0; sent.len()];
    stream.read_exact(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "what arrived is not what was sent");
    let (info, counts) = (os::tcp_info(stream.as_raw_fd()).unwrap(), laid.counts().unwrap());
    println!("3 % loss: {} segments, {} of them again", info.segments_out, info.retransmits);
    assert!(info.retransmits > 0 && info.retransmitted_bytes > 0, "{info:?}");
    assert!(counts.up.lost.count > 0 && counts.down.lost.count > 0, "{counts:?}");
    assert_eq!(counts.up.queue_full.count, 0, "{counts:?}");
}

/// Makes a UDP socket beside the server and one across; the address of the first.
fn datagrams(laid: &Laid) -> (UdpSocket, UdpSocket, SocketAddr) {
    let address = laid.server_address();
    let beside = laid.run_at(Place::Beside, move || UdpSocket::bind(address)).unwrap().unwrap();
    let across = laid.run_at(Place::Across, || UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    let to = beside.local_addr().unwrap();
    beside.set_read_timeout(Some(PATIENCE)).unwrap();
    across.set_read_timeout(Some(PATIENCE)).unwrap();
    (beside, across, to)
}

#[test]
fn udp_crosses_the_link_both_ways() {
    let Some(laid) = lay(Link::distance(10 * MS)) else { return };
    let (beside, across, to) = datagrams(&laid);
    let (began, mut buffer) = (Instant::now(), [0; 16]);
    across.send_to(b"there", to).unwrap();
    let (count, from) = beside.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"there");
    beside.send_to(b"back", from).unwrap();
    assert_eq!(across.recv(&mut buffer).unwrap(), 4);
    assert!(began.elapsed() >= 20 * MS, "{:?}", began.elapsed());
}

#[test]
fn a_rate_bounds_the_throughput_and_its_full_queue_drops() {
    // A datagram of 1 000 bytes has 1 028 with its heads and takes 8.2 ms; 15 of them fit into the queue.
    let rate = Rate { kbit_s: 1_000, queue_bytes: 15_500 };
    let up = OneWay { rate: Some(rate), ..OneWay::default() };
    let Some(laid) = lay(Link { up, ..Link::default() }) else { return };
    let (beside, across, to) = datagrams(&laid);
    let began = Instant::now();
    (0..100).for_each(|_| assert_eq!(across.send_to(&[7; 1_000], to).unwrap(), 1_000));
    let sent = Instant::now();
    let counts = || laid.counts().unwrap().up;
    while counts().taken.count < 100 {
        assert!(sent.elapsed() < PATIENCE, "{:?}", counts());
        thread::yield_now();
    }
    let dropped = counts().queue_full;
    // As many as the queue holds, and those for which room became free meanwhile.
    let passed = 100 - dropped.count;
    assert!(
        passed >= 15 && passed <= 16 + (sent - began + sent.elapsed()).as_millis() as u64 / 8,
        "{passed}"
    );
    assert_eq!(dropped.bytes, dropped.count * 1_028);
    (0..passed).for_each(|_| assert_eq!(beside.recv(&mut [0; 2_000]).unwrap(), 1_000));
    let (took, least) = (began.elapsed(), rate.time_of(passed as usize * 1_028));
    assert!(took >= least, "{passed} datagrams took {took:?}, not {least:?}");
}

#[test]
fn a_trace_file_says_when_packets_pass_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let traced = |trace: String| {
        let up = OneWay { trace: Some(trace), ..OneWay::default() };
        Network { kind: NetworkKind::Tun, link: Link { up, ..Link::default() }, ..Network::default() }
    };
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    for (trace, said) in [
        (missing, "it cannot be read"),
        (path("wrong", "1\nsoon\n"), "line 2 is \"soon\""),
        (path("empty", ""), "it is empty"),
    ] {
        let refused = Laid::check_traces(&traced(trace.clone())).unwrap_err().to_string();
        assert!(refused.contains(&trace) && refused.contains(said), "{refused}");
    }
    // One packet every 100 ms.
    let network = traced(path("slow", "100\n"));
    Laid::check_traces(&network).unwrap();
    let Some(laid) = lay(network.link) else { return };
    let (beside, across, to) = datagrams(&laid);
    let began = Instant::now();
    (0..3).for_each(|_| assert_eq!(across.send_to(&[7; 1_472], to).unwrap(), 1_472));
    (0..3).for_each(|_| assert_eq!(beside.recv(&mut [0; 2_000]).unwrap(), 1_472));
    assert!(began.elapsed() >= 200 * MS, "three times, 100 ms apart, took {:?}", began.elapsed());
}

#[test]
fn moving_a_packet_costs_less_than_a_millisecond_of_cpu() {
    let Some(laid) = lay(Link::distance(MS)) else { return };
    let sink = |mut stream: TcpStream| drop(std::io::copy(&mut stream, &mut std::io::sink()));
    let (mut stream, _) = connect(&laid, listen(&laid, sink));
    let began = Instant::now();
    (0..200).for_each(|_| stream.write_all(&[7; 50_000]).unwrap());
    let counts = laid.counts().unwrap();
    let packets = counts.up.delivered.count + counts.down.delivered.count;
    let each = counts.cpu.unwrap() / u32::try_from(packets).unwrap();
    println!("{packets} packets in {:?}: {each:?} of CPU each; {counts:?}", began.elapsed());
    assert!(packets > 1_000);
    assert!(each < MS, "{each:?} of CPU for each of {packets} packets");
}

/// Both listeners hear only what is meant for them: addresses are the same in every link.
#[test]
fn two_links_beside_each_other_are_apart() {
    let (Some(one), Some(other)) = (lay(Link::distance(MS)), lay(Link::distance(MS))) else { return };
    let to = listen(&one, echo);
    let refused = other.run_at(Place::Across, move || TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    // Nothing of it is in the host's network.
    assert!(TcpListener::bind((to.ip(), 0)).is_err());
    drop(other);
    connect(&one, to);
}
