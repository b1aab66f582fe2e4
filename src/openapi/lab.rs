//! The lab: what the page at the server's own machine may ask for.

use super::{Call, Described, Head, json_of, reference};
use crate::lab::{LabBounds, PREFIX};

const LAB: &str = "lab";

pub(super) fn paths() -> Vec<Described> {
    vec![at("").get(Head::Answered, show())]
}

fn at(path: &str) -> Described {
    Described::new(format!("{PREFIX}{path}"))
}

/// What the guard refuses stands in each call.
fn call(id: &str, summary: &str) -> Call {
    Call::new(id, LAB, summary).refused(
        403,
        "Asked from another machine, by a name that is not the loopback's, through a proxy or from a page of another \
         origin; `detail` says which.",
    )
}

fn show() -> Call {
    call("show_lab", "What the lab has")
        .answer(200, json_of(reference::<LabBounds>(), "Each with its bounds."))
}
