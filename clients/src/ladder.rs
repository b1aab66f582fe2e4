//! The ladder: a subscriber that steps down to a plainer transport when the one it is on does not get through.
//!
//! Between a server and its clients stand proxies: one holds a stream back until it ends, one strips `Upgrade`, one
//! answers for a path that it does not know. Whoever must read a log all the same begins on the best rung (SSE, say)
//! and has others below (long poll, short poll: an answer that ends gets through everywhere). It steps down
//! - when the rung is refused for good, or brings what is not its wire,
//! - when it says nothing: a stream has its hello within [`HELLO_MAX`], or somebody is holding it back,
//! - when it fails again and again, although the server is well.
//!
//! The next rung goes on after the last line that was returned: nothing is lost, nothing comes twice. What is the
//! fault of the server or of the deployment is none of the rung's: before each step the regular API is asked for the
//! deployment, and unless it is there, nobody steps. Within one subscription nobody steps up again: an attempt costs
//! as long a silence as it took to step down, in which no line would come, and a network that breaks streams at the
//! first line breaks them at the hundredth. The next subscription starts at the top.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::StatusCode;
use tokio::time::{sleep_until, timeout};

use crate::api::Api;
use crate::http::{Cut, Http, Refusal, refused};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::transports::ANSWER_TIMEOUT;
use crate::wire::{Batch, Position, Transport};
use crate::{Options, Received, SubscribeError, Subscriber, Target, connect};

/// How long a stream may take to say hello, which a server does at once. Two lost SYNs of a slow network fit.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// Failures in a row that a rung may have while the server is well.
const RUNG_FAILURES_MAX: u32 = 2;

/// A subscriber that falls back from transport to transport.
pub struct Ladder {
    rung: Transport,
    below: VecDeque<Transport>,
    subscriber: Box<dyn Subscriber>,
    /// When a stream must have said hello. `None`: nobody has asked for anything yet.
    hello_by: Option<Instant>,
    /// Its position is where the next rung starts.
    target: Target,
    options: Options,
    meter: Arc<Meter>,
}

/// A subscriber that starts on `first` and steps down to those `below`, one after the other, when it must.
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
    /// Stands on `first`; connects when it is first asked for a batch.
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

    /// The transport it stands on.
    pub fn rung(&self) -> Transport {
        self.rung
    }

    fn step_onto(&mut self, rung: Transport) {
        self.rung = rung;
        self.meter.begins_anew();
        self.subscriber = connect(rung, self.target.clone(), &self.options, self.meter.clone());
        self.hello_by = None;
    }

    /// `now` is another place on the next rung, some lines later: it is looked up once, and kept.
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
                        SubscribeError::Contract(format!("a snapshot that is none: {error}"))
                    })?;
                    self.target.from = Position::After(snapshot.next);
                    self.step_onto(self.rung);
                    return Ok(());
                }
                Ok(answer) => match refused(&answer, &uncounted) {
                    Refusal::Final(error) => return Err(error),
                    Refusal::Later { why, advised } => (why, advised),
                },
                Err(Cut(why)) => (why, None),
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

/// Whether another transport could have something else to say.
fn may_be_the_rung(error: &SubscribeError) -> bool {
    match error {
        SubscribeError::Gap(_) | SubscribeError::Deleted => false,
        SubscribeError::Refused { status, detail: _ } => *status != 410,
        SubscribeError::Unreachable { .. } | SubscribeError::Contract(_) => true,
    }
}

/// Whether the server answers and has the deployment. Then what does not work is this transport: a 404 for its path
/// says that nobody serves it here, and not that the deployment is gone.
async fn is_well(target: &Target) -> bool {
    let mut api = Api::new(target.server.clone());
    matches!(timeout(ANSWER_TIMEOUT, api.get(&target.deployment)).await, Ok(Ok(_)))
}

/// Returns when a stream should have said hello and did not, although nothing failed.
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

/// Returns when the rung failed several times in a row, each time after the server had been found well: while a
/// server restarts, everything fails, and then nothing.
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
