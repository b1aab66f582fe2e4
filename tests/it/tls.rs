//! TLS: who understands whom, who is trusted, what is counted, and a certificate that is changed under open streams.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion, version,
};
use tokio::time::timeout;
use wirelab_clients::api::ApiError;
use wirelab_clients::meter::Meter;
use wirelab_clients::tls::{ClientTls, Sessions, Trust};
use wirelab_clients::traffic::Traffic;
use wirelab_clients::wire::{NewLine, Position, Status, Transport};
use wirelab_clients::{
    HttpVersion, Options, PollConnections, Polling, ServerUrl, SubscribeError, Target, connect,
};

use crate::http::SOON;
use crate::secure::Secure;
use crate::server::{Server, holds_within, wait_until, wirelab};

const LINES: usize = 700;
const KEY: &str = "0123456789abcdef";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Options of a client that asks often.
fn options(http: HttpVersion, connections: PollConnections) -> Options {
    let polling = Polling::every(Duration::from_millis(5));
    Options { polling, hold: Duration::from_millis(200), http, connections, ..Options::default() }
}

/// Follows a log to its end; what came, and what was counted.
async fn follow(transport: Transport, target: Target, options: &Options) -> (Vec<String>, Traffic) {
    let meter = Meter::new();
    let mut subscriber = connect(transport, target, options, meter.clone());
    let mut lines = Vec::new();
    loop {
        let received = timeout(SOON, subscriber.next_batch()).await.expect("in time").expect("it is served");
        lines.extend(received.batch.lines.iter().map(|line| line.line.text.clone()));
        if received.batch.finished {
            drop(subscriber);
            return (lines, meter.traffic());
        }
    }
}

