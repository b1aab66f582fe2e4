//! The lab (`/api/lab`): who is let in, what an outage and a network do to whom, and which files are shown.

mod guard;
mod network;
mod outage;
mod results;

use serde_json::Value;

use crate::http::{Api, Headers};
use crate::server::{Server, Setup};

/// Everything that the description has below `/api/lab`: methods with paths.
fn calls(api: &Api) -> Vec<(String, String)> {
    let described: Value = api.get("/openapi.json").json();
    let paths = described["paths"].as_object().unwrap().iter();
    let of_the_lab = paths.filter(|(path, _)| path.starts_with("/api/lab"));
    let calls = of_the_lab.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    calls.collect()
}

#[test]
fn it_says_what_it_has_with_its_bounds() {
    let server = Server::start();
    let answer = server.get("/api/lab");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let bounds: Value = answer.json();
    assert_eq!((&bounds["outage_s_min"], &bounds["outage_s_max"]), (&0.1.into(), &30.0.into()));
    let of_the_network = ["delay_ms_max", "link_kbit_s_min", "link_kbit_s_max", "silence_s_max"];
    let of_the_network = of_the_network.map(|name| bounds[format!("network_{name}")].as_f64().unwrap());
    assert_eq!(of_the_network, [300.0, 32.0, 1e6, 30.0]);
}

#[test]
fn a_server_without_lab_says_so_wherever_it_would_be() {
    let with_lab = Server::start();
    let mut setup = Setup::default();
    setup.options.lab = None;
    let server = setup.start();
    let json: Headers = &[("content-type", "application/json")];
    for (method, path) in calls(&with_lab) {
        let answer = server.ask(&method, &path, json, b"{\"refuse_s\":1}");
        assert_eq!(answer.status, 404, "{method} {path}");
        if method != "HEAD" {
            let problem = answer.problem().unwrap();
            assert!(problem.detail.contains("--no-lab"), "{method} {path}: {}", problem.detail);
        }
    }
    assert_eq!(calls(&server), [], "what is not there is not described");
    assert_eq!(server.get("/api/transports").status, 200);
}
