//! `GET /api/deployments`: which deployments, in which order, and that a capped list is never the whole.

use serde_json::json;
use wirelab_clients::wire::{Deployment, DeploymentId, Status};

use crate::http::Api;
use crate::server::Server;

fn create(api: &Api, name: &str) -> DeploymentId {
    let body = json!({ "name": name }).to_string();
    api.post("/api/deployments", "application/json", body).json::<Deployment>().id
}

fn listed(api: &Api, query: &str) -> Vec<DeploymentId> {
    let listed: Vec<Deployment> = api.get(&format!("/api/deployments{query}")).json();
    listed.into_iter().map(|deployment| deployment.id).collect()
}

#[test]
fn a_list_is_chosen_by_exact_name_and_by_status() {
    let server = Server::start();
    let names = ["web 42", "web", "web 42", "Web 42", "wéb&x=1"];
    let ids: Vec<_> = names.iter().map(|name| create(&server, name)).collect();
    server.finish(&ids[0], Status::Failed);
    server.finish(&ids[1], Status::Succeeded);
    server.finish(&ids[3], Status::Cancelled);
    let of = |places: &[usize]| places.iter().map(|i| ids[*i].clone()).collect::<Vec<_>>();
    for (query, places) in [
        ("?name=web%2042", &[2, 0][..]),
        ("?name=web+42&limit=1", &[2]),
        ("?name=w%C3%A9b%26x%3D1", &[4]),
        ("?name=we", &[]),
        ("?name=", &[]),
        ("?status=running", &[4, 2]),
        ("?status=failed", &[0]),
        ("?status=succeeded", &[1]),
        ("?status=cancelled", &[3]),
        ("?status=running&name=web+42", &[2]),
        ("?status=failed&name=web", &[]),
        ("?colour=red", &[4, 3, 2, 1, 0]),
    ] {
        assert_eq!(listed(&server, query), of(places), "{query}");
    }
    for query in
        ["?status=Running", "?status=", "?status=done", "?name=a&name=a", "?status=failed&status=failed"]
    {
        assert_eq!(server.get(&format!("/api/deployments{query}")).problem().unwrap().status, 400, "{query}");
    }
}

#[test]
fn what_a_capped_list_leaves_out_is_reached_by_before() {
    let server = Server::start();
    let mut ids: Vec<_> = (0..7).map(|i| create(&server, ["a", "b"][i % 2])).collect();
    ids.reverse();
    let mut all = listed(&server, "?limit=3");
    loop {
        let older = listed(&server, &format!("?limit=3&before={}", all.last().unwrap()));
        if older.is_empty() {
            break;
        }
        all.extend(older);
    }
    assert_eq!(all, ids);
    let others: Vec<_> = ids[1..].iter().step_by(2).cloned().collect();
    assert_eq!(listed(&server, &format!("?name=b&before={}", ids[0])), others, "before is of any name");
    for (query, status) in [
        ("?before=0123456789", 404),
        ("?before=No", 404),
        ("?before=", 404),
        (&*format!("?before={0}&before={0}", ids[0]), 400),
    ] {
        let problem = server.get(&format!("/api/deployments{query}")).problem().unwrap();
        assert_eq!(problem.status, status, "{query}: {problem:?}");
    }
}

/// A publisher that took the newest thousand for all would make a second deployment of that name.
#[tokio::test]
async fn a_client_finds_a_deployment_behind_a_thousand_newer_ones() {
    let server = Server::start();
    let name = "web & more";
    let (ended, running) = (create(&server, name), create(&server, name));
    let newest_ended = create(&server, name);
    for id in [&ended, &newest_ended] {
        server.finish(id, Status::Failed);
    }
    let mut connection = server.connection();
    for _ in 0..1_001 {
        let made = connection.ask("POST", "/api/deployments", &[], br#"{"name":"other"}"#);
        assert_eq!(made.unwrap().status, 201);
    }
    assert!(!listed(&server, "").contains(&running), "the list is the whole");
    let mut api = wirelab_clients::api::Api::new(format!("http://{}", server.authority).parse().unwrap());
    assert_eq!(api.find(name).await.unwrap().unwrap().id, newest_ended);
    assert_eq!(api.find_running(name).await.unwrap().unwrap().id, running);
    assert_eq!(api.find(running.as_str()).await.unwrap().unwrap().id, running);
    assert_eq!(api.find("web").await.unwrap(), None);
    assert_eq!(api.find_running("other, but not this").await.unwrap(), None);
}
