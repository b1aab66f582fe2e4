//! Address of a server that answers, among those that its name has.
//!
//! A name often has an IPv6 and an IPv4 address, and a server may listen on one of them only. The subscribers' library
//! tries all of them each time it connects. The publisher and the calibration connect to one address, again and again;
//! it is found here, once. Opens a connection and closes it; sends nothing.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::ServerUrl;
use crate::http::CONNECT_TIMEOUT;

/// Returns the first address of the server that a connection can be opened to. A server without a name has one address,
/// which is not tried.
pub(super) async fn address_of(url: &ServerUrl) -> io::Result<SocketAddr> {
    match url.authority().parse() {
        Ok(address) => Ok(address),
        Err(_) => first_that_answers(lookup_host(url.authority()).await?).await,
    }
}

/// Returns the first address that answers, or the error of the last one.
async fn first_that_answers(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<SocketAddr> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        // An address that swallows packets must not use up the time of the next one.
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no connection in time"),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// The case of a name whose first address is that of a protocol on which nothing listens.
    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_for_the_next_one() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live_address = live.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = closed.local_addr().unwrap();
        drop(closed);
        assert_eq!(first_that_answers([dead, live_address].into_iter()).await.unwrap(), live_address);
        assert_eq!(
            first_that_answers([dead, dead].into_iter()).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let none = first_that_answers(std::iter::empty()).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
        let url = format!("http://localhost:{}", live_address.port()).parse().unwrap();
        assert_eq!(address_of(&url).await.unwrap(), live_address);
    }
}
