//! The regular API, as a client calls it: create, find, append, finish.
//!
//! The commands use it, and the harness for what is not measured. The client keeps one connection; a call that fails on
//! it is made once more on a new one. Repeating is safe for reads, for finishing and deleting, and for creations and
//! appends, which carry an idempotency key. Nothing here waits before it asks again: that is up to the caller, to whom
//! [`ApiError::passes`] and [`ApiError::retry_after`] say whether and when asking again may help.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, SERVER, VIA};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::advice::retry_after;
use crate::backoff::passes;
use crate::route::Route;
use crate::tls::NotConnected;
use crate::wire::{
    Appended, BODY_BYTES_MAX, Deployment, DeploymentId, Finish, NewDeployment, NewLine, Problem, Source,
    Status, TransportInfo,
};
use crate::{HttpVersion, ServerUrl};

/// Longest time for one call: an append waits for a disk.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server's regular API.
#[derive(Debug)]
pub struct Api {
    server: ServerUrl,
    /// Way to the server.
    route: Route,
    connection: Option<http1::SendRequest<Full<Bytes>>>,
    /// What an answer named that is not wirelab's server.
    proxy: Option<String>,
    is_in_doubt: bool,
}

/// Reason why a call to the API failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server could not be reached, or it went away.
    #[error("{server} cannot be reached: {why}; start one with `wirelab serve`, or name another")]
    Unreachable {
        /// Server that was called.
        server: ServerUrl,
        /// Reason, in the words of the operating system or of the HTTP library.
        why: String,
    },
    /// The server cannot be trusted, or does not speak TLS where it should.
    #[error("{server} is not spoken to: {why}")]
    Mistrusted {
        /// Server that was to be called.
        server: ServerUrl,
        /// Reason, with the remedy.
        why: String,
    },
    /// The server refused the call.
    #[error("{server} refused: {} {}: {}", .problem.status, .problem.title, .problem.detail)]
    Refused {
        /// Server that refused.
        server: ServerUrl,
        /// Problem document that the server sent.
        problem: Box<Problem>,
        /// Time to stay away that the server advised.
        retry_after: Option<Duration>,
    },
    /// The call was refused without a problem document: by a proxy, or by a server that does not speak wirelab's
    /// contract.
    #[error(
        "{server} refused: {status} to {call}, without a problem document; check that it speaks wirelab's protocol, \
             and the proxy in between, if there is one"
    )]
    Unexplained {
        /// Server that was called.
        server: ServerUrl,
        /// Status of the answer.
        status: StatusCode,
        /// Method and path of the call.
        call: String,
        /// Time to stay away that the answer advised.
        retry_after: Option<Duration>,
    },
    /// The server does not keep wirelab's contract.
    #[error("{server} does not speak wirelab's contract: {why}")]
    Contract {
        /// Server that was called.
        server: ServerUrl,
        /// Description of what the server did instead.
        why: String,
    },
}

impl ApiError {
    /// Whether the trouble may pass by itself: the server is away, overloaded or out of room, or the upstream of a proxy
    /// restarts.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { problem, .. } => passes(problem.status),
            Self::Unexplained { status, .. } => passes(status.as_u16()),
            Self::Mistrusted { .. } | Self::Contract { .. } => false,
        }
    }

    /// Whether the answer says that the call was not done. A server that failed in the midst of a call (500), and a proxy
    /// that lost its upstream (502, 504), do not know.
    fn is_not_done(&self) -> bool {
        let status = match self {
            Self::Refused { problem, .. } => problem.status,
            Self::Unexplained { status, .. } => status.as_u16(),
            Self::Unreachable { .. } | Self::Mistrusted { .. } | Self::Contract { .. } => return false,
        };
        !matches!(status, 500 | 502 | 504)
    }

    /// Returns how long the server asked to stay away (`Retry-After`), at least.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Unexplained { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Mistrusted { .. } | Self::Contract { .. } => None,
        }
    }
}

/// Returns a new idempotency key: it tells the server that a repeated call is the same call.
pub fn idempotency_key() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

impl Api {
    /// Creates a client of `server`. It connects at its first call.
    pub fn new(server: ServerUrl) -> Self {
        Self::over(Route::Direct, server)
    }

    /// Creates a client of `server` whose connections take this route. A delay line does not delay them.
    pub fn over(route: Route, server: ServerUrl) -> Self {
        Self { server, route, connection: None, proxy: None, is_in_doubt: false }
    }

