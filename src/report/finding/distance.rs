//! What distance alone explains of a latency: the ways that a line waits for, whatever server and client do.
//!
//! [`finding`](super::finding) puts it beside what was measured. It claims nothing of any run.

use std::time::Duration;

use wirelab_clients::harness::network::emulated::{NetworkKind, PublisherPlace};
use wirelab_clients::link::Link;
use wirelab_clients::wire::Waits;

use crate::report::aggregate::{Aggregate, Group};
use crate::report::folder::Folder;
use crate::report::links::links;
use crate::report::wording::{list, plain};

use super::{Sentence, Tone, Topic, sentence};

/// Returns what distance alone gives each transport where all runs cross one link; `None` elsewhere, since a reader
/// could not tell whose distance is meant.
pub(super) fn distance(folder: &Folder, aggregate: &Aggregate) -> Option<Sentence> {
    let links = links(folder, aggregate);
    let [only] = links.as_slice() else { return None };
    match only.network.kind {
        NetworkKind::None => return None,
        NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => {}
    }
    let link = &only.network.link;
    if link.round_trip().is_zero() {
        return None;
    }
    let mut shares: Vec<(String, Vec<&str>)> = Vec::new();
    for group in only.groups.iter().filter(|group| group.is_believed()) {
        let Some(share) = share(group, link) else { continue };
        match shares.iter_mut().find(|(known, _)| *known == share) {
            Some((_, labels)) => labels.push(&group.label),
            None => shares.push((share, vec![&group.label])),
        }
    }
    let appended = match only.network.publisher {
        PublisherPlace::Beside => String::new(),
        PublisherPlace::Across => format!(", and each append {} before that", ms(link.up.delay)),
    };
    let each: Vec<String> =
        shares.iter().map(|(share, labels)| format!("{} {share}", list(labels))).collect();
    (!each.is_empty()).then(|| {
        let text = format!("Distance alone gives {}{appended}.", list(&each));
        sentence(Topic::Distance, Tone::Plain, text)
    })
}

/// Returns the latency that half of the lines have because of the distance, and how many ways it is made of.
fn share(group: &Group, link: &Link) -> Option<String> {
    let way = link.down.delay;
    match group.transport.waits() {
        Waits::ServerForever => Some(format!("{} (one way)", ms(way))),
        // A line that comes just after an answer waits for it, for the next request, and for its own way (RFC 6202, 2.2).
        Waits::ServerOnce => {
            let most = way + link.round_trip();
            Some(format!("{} to {} (one to three ways)", plain_ms(way), ms(most)))
        }
        Waits::Client => {
            let run = group.believed().next()?;
            let interval = Duration::from_secs_f64(run.number("poll_interval_ms")?.max(0.0) / 1e3);
            match run.text("poll_schedule").as_deref() {
                // The pause begins with an answer. A poll that connects first takes a round trip more.
                Some("pause") if run.text("keep_alive").as_deref() == Some("false") => {
                    let half = (interval + 2 * link.round_trip()) / 2;
                    Some(format!("{} (half its interval and two round trips, and one way)", ms(half + way)))
                }
                Some("pause") => {
                    let half = (interval + link.round_trip()) / 2;
                    Some(format!("{} (half its interval and round trip, and one way)", ms(half + way)))
                }
                Some(_) | None => Some(format!("{} (half its interval and one way)", ms(interval / 2 + way))),
            }
        }
    }
}

fn ms(duration: Duration) -> String {
    format!("{} ms", plain_ms(duration))
}

fn plain_ms(duration: Duration) -> String {
    plain(duration.as_secs_f64() * 1e3)
}
