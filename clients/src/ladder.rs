//! The ladder: a subscriber that steps down to a plainer transport when the one it is on does not get through.
//!
//! Proxies stand between a server and its clients. One holds a stream back until it ends, one strips `Upgrade`, one
//! answers for a path that it does not know. A client that must read a log all the same begins on the best transport,
//! its first rung (SSE, say). Plainer transports are the rungs below: long poll, then short poll, since an answer that
//! ends gets through everywhere. The ladder steps down
//! - when the rung is refused for good, or brings something else than its wire format,
//! - when the rung stays silent: a stream brings its hello within [`HELLO_MAX`], or a proxy is holding it back,
//! - when the rung fails again and again, although the server is well.
//!
//! The next rung goes on after the last line that was returned: nothing is lost, nothing comes twice. A fault of the
//! server or of the deployment is not the rung's. So before each step the regular API is asked for the deployment, and
//! the ladder steps only if it is there. Within one subscription the ladder never steps up again: an attempt would cost
//! as long a silence as stepping down did. A network that breaks streams at the first line breaks them at the hundredth
//! too. The next subscription starts at the top.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::StatusCode;
use tokio::time::{sleep_until, timeout};

use crate::api::Api;
use crate::http::ANSWER_TIMEOUT;
use crate::http::{CutShort, Http, NoLines, refused};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::wire::{Batch, Position, Transport};
use crate::{Options, Received, SubscribeError, Subscriber, Target, connect};

/// Longest time until a stream says hello, which a server does at once. Two lost SYNs of a slow network fit.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// Failures in a row that a rung may have while the server is well.
const RUNG_FAILURES_MAX: u32 = 2;

/// A subscriber that falls back from transport to transport.
pub struct Ladder {
    rung: Transport,
    below: VecDeque<Transport>,
    subscriber: Box<dyn Subscriber>,
    /// Time by which a stream must have said hello. `None`: no batch was asked for yet.
    hello_by: Option<Instant>,
    /// Target of the subscription; its position is where the next rung starts.
    target: Target,
    options: Options,
    meter: Arc<Meter>,
}

/// Returns a subscriber that starts on the transport `first` and steps down to those `below`, one after the other, when
/// it must.
pub fn connect_ladder(
    first: Transport,
    below: &[Transport],
    target: Target,
    options: &Options,
    meter: Arc<Meter>,
) -> Box<dyn Subscriber> {
    Box::new(Ladder::new(first, below, target, options, meter))
}

impl Ladder {
    /// Creates a ladder that stands on `first`. It connects when it is first asked for a batch.
    pub fn new(
        first: Transport,
        below: &[Transport],
        target: Target,
        options: &Options,
        meter: Arc<Meter>,
    ) -> Self {
        let subscriber = connect(first, target.clone(), options, meter.clone());
        let (below, options) = (below.iter().copied().collect(), options.clone());
        Self { rung: first, below, subscriber, hello_by: None, target, options, meter }
    }

    /// Returns the transport that the ladder stands on.
    pub fn rung(&self) -> Transport {
        self.rung
    }

    fn step_onto(&mut self, rung: Transport) {
        self.rung = rung;
        self.meter.begins_anew();
        self.subscriber = connect(rung, self.target.clone(), &self.options, self.meter.clone());
        self.hello_by = None;
    }