    /// Returns the server that this client calls.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Names the proxy through which the server answers, if an answer so far has shown one: the value of its `Via`
    /// (RFC 9110 §7.6.3) or else of its `Server` field (§10.2.4). wirelab's own server sends neither.
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// Whether the server may have done the last call although this client was not told so: an answer was lost, was not
    /// waited for, or does not tell.
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Creates a deployment: `POST /api/deployments`. Without a `source` it is fed by the lines that clients append.
    pub async fn create(&mut self, name: &str, source: Option<Source>) -> Result<Deployment, ApiError> {
        self.create_once(name, source, &idempotency_key()).await
    }

    /// Creates a deployment like [`Self::create`]. Calls with one `key`, made again after an error, make one deployment.
    /// A server that does not know keys for creations ignores it.
    pub async fn create_once(
        &mut self,
        name: &str,
        source: Option<Source>,
        key: &str,
    ) -> Result<Deployment, ApiError> {
        let body = json(&NewDeployment { name: name.to_owned(), source });
        let headers = [(CONTENT_TYPE.as_str(), "application/json"), ("idempotency-key", key)];
        self.call(Method::POST, "/api/deployments", &headers, body).await
    }

    /// Lists the deployments, newest first: `GET /api/deployments`. A server cuts the list at its limit.
    pub async fn list(&mut self) -> Result<Vec<Deployment>, ApiError> {
        self.call(Method::GET, "/api/deployments", &[], Bytes::new()).await
    }

    /// Lists the deployments with this name, newest first. A server that does not choose by name lists all, so others
    /// are left out here.
    async fn list_named(&mut self, name: &str, only: &str) -> Result<Vec<Deployment>, ApiError> {
        let name_encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let path = format!("/api/deployments?name={name_encoded}{only}");
        let mut listed: Vec<Deployment> = self.call(Method::GET, &path, &[], Bytes::new()).await?;
        listed.retain(|deployment| deployment.name == name);
        Ok(listed)
    }

    /// Reads one deployment: `GET /api/deployments/{id}`.
    pub async fn get(&mut self, id: &DeploymentId) -> Result<Deployment, ApiError> {
        self.call(Method::GET, &format!("/api/deployments/{id}"), &[], Bytes::new()).await
    }

    /// Lists the transports that the server offers: `GET /api/transports`.
    pub async fn transports(&mut self) -> Result<Vec<TransportInfo>, ApiError> {
        self.call(Method::GET, "/api/transports", &[], Bytes::new()).await
    }

    /// Appends lines: `POST …/lines` as NDJSON. The idempotency key `key` makes the call safe to repeat.
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

    /// Ends a deployment with `status`: `POST …/finish`.
    pub async fn finish(&mut self, id: &DeploymentId, status: Status) -> Result<Deployment, ApiError> {
        let headers = [(CONTENT_TYPE.as_str(), "application/json")];
        let path = format!("/api/deployments/{id}/finish");
        self.call(Method::POST, &path, &headers, json(&Finish { status })).await
    }

    /// Deletes a deployment and its log for good: `DELETE /api/deployments/{id}`. Succeeds too if it is gone already.
    pub async fn delete(&mut self, id: &DeploymentId) -> Result<(), ApiError> {
        let path = format!("/api/deployments/{id}");
        let mut answer = self.exchange(&Method::DELETE, &path, &[], &Bytes::new()).await;
        if answer.is_err() {
            answer = self.exchange(&Method::DELETE, &path, &[], &Bytes::new()).await;
        }
        match answer {
            Ok(Answer { status, .. }) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            answer => self.understood::<serde_json::Value>(&Method::DELETE, &path, answer).map(|_| ()),
        }
    }

