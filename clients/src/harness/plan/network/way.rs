//! One direction of a link in a plan: read, written and checked.
//!
//! For the network keys, which tell each direction what was given for both. It never decides what makes the link.

use std::time::Duration;

use super::{
    DELAY_MS, FileWay, JITTER_MS, JitterProcess, LINK_KBIT_S, LOSS_BURST, LOSS_PHASE, LOSS_RATIO,
    QUEUE_BYTES, as_written, ms,
};
use crate::harness::plan::check::{PlanError, PlanErrors, text_of};
use crate::link::{Jitter, Loss, OneWay, Order, Rate};

impl FileWay {
    pub(super) fn of(way: &OneWay) -> Self {
        let text = |duration: Duration| Some(text_of(duration));
        let (jitter_ms, jitter_process) = match way.jitter {
            Jitter::None => (0.0, None),
            Jitter::Uniform { within } => (ms(within), Some(JitterProcess::Uniform)),
            Jitter::Normal { deviation } => (ms(deviation), Some(JitterProcess::Normal)),
        };
        let (loss_ratio, loss_burst, loss_on, loss_off) = match way.loss {
            Loss::None => (Some(0.0), None, None, None),
            Loss::Independent { ratio } => (Some(ratio), None, None, None),
            Loss::GilbertElliott { to_good, .. } => {
                (Some(as_written(way.loss.ratio())), Some(as_written(1.0 / to_good)), None, None)
            }
            // The ratio says that a plan's ratio does not hold in an arm with phases.
            Loss::OnOff { on, off } => (Some(0.0), None, text(on), text(off)),
        };
        Self {
            delay_ms: Some(ms(way.delay)),
            jitter_ms: Some(jitter_ms),
            jitter_process,
            reorder: Some(way.order == Order::Free),
            loss_ratio,
            loss_burst,
            loss_on,
            loss_off,
            link_kbit_s: way.rate.map(|rate| rate.kbit_s),
            queue_bytes: way.rate.map(|rate| rate.queue_bytes),
            trace: way.trace.clone(),
        }
    }

    pub(super) fn or(self, both: &Self) -> Self {
        // A loss of its own kind replaces that of both directions.
        let has_phases = self.loss_on.is_some() || self.loss_off.is_some();
        Self {
            jitter_ms: self.jitter_ms.or(both.jitter_ms),
            loss_ratio: self.loss_ratio.or(if has_phases { None } else { both.loss_ratio }),
            link_kbit_s: self.link_kbit_s.or(both.link_kbit_s),
            ..self
        }
    }

    /// Refuses values out of range, by the names that the plan gives them.
    pub(super) fn check_ranges(&self, way: &str, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let key = |name: &str| format!("{way}.{name}");
        let numbers = [
            ("delay_ms", self.delay_ms, DELAY_MS),
            ("jitter_ms", self.jitter_ms, JITTER_MS),
            ("loss_ratio", self.loss_ratio, LOSS_RATIO),
            ("loss_burst", self.loss_burst, LOSS_BURST),
        ];
        for (name, given, allowed) in numbers {
            given.map_or(Ok(()), |given| refusals.within(&key(name), given, &allowed))?;
        }
        for (name, given, allowed) in
            [("link_kbit_s", self.link_kbit_s, LINK_KBIT_S), ("queue_bytes", self.queue_bytes, QUEUE_BYTES)]
        {
            given.map_or(Ok(()), |given| refusals.within(&key(name), given, &allowed))?;
        }
        Self::phase("loss_on", &self.loss_on, way, refusals)?;
        Self::phase("loss_off", &self.loss_off, way, refusals).map(|_| ())
    }

    /// Reads the time of a phase.
    fn phase(
        name: &str,
        given: &Option<String>,
        way: &str,
        refusals: PlanErrors<'_>,
    ) -> Result<Option<Duration>, PlanError> {
        let Some(given) = given else { return Ok(None) };
        let key = format!("{way}.{name}");
        let phase = refusals.duration(&key, given)?;
        refusals.duration_within(&key, phase, &LOSS_PHASE)?;
        Ok(Some(phase))
    }

