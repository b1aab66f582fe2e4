//! Cells of a plan: the runs to make, in order.
//!
//! The design is randomised complete blocks: every block has every cell once, in an order of its own that follows from
//! the seed. So drifts of a machine (heat, a neighbour) affect all cells alike.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::{NoiseFloor, Plan};
use crate::harness::cell::{Cell, Factors, Server, measured, run_id};
use crate::harness::receipts::Keeps;
use crate::wire::Transport;

/// Returns the first cell of a plan without flags.
impl Default for Cell {
    fn default() -> Self {
        Plan::default().in_plan_order().remove(0)
    }
}

impl Plan {
    /// Returns the cells of all blocks, in the order in which they are run.
    pub fn cells(&self) -> Vec<Cell> {
        (1..=self.repetitions).flat_map(|repetition| self.block(repetition)).collect()
    }

    /// Returns the cells of one block in the order in which the plan names them. Tables have this order.
    pub fn in_plan_order(&self) -> Vec<Cell> {
        let arms = self.all_arms();
        let of_arm = |(arm, factors): &(Option<&str>, &Factors)| {
            let of_arm: Vec<Cell> = measured(&self.targets, &factors.transports)
                .map(|(server, transport, target)| self.cell(server, transport, target, *arm, factors))
                .collect();
            of_arm
        };
        arms.iter().flat_map(of_arm).collect()
    }

    fn block(&self, repetition: u32) -> Vec<Cell> {
        let mut cells = self.in_plan_order();
        match (self.noise_floor, cells.first()) {
            (NoiseFloor::Measured, Some(first)) => {
                let run_id = format!("{}-aa", first.run_id);
                cells.push(Cell { run_id, is_aa: true, ..first.clone() });
            }
            (NoiseFloor::Measured, None) | (NoiseFloor::Unknown, _) => {}
        }
        let seed = self.seed.wrapping_add(u64::from(repetition) - 1);
        cells.shuffle(&mut Pcg64::seed_from_u64(seed));
        for (index, cell) in cells.iter_mut().enumerate() {
            cell.run_id = format!("{}-{repetition}", cell.run_id);
            (cell.block, cell.repetition, cell.position) = (repetition, repetition, index as u32 + 1);
            cell.seed = seed;
        }
        cells
    }

    /// Makes a cell that belongs to no block yet.
    fn cell(
        &self,
        server: &Server,
        transport: Transport,
        target: Option<String>,
        arm: Option<&str>,
        factors: &Factors,
    ) -> Cell {
        Cell {
            run_id: run_id(server, target.as_deref(), arm, transport),
            block: 0,
            position: 0,
            repetition: 0,
            seed: self.seed,
            server: server.clone(),
            arm: match (target, arm) {
                (Some(target), Some(arm)) => Some(format!("{target}-{arm}")),
                (Some(name), None) => Some(name),
                (None, arm) => arm.map(str::to_owned),
            },
            is_aa: false,
            transport,
            fallback: factors.fallback.clone(),
            subscribers: factors.subscribers,
            deployments: factors.deployments,
            options: factors.options.clone(),
            serve: factors.serve.clone(),
            tls: factors.tls,
            warm_up: factors.warm_up,
            drain: factors.drain,
            fault: factors.fault.clone(),
            stalled: factors.stalled,
            late: factors.late,
            network: factors.network.clone(),
            lines: factors.lines.clone(),
            keeps: Keeps::default(),
        }
    }
}