    /// Returns the text of `GET /metrics`.
    pub async fn metrics(&mut self) -> Result<String, ApiError> {
        let answer = self.exchange(&Method::GET, "/metrics", &[], &Bytes::new()).await;
        let answer = answer.map_err(|none| none.of(&self.server))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Finds a deployment by its id, else the newest *running* one with that name. `None`: there is no such deployment.
    pub async fn find_running(&mut self, name: &str) -> Result<Option<Deployment>, ApiError> {
        if let Some(deployment) = self.find_by_id(name).await? {
            return Ok(Some(deployment));
        }
        let newest_first = self.list_named(name, "&status=running").await?;
        Ok(newest_first.into_iter().find(|deployment| deployment.ended.is_none()))
    }

    /// Finds a deployment by its id, else the newest one with that name, running or not. `None`: there is no such
    /// deployment.
    pub async fn find(&mut self, name: &str) -> Result<Option<Deployment>, ApiError> {
        if let Some(deployment) = self.find_by_id(name).await? {
            return Ok(Some(deployment));
        }
        Ok(self.list_named(name, "").await?.into_iter().next())
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
        // Stays so if the caller does not wait for the answer.
        self.is_in_doubt = true;
        let mut answer = self.exchange(&method, path, headers, &body).await;
        let was_lost = answer.is_err();
        if was_lost {
            answer = self.exchange(&method, path, headers, &body).await;
        }
        let understood = self.understood(&method, path, answer);
        self.is_in_doubt = match &understood {
            Ok(_) => false,
            Err(error) => was_lost || !error.is_not_done(),
        };
        understood
    }

    /// Decodes the body of an answer, or returns the error that the answer stands for.
    fn understood<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        answer: Result<Answer, NoAnswer>,
    ) -> Result<T, ApiError> {
        let server = || self.server.clone();
        let answer = answer.map_err(|none| none.of(&self.server))?;
        let Answer { status, retry_after, body } = answer;
        if !status.is_success() {
            return Err(match serde_json::from_slice(&body) {
                Ok(problem) => {
                    ApiError::Refused { server: server(), problem: Box::new(problem), retry_after }
                }
                Err(_) => {
                    let call = format!("{method} {path}");
                    ApiError::Unexplained { server: server(), status, call, retry_after }
                }
            });
        }
        serde_json::from_slice(&body).map_err(|error| ApiError::Contract {
            server: server(),
            why: format!("the answer to {method} {path} is invalid: {error}"),
        })
    }

    async fn exchange(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Bytes,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.server.authority());
        if let Some(authorization) = self.server.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let passing = |error: &dyn std::fmt::Display| NoAnswer::Passing(error.to_string());
        let request = request.body(Full::new(body.clone())).map_err(|error| passing(&error))?;
        // Put back after a whole answer only: an exchange that failed or was dropped may have left half of one.
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let exchanged = async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => connect(&self.route, &self.server).await?,
            };
            connection.ready().await.map_err(|error| passing(&error))?;
            let response = connection.send_request(request).await.map_err(|error| passing(&error))?;
            let status = response.status();
            let retry_after = retry_after(response.headers());
            let named = [VIA, SERVER].iter().find_map(|name| response.headers().get(name));
            let named = named.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            self.proxy = self.proxy.take().or(named);
            // A listing of 1,000 deployments with long names stays below a megabyte.
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
            let body = body.collect().await.map_err(|error| passing(&error))?;
            self.connection = Some(connection);
            Ok(Answer { status, retry_after, body: body.to_bytes() })
        };
        timeout(CALL_TIMEOUT, exchanged)
            .await
            .unwrap_or_else(|_| Err(NoAnswer::Passing(format!("no answer within {CALL_TIMEOUT:?}"))))
    }
}

/// What a server answered to one call.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

/// Why a call has no answer.
enum NoAnswer {
    Passing(String),
    Mistrusted(String),
}

impl NoAnswer {
    fn of(self, server: &ServerUrl) -> ApiError {
        let server = server.clone();
        match self {
            Self::Passing(why) => ApiError::Unreachable { server, why },
            Self::Mistrusted(why) => ApiError::Mistrusted { server, why },
        }
    }
}

async fn connect(route: &Route, server: &ServerUrl) -> Result<http1::SendRequest<Full<Bytes>>, NoAnswer> {
    let passing = |error: std::io::Error| NoAnswer::Passing(error.to_string());
    let socket = route.connect(server.authority()).await.map_err(passing)?;
    let Some(tls) = server.tls() else { return speak(socket).await };
    let secured = tls.handshake(server.authority(), HttpVersion::Http1, tls.own_sessions(), socket).await;
    speak(secured.map_err(|error| match error {
        NotConnected::Mistrusted(why) => NoAnswer::Mistrusted(why),
        NotConnected::Passing(error) => passing(error),
    })?)
    .await
}

/// Begins HTTP/1.1 on a connection.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<http1::SendRequest<Full<Bytes>>, NoAnswer> {
    let begun = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = begun.map_err(|error| NoAnswer::Passing(error.to_string()))?;
    // How the connection ends is seen by the call that waits on it.
    tokio::spawn(connection);
    Ok(sender)
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("our values have no key that JSON refuses").into()
}
