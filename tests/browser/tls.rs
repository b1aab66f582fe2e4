//! The page by HTTPS, where browsers speak HTTP/2: every transport, and the lesson on the six connections again.

use wirelab_clients::wire::{NewLine, Status, Transport};

use crate::browser::{Engine, in_every_browser};
use crate::lessons::{column, compared, open, wait_to_hear};
use crate::looks::look;
use crate::page::{Page, number, wait_until};
use crate::secure::Secure;

in_every_browser! {
    every_transport_follows_a_log_inside_of_tls;
    seven_of_seven_streams_show_lines_over_one_connection;
}

fn every_transport_follows_a_log_inside_of_tls(engine: Engine) {
    let secure = Secure::serve(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut api = secure.api();
    let id = runtime.block_on(async {
        let id = api.create("by HTTPS", None).await.unwrap().id;
        api.append(&id, &[NewLine::plain("one"), NewLine::plain("two")], "0123456789abcdef").await.unwrap();
        id
    });
    let page = Page::secure(engine, &secure.binary);
    for transport in Transport::ALL {
        page.open(&id, transport.name());
        page.shows(&["one", "two"], transport.name());
        page.wait_for("live", transport.name());
    }
    runtime.block_on(api.finish(&id, Status::Succeeded)).unwrap();
    page.wait_for("finished", "the last transport");
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(page.run::<String>(protocol, &[]), "h2");
    page.is_quiet();
}

fn seven_of_seven_streams_show_lines_over_one_connection(engine: Engine) {
    let secure = Secure::serve(&[]);
    let page = Page::secure(engine, &secure.binary);
    open(&page, 4);
    page.fill("#lesson-fields [name='streams']", "6");
    page.choose("#lesson-fields [name='button']", "waits too");
    page.click("#lesson-run");
    wait_to_hear(&page, "Six streams are open, a seventh joins them");
    wait_to_hear(&page, "Measured.");
    let lines: Vec<_> = column(&page, "lines after 6 s").iter().map(|lines| number(lines)).collect();
    assert!(lines.len() == 8 && lines.iter().all(|lines| *lines > 0.0), "{lines:?}");
    let expected = [("6", "7"), ("–", "shows lines"), ("waits too", "is answered")];
    assert_eq!(compared(&page), expected.map(|(said, was)| (said.to_owned(), was.to_owned())));
    let told = page.text("#lesson-result");
    assert!(told.contains("7 streams showed lines at the same time"), "{told}");
    // One of HTTP/2, and the WebSockets of the lane, of the ledgers and of the page's presence.
    assert!(told.contains("The server counts 4 open connections in all"), "{told}");
    assert_eq!(page.text("#held"), "7 of 100");
    if engine == Engine::Chromium {
        look(&page, "lesson-4-https");
    }
    page.click(".brand");
    wait_until("the overview is shown", || page.is_shown("#overview"));
    page.is_quiet();
}
