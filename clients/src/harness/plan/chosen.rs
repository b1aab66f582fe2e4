//! The choice of a network: what `network = "auto"` means on this machine.
//!
//! `wirelab run` asks once, before it makes cells. Nothing here tries anything: the caller says whether namespaces can
//! be made.

use std::fmt;

use super::check::{PlanError, PlanErrors};
use super::network::needs_packets;
use super::{Plan, Server};
use crate::delay_line::CANNOT_SHOW;
use crate::harness::cell::Factors;
use crate::harness::network::emulated::NetworkKind;

/// What `network = "auto"` became in a plan, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkChoice {
    /// Kind that every such network of the plan has now.
    pub kind: NetworkKind,
    /// Reason why it is not a link of packets. `None`: it is one.
    pub why_no_tun: Option<String>,
}

impl fmt::Display for NetworkChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why_no_tun {
            None => write!(
                f,
                "network = \"auto\" is \"{}\" here: this process may make network namespaces",
                self.kind
            ),
            Some(why) => write!(
                f,
                "network = \"auto\" is \"{}\" here, which cannot show {CANNOT_SHOW}: {why}",
                self.kind
            ),
        }
    }
}

impl Plan {
    /// Replaces `auto` among the networks of the plan. `can_lay_tun` tells whether this process can lay a link of
    /// packets, or why not; it is asked only where that decides. Returns the choice, if there was one.
    pub fn choose_network<E: fmt::Display>(
        mut self,
        can_lay_tun: impl FnOnce() -> Result<(), E>,
    ) -> Result<(Self, Option<NetworkChoice>), PlanError> {
        let is_auto = |factors: &Factors| factors.network.kind == NetworkKind::Auto;
        if !self.all_arms().iter().any(|(_, factors)| is_auto(factors)) && !is_auto(&self.base) {
            return Ok((self, None));
        }
        let foreign = self.targets.iter().find(|target| **target != Server::Wirelab);
        let why_no_tun = match foreign {
            Some(foreign) => Some(format!("{} is no server that the run starts", foreign.name())),
            None => can_lay_tun().err().map(|error| error.to_string()),
        };
        let kind = if why_no_tun.is_none() { NetworkKind::Tun } else { NetworkKind::Line };
        let name = self.name.clone();
        let choose = |arm: Option<&str>, factors: &mut Factors| {
            if !is_auto(factors) {
                return Ok(());
            }
            factors.network.kind = kind;
            match (&why_no_tun, needs_packets(&factors.network.link)) {
                (None, _) | (Some(_), None) => Ok(()),
                (Some(why), Some((key, given))) => {
                    let must = format!(
                        "packets are needed for that, and they are not possible here: {why}; run it as root on Linux \
                         and on wirelab's own server, or leave it out"
                    );
                    Err(PlanErrors { arm, ..PlanErrors::of(&name) }.refused(&key, given, must))
                }
            }
        };
        for arm in &mut self.arms {
            choose(Some(&arm.name), &mut arm.factors)?;
        }
        // With arms, no run has the base's own factors.
        match self.arms.is_empty() {
            true => choose(None, &mut self.base)?,
            false if is_auto(&self.base) => self.base.network.kind = kind,
            false => {}
        }
        self.check(PlanErrors::of(&name))?;
        Ok((self, Some(NetworkChoice { kind, why_no_tun })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::network::emulated::NetworkKind::{Line, Tun};

    const PLAN: &str = r#"
name = "chosen"
question = "?"
targets = ["wirelab"]
subscribers = 1
repetitions = 1
network = "auto"
rtt_ms = 50
lines = { process = "poisson", rate_hz = 50, duration = "4s" }
"#;

    fn chosen(text: &str, can_lay: Result<(), &str>) -> Result<(Plan, Option<NetworkChoice>), PlanError> {
        Plan::parse("x.toml", text).unwrap().choose_network(|| can_lay)
    }

    #[test]
    fn auto_is_tun_where_that_is_possible_and_line_elsewhere() {
        for (can_lay, kind, said) in [
            (Ok(()), Tun, "is \"tun\" here: this process may make network namespaces"),
            (Err("not root"), Line, "is \"line\" here, which cannot show lost SYNs"),
        ] {
            let (plan, choice) = chosen(PLAN, can_lay).unwrap();
            let choice = choice.unwrap().to_string();
            assert!(choice.contains(said), "{choice}");
            assert_eq!(choice.ends_with(": not root"), can_lay.is_err(), "{choice}");
            assert!(plan.cells().iter().all(|cell| cell.network.kind == kind));
            assert!(plan.to_toml().contains(&format!("network = \"{kind}\"")), "{}", plan.to_toml());
        }
    }

    #[test]
    fn every_arm_is_chosen_for_and_a_named_network_is_left_alone() {
        let arms = "\n[[arms]]\nname = \"far\"\n\n[[arms]]\nname = \"near\"\nnetwork = \"none\"\n";
        let (plan, choice) = chosen(&format!("{PLAN}{arms}"), Ok(())).unwrap();
        assert!(choice.is_some());
        let mut kinds: Vec<_> =
            plan.cells().iter().map(|cell| (cell.arm.clone(), cell.network.kind)).collect();
        kinds.sort_by(|one, other| one.0.cmp(&other.0));
        kinds.dedup();
        let far = (Some("far".to_owned()), Tun);
        assert_eq!(kinds, [far, (Some("near".to_owned()), NetworkKind::None)]);
        let asked = || -> Result<(), &str> { panic!("nothing is to be decided") };
        let (_, choice) = plan.choose_network(asked).unwrap();
        assert_eq!(choice, None);
    }

    #[test]
    fn losses_are_refused_where_packets_are_not_possible() {
        let lossy = format!("loss_ratio = 0.03\n{PLAN}");
        assert!(chosen(&lossy, Ok(())).is_ok());
        let refused = chosen(&lossy, Err("not root")).unwrap_err().to_string();
        assert!(refused.contains("packets are needed") && refused.contains("not root"), "{refused}");
    }

    #[test]
    fn a_server_that_the_run_does_not_start_is_reached_over_a_line() {
        let foreign = PLAN.replace("[\"wirelab\"]", "[\"http://127.0.0.1:2\"]");
        let (plan, choice) = chosen(&foreign, Ok(())).unwrap();
        assert!(plan.cells().iter().all(|cell| cell.network.kind == Line));
        assert!(choice.unwrap().to_string().contains("http://127.0.0.1:2"));
        let refused = Plan::parse("x.toml", &foreign.replace("auto", "tun")).unwrap_err().to_string();
        assert!(refused.contains("network is \"tun\"") && refused.contains("use \"line\""), "{refused}");
    }
}
