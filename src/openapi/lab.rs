//! The lab: what the page at the server's own machine may ask for.

use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{Content, Required, ResponseBuilder};

use super::{ANY, Call, Described, Head, JSON, json_of, list_of, parameter, reference, text, with_header};
use crate::lab::{LabBounds, OutageTerms, PREFIX, ResultsFolder};

const LAB: &str = "lab";

pub(super) fn paths() -> Vec<Described> {
    vec![
        at("").get(Head::Answered, show()),
        at("/outage").post(outage()),
        at("/results").get(Head::Answered, results()),
        at("/results/{folder}/{file}").get(Head::Answered, file("results_file", &["folder", "file"])),
        at("/results/{plan}/{run}/{file}").get(Head::Answered, file("run_file", &["plan", "run", "file"])),
        at("/results/{plan}/{run}/{folder}/{file}")
            .get(Head::Answered, file("inner_run_file", &["plan", "run", "folder", "file"])),
    ]
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

fn outage() -> Call {
    call("begin_outage", "Cut every connection and refuse new ones for a while")
        .about(
            "Begins once this answer is on its way. Open connections, this one too, end without goodbye (RST), and so \
             does whatever connects before it is over. What feeds deployments goes on.",
        )
        .body([(JSON, reference::<OutageTerms>())], "For how long.")
        .answer(202, json_of(reference::<OutageTerms>(), "It begins."))
        .refused(400, "The body cannot be understood, or the time is out of bounds.")
        .refused(409, "There is one already.")
        .refused(413, "The body is larger than allowed.")
}

fn results() -> Call {
    call("list_results", "What runs have written, newest first")
        .about("A folder that cannot be read has a `problem` instead of what it holds.")
        .answer(200, json_of(list_of::<ResultsFolder>(), "The folders."))
        .refused(500, "The folder of results cannot be read.")
}

fn file(id: &str, names: &[&str]) -> Call {
    let answer = ["text/html", "text/csv", "text/plain", JSON].into_iter().fold(
        ResponseBuilder::new().description("The file. CSV files are offered for download."),
        |answer, media_type| answer.content(media_type, Content::new(Some(text(ANY)))),
    );
    let answer =
        with_header(answer, "Content-Security-Policy", text(ANY), "No script, and nothing from anywhere.");
    let call = call(id, "A file of a results folder")
        .about("Below the folder that `serve --results` names, and never outside it.")
        .answer(200, answer)
        .refused(404, "There is no such file of a run.");
    names.iter().fold(call, |call, name| {
        let name = parameter(name, ParameterIn::Path, "A plain name.").required(Required::True);
        call.parameter(name.schema(Some(text("^[A-Za-z0-9][A-Za-z0-9._-]*$"))))
    })
}
