//! Single exchanges of an arm: the weight of its messages, and their time on an idle server.
//!
//! They use the clients' own HTTP and streams, with the arm's options. Sizes are taken twice, once where seqs have
//! one digit and once where they have two. The difference shows how many seqs a message holds.

use std::time::{Duration, Instant};

use super::{AppendWay, Bench, CalibrationError, options};
use crate::harness::link_check::Samples;
use crate::harness::theory::calibration::{ArmCalibration, CalibratedArm, MessageBytes, Sizes};
use crate::harness::theory::spread::Spread;
use crate::http::ANSWER_TIMEOUT;
use crate::http::{Answer, CutShort, Http};
use crate::meter::Meter;
use crate::options::Condition;
use crate::traffic::Traffic;
use crate::transports::{PollRequest, poll_request};
use crate::wire::{Batch, Cursor, NewLine, Position, Waits, entity_tag};
use crate::{Options, Target, connect};

/// Seqs of a log: the last one where all seqs have one digit, and the last one where all requested seqs have two.
const ONE_DIGIT: u64 = 6;
const TWO_DIGITS: u64 = 16;
/// Lines over which the weight of a stream's line is averaged; their seqs have equally many digits.
const STREAMED: u64 = 4;
/// Text of a line, so long that the length of a body never changes its number of digits.
const TEXT: &str =
    "a line of one hundred bytes, of which every one is itself in JSON: no quote, no tab, nothing at all....";
/// Exchanges that are timed: fewer over a distance, beside which what varies is small.
const TIMED: Samples = Samples { least: 8, most: 60, budget: Duration::from_secs(1) };
/// One of so many exchanges comes at the start, finds caches cold and is not counted.
const TIMED_PER_COLD: usize = 6;

impl Bench {
    pub(super) async fn arm(
        &mut self,
        arm: CalibratedArm,
        append: AppendWay,
    ) -> Result<ArmCalibration, CalibrationError> {
        match arm.transport.waits() {
            Waits::Client | Waits::ServerOnce => self.poll(arm, append).await,
            Waits::ServerForever => {
                let sizes = Sizes::Stream { line: self.streamed(arm).await? };
                Ok(ArmCalibration { arm, exchange_s: None, cycle_s: None, held_s: None, sizes })
            }
        }
    }

    async fn poll(
        &mut self,
        arm: CalibratedArm,
        append: AppendWay,
    ) -> Result<ArmCalibration, CalibrationError> {
        let target = self.deployment().await?;
        let mut asker = Asker::new(arm, &target, self);
        let cursor = self.append_until(&target, 0, ONE_DIGIT).await?;
        let one = asker.sizes(&cursor).await?;
        let cursor = self.append_until(&target, ONE_DIGIT, TWO_DIGITS).await?;
        let two = asker.sizes(&cursor).await?;
        let of = |size: fn(&PollBytes) -> f64| MessageBytes::of(size(&one), size(&two));
        let sizes = Sizes::Poll {
            question: of(|bytes| bytes.question),
            answer: of(|bytes| bytes.answer),
            empty: of(|bytes| bytes.empty),
            line: of(|bytes| bytes.line),
        };
        let exchange_s = Some(asker.exchanges(&cursor).await?);
        let (cycle_s, held_s) = match arm.transport.waits() {
            Waits::ServerOnce => {
                let held = self.published(arm.transport, &options(&arm), 1).await?.received(arm.transport)?;
                (Some(asker.cycles(&cursor).await?), Some(append.visible_s(&held)))
            }
            Waits::Client | Waits::ServerForever => (None, None),
        };
        Ok(ArmCalibration { arm, exchange_s, cycle_s, held_s, sizes })
    }

    /// Appends lines until the log's last seq is `last`.
    async fn append_until(
        &mut self,
        target: &Target,
        after: u64,
        last: u64,
    ) -> Result<Cursor, CalibrationError> {
        let lines = vec![NewLine::plain(TEXT); (last - after) as usize];
        let key = format!("calibration-{last}");
        Ok(self.api.append(&target.deployment, &lines, &key).await?.cursor)
    }

    /// Returns the bytes of a stream's line without its text.
    async fn streamed(&mut self, arm: CalibratedArm) -> Result<MessageBytes, CalibrationError> {
        let target = self.deployment().await?;
        let meter = Meter::over(self.laid.subscribers.clone());
        let mut subscriber = connect(arm.transport, target.clone(), &options(&arm), meter.clone());
        // Bytes received by the time this many lines had come.
        let mut down_bytes = vec![0];
        for seq in 1..=TWO_DIGITS {
            self.append_until(&target, seq - 1, seq).await?;
            let mut arrived = false;
            while !arrived {
                let received = subscriber.next_batch().await.map_err(|error| failed(arm, error))?;
                arrived = received.batch.lines.iter().any(|line| line.seq == seq);
            }
            down_bytes.push(meter.traffic().down_bytes);
        }
        let framing = |last: u64| {
            let bytes = down_bytes[last as usize] - down_bytes[(last - STREAMED) as usize];
            bytes as f64 / STREAMED as f64 - TEXT.len() as f64
        };
        Ok(MessageBytes::of(framing(ONE_DIGIT), framing(TWO_DIGITS)))
    }
}