    /// Refuses a key that shapes what is not there. A jitter or a loss of 0 may stand beside it: an arm takes it away
    /// from its plan so.
    pub(super) fn check_used(&self, way: &str, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let process = self.jitter_process.map(|process| match process {
            JitterProcess::Uniform => "\"uniform\"".to_owned(),
            JitterProcess::Normal => "\"normal\"".to_owned(),
        });
        let reorder = self.reorder.filter(|reorder| *reorder).map(|reorder| reorder.to_string());
        let has_loss = self.loss_ratio.is_some() || self.loss_on.is_some() || self.loss_off.is_some();
        let shapes = [
            ("jitter_process", process, self.jitter_ms.is_some(), "jitter_ms"),
            ("reorder", reorder, self.jitter_ms.is_some(), "jitter_ms"),
            ("loss_burst", self.loss_burst.map(|burst| burst.to_string()), has_loss, "loss_ratio"),
        ];
        for (name, given, is_used, needs) in shapes {
            if let (Some(given), false) = (given, is_used) {
                let must = format!("it means nothing without {needs}; give that too");
                return Err(refusals.refused(&format!("{way}.{name}"), given, must));
            }
        }
        Ok(())
    }

    pub(super) fn resolve(self, way: &str, refusals: PlanErrors<'_>) -> Result<OneWay, PlanError> {
        let key = |name: &str| format!("{way}.{name}");
        // Again, since a direction has values that were given for both, or that the other one left.
        self.check_ranges(way, refusals)?;
        let time = |given: Option<f64>| Duration::from_secs_f64(given.unwrap_or(0.0) / 1e3);
        let (delay, jitter) = (time(self.delay_ms), time(self.jitter_ms));
        let jitter = match (jitter.is_zero(), self.jitter_process) {
            (true, _) => Jitter::None,
            (false, None | Some(JitterProcess::Uniform)) if jitter > delay => {
                let must = format!(
                    "at most the delay of that direction, {} ms, or jitter_process = \"normal\"",
                    ms(delay)
                );
                return Err(refusals.refused(&key("jitter_ms"), ms(jitter), must));
            }
            (false, None | Some(JitterProcess::Uniform)) => Jitter::Uniform { within: jitter },
            (false, Some(JitterProcess::Normal)) => Jitter::Normal { deviation: jitter },
        };
        let (ratio, burst) = (self.loss_ratio.filter(|ratio| *ratio > 0.0), self.loss_burst);
        let phase = |name: &str, given: &Option<String>| Self::phase(name, given, way, refusals);
        let phases = (phase("loss_on", &self.loss_on)?, phase("loss_off", &self.loss_off)?);
        let loss = match (ratio, burst, phases) {
            (None, _, (None, None)) => Loss::None,
            (Some(ratio), None, (None, None)) => Loss::Independent { ratio },
            (Some(ratio), Some(burst), (None, None)) => Loss::bursts(ratio, burst),
            // A burst may stand beside phases, and beside a ratio of 0: an arm cannot take it away from its plan.
            (None, _, (Some(on), Some(off))) => Loss::OnOff { on, off },
            (_, _, (Some(_), _) | (_, Some(_))) => {
                let must = "give loss_on and loss_off together, and no loss_ratio".to_owned();
                return Err(refusals.refused(&key("loss_on"), "given alone or beside another loss", must));
            }
        };
        let rate = match (self.link_kbit_s, self.queue_bytes) {
            (None, None) => None,
            (None, Some(queue_bytes)) => {
                let must = "a queue stands before a link with a rate; give link_kbit_s too".to_owned();
                return Err(refusals.refused(&key("queue_bytes"), queue_bytes, must));
            }
            (Some(kbit_s), queue_bytes) => {
                Some(Rate { kbit_s, queue_bytes: queue_bytes.unwrap_or(Rate::QUEUE_BYTES_DEFAULT) })
            }
        };
        let order = if self.reorder == Some(true) { Order::Free } else { Order::Kept };
        Ok(OneWay { delay, jitter, order, loss, rate, trace: self.trace })
    }
}
