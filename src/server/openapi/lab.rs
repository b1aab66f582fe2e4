//! The lab: what the page at the server's own machine may ask for.

use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{Content, Required, ResponseBuilder};
use wirelab_clients::harness::crowd::SUBSCRIBERS_MAX;

use super::{
    ANY, Call, Described, Head, JSON, json_of, list_of, nothing, parameter, reference, text, text_of,
    with_header,
};
use crate::lab::crowds::{CROWDS_MAX, Crowd, NewCrowd};
use crate::lab::run_progress::RunProgress;
use crate::lab::runs::{LabPlan, LabRun, NewRun};
use crate::lab::{LabBounds, OutageTerms, PREFIX, ResultsFolder};

const LAB: &str = "lab";
const BODY: &str = "The body cannot be understood; `detail` says where and why.";
const BODY_TOO_LARGE: &str = "The body is larger than allowed.";

pub(super) fn paths() -> Vec<Described> {
    vec![
        at("").get(Head::Answered, show()),
        at("/outage").post(outage()),
        at("/results").get(Head::Answered, results()),
        at("/results/{folder}/{file}").get(Head::Answered, file("results_file", &["folder", "file"])),
        at("/results/{plan}/{run}/{file}").get(Head::Answered, file("run_file", &["plan", "run", "file"])),
        at("/results/{plan}/{run}/{folder}/{file}")
            .get(Head::Answered, file("inner_run_file", &["plan", "run", "folder", "file"])),
        at("/crowds").get(Head::Answered, list_crowds()).post(start_crowd()),
        at("/crowds/{id}").delete(end_crowd()),
        at("/plans").get(Head::Answered, list_plans()),
        at("/runs").get(Head::Answered, list_runs()).post(start_run()).delete(cancel_run()),
        at("/runs/progress").get(Head::Refused, run_progress()),
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
        .refused(413, BODY_TOO_LARGE)
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

fn list_crowds() -> Call {
    call("list_crowds", "The crowds, with what they have seen so far")
        .about("Ended ones too, until they are deleted or make room. Figures are a second old at most.")
        .answer(200, json_of(list_of::<Crowd>(), "The crowds, oldest first."))
}

fn start_crowd() -> Call {
    let about = format!(
        "Each subscriber has a connection of its own and follows the deployment from its newest line on, in a process \
         beside the server. At most {CROWDS_MAX} crowds at a time, of at most {SUBSCRIBERS_MAX} subscribers."
    );
    let started = json_of(reference::<Crowd>(), "The crowd is being started.");
    call("start_crowd", "Let a crowd follow a deployment")
        .about(&about)
        .body([(JSON, reference::<NewCrowd>())], "Whom, how, and how many.")
        .answer(201, with_header(started, "Location", text("^/api/lab/crowds/"), "Where it is ended."))
        .refused(400, BODY)
        .refused(404, "There is no such deployment.")
        .refused(409, "The deployment has ended, or there are as many crowds or subscribers as may be.")
        .refused(413, BODY_TOO_LARGE)
        .refused(500, "The crowd's process cannot be started, or the store failed.")
}

fn end_crowd() -> Call {
    call("end_crowd", "End a crowd")
        .parameter(
            parameter("id", ParameterIn::Path, "The crowd's id.")
                .required(Required::True)
                .schema(Some(text(".+"))),
        )
        .answer(200, json_of(reference::<Crowd>(), "It has ended; its last figures."))
        .refused(404, "There is no such crowd.")
}

fn list_plans() -> Call {
    call("list_plans", "The plans that can be run")
        .about(
            "Made short where that is possible; of the others, those that measure this server alone. One whose file \
             cannot be read has a `problem` instead of the rest.",
        )
        .answer(200, json_of(list_of::<LabPlan>(), "The plans, by name."))
        .refused(500, "The folder of plans cannot be read; `detail` names it.")
}

fn list_runs() -> Call {
    call("list_runs", "The newest run, if one was started")
        .about("One at most. While it is under way, its progress has more.")
        .answer(200, json_of(list_of::<LabRun>(), "The run."))
}

fn start_run() -> Call {
    let started = json_of(reference::<RunProgress>(), "The run is being started.");
    call("start_run", "Run a plan")
        .about("As `wirelab run` does, in a process beside the server and against servers of its own. One at a time.")
        .body([(JSON, reference::<NewRun>())], "Which plan.")
        .answer(201, with_header(started, "Location", text("^/api/lab/runs/"), "Where its progress is."))
        .refused(400, "The body cannot be understood, or there is no such plan; `detail` names those there are.")
        .refused(409, "A run is under way.")
        .refused(413, BODY_TOO_LARGE)
        .refused(500, "The plan cannot be read, or the process cannot be started; `detail` says why.")
}

fn cancel_run() -> Call {
    call("cancel_run", "Stop the run")
        .about("As Ctrl-C does: what was measured is written. The progress tells when it is over.")
        .answer(202, nothing("It was told to stop."))
        .refused(404, "No run is under way.")
}

fn run_progress() -> Call {
    call("follow_run", "How far the newest run is")
        .about(
            "An event stream. The state as it is, at once, then what changes: `event: progress`, whose data is a \
             `RunProgress`, and at last `event: ended`, whose data is a `RunEnded`; then the stream ends. Comments are \
             signs of life.",
        )
        .answer(200, text_of("text/event-stream", "The stream."))
        .refused(404, "No run was started.")
}
