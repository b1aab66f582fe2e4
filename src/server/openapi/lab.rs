//! Descriptions of the lab's calls, which an owner may use, or on a server without tokens a page at its own machine.

use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{Content, Required, ResponseBuilder};
use wirelab_clients::harness::crowd::SUBSCRIBERS_MAX;
use wirelab_clients::wire::NetworkState;

use super::{
    ANY, Call, Described, Head, JSON, PAGE, json_of, list_of, nothing, of_page, parameter, reference, text,
    text_of, with_header,
};
use crate::lab::crowds::{CROWDS_MAX, Crowd, NewCrowd};
use crate::lab::run_progress::RunProgress;
use crate::lab::runs::{LabPlan, LabRun, NewRun};
use crate::lab::{LabBounds, NewNetwork, OutageTerms, PREFIX, ResultsFolder};

const LAB: &str = "lab";
const BODY: &str = "The body is not valid; `detail` says where and why.";
const BODY_TOO_LARGE: &str = "The body is larger than allowed.";

pub(super) fn paths() -> Vec<Described> {
    vec![
        at("").get(Head::Answered, show()),
        at("/outage").post(outage()),
        at("/network").get(Head::Answered, show_network()).put(set_network()).delete(take_network_away()),
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

/// Makes a call with the refusal of the lab's guard.
fn call(id: &str, summary: &str) -> Call {
    Call::new(id, LAB, summary).refused(
        403,
        "On a server without tokens: the request comes from another machine, through a proxy or from a page of another \
         origin, or its `Host` is not a name of the loopback. With tokens: the role of the one who asks is not owner, or \
         the page has another origin. `detail` says which.",
    )
}

fn show() -> Call {
    call("show_lab", "Read the bounds of the lab's calls")
        .answer(200, json_of(reference::<LabBounds>(), "The bounds."))
}

fn outage() -> Call {
    call("begin_outage", "Cut every connection and refuse new ones for a while")
        .about(
            "Begins once this answer is on its way. All open connections, this one included, end without goodbye (RST), \
             and so does every connection that opens before the end of the outage. Sources of deployments go on.",
        )
        .body([(JSON, reference::<OutageTerms>())], "The length of the outage.")
        .answer(202, json_of(reference::<OutageTerms>(), "The outage begins."))
        .refused(400, "The body is not valid, or the time is out of range.")
        .refused(409, "Another outage is under way.")
        .refused(413, BODY_TOO_LARGE)
}

fn show_network() -> Call {
    call("show_network", "Read the network between the server and its clients")
        .answer(200, json_of(reference::<NetworkState>(), "The network. All zero and null: there is none."))
}

fn set_network() -> Call {
    of_page(call("set_network", "Put distance, jitter, a rate or silence between the server and its clients"))
        .about(
            "Holds for every connection of the server, open or new. A new connection pays a round trip before its first \
             request. Calls of the lab over HTTP/1.1 and the sockets of ledgers pass beside it. In a silence bytes vanish \
             and connections stay open; those that lost bytes are reset (RST) once it is over, and new ones are opened \
             then. A silence begins once this answer is on its way.",
        )
        .body([(JSON, reference::<NewNetwork>())], "The network, as a whole. What is absent is 0 or null.")
        .answer(200, json_of(reference::<NetworkState>(), "The network as it is now."))
        .refused(400, "The body is not valid, has another member, or a value is out of range; `detail` names it.")
        .refused(413, BODY_TOO_LARGE)
}

fn take_network_away() -> Call {
    let page = "Takes the network away only if this page has set it.";
    call("take_network_away", "Take the network between the server and its clients away")
        .parameter(parameter("page", ParameterIn::Query, page).schema(Some(text(PAGE))))
        .answer(200, json_of(reference::<NetworkState>(), "The network as it is now."))
}

fn results() -> Call {
    call("list_results", "List the results folders, newest first")
        .about("A folder that cannot be read has a `problem` instead of what it holds.")
        .answer(200, json_of(list_of::<ResultsFolder>(), "The folders."))
        .refused(500, "The folder of results cannot be read.")
}

fn file(id: &str, names: &[&str]) -> Call {
    let answer =
        ["text/html", "text/csv", "text/plain", JSON, "image/svg+xml", "application/gzip"].into_iter().fold(
            ResponseBuilder::new().description("The file. CSV files and receipts are offered for download."),
            |answer, media_type| answer.content(media_type, Content::new(Some(text(ANY)))),
        );
    let answer = with_header(
        answer,
        "Content-Security-Policy",
        text(ANY),
        "Forbids scripts and everything from other hosts.",
    );
    let call = call(id, "Read a file of a results folder")
        .about("Only files below the folder that `serve --results` names.")
        .answer(200, answer)
        .refused(404, "No run has written this file.");
    names.iter().fold(call, |call, name| {
        let name = parameter(name, ParameterIn::Path, "A plain name.").required(Required::True);
        call.parameter(name.schema(Some(text("^[A-Za-z0-9][A-Za-z0-9._-]*$"))))
    })
}

fn list_crowds() -> Call {
    call("list_crowds", "List the crowds with what they have seen so far")
        .about("A crowd is a group of subscribers. Ended crowds stay until they are deleted or displaced. Figures are at most a second old.")
        .answer(200, json_of(list_of::<Crowd>(), "The crowds, oldest first."))
}

fn start_crowd() -> Call {
    let about = format!(
        "Each subscriber has its own connection and follows the deployment from its newest line on, in a process beside \
         the server. At most {CROWDS_MAX} crowds at a time, each of at most {SUBSCRIBERS_MAX} subscribers."
    );
    let started = json_of(reference::<Crowd>(), "The crowd is being started.");
    of_page(call("start_crowd", "Start a crowd of subscribers of a deployment"))
        .about(&about)
        .body(
            [(JSON, reference::<NewCrowd>())],
            "The deployment, the transport and the number of subscribers.",
        )
        .answer(
            201,
            with_header(
                started,
                "Location",
                text("^/api/lab/crowds/"),
                "The path of the crowd, by which it is ended.",
            ),
        )
        .refused(400, BODY)
        .refused(404, "No deployment has this id.")
        .refused(409, "The deployment has ended, or the limit of crowds or of their connections is reached.")
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
        .answer(200, json_of(reference::<Crowd>(), "The crowd has ended; these are its last figures."))
        .refused(404, "No crowd has this id.")
}

fn list_plans() -> Call {
    call("list_plans", "List the plans that can be run")
        .about(
            "Plans that measure this program alone, in their short form if they have one. A plan whose file cannot be \
             read has a `problem` instead of the other members.",
        )
        .answer(200, json_of(list_of::<LabPlan>(), "The plans, by name."))
        .refused(500, "The folder of plans cannot be read; `detail` names it.")
}

fn list_runs() -> Call {
    call("list_runs", "List the newest run, if one was started")
        .about("At most one run. While it is under way, its progress tells more.")
        .answer(200, json_of(list_of::<LabRun>(), "The run."))
}

fn start_run() -> Call {
    let started = json_of(reference::<RunProgress>(), "The run is being started.");
    call("start_run", "Run a plan")
        .about("Starts `wirelab run` in a process beside the server; it measures servers of its own. One at a time.")
        .body([(JSON, reference::<NewRun>())], "The name of the plan.")
        .answer(201, with_header(started, "Location", text("^/api/lab/runs/"), "The path of its progress."))
        .refused(400, "The body is not valid, or no plan has this name; `detail` lists the names.")
        .refused(409, "A run is under way.")
        .refused(413, BODY_TOO_LARGE)
        .refused(500, "The plan cannot be read, or the process cannot be started; `detail` says why.")
}

fn cancel_run() -> Call {
    call("cancel_run", "Stop the run")
        .about("Stops it as Ctrl-C does: what was measured is written. Its progress tells when it has ended.")
        .answer(202, nothing("The run was told to stop."))
        .refused(404, "No run is under way.")
}

fn run_progress() -> Call {
    call("follow_run", "Follow the progress of the newest run")
        .about(
            "An event stream with the state at once and then at each change. `event: progress` carries a `RunProgress`; \
             the last event, `event: ended`, carries a `RunEnded`. Comments are signs of life.",
        )
        .answer(200, text_of("text/event-stream", "The stream."))
        .refused(404, "No run was started.")
}
