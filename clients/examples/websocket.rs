//! Follows a deployment to its end over a WebSocket: the server waits for ever.
//!
//! `cargo run -p wirelab-clients --example websocket -- URL [CURSOR]`, URL as `wirelab publish` prints it.
//! Upgrades one connection. Prints at the end how many bytes went each way.

use std::error::Error;
use std::io::Write;

use wirelab_clients::meter::Meter;
use wirelab_clients::transports::Websocket;
use wirelab_clients::{Options, Subscriber, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(why) = follow().await {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

async fn follow() -> Result<(), Box<dyn Error>> {
    let target = Target::from_arguments(std::env::args())?;
    let options = Options::default();
    let mut subscriber = Websocket::new(target, &options, Meter::new());
    loop {
        let batch = subscriber.next_batch().await?.batch;
        for line in &batch.lines {
            writeln!(std::io::stdout(), "{}", line.line.text)?;
        }
        if batch.finished {
            break;
        }
    }
    let traffic = subscriber.traffic();
    eprintln!("{} bytes up, {} bytes down", traffic.up_bytes, traffic.down_bytes);
    Ok(())
}
