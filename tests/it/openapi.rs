//! `/openapi.json` against the server: every path, method, status, media type, header and body.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wirelab_clients::wire::{Transport, Wire};

use crate::http::{Answer, Api, Headers};
use crate::server::{Server, Setup, lab};
use wirelab::context::Lab;
use wirelab::context::ServerOptions;

/// What the server serves besides calls: the page and its files.
const PAGE: &[&str] = &["/"];
const PAGE_SOURCES: &[&str] = &["src/server/page.rs"];
/// Where the paths of the lab stand, without what they all begin with.
const LAB_SOURCES: &str = "src/lab";
const LAB: &str = "/api/lab";
const OUTAGE: &str = "/api/lab/outage";
const NETWORK: &str = "/api/lab/network";
const RESULTS: &str = "/api/lab/results";
const CROWDS: &str = "/api/lab/crowds";
const CROWD: &str = "/api/lab/crowds/{id}";
const PLANS: &str = "/api/lab/plans";
const RUNS: &str = "/api/lab/runs";
const PROGRESS: &str = "/api/lab/runs/progress";
const LOGIN: &str = "/login";
const LOGOUT: &str = "/logout";
const ACCESS: &str = "/api/access";
const THEORY: &str = "/api/theory";
/// A file at each depth, as the tests' folder of results has them.
const RESULT_FILES: [(&str, &str); 3] = [
    ("/api/lab/results/{folder}/{file}", "sample/report.html"),
    ("/api/lab/results/{plan}/{run}/{file}", "sample/hdr/sse-1.hiccup.hgrm"),
    ("/api/lab/results/{plan}/{run}/{folder}/{file}", "quick/2026/hdr/checks.csv"),
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Statuses that no request can provoke at will on a server at the loopback without tokens. Those of tokens and of the
/// bounds of an address are tested in `access`. The others come from a failing disk, one connection too many, ten seconds of
/// silence; and a foreign name, which is refused before any call is looked at. Those of a client have tests of their own.
const NOT_AT_WILL: [&str; 8] = ["303", "401", "408", "421", "429", "500", "503", "507"];

pub(crate) struct Document(pub(crate) Value);

impl Document {
    pub(crate) fn of(server: &Api) -> Self {
        let answer = server.get("/openapi.json");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        Self(answer.json())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = (&String, BTreeSet<String>)> {
        let methods = |item: &Value| item.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
        self.0["paths"].as_object().unwrap().iter().map(move |(path, item)| (path, methods(item)))
    }

    fn answers(&self, method: &str, path: &str) -> &serde_json::Map<String, Value> {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        operation["responses"].as_object().unwrap_or_else(|| panic!("{method} {path} is not described"))
    }

    /// What is wrong with a value by a schema of the document; members that it does not name are wrong, too.
    pub(crate) fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "unevaluatedProperties": false,
            "components": self.0["components"],
        });
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
    }

    /// Holds an answer against its description.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, template: &str, answer: &Answer) {
        let place = format!("{method} {template} {}", answer.status);
        let described = self.answers(method, template).get(&answer.status.to_string());
        let described = described.unwrap_or_else(|| panic!("{place} is not described: {answer:?}"));
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            if let Some(value) = answer.header(&name.to_lowercase()) {
                let faults = self.faults(&header["schema"], &typed(value, &header["schema"]));
                assert!(faults.is_empty(), "{place}, header {name}: {faults:?}");
            } else {
                assert!(OPTIONAL_HEADERS.contains(&name.as_str()), "{place} promises {name}: {answer:?}");
            }
        }
        let kind = answer.header("content-type").map(|kind| kind.split(';').next().unwrap().to_owned());
        let Some(contents) = described["content"].as_object() else {
            assert!(answer.body.is_empty(), "{place} has a body that is not described: {answer:?}");
            return;
        };
        let kind = kind.unwrap_or_else(|| panic!("{place} has no content type"));
        let content = contents.get(&kind).unwrap_or_else(|| panic!("{place}: {kind} is not described"));
        if kind.ends_with("json") && kind != "application/x-ndjson" {
            let value: Value = answer.json();
            // A list is checked member by member: what they may not have is said of objects.
            let (schema, values) = match &content["schema"]["items"] {
                Value::Null => (&content["schema"], vec![value]),
                items => (items, value.as_array().expect("a list").clone()),
            };
            for value in &values {
                let faults = match template {
                    // Described as a document of another standard.
                    "/openapi.json" => Vec::new(),
                    _ => self.faults(schema, value),
                };
                assert!(faults.is_empty(), "{place}: {faults:?} in {value}");
            }
        }
    }
}

