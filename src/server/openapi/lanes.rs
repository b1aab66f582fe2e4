//! Description of the ledgers of a page's lanes: one path, which is a WebSocket.

use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;

use super::{Call, Described, Head, PAGE, of_upgrade, parameter, text, upgraded};

pub(super) fn paths() -> Vec<Described> {
    vec![Described::new("/api/lanes/{page}").get(Head::Refused, ledgers())]
}

fn ledgers() -> Call {
    let page = "The page's random id: what it sends before the dot in `lane`.";
    of_upgrade(Call::new("follow_ledgers", "lanes", "What the server counts for the lanes of a page"), upgraded())
        .about(
            "The handshake of RFC 6455, over HTTP/1.1. A *ledger* holds the server's counts for one lane of a page: \
             requests by outcome, connections, bytes. The server sends `hello`, then `ledgers` with every lane, then \
             `ledgers` with the lanes that changed, at most ten times a second. Counts are totals from the page's first \
             request or socket on and are kept for 90 s without a socket. The id in `hello` changes when they begin \
             anew. `{\"type\":\"clock\",\"ref\":1}` is answered with the server's clock.",
        )
        .parameter(
            parameter("page", ParameterIn::Path, page).required(Required::True).schema(Some(text(PAGE))),
        )
}