/// Bytes of one look at a log.
struct PollBytes {
    question: f64,
    answer: f64,
    empty: f64,
    line: f64,
}

/// Client of polls that sends the given questions.
struct Asker {
    arm: CalibratedArm,
    target: Target,
    meter: std::sync::Arc<Meter>,
    http: Http,
    /// Exchanges to time.
    timed: usize,
}

impl Asker {
    fn new(arm: CalibratedArm, target: &Target, bench: &Bench) -> Self {
        let (meter, options): (_, Options) = (Meter::over(bench.laid.subscribers.clone()), options(&arm));
        let timed = TIMED.count(bench.round_trip);
        let http = Http::new(target.server.clone(), meter.clone(), &options);
        Self { arm, target: target.clone(), meter, http, timed }
    }

    /// Asks for lines after `seq` of the cursor's log; a long poll is not held.
    async fn ask(&mut self, cursor: &Cursor, seq: u64) -> Result<(Answer, Traffic), CalibrationError> {
        let from = Cursor { after: seq, ..cursor.clone() };
        self.target.from = Position::After(from.clone());
        let tag = match self.arm.condition {
            Condition::IfNoneMatch => Some(entity_tag(&from, false)),
            Condition::Plain => None,
        };
        let request = poll_request(self.arm.transport, &self.target, tag.as_deref());
        let PollRequest { path, headers } =
            request.ok_or_else(|| failed(self.arm, "the transport is not a poll"))?;
        let before = self.meter.traffic();
        let answer = self.http.get(&path, &headers, ANSWER_TIMEOUT).await;
        let answer = answer.map_err(|CutShort(why)| failed(self.arm, why))?;
        if !answer.status.is_success() && answer.status.as_u16() != 304 {
            return Err(failed(self.arm, answer.status));
        }
        Ok((answer, self.meter.traffic() - before))
    }

    /// Returns the sizes at a log whose last line is the cursor's.
    async fn sizes(&mut self, cursor: &Cursor) -> Result<PollBytes, CalibrationError> {
        let last = cursor.after;
        // The first exchange of a connection may weigh more than the next ones.
        self.ask(cursor, last).await?;
        let (_, empty) = self.ask(cursor, last).await?;
        let (_, one) = self.ask(cursor, last - 1).await?;
        let (_, two) = self.ask(cursor, last - 2).await?;
        let line = two.down_bytes as f64 - one.down_bytes as f64;
        Ok(PollBytes {
            question: empty.up_bytes as f64,
            answer: one.down_bytes as f64 - line,
            empty: empty.down_bytes as f64,
            line: line - TEXT.len() as f64,
        })
    }

    /// Returns times from question to answer of polls without news, s.
    async fn exchanges(&mut self, cursor: &Cursor) -> Result<Spread, CalibrationError> {
        let mut samples_s = Vec::with_capacity(self.timed);
        for _ in 0..self.timed {
            let asked = Instant::now();
            let (answer, _) = self.ask(cursor, cursor.after).await?;
            samples_s.push(answer.at.saturating_duration_since(asked).as_secs_f64());
        }
        Ok(Spread::of(samples_s.split_off((self.timed / TIMED_PER_COLD).max(1))).expect("some are left"))
    }

    /// Returns times from question to next question of polls that each find a line and read it, s.
    async fn cycles(&mut self, cursor: &Cursor) -> Result<Spread, CalibrationError> {
        let mut samples_s = Vec::with_capacity(self.timed);
        for _ in 0..self.timed {
            let asked = Instant::now();
            let (answer, _) = self.ask(cursor, cursor.after - 1).await?;
            let batch: Batch = serde_json::from_slice(&answer.body).map_err(|why| failed(self.arm, why))?;
            let took: Duration = asked.elapsed();
            if batch.lines.len() != 1 {
                return Err(failed(
                    self.arm,
                    format!("the server sent {} lines instead of one", batch.lines.len()),
                ));
            }
            samples_s.push(took.as_secs_f64());
        }
        Ok(Spread::of(samples_s.split_off((self.timed / TIMED_PER_COLD).max(1))).expect("some are left"))
    }
}

fn failed(arm: CalibratedArm, why: impl std::fmt::Display) -> CalibrationError {
    CalibrationError::Exchange { transport: arm.transport, why: why.to_string() }
}