/// Only on some of the answers with that status.
const OPTIONAL_HEADERS: [&str; 5] =
    ["Retry-After", "Preference-Applied", "Vary", "Content-Encoding", "Sec-WebSocket-Extensions"];

fn typed(value: &str, schema: &Value) -> Value {
    if schema["type"] == "integer" { json!(value.parse::<u64>().unwrap()) } else { json!(value) }
}

/// Templates become paths by the id of a deployment that exists.
fn at(template: &str, id: &str) -> String {
    template.replace("{id}", id)
}

#[test]
fn every_described_call_is_answered_and_every_other_method_refused_with_what_is_allowed() {
    let server = Server::start();
    let document = Document::of(&server);
    for (template, methods) in document.paths() {
        for method in METHODS {
            // A deployment that may be deleted, and has ended: nothing is held, no stream goes on.
            let id = server.create().id;
            server.finish(&id, wirelab_clients::wire::Status::Succeeded);
            let answer = server.ask(method, &at(template, id.as_str()), &[], b"");
            if methods.contains(method) {
                document.check(method, template, &answer);
            } else {
                assert_eq!(answer.status, 405, "{method} {template} is answered and not described");
                let allowed = answer.header("allow").unwrap().split(", ").map(str::to_owned).collect();
                assert_eq!(methods, allowed, "{template} allows something else than is described");
            }
        }
    }
}

/// The other way round: what is mounted is described. Read from the sources, since a router does not list its routes.
#[test]
fn every_mounted_path_is_described() {
    let server = Server::start();
    let document = Document::of(&server);
    let described: BTreeSet<String> = document.paths().map(|(path, _)| path.clone()).collect();
    // What `src/server/place.rs` finds without a router.
    let mut mounted: BTreeSet<String> = Transport::ALL.into_iter().map(Transport::path).collect();
    mounted.insert("/api/deployments/{id}/lines".to_owned());
    let mut by_variable = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned();
            let Ok(source) = fs::read_to_string(&path) else { continue };
            if PAGE_SOURCES.contains(&name.as_str()) {
                continue;
            }
            for call in ["resource(", ".route(\"", "scope("] {
                for rest in source.split(call).skip(1) {
                    match rest.trim_start().strip_prefix('"').or(call.ends_with('"').then_some(rest)) {
                        Some(literal) => {
                            let before = if name.starts_with(LAB_SOURCES) { LAB } else { "" };
                            mounted.insert(before.to_owned() + literal.split('"').next().unwrap());
                        }
                        None => by_variable.push(format!("{name}: {call}{rest:.8}")),
                    }
                }
            }
        }
    }
    mounted.retain(|path| !PAGE.contains(&path.as_str()));
    assert_eq!(mounted, described);
    // `resource` itself and what it is made of; another one is added here.
    by_variable.retain(|use_| !use_.contains("(&path, ") && !use_.contains("scope(PREFIX)"));
    // Threads of tests.
    by_variable.retain(|use_| !use_.contains("scope(|scope|"));
    by_variable.sort();
    assert_eq!(
        by_variable,
        ["src/exchange/route.rs: resource(path).de", "src/exchange/route.rs: resource(path: &s"]
    );
}

/// A request, and the template and status it is about.
type Case<'a> = (&'a str, &'a str, String, Headers<'a>, Vec<u8>, u16);