    /// Looks the position `now` up once and keeps it: on the next rung, some lines later, `now` would be another place.
    async fn pin_down_now(&mut self) -> Result<(), SubscribeError> {
        if self.target.from != Position::Now {
            return Ok(());
        }
        let uncounted = Meter::new();
        let mut http = Http::new(self.target.server.clone(), uncounted.clone(), &self.options);
        let path = format!("/api/deployments/{}/lines?from=now", self.target.deployment);
        loop {
            let (why, advised) = match http.get(&path, &[], ANSWER_TIMEOUT).await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    let snapshot: Batch = serde_json::from_slice(&answer.body).map_err(|error| {
                        SubscribeError::Contract(format!("the server sent an invalid snapshot: {error}"))
                    })?;
                    self.target.from = Position::After(snapshot.next);
                    self.step_onto(self.rung);
                    return Ok(());
                }
                Ok(answer) => match refused(&answer, &uncounted) {
                    NoLines::Final(error) => return Err(error),
                    NoLines::Later { why, advised } => (why, advised),
                },
                Err(CutShort(why)) => (why, None),
            };
            self.meter.failed(&why);
            http.back_off(&why, advised).await?;
        }
    }
}

#[async_trait]
impl Subscriber for Ladder {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        if !self.below.is_empty() {
            self.pin_down_now().await?;
        }
        loop {
            let Some(&next_rung) = self.below.front() else { return self.subscriber.next_batch().await };
            let hello_by = *self.hello_by.get_or_insert_with(|| Instant::now() + HELLO_MAX);
            let said = tokio::select! {
                said = self.subscriber.next_batch() => Some(said),
                () = stays_silent(self.rung, hello_by, &self.meter, &self.target) => None,
                () = fails_again_and_again(&self.meter, &self.target) => None,
            };
            match said {
                Some(Ok(received)) => {
                    self.target.from = Position::After(received.batch.next.clone());
                    return Ok(received);
                }
                Some(Err(error)) if !(may_be_the_rung(&error) && is_well(&self.target).await) => {
                    return Err(error);
                }
                Some(Err(_)) | None => {
                    self.below.pop_front();
                    self.step_onto(next_rung);
                }
            }
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}

/// Returns whether the error may be the transport's fault, so that another transport could succeed.
fn may_be_the_rung(error: &SubscribeError) -> bool {
    match error {
        SubscribeError::Gap(_) | SubscribeError::Deleted | SubscribeError::Mistrusted { .. } => false,
        SubscribeError::Refused { status, detail: _ } => *status != 410,
        SubscribeError::Unreachable { .. }
        | SubscribeError::OtherAnswer { .. }
        | SubscribeError::Contract(_) => true,
    }
}

/// Returns whether the server answers and has the deployment. If so, a failure is the transport's: a 404 for its path
/// then means that the server does not offer it, not that the deployment is gone.
async fn is_well(target: &Target) -> bool {
    let mut api = Api::new(target.server.clone());
    matches!(timeout(ANSWER_TIMEOUT, api.get(&target.deployment)).await, Ok(Ok(_)))
}

/// Waits until a stream should have said hello and did not, although nothing failed.
async fn stays_silent(rung: Transport, mut hello_by: Instant, meter: &Meter, target: &Target) {
    // A poll that is not answered in time is a failure by itself.
    if rung.waits().is_poll() {
        return std::future::pending().await;
    }
    let standing = meter.standing();
    loop {
        sleep_until(hello_by.into()).await;
        let now = *standing.borrow();
        if now.was_served {
            return std::future::pending().await;
        }
        if now.failures == 0 && is_well(target).await && !standing.borrow().was_served {
            return;
        }
        hello_by = Instant::now() + HELLO_MAX;
    }
}

/// Waits until the rung has failed several times in a row, each time after the server had been found well. While a
/// server restarts everything fails, and that is not the rung's fault.
async fn fails_again_and_again(meter: &Meter, target: &Target) {
    let mut standing = meter.standing();
    let (mut known, mut held_against, mut was_well) = (0, 0, false);
    loop {
        let changed = standing.wait_for(|standing| standing.failures != known).await;
        known = changed.expect("the meter is borrowed, so it is there").failures;
        match (known, was_well) {
            (0, _) => held_against = 0,
            (_, true) => held_against += 1,
            (_, false) => {}
        }
        if held_against == RUNG_FAILURES_MAX {
            return;
        }
        was_well = known > 0 && is_well(target).await;
    }
}
