//! Layers: what carries bytes has at least as many bytes as what it carries.
//!
//! The text of lines lies in the bytes of HTTP, those perhaps in TLS, then in IP packets, and those in Ethernet frames. A run in
//! which a layer is smaller than the one inside it has counted them over different times, or wrongly.

use super::{Found, Gate};
use crate::harness::run_result::{CheckVerdict, RunResult};
use crate::options::Compression;

pub(super) const GATES: &[Gate] = &[Gate {
    name: "layers",
    unit: "bytes",
    definition: "Bytes of the cohort's window, up and down: text of lines ≤ in HTTP (l7) ≤ in TLS, where it is spoken (tls) ≤ in IP packets ≤ in \
                 Ethernet frames (wire). Left and right: the first layer that is larger than the next one, and the \
                 next one; else the smallest and the largest. The text of lines is not compared where the transport \
                 may compress it. Layers that the kernel does not tell are left out.",
    find: layers,
}];

fn layers(run: &RunResult) -> Found {
    let steady = run.steady();
    let text = match run.cell.options.compression {
        Compression::Identity => Some(steady.app_bytes),
        Compression::Gzip | Compression::Deflate | Compression::DeflateNoContextTakeover => None,
    };
    let layers = [
        ("text of lines", text),
        ("l7", Some(steady.l7_bytes())),
        (
            "tls",
            steady.traffic.has_tls().then(|| steady.traffic.tls_up_bytes + steady.traffic.tls_down_bytes),
        ),
        ("ip", steady.ip_bytes()),
        ("wire", steady.wire_bytes()),
    ];
    let told: Vec<(&str, u64)> =
        layers.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect();
    let wrong = told.windows(2).find(|pair| pair[0].1 > pair[1].1);
    let (inner, outer) = match wrong {
        Some(pair) => (pair[0], pair[1]),
        None => (told[0], told[told.len() - 1]),
    };
    let said = || {
        format!(
            "{} ({} bytes) is larger than {} ({} bytes), which carries it",
            inner.0, inner.1, outer.0, outer.1
        )
    };
    Found::at_most(inner.1 as f64, outer.1 as f64, CheckVerdict::Fail, said)
}
