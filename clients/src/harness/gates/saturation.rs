//! Saturation: the harness must have had the processors that it needed.
//!
//! A thread that is ready and gets no processor measures the wait for one. The number of ready threads follows from the
//! CPU time that they used and the time that they waited for it. The kernel counts both.

use super::{Found, Gate};
use crate::harness::run_result::CheckVerdict;
use crate::harness::run_result::RunResult;

/// Largest share of the processors that the harness may need on average: above it there are moments without a free one.
const CORES_RATIO_MAX: f64 = 0.9;

pub(super) const GATES: &[Gate] = &[
    Gate {
        name: "harness-cores",
        unit: "cores",
        definition: "Left: threads of the harness that ran or waited for a processor, on average: (CPU time + run \
                     delay) / wall time; without a run delay, those that ran. Right: 90 % of the processors it may \
                     use, which it must not exceed.",
        find: cores,
    },
    Gate {
        name: "harness-run-delay",
        unit: "µs",
        definition: "Left: time in which threads of the harness were ready and had no processor. Right: their CPU \
                     time. Where they waited longer than they ran, something else kept the machine busy, and \
                     latencies hold that wait.",
        find: run_delay,
    },
];

fn cores(run: &RunResult) -> Found {
    let there = run.cores_count.map(|cores| CORES_RATIO_MAX * cores as f64);
    let wanted = run.harness.cpu.zip(run.sampled).map(|(cpu, sampled)| {
        (cpu + run.harness.run_delay.unwrap_or_default()).as_secs_f64() / sampled.as_secs_f64()
    });
    match wanted.filter(|wanted| wanted.is_finite()).zip(there) {
        Some((wanted, there)) => {
            let said = || {
                format!(
                    "the harness is saturated: {wanted:.2} of its threads were ready at a time, for {there:.2} cores"
                )
            };
            Found::at_most(wanted, there, CheckVerdict::Fail, said)
        }
        None => Found::not_compared(wanted, there),
    }
}

fn run_delay(run: &RunResult) -> Found {
    let us = |duration: std::time::Duration| duration.as_secs_f64() * 1e6;
    let (delay, cpu) = (run.harness.run_delay.map(us), run.harness.cpu.map(us));
    match delay.zip(cpu) {
        Some((delay, cpu)) => {
            let said =
                || format!("threads of the harness waited {delay:.0} µs for a processor and ran {cpu:.0} µs");
            Found::at_most(delay, cpu, CheckVerdict::Unresolved, said)
        }
        None => Found::not_compared(delay, cpu),
    }
}