#[test]
fn every_promised_answer_is_given_as_promised() {
    let options =
        ServerOptions { hold_max: std::time::Duration::from_millis(200), ..ServerOptions::default() };
    let results = tempfile::TempDir::new().unwrap();
    for (_, path) in RESULT_FILES {
        let path = results.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "text").unwrap();
    }
    fs::write(results.path().join("sample/plan.toml"), "name = 'broken'").unwrap();
    let options = ServerOptions { lab: Some(Lab { results: results.path().to_owned(), ..lab() }), ..options };
    let setup = Setup {
        store: std::sync::Arc::new(wirelab::store::memory::MemoryStore::new(2)),
        options,
        ..Setup::default()
    };
    let server = setup.start();
    let document = Document::of(&server);
    let deployment = server.create();
    let id = deployment.id.as_str();
    // Three lines of which two are kept: position 1 is still there, and an epoch of another log is not.
    server.append(&deployment.id, &["a", "b", "c"]);
    let ended = server.create();
    server.append(&ended.id, &["a"]);
    server.finish(&ended.id, wirelab_clients::wire::Status::Succeeded);
    let last = server.show(&ended.id).next.to_string();
    let sourced: Value = server
        .post("/api/deployments", JSON, r#"{"name":"x","source":{"kind":"generate","rate_hz":1}}"#)
        .json();
    let sourced = sourced["id"].as_str().unwrap().to_owned();
    let tag = server.get(&at("/api/deployments/{id}/short-poll", id)).header("etag").unwrap().to_owned();

    const JSON: &str = "application/json";
    const ALL: &str = "/api/deployments";
    const ONE: &str = "/api/deployments/{id}";
    const LINES: &str = "/api/deployments/{id}/lines";
    const FINISH: &str = "/api/deployments/{id}/finish";
    let elsewhere: Headers = &[("origin", "http://elsewhere.example"), ("content-type", "text/plain")];
    let plain: Headers = &[("content-type", "text/plain")];
    let keyed: Headers = &[("content-type", "text/plain"), ("idempotency-key", "k")];
    let json_type: Headers = &[("content-type", JSON)];
    let too_large = vec![b' '; (8 << 20) + 1];
    let unknown = "0123456789";
    let mut cases: Vec<Case> = vec![
        ("GET", ALL, ALL.into(), &[], vec![], 200),
        ("GET", ALL, format!("{ALL}?limit=0"), &[], vec![], 400),
        ("GET", ALL, format!("{ALL}?before={unknown}"), &[], vec![], 404),
        ("POST", ALL, ALL.into(), json_type, br#"{"name":"x"}"#.into(), 201),
        ("POST", ALL, ALL.into(), json_type, b"{}".into(), 400),
        ("POST", ALL, ALL.into(), keyed, br#"{"name":"x"}"#.into(), 201),
        ("POST", ALL, ALL.into(), keyed, br#"{"name":"y"}"#.into(), 422),
        ("POST", ALL, ALL.into(), elsewhere, br#"{"name":"x"}"#.into(), 403),
        ("POST", ALL, ALL.into(), json_type, too_large.clone(), 413),
        ("GET", ONE, at(ONE, id), &[], vec![], 200),
        ("GET", ONE, at(ONE, ended.id.as_str()), &[], vec![], 200),
        ("GET", ONE, at(ONE, unknown), &[], vec![], 404),
        ("DELETE", ONE, at(ONE, id), elsewhere, vec![], 403),
        ("DELETE", ONE, at(ONE, unknown), &[], vec![], 404),
        ("POST", LINES, at(LINES, id), plain, b"d\n".into(), 201),
        ("POST", LINES, at(LINES, id), plain, b"".into(), 400),
        ("POST", LINES, at(LINES, id), elsewhere, b"d".into(), 403),
        ("POST", LINES, at(LINES, unknown), plain, b"d".into(), 404),
        ("POST", LINES, at(LINES, ended.id.as_str()), plain, b"d".into(), 409),
        ("POST", LINES, at(LINES, &sourced), plain, b"d".into(), 409),
        ("POST", LINES, at(LINES, id), plain, too_large.clone(), 413),
        ("POST", LINES, at(LINES, id), json_type, b"{}".into(), 415),
        ("POST", LINES, at(LINES, id), keyed, b"d".into(), 201),
        ("POST", LINES, at(LINES, id), keyed, b"e".into(), 422),
        ("POST", FINISH, at(FINISH, id), json_type, b"[]".into(), 400),
        ("POST", FINISH, at(FINISH, id), elsewhere, vec![], 403),
        ("POST", FINISH, at(FINISH, unknown), json_type, br#"{"status":"failed"}"#.into(), 404),
        ("POST", FINISH, at(FINISH, ended.id.as_str()), json_type, br#"{"status":"failed"}"#.into(), 409),
        ("POST", FINISH, at(FINISH, id), json_type, too_large, 413),
    ];
    for template in ["/api/transports", "/api/recordings", "/healthz", "/readyz", "/metrics", "/openapi.json"]
    {
        cases.push(("GET", template, template.into(), &[], vec![], 200));
    }
    let form: Headers = &[("content-type", "application/x-www-form-urlencoded")];
    let foreign_form: Headers =
        &[("content-type", "application/x-www-form-urlencoded"), ("origin", "http://elsewhere.example")];
    cases.extend([
        ("GET", LOGIN, LOGIN.into(), &[] as Headers, vec![], 200),
        ("POST", LOGIN, LOGIN.into(), form, b"token=x".into(), 409),
        ("POST", LOGIN, LOGIN.into(), form, b"name=x".into(), 400),
        ("POST", LOGIN, LOGIN.into(), json_type, b"{}".into(), 415),
        ("POST", LOGIN, LOGIN.into(), form, vec![b' '; (8 << 20) + 1], 413),
        ("POST", LOGIN, LOGIN.into(), foreign_form, b"token=x".into(), 403),
        ("POST", LOGOUT, LOGOUT.into(), &[], vec![], 303),
        ("POST", LOGOUT, LOGOUT.into(), foreign_form, vec![], 403),
        ("GET", ACCESS, ACCESS.into(), &[], vec![], 200),
    ]);
    let by_a_proxy: Headers = &[("via", "1.1 proxy.example")];
    cases.extend([
        ("GET", LAB, LAB.into(), &[] as Headers, vec![], 200),
        ("GET", LAB, LAB.into(), by_a_proxy, vec![], 403),
        ("POST", OUTAGE, OUTAGE.into(), by_a_proxy, vec![], 403),
        ("POST", OUTAGE, OUTAGE.into(), json_type, b"{}".into(), 400),
        ("POST", OUTAGE, OUTAGE.into(), json_type, vec![b' '; (8 << 20) + 1], 413),
        ("GET", NETWORK, NETWORK.into(), &[] as Headers, vec![], 200),
        ("GET", NETWORK, NETWORK.into(), by_a_proxy, vec![], 403),
        ("PUT", NETWORK, NETWORK.into(), json_type, br#"{"delay_ms":1,"link_kbit_s":null}"#.into(), 200),
        ("PUT", NETWORK, NETWORK.into(), json_type, br#"{"delay_ms":-1}"#.into(), 400),
        ("PUT", NETWORK, NETWORK.into(), by_a_proxy, vec![], 403),
        ("PUT", NETWORK, NETWORK.into(), json_type, vec![b' '; (8 << 20) + 1], 413),
        ("DELETE", NETWORK, NETWORK.into(), &[] as Headers, vec![], 200),
        ("DELETE", NETWORK, NETWORK.into(), by_a_proxy, vec![], 403),
        ("GET", RESULTS, RESULTS.into(), &[], vec![], 200),
        ("GET", RESULTS, RESULTS.into(), by_a_proxy, vec![], 403),
        ("GET", THEORY, format!("{THEORY}?transport=sse&rate_hz=1&duration_s=1"), &[], vec![], 200),
        ("GET", THEORY, THEORY.into(), &[], vec![], 400),
    ]);
    let crowd = |deployment| {
        format!(r#"{{"deployment":"{deployment}","transport":"sse","subscribers":1}}"#).into_bytes()
    };
    let plan = br#"{"plan":"e19-open-closed"}"#.to_vec();
    cases.extend([
        ("GET", CROWDS, CROWDS.into(), &[] as Headers, vec![], 200),
        ("GET", CROWDS, CROWDS.into(), by_a_proxy, vec![], 403),
        ("POST", CROWDS, CROWDS.into(), json_type, crowd(id), 201),
        ("POST", CROWDS, CROWDS.into(), json_type, b"{}".into(), 400),
        ("POST", CROWDS, CROWDS.into(), by_a_proxy, vec![], 403),
        ("POST", CROWDS, CROWDS.into(), json_type, crowd(unknown), 404),
        ("POST", CROWDS, CROWDS.into(), json_type, crowd(ended.id.as_str()), 409),
        ("POST", CROWDS, CROWDS.into(), json_type, vec![b' '; (8 << 20) + 1], 413),
        ("DELETE", CROWD, at(CROWD, "1"), &[], vec![], 200),
        ("DELETE", CROWD, at(CROWD, "1"), by_a_proxy, vec![], 403),
        ("DELETE", CROWD, at(CROWD, "1"), &[], vec![], 404),
        ("GET", PLANS, PLANS.into(), &[], vec![], 200),
        ("GET", PLANS, PLANS.into(), by_a_proxy, vec![], 403),
        ("GET", RUNS, RUNS.into(), &[], vec![], 200),
        ("GET", RUNS, RUNS.into(), by_a_proxy, vec![], 403),
        ("GET", PROGRESS, PROGRESS.into(), &[], vec![], 404),
        ("DELETE", RUNS, RUNS.into(), &[], vec![], 404),
        ("POST", RUNS, RUNS.into(), json_type, plan.clone(), 201),
        ("POST", RUNS, RUNS.into(), json_type, plan, 409),
        ("POST", RUNS, RUNS.into(), json_type, b"{}".into(), 400),
        ("POST", RUNS, RUNS.into(), by_a_proxy, vec![], 403),
        ("POST", RUNS, RUNS.into(), json_type, vec![b' '; (8 << 20) + 1], 413),
        ("DELETE", RUNS, RUNS.into(), by_a_proxy, vec![], 403),
        ("DELETE", RUNS, RUNS.into(), &[], vec![], 202),
        // Answered whole once the run is over.
        ("GET", PROGRESS, PROGRESS.into(), &[], vec![], 200),
        ("GET", PROGRESS, PROGRESS.into(), by_a_proxy, vec![], 403),
    ]);
    for (template, path) in RESULT_FILES {
        cases.push(("GET", template, format!("{RESULTS}/{path}"), &[], vec![], 200));
        cases.push(("GET", template, format!("{RESULTS}/{path}"), by_a_proxy, vec![], 403));
        cases.push(("GET", template, format!("{RESULTS}/{path}.json"), &[], vec![], 404));
    }
    let upgrade: Headers = &[
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    // What starts at a position: the polls, the snapshot and the streams.
    let mut templates: Vec<(String, Headers)> = Vec::new();
    for transport in Transport::ALL {
        let headers: Headers = if transport.is_upgraded() { upgrade } else { &[] };
        templates.push((transport.path(), headers));
    }
    templates.push((LINES.to_owned(), &[]));
    for (template, headers) in &templates {
        cases.push(("GET", template, at(template, id) + "?from=", headers, vec![], 400));
        cases.push(("GET", template, at(template, unknown), headers, vec![], 404));
        cases.push(("GET", template, at(template, id) + "?from=other.1", headers, vec![], 410));
    }
    let from_elsewhere: Headers = &[
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", "http://elsewhere.example"),
    ];
    let old_version: Headers = &[
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let conditional: Headers = &[("if-none-match", "*")];
    let same: Headers = &[("if-none-match", &tag)];
    let preferring: Headers = &[("prefer", "wait=0")];
    for (transport, (template, _)) in Transport::ALL.into_iter().zip(&templates) {
        let (here, at_end) = (at(template, id), at(template, ended.id.as_str()));
        let end = format!("{at_end}?from={last}");
        match transport.wire() {
            Wire::ShortPoll => cases.extend([
                ("GET", template.as_str(), here.clone(), &[] as Headers, vec![], 200),
                ("GET", template, here.clone(), conditional, vec![], 304),
                // The log has grown since that tag.
                ("GET", template, here, same, vec![], 200),
            ]),
            Wire::LongPoll => cases.extend([
                ("GET", template.as_str(), here.clone(), &[] as Headers, vec![], 200),
                ("GET", template, end, &[], vec![], 200),
                ("GET", template, format!("{here}?from=now"), preferring, vec![], 204),
            ]),
            Wire::Sse => cases.extend([
                ("GET", template.as_str(), at_end, &[] as Headers, vec![], 200),
                ("GET", template, end, &[], vec![], 204),
            ]),
            Wire::Ndjson => cases.push(("GET", template, at_end, &[], vec![], 200)),
            Wire::Websocket => cases.extend([
                ("GET", template.as_str(), here.clone(), upgrade, vec![], 101),
                ("GET", template, here.clone(), from_elsewhere, vec![], 403),
                ("GET", template, here, old_version, vec![], 426),
            ]),
        }
    }
    cases.push(("GET", LINES, at(LINES, id), &[], vec![], 200));
    cases.push(("POST", FINISH, at(FINISH, id), json_type, br#"{"status":"failed"}"#.into(), 200));
    cases.push(("DELETE", ONE, at(ONE, id), &[], vec![], 204));

    const LEDGERS: &str = "/api/lanes/{page}";
    let ledgers = LEDGERS.replace("{page}", "k3x9q2w7");
    for (headers, status) in
        [(upgrade, 101), (&[] as Headers, 400), (from_elsewhere, 403), (old_version, 426)]
    {
        cases.push(("GET", LEDGERS, ledgers.clone(), headers, vec![], status));
    }
    // Every call takes a lane.
    let described: Vec<_> = document.paths().collect();
    for (template, methods) in &described {
        for method in methods.iter().filter(|method| *method != "HEAD") {
            let path = template.replace("{page}", "k3x9q2w7").replace("{id}", id) + "?lane=1";
            cases.push((method, template, path, &[], vec![], 400));
        }
    }
    // Last: nothing is answered for a while. The second comes before the first has begun.
    cases.push(("POST", OUTAGE, OUTAGE.into(), json_type, br#"{"refuse_s":0.1}"#.into(), 202));
    cases.push(("POST", OUTAGE, OUTAGE.into(), json_type, br#"{"refuse_s":0.1}"#.into(), 409));

    let mut given: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (method, template, path, headers, body, status) in &cases {
        let answer = if *status == 101 {
            // The body of this one is frames.
            let mut connection = server.connection();
            connection.send(method, path, headers, b"").unwrap();
            connection.head().unwrap()
        } else {
            server.ask(method, path, headers, body)
        };
        assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
        document.check(method, template, &answer);
        let key = (method.to_string(), template.to_string());
        given.entry(key).or_default().insert(status.to_string());
        // Its twin without a body has the same answers.
        if *method == "GET" && document.0["paths"][*template].get("head").is_some() {
            let twin = server.ask("HEAD", path, headers, b"");
            document.check("HEAD", template, &twin);
            let key = ("HEAD".to_owned(), template.to_string());
            given.entry(key).or_default().insert(twin.status.to_string());
        }
    }
    let mut kept_back = Vec::new();
    for (template, methods) in document.paths() {
        for method in methods {
            let given = given.remove(&(method.clone(), template.clone())).unwrap_or_default();
            let promised = document.answers(&method, template).keys();
            let missing = promised.filter(|status| !given.contains(*status));
            let missing = missing.filter(|status| !NOT_AT_WILL.contains(&status.as_str()));
            kept_back.extend(missing.map(|status| format!("{method} {template} {status}")));
        }
    }
    assert!(kept_back.is_empty(), "promised and not asked for: {kept_back:#?}");
}

/// Advice, weak tags and codings, on a server that was started to give them.
#[test]
fn what_a_server_is_started_to_say_in_heads_is_described() {
    let mut setup = Setup::default();
    setup.options.compression = wirelab::exchange::compression::Compression::Gzip;
    setup.options.websocket_compression =
        wirelab::exchange::compression::WebsocketCompression::ContextTakeover;
    setup.options.poll_advice = Some(std::time::Duration::from_secs(5));
    let server = setup.start();
    let document = Document::of(&server);
    let id = server.create().id;
    let template = Transport::Websocket.path();
    let offer: Headers = &[("sec-websocket-extensions", "permessage-deflate")];
    let upgraded = server.websocket(&at(&template, id.as_str()), offer).unwrap().head;
    document.check("GET", &template, &upgraded);
    assert!(upgraded.header("sec-websocket-extensions").is_some());
    let described = &document.answers("GET", &template)["101"]["headers"]["Sec-WebSocket-Extensions"];
    assert!(!described.is_null());
    let (template, described) = (Transport::ShortPoll.path(), |answer: &Answer, headers: &[&str]| {
        let (status, template) = (answer.status.to_string(), Transport::ShortPoll.path());
        let described = &document.answers("HEAD", &template)[&status]["headers"];
        for name in headers {
            assert!(answer.header(&name.to_lowercase()).is_some(), "{name} is not in {answer:?}");
            assert!(!described[*name].is_null(), "{name} of {status} is not described");
        }
    });
    let ask = |headers: Headers| server.ask("HEAD", &at(&template, id.as_str()), headers, b"");
    let coded = ask(&[("accept-encoding", "gzip")]);
    document.check("HEAD", &template, &coded);
    described(&coded, &["ETag", "Retry-After", "Vary", "Content-Encoding"]);
    let same = ask(&[("accept-encoding", "gzip"), ("if-none-match", "*")]);
    document.check("HEAD", &template, &same);
    described(&same, &["ETag", "Retry-After", "Vary"]);
}
