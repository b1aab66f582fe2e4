//! `POST /api/deployments` with an idempotency key, and the bounds on what it may start.

use serde_json::{Value, json};
use tempfile::TempDir;
use wirelab::store::disk::DiskStore;
use wirelab_clients::wire::{Deployment, Status};

use crate::http::{Answer, Api, Headers};
use crate::server::{Binary, Server, wait_until};

fn keyed(api: &Api, key: &str, body: &str) -> Answer {
    let headers: Headers = &[("content-type", "application/json"), ("idempotency-key", key)];
    api.ask("POST", "/api/deployments", headers, body.as_bytes())
}

fn all(api: &Api) -> Vec<Deployment> {
    api.get("/api/deployments").json()
}

#[test]
fn a_repeated_creation_is_answered_with_the_same_deployment() {
    let server = Server::start();
    let first = keyed(&server, "k1", r#"{"name":"once"}"#);
    let created: Deployment = first.json();
    let again = keyed(&server, "k1", r#"{"name":"once"}"#);
    assert_eq!((again.status, again.header("location")), (201, first.header("location")));
    assert_eq!(again.json::<Deployment>(), created);
    // It is the deployment as it is now, also after its end.
    server.append(&created.id, &["a"]);
    server.finish(&created.id, Status::Failed);
    let ended: Deployment = keyed(&server, "k1", r#"{"name":"once"}"#).json();
    assert_eq!((ended.id, ended.lines, ended.ended), (created.id, 1, Some(Status::Failed)));
    assert_eq!(all(&server).len(), 1);
}

#[test]
fn a_creations_key_used_with_another_body_is_refused() {
    let server = Server::start();
    assert_eq!(keyed(&server, "k1", r#"{"name":"a"}"#).status, 201);
    for body in
        [r#"{"name":"b"}"#, r#"{"name":"a" }"#, r#"{"name":"a","source":{"kind":"generate","rate_hz":1}}"#]
    {
        let problem = keyed(&server, "k1", body).problem().unwrap();
        assert!(problem.status == 422 && problem.detail.contains("\"k1\""), "{body}: {problem:?}");
    }
    for key in ["", "two words", "tab\there", "ü", &"x".repeat(65)] {
        assert_eq!(keyed(&server, key, r#"{"name":"a"}"#).problem().unwrap().status, 400, "{key:?}");
    }
    assert_eq!(all(&server).len(), 1);
    // A creation that was refused used nothing up.
    assert_eq!(keyed(&server, "k2", r#"{"name":""}"#).status, 400);
    assert_eq!(keyed(&server, "k2", r#"{"name":"a"}"#).status, 201);
}

#[test]
fn concurrent_twins_create_one_deployment() {
    let data = TempDir::new().unwrap();
    // On disk a first use takes its time, so that the others come while it is under way.
    let server = Server::over(DiskStore::open(data.path().to_owned(), 0).unwrap());
    for key in 0..10 {
        let key = format!("twin-{key}");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let twins: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| keyed(&server, &key, r#"{"name":"twin"}"#).json::<Deployment>().id))
                .collect();
            twins.into_iter().map(|twin| twin.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    assert_eq!(all(&server).len(), 10);
}

#[test]
fn a_creations_key_survives_kill_9_and_goes_with_its_deployment() {
    let data = TempDir::new().unwrap();
    let data = data.path().to_str().unwrap();
    let server = Binary::serve("127.0.0.1:0", &["--data", data]);
    let created: Deployment = keyed(&server, "k1", r#"{"name":"once"}"#).json();
    let other: Deployment = keyed(&server, "k2", r#"{"name":"other"}"#).json();
    server.kill();
    let server = Binary::serve("127.0.0.1:0", &["--data", data]);
    assert_eq!(keyed(&server, "k1", r#"{"name":"once"}"#).json::<Deployment>(), created);
    assert_eq!(keyed(&server, "k1", r#"{"name":"twice"}"#).status, 422);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{}", created.id), &[], b"").status, 204);
    let anew: Deployment = keyed(&server, "k1", r#"{"name":"twice"}"#).json();
    assert_ne!(anew.id, created.id);
    let ids: Vec<_> = all(&server).into_iter().map(|deployment| deployment.id).collect();
    assert_eq!(ids, [anew.id, other.id]);
}

#[test]
fn one_running_deployment_too_many_is_refused_until_one_has_ended() {
    let data = TempDir::new().unwrap();
    let bounded = ["--data", data.path().to_str().unwrap(), "--running-max", "3"];
    let server = Binary::serve("127.0.0.1:0", &bounded);
    let created: Vec<Deployment> =
        (0..3).map(|i| keyed(&server, &format!("k{i}"), r#"{"name":"x"}"#).json()).collect();
    let refused = |server: &Api| {
        let answer = server.post("/api/deployments", "application/json", r#"{"name":"x"}"#);
        let seconds = answer.header("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
        let problem = answer.problem().unwrap();
        assert!(problem.status == 503 && seconds > Some(0), "{problem:?}");
        for named in ["3 deployments run", "--running-max", "finish or delete"] {
            assert!(problem.detail.contains(named), "{problem:?}");
        }
    };
    refused(&server);
    // A repetition starts nothing, so it is answered.
    assert_eq!(keyed(&server, "k1", r#"{"name":"x"}"#).json::<Deployment>().id, created[1].id);
    server.finish(&created[0].id, Status::Succeeded);
    server.create();
    refused(&server);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{}", created[1].id), &[], b"").status, 204);
    server.create();
    server.kill();
    let server = Binary::serve("127.0.0.1:0", &bounded);
    refused(&server);
    // Concurrent creations do not exceed the bound either.
    server.finish(&created[2].id, Status::Succeeded);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let creations: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| server.post("/api/deployments", "application/json", r#"{"name":"x"}"#).status)
            })
            .collect();
        creations.into_iter().map(|creation| creation.join().unwrap()).collect()
    });
    assert!(statuses.iter().filter(|status| **status == 201).count() <= 1, "{statuses:?}");
    assert_eq!(server.get("/api/deployments?status=running").json::<Vec<Value>>().len(), 3);
}

#[test]
fn a_generator_ends_by_itself_and_has_succeeded() {
    let server = Server::start();
    let body = json!({"name": "x", "source": {"kind": "generate", "rate_hz": 40, "for_s": 0.5}});
    let created: Deployment = server.post("/api/deployments", "application/json", body.to_string()).json();
    wait_until("it has ended", || server.show(&created.id).ended == Some(Status::Succeeded));
    assert_eq!(server.show(&created.id).lines, 20);
    // An hour, unless it is told.
    let body = json!({"name": "x", "source": {"kind": "generate", "rate_hz": 1}});
    let created: Value = server.post("/api/deployments", "application/json", body.to_string()).json();
    assert_eq!(created["source"]["for_s"], 3_600.0);
    for for_s in [json!(0), json!(-1), json!(604_801), json!("long"), json!(null)] {
        let body = json!({"name": "x", "source": {"kind": "generate", "rate_hz": 1, "for_s": for_s}});
        let refused = server.post("/api/deployments", "application/json", body.to_string());
        assert!(refused.problem().unwrap().status == 400, "{for_s}");
    }
}

#[test]
fn one_source_too_many_is_refused_until_one_has_ended() {
    let server = Server::start();
    let body = r#"{"name":"x","source":{"kind":"generate","rate_hz":0.01}}"#;
    let start = || server.post("/api/deployments", "application/json", body);
    let ids: Vec<_> = (0..100).map(|_| start().json::<Deployment>().id).collect();
    let refused = start();
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let problem = refused.problem().unwrap();
    assert!(problem.status == 503 && problem.detail.contains("100 deployments with a source"), "{problem:?}");
    // One without a source is no source.
    server.create();
    server.finish(&ids[0], Status::Cancelled);
    wait_until("its place is free", || start().status == 201);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{}", ids[1]), &[], b"").status, 204);
    wait_until("its place is free", || start().status == 201);
}
