//! The ledgers of a page's lanes: one path, which is a WebSocket.

use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;

use super::{Call, Described, Head, PAGE, of_upgrade, parameter, text};

pub(super) fn paths() -> Vec<Described> {
    vec![Described::new("/api/lanes/{page}").get(Head::Refused, ledgers())]
}

fn ledgers() -> Call {
    let page = "Chosen by the page at random: what it puts before the dot in `lane`.";
    of_upgrade(Call::new("follow_ledgers", "lanes", "What the server counts for the lanes of a page"))
        .about(
            "The handshake of RFC 6455, over HTTP/1.1. The server sends `hello`, then `ledgers` with every lane there is, then \
             `ledgers` with those that changed, at most ten times a second: requests by outcome, connections, bytes. Counts \
             are totals, from the page's first request on, and are kept for 90 s without a socket; `hello` names them, by \
             another id when they began anew. `{\"type\":\"clock\",\"ref\":1}` is answered with the server's clock.",
        )
        .parameter(
            parameter("page", ParameterIn::Path, page).required(Required::True).schema(Some(text(PAGE))),
        )
}
