//! The load client of scripts/bench: one thread that publishes on schedule and reads what thousands of subscribers get,
//! from any server, and checks that every line came once. It parses no more than it must, so that one core of it can load
//! one core of a server; `wirelab run` measures more, and costs more. It prints one JSON object.

mod answers;
mod cpu;
mod lines;
mod publisher;
mod run;
mod subscriber;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use publisher::Form;
use run::{Crowd, Wanted, run};
use subscriber::{Asking, Resume, Send, Wire};

#[derive(Parser)]
#[command(about = "Loads a server with subscribers and one publisher, and checks that every line came once")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish at a rate and measure deliveries from each line's intended time
    Deliver(Deliver),
    /// Open subscribers, print how many, and hold them until stdin ends
    Hold(Subscribe),
}

#[derive(Args)]
struct Subscribe {
    /// Address of the server
    #[arg(long, value_name = "HOST:PORT")]
    address: SocketAddr,
    /// Number of subscribers, each with its own connection
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    subscribers: u64,
    /// How lines reach them
    #[arg(long, value_enum)]
    wire: Wire,
    /// Path that they ask for
    #[arg(long)]
    path: String,
    /// A field of their requests, such as 'accept: text/event-stream'; may be repeated
    #[arg(long)]
    header: Vec<String>,
    /// What a poll gives back: 'FIELD=header NAME' or 'FIELD=query NAME', the field of the answer before; may be repeated
    #[arg(long, value_parser = resume)]
    resume: Vec<Resume>,
}

#[derive(Args)]
struct Deliver {
    #[command(flatten)]
    subscribe: Subscribe,
    /// Path that lines are published to
    #[arg(long)]
    publish_path: String,
    /// Content type of a published line
    #[arg(long, default_value = "text/plain")]
    publish_type: String,
    /// Body of a published line
    #[arg(long, default_value = "{text}")]
    publish_body: String,
    /// Bytes of a line's text
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(11..=60_000))]
    bytes: u64,
    /// Lines per second
    #[arg(long, value_parser = rate)]
    rate: f64,
    /// Time before the measured lines
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    warm_up_ms: u64,
    /// Time of the measured lines
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=120_000))]
    duration_ms: u64,
    /// Longest wait for the last lines
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    drain_ms: u64,
    /// Processes of the server, whose CPU time is read
    #[arg(long, value_delimiter = ',')]
    server_pid: Vec<u32>,
}

fn rate(text: &str) -> Result<f64, String> {
    // A million lines a second is beyond every server here, and within what one number of nine digits can count.
    let rate: f64 = text.parse().map_err(|_| "give a number of lines per second".to_owned())?;
    if (0.1..=1e6).contains(&rate) { Ok(rate) } else { Err("give 0.1 to 1000000 lines per second".into()) }
}

fn resume(text: &str) -> Result<Resume, String> {
    let wrong = || format!("{text:?} is not like 'etag=header if-none-match' or 'next=query from'");
    let (take, send) = text.split_once('=').ok_or_else(wrong)?;
    let send = match send.split_once(' ').ok_or_else(wrong)? {
        ("header", name) => Send::Header(name.to_owned()),
        ("query", name) => Send::Query(name.to_owned()),
        _ => return Err(wrong()),
    };
    Ok(Resume { take: take.to_owned(), send })
}

impl Subscribe {
    fn asking(self) -> (SocketAddr, usize, Asking) {
        let fields = self.header.iter().map(|field| format!("{field}\r\n")).collect();
        let authority = self.address.to_string();
        let subscribers = usize::try_from(self.subscribers).expect("at most 60,000");
        let asking = Asking { wire: self.wire, authority, path: self.path, fields, resumes: self.resume };
        (self.address, subscribers, asking)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    match Options::parse().command {
        Command::Deliver(deliver) => {
            let Deliver {
                publish_path,
                publish_type,
                publish_body: body,
                bytes,
                rate,
                warm_up_ms,
                duration_ms,
                drain_ms,
                server_pid,
                subscribe,
            } = deliver;
            let (address, subscribers, asking) = subscribe.asking();
            let head = format!(
                "POST {publish_path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {publish_type}\r\n"
            );
            let form = Form {
                head,
                body: body.clone(),
                text_bytes: usize::try_from(bytes).expect("at most 60,000"),
            };
            let outcome = run(Wanted {
                address,
                subscribers,
                asking,
                form,
                rate_hz: rate,
                warm_up: Duration::from_millis(warm_up_ms),
                duration: Duration::from_millis(duration_ms),
                drain: Duration::from_millis(drain_ms),
                server: server_pid,
            })?;
            println!("{}", serde_json::to_string(&outcome)?);
        }
        Command::Hold(subscribe) => {
            let (address, subscribers, asking) = subscribe.asking();
            let _crowd = Crowd::open(address, subscribers, &asking)?;
            println!("{}", serde_json::json!({ "subscribers": subscribers }));
            io::copy(&mut io::stdin().lock(), &mut io::sink())?;
        }
    }
    Ok(())
}
