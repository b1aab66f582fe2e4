//! Long polling of a server with a profile.
//!
//! Connection and back-off are those of wirelab's own client half. The body of an answer is one text, and its headers
//! may say where the next answer starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::resuming::Follow;
use super::{News, PROFILE_SILENCE_MAX, Resumption, TextSource};
use crate::backoff::Backoff;
use crate::http::{FIRST_CEILING, Http, NoLines, content_type, is_type, refused};
use crate::meter::Meter;
use crate::timing::Question;
use crate::wire::Outcome;
use crate::{Options, Received, ServerUrl, SubscribeError};

/// Follower by long polling.
pub(super) struct LongPoll {
    http: Http,
    /// Waits after answers without a line that the server did not hold.
    unheld: Backoff,
    /// Time of the next question, if it must wait.
    intended: Instant,
    meter: Arc<Meter>,
}

impl LongPoll {
    pub(super) fn new(server: ServerUrl, options: &Options, meter: Arc<Meter>) -> Self {
        let unheld = Backoff::new(FIRST_CEILING, options);
        Self { http: Http::new(server, meter.clone(), options), unheld, intended: Instant::now(), meter }
    }
}

#[async_trait]
impl Follow for LongPoll {
    /// Sends one request and reads its answer.
    async fn read(&mut self, position: &mut Resumption) -> Result<Option<Received>, NoLines> {
        if self.intended > Instant::now() {
            self.http.sleep_until(self.intended).await;
        }
        // The server decides how long it holds, within the limit after which it counts as dead.
        self.meter.asks(Question::Held);
        let asked = Instant::now();
        let answer = self.http.get(&position.path(), &position.headers(), PROFILE_SILENCE_MAX).await?;
        let received = match answer.status {
            StatusCode::OK => {
                self.meter.count(Outcome::Data);
                self.http.succeeded();
                let text = str::from_utf8(&answer.body).map_err(|error| {
                    SubscribeError::Contract(format!(
                        "the server sent an answer that is not UTF-8 text: {error}"
                    ))
                })?;
                let mut news = News::default();
                position.read(text, TextSource::Answer(&answer.headers), &mut news)?;
                check_for_page(&answer.headers, text, &news)?;
                position.received(news, answer.at)
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::REQUEST_TIMEOUT => {
                self.meter.count(Outcome::Timeout);
                self.http.succeeded();
                None
            }
            _ => return Err(refused(&answer, &self.meter)),
        };
        match &received {
            Some(_) => self.unheld.succeeded(),
            // An immediate question could get this answer again, without end.
            None => {
                self.intended = answer.next_question(asked, PROFILE_SILENCE_MAX, &mut self.unheld);
            }
        }
        Ok(received)
    }

    async fn back_off(&mut self, why: &str, advised: Option<Duration>) -> Result<(), SubscribeError> {
        self.http.back_off(why, advised).await
    }
}

/// Most characters of a page that a message shows.
const PAGE_CHARS_MAX: usize = 80;

/// Refuses a page for people: HTML without a numbered line in it, such as the sign-in page of a proxy. Servers send lines
/// as HTML too, since it is the default type of some frameworks.
fn check_for_page(headers: &HeaderMap, text: &str, news: &News) -> Result<(), SubscribeError> {
    let kind = content_type(headers);
    if !is_type(&kind, "text/html") || news.finished || news.lines.iter().any(|line| line.seq > 0) {
        return Ok(());
    }
    let begins: String = text.chars().take(PAGE_CHARS_MAX).collect();
    Err(SubscribeError::OtherAnswer { expected: "a line".to_owned(), found: format!("{kind} ({begins:?})") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::profile::Profile;
    use crate::targets::{ProfileTarget, subscribe};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    const PROFILE: &str = r#"
about = "Like nchan."
url = "http://127.0.0.1:1"
publish = { path = "/", body = "{text}" }
subscribe = { wire = "long-poll", path = "/{deployment}", resume = [
    { take = "header ETag", send = "header If-None-Match" },
    { take = "header Last-Modified", send = "query since" },
] }
"#;

    #[tokio::test]
    async fn an_answer_says_where_the_next_question_starts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let profile = Arc::new(Profile::parse("test", PROFILE).unwrap());
        let target =
            ProfileTarget { profile, server, deployment: "web".to_owned(), unmatched: Arc::default() };
        let meter = Meter::new();
        let mut subscriber = subscribe(target, &Options::default(), meter.clone());
        let serving = tokio::spawn(async move {
            let mut socket = BufReader::new(listener.accept().await.unwrap().0);
            let mut heads = Vec::new();
            for answer in [
                "200 OK\r\nETag: \"7\"\r\nLast-Modified: noon\r\nContent-Length: 3\r\n\r\n1 a",
                "304 Not Modified\r\nETag: \"8\"\r\n\r\n",
                "200 OK\r\nContent-Length: 3\r\n\r\n0 1",
            ] {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    socket.read_line(&mut head).await.unwrap();
                }
                heads.push(head);
                socket.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
            }
            heads
        });
        let first = subscriber.next_batch().await.unwrap().batch;
        assert_eq!((first.lines[0].seq, first.lines[0].line.text.as_str()), (1, "a"));
        let end = subscriber.next_batch().await.unwrap().batch;
        assert_eq!((end.finished, end.next.after), (true, 1));
        let heads = serving.await.unwrap();
        assert!(
            heads[0].starts_with("GET /web HTTP/1.1\r\n") && !heads[0].contains("if-none-match"),
            "{heads:?}"
        );
        for head in &heads[1..] {
            assert!(head.starts_with("GET /web?since=noon HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("if-none-match: \"7\"\r\n"), "{head}");
        }
        let requests = meter.traffic().requests;
        assert_eq!((requests.data, requests.timeout), (2, 1));
    }
}