/// A log of its own that has ended.
async fn ended_log(secure: &Secure) -> (Target, Vec<String>) {
    let mut api = secure.api();
    let id = api.create("tls", None).await.expect("it can be created").id;
    let texts: Vec<String> = (0..LINES).map(|n| format!("line {n} {}", "x".repeat(n % 90))).collect();
    let lines: Vec<_> = texts.iter().map(|text| NewLine::plain(text.clone())).collect();
    api.append(&id, &lines, KEY).await.expect("lines can be appended");
    api.finish(&id, Status::Succeeded).await.expect("it can be finished");
    (Target { server: secure.url(), deployment: id, from: Position::Start }, texts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_transport_brings_every_line_and_both_sides_count_the_same() {
    let secure = Secure::serve(&[]);
    let (target, texts) = ended_log(&secure).await;
    let kept = [PollConnections::KeepAlive, PollConnections::PerRequest];
    for (transport, http, connections) in Transport::ALL
        .into_iter()
        .flat_map(|transport| kept.map(|kept| (transport, HttpVersion::Http1, kept)))
        .chain(kept.map(|kept| (Transport::ShortPoll, HttpVersion::Http2, kept)))
        .chain([(Transport::Sse, HttpVersion::Http2, PollConnections::KeepAlive)])
    {
        let counted = async || {
            let metrics = secure.api().metrics().await.expect("it says its counts");
            let of = |name: &str, direction: &str| {
                let start = format!("{name}{{transport=\"{transport}\",direction=\"{direction}\"}} ");
                let value =
                    metrics.lines().find_map(|line| line.strip_prefix(&start)).expect("it is counted");
                value.parse::<u64>().expect("a count")
            };
            [("wirelab_bytes_total", "up"), ("wirelab_bytes_total", "down")]
                .map(|(name, way)| of(name, way))
                .into_iter()
                .chain(["up", "down"].map(|way| of("wirelab_tls_bytes_total", way)))
                .collect::<Vec<_>>()
        };
        let what = format!("{transport}, HTTP/{http}, {connections:?}");
        let before = counted().await;
        let (lines, ours) = follow(transport, target.clone(), &options(http, connections)).await;
        assert_eq!(lines, texts, "{what}");
        let ours_all = [ours.up_bytes, ours.down_bytes, ours.tls_up_bytes, ours.tls_down_bytes];
        assert!(
            ours.tls_up_bytes > ours.up_bytes && ours.tls_down_bytes > ours.down_bytes,
            "{what}: {ours:?}"
        );
        let mut theirs = Vec::new();
        // The server notices the end of a connection a moment later. An alert that ends it may be read by nobody.
        let alerts = 24 * ours.connections_opened;
        let mut equal = false;
        for _ in 0..100 {
            theirs = counted().await.iter().zip(&before).map(|(now, then)| now - then).collect();
            equal = ours_all[..2] == theirs[..2]
                && ours_all[2] - theirs[2] <= alerts
                && theirs[3] - ours_all[3] <= alerts;
            if equal {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(equal, "{what}: clients {ours_all:?}, server {theirs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_certificate_of_nobody_is_refused_at_once_and_the_remedies_are_named() {
    let secure = Secure::serve(&[]);
    let (trusted, _) = ended_log(&secure).await;
    let mistrusting = secure.url_trusting(Trust::Machine);
    let refused = wirelab_clients::api::Api::new(mistrusting.clone()).create("x", None).await.unwrap_err();
    assert!(matches!(refused, ApiError::Mistrusted { .. }) && !refused.passes(), "{refused}");
    assert!(refused.to_string().contains("--ca FILE"), "{refused}");
    for transport in Transport::ALL {
        let target = Target { server: mistrusting.clone(), ..trusted.clone() };
        let mut subscriber = connect(transport, target, &Options::default(), Meter::new());
        let refused = timeout(SOON, subscriber.next_batch()).await.expect("at once").unwrap_err();
        assert!(matches!(refused, SubscribeError::Mistrusted { .. }), "{transport}: {refused}");
        assert!(refused.to_string().contains("--insecure"), "{transport}: {refused}");
    }
    let anything = Target { server: secure.url_trusting(Trust::Anything), ..trusted };
    assert_eq!(follow(Transport::Sse, anything, &Options::default()).await.0.len(), LINES);
}

#[test]
fn who_speaks_the_wrong_protocol_is_told_so() {
    let secure = Secure::serve(&[]);
    let mut plain = TcpStream::connect(&secure.binary.authority).unwrap();
    plain.write_all(b"POST /api/deployments HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{answer}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], 400, "{answer}");

    let tail = |url: String, more: &[&str]| {
        let output = wirelab().args(["tail", &url]).args(more).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let deployment = "api/deployments/01k3aaaa";
    let (code, said) = tail(format!("http://{}/{deployment}", secure.binary.authority), &[]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("write the address with https://"), "{said}");

    let without = Server::start();
    let (code, said) = tail(format!("https://{}/{deployment}", without.authority), &[]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("http://") && said.contains("TLS"), "{said}");
    let (code, said) = tail(format!("http://{}/{deployment}", without.authority), &["--insecure"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--ca and --insecure are about https://"), "{said}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let secure = Secure::serve(&[]);
    let certificate = secure.certificate();
    let serve = |more: &[&str]| {
        let output =
            wirelab().args(["serve", "--bind", "127.0.0.1:0", "--store", "memory"]).args(more).output();
        let output = output.unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let certificate = certificate.to_str().unwrap();
    for (arguments, said) in [
        (&["--tls-cert", certificate][..], "--tls-key"),
        (&["--tls-cert", "/nowhere.pem", "--tls-key", certificate], "/nowhere.pem: there is no such file"),
        (&["--tls-cert", certificate, "--tls-key", certificate], "there is no private key in it"),
        (
            &["--tls", "self-signed", "--tls-cert", certificate, "--tls-key", certificate],
            "cannot be used with",
        ),
        (&["--tls", "self-signed", "--tls-folder", "/proc/nowhere"], "--tls-folder"),
    ] {
        let (code, stderr) = serve(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_certificate_is_read_at_sighup_and_open_streams_stay() {
    let secure = Secure::serve(&[]);
    let old = secure.url();
    let mut api = secure.api();
    let id = api.create("kept", None).await.unwrap().id;
    let target = Target { server: old.clone(), deployment: id.clone(), from: Position::Start };
    let meter = Meter::new();
    let mut stream = connect(Transport::Sse, target, &Options::default(), meter.clone());
    api.append(&id, &[NewLine::plain("before")], KEY).await.unwrap();
    let first = timeout(SOON, stream.next_batch()).await.unwrap().unwrap();
    assert_eq!(first.batch.lines[0].line.text, "before");

    secure.forget_certificate();
    secure.binary.signal(Signal::SIGHUP);
    // Who trusts the old certificate alone cannot connect any more; who trusts the new one can.
    let refused = async |url: ServerUrl| {
        matches!(wirelab_clients::api::Api::new(url).transports().await, Err(ApiError::Mistrusted { .. }))
    };
    let mut is_new = false;
    for _ in 0..500 {
        is_new = refused(old.clone()).await;
        if is_new {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_new, "the old certificate is still shown");
    let mut anew = secure.api();
    anew.append(&id, &[NewLine::plain("after")], "fedcba9876543210").await.unwrap();
    let second = timeout(SOON, stream.next_batch()).await.unwrap().unwrap();
    assert_eq!(second.batch.lines[0].line.text, "after");
    assert_eq!(meter.traffic().connections_opened, 1);
}

#[test]
fn sighup_with_a_certificate_that_is_gone_keeps_the_last_one() {
    let secure = Secure::serve(&[]);
    let certificate = secure.certificate();
    let made = std::fs::read(&certificate).unwrap();
    std::fs::write(&certificate, "no certificate").unwrap();
    secure.binary.signal(Signal::SIGHUP);
    // Read before it was broken.
    std::fs::write(certificate.with_file_name("kept.pem"), made).unwrap();
    let kept = Trust::File(certificate.with_file_name("kept.pem"));
    let url = secure.url_trusting(kept);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answers = || runtime.block_on(wirelab_clients::api::Api::new(url.clone()).transports()).is_ok();
    assert!(!holds_within(Duration::from_millis(500), || !answers()), "it shows none");
    wait_until("it answers", answers);
}

/// One request over TLS of this version; how the handshake was.
fn handshake(secure: &Secure, config: &Arc<ClientConfig>) -> HandshakeKind {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(config.clone(), name).unwrap();
    let mut socket = TcpStream::connect(&secure.binary.authority).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    session.handshake_kind().unwrap()
}

#[test]
fn sessions_are_resumed_in_both_versions_unless_a_client_begins_anew() {
    let secure = Secure::serve(&[]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(secure.certificate()).unwrap()).unwrap();
    for spoken in [&version::TLS12, &version::TLS13] as [&'static SupportedProtocolVersion; 2] {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[spoken])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let resuming = Arc::new(config.clone());
        assert_eq!(handshake(&secure, &resuming), HandshakeKind::Full, "{spoken:?}");
        assert_eq!(handshake(&secure, &resuming), HandshakeKind::Resumed, "{spoken:?}");
        let mut anew = config;
        anew.resumption = Resumption::disabled();
        let anew = Arc::new(anew);
        for _ in 0..2 {
            assert_eq!(handshake(&secure, &anew), HandshakeKind::Full, "{spoken:?}");
        }
    }
}

/// A resumed handshake sends no certificate, so it has fewer bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_resumes_its_sessions_as_it_is_told() {
    let secure = Secure::serve(&[]);
    let (target, _) = ended_log(&secure).await;
    let mut bytes = Vec::new();
    for sessions in [Sessions::Anew, Sessions::Resumed] {
        let tls = ClientTls::new(Trust::File(secure.certificate())).unwrap().with_sessions(sessions);
        let target = Target { server: target.server.clone().secured_by(tls), ..target.clone() };
        let options = options(HttpVersion::Http1, PollConnections::PerRequest);
        let (_, traffic) = follow(Transport::ShortPoll, target, &options).await;
        assert!(traffic.connections_opened > 1, "{traffic:?}");
        bytes.push(traffic.tls_down_bytes - traffic.down_bytes);
    }
    assert!(bytes[1] < bytes[0], "{bytes:?}");
}
