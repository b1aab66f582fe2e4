//! The regular API, as a client calls it: create, find, append, finish.
//!
//! Used by the harness for what is not measured and by the commands. One connection, kept; a call that fails
//! on it is made once more on a new one. That is safe because these calls can be repeated (appends carry an
//! idempotency key), except creating, which is made once, on a new connection.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ServerUrl;
use crate::wire::{
    Appended, BODY_BYTES_MAX, Deployment, DeploymentId, Finish, NewDeployment, NewLine, Problem, Source,
    Status, TransportInfo,
};

/// How long one call may take: an append waits for a disk.
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// A client of one server's regular API.
#[derive(Debug)]
pub struct Api {
    server: ServerUrl,
    connection: Option<http1::SendRequest<Full<Bytes>>>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No server, or it went away.
    #[error("{server} cannot be reached: {why}; start one with `wirelab serve`, or name another")]
    Unreachable {
        /// Where.
        server: ServerUrl,
        /// Why.
        why: String,
    },
    /// The server said no.
    #[error("{server} refused: {} {}: {}", .problem.status, .problem.title, .problem.detail)]
    Refused {
        /// Where.
        server: ServerUrl,
        /// Its words.
        problem: Box<Problem>,
    },
    /// Not a server of this contract.
    #[error("{server} does not speak wirelab's contract: {why}")]
    Contract {
        /// Where.
        server: ServerUrl,
        /// What is wrong.
        why: String,
    },
}

impl Api {
    /// A client that connects at its first call.
    pub fn new(server: ServerUrl) -> Self {
        Self { server, connection: None }
    }

    /// The server it calls.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// `POST /api/deployments`.
    pub async fn create(&mut self, name: &str, source: Option<Source>) -> Result<Deployment, ApiError> {
        let body = json(&NewDeployment { name: name.to_owned(), source });
        self.call(Method::POST, "/api/deployments", &[(CONTENT_TYPE.as_str(), "application/json")], body)
            .await
    }

    /// `GET /api/deployments`, newest first.
    pub async fn list(&mut self) -> Result<Vec<Deployment>, ApiError> {
        self.call(Method::GET, "/api/deployments", &[], Bytes::new()).await
    }

    /// `GET /api/deployments/{id}`.
    pub async fn get(&mut self, id: &DeploymentId) -> Result<Deployment, ApiError> {
        self.call(Method::GET, &format!("/api/deployments/{id}"), &[], Bytes::new()).await
    }

    /// `GET /api/transports`.
    pub async fn transports(&mut self) -> Result<Vec<TransportInfo>, ApiError> {
        self.call(Method::GET, "/api/transports", &[], Bytes::new()).await
    }

    /// `POST …/lines` as NDJSON. `key` makes it safe to repeat.
    pub async fn append(
        &mut self,
        id: &DeploymentId,
        lines: &[NewLine],
        key: &str,
    ) -> Result<Appended, ApiError> {
        let mut body = Vec::new();
        for line in lines {
            body.extend_from_slice(&json(line));
            body.push(b'\n');
        }
        let headers = [(CONTENT_TYPE.as_str(), "application/x-ndjson"), ("idempotency-key", key)];
        self.call(Method::POST, &format!("/api/deployments/{id}/lines"), &headers, body.into()).await
    }

    /// `POST …/finish`.
    pub async fn finish(&mut self, id: &DeploymentId, status: Status) -> Result<Deployment, ApiError> {
        let headers = [(CONTENT_TYPE.as_str(), "application/json")];
        let path = format!("/api/deployments/{id}/finish");
        self.call(Method::POST, &path, &headers, json(&Finish { status })).await
    }

    /// `DELETE /api/deployments/{id}`: the log is gone for good.
    pub async fn delete(&mut self, id: &DeploymentId) -> Result<(), ApiError> {
        let path = format!("/api/deployments/{id}");
        let mut answer = self.exchange(&Method::DELETE, &path, &[], &Bytes::new()).await;
        if answer.is_err() {
            self.connection = None;
            answer = self.exchange(&Method::DELETE, &path, &[], &Bytes::new()).await;
        }
        match answer {
            Ok((status, _)) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            answer => self.understood::<serde_json::Value>(&Method::DELETE, &path, answer).map(|_| ()),
        }
    }

    /// `GET /metrics`, as text.
    pub async fn metrics(&mut self) -> Result<String, ApiError> {
        let answer = self.exchange(&Method::GET, "/metrics", &[], &Bytes::new()).await;
        let (_, text) = answer.map_err(|why| ApiError::Unreachable { server: self.server.clone(), why })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// A deployment by id, else the newest *running* one of that name. `None`: neither exists.
    pub async fn find_running(&mut self, name: &str) -> Result<Option<Deployment>, ApiError> {
        if let Some(deployment) = self.find_by_id(name).await? {
            return Ok(Some(deployment));
        }
        let newest_first = self.list().await?;
        Ok(newest_first.into_iter().find(|deployment| deployment.name == name && deployment.ended.is_none()))
    }

    /// A deployment by id, else the newest of that name, running or not.
    pub async fn find(&mut self, name: &str) -> Result<Option<Deployment>, ApiError> {
        if let Some(deployment) = self.find_by_id(name).await? {
            return Ok(Some(deployment));
        }
        Ok(self.list().await?.into_iter().find(|deployment| deployment.name == name))
    }

    async fn find_by_id(&mut self, id: &str) -> Result<Option<Deployment>, ApiError> {
        let Ok(id) = id.parse() else { return Ok(None) };
        match self.get(&id).await {
            Ok(deployment) => Ok(Some(deployment)),
            Err(ApiError::Refused { problem, .. }) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<T, ApiError> {
        let mut answer = self.exchange(&method, path, headers, &body).await;
        if answer.is_err() {
            self.connection = None;
            answer = self.exchange(&method, path, headers, &body).await;
        }
        self.understood(&method, path, answer)
    }

    /// The value in an answer, or why there is none.
    fn understood<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        answer: Result<(StatusCode, Bytes), String>,
    ) -> Result<T, ApiError> {
        let server = || self.server.clone();
        let (status, answer) = answer.map_err(|why| ApiError::Unreachable { server: server(), why })?;
        if !status.is_success() {
            let why = format!("{method} {path} answered {status} without a problem document");
            let problem =
                serde_json::from_slice(&answer).map_err(|_| ApiError::Contract { server: server(), why })?;
            return Err(ApiError::Refused { server: server(), problem: Box::new(problem) });
        }
        serde_json::from_slice(&answer).map_err(|error| ApiError::Contract {
            server: server(),
            why: format!("the answer to {method} {path} is not what it should be: {error}"),
        })
    }

    async fn exchange(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.server.authority());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.clone())).map_err(|error| error.to_string())?;
        let exchanged = async {
            let connection = match &mut self.connection {
                Some(connection) if !connection.is_closed() => connection,
                slot => slot.insert(connect(&self.server).await?),
            };
            connection.ready().await.map_err(|error| error.to_string())?;
            let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            // A listing of 1,000 deployments with long names stays below a megabyte.
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
            let body = body.collect().await.map_err(|error| error.to_string())?;
            Ok((status, body.to_bytes()))
        };
        timeout(CALL_TIMEOUT, exchanged)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {CALL_TIMEOUT:?}")))
    }
}

async fn connect(server: &ServerUrl) -> Result<http1::SendRequest<Full<Bytes>>, String> {
    let socket = TcpStream::connect(server.authority()).await.map_err(|error| error.to_string())?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    // How it ends is seen by the call that waits on it.
    tokio::spawn(connection);
    Ok(sender)
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("our values have no key that JSON refuses").into()
}
