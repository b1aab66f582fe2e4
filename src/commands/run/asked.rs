//! The plan that the arguments of `wirelab run` ask for: an existing one, or one made of options.

use wirelab_clients::harness::cell::{
    AD_HOC_LINES, Given, LineProcess, Running, ServeOptions, Server, StoreKind, Way,
};
use wirelab_clients::harness::network::Fault;
use wirelab_clients::harness::network::cut::Cut;
use wirelab_clients::harness::plan::{AdHoc, Plan, Size};
use wirelab_clients::harness::schedule;
use wirelab_clients::{Options, Polling};

use super::super::Failure;
use crate::commands::cli::{self, RunArguments};
use wirelab_clients::harness::plan_files;

impl From<cli::SizeArgument> for Size {
    fn from(size: cli::SizeArgument) -> Self {
        match size {
            cli::SizeArgument::Smoke => Self::Smoke,
            cli::SizeArgument::Full => Self::Full,
        }
    }
}

/// Plan of `wirelab run` without arguments.
const DEFAULT_PLAN: &str = "quick";

/// Returns the named plan, or the plan made of options, on the named targets.
pub(super) fn plan(arguments: &RunArguments) -> Result<Plan, Failure> {
    let target = |given: &String| {
        Server::parse(given, |name| plan_files::profile(name, &arguments.data)).map_err(Failure::usage)
    };
    let mut targets: Vec<Server> = arguments.target.iter().map(target).collect::<Result<_, _>>()?;
    if arguments.through_proxy {
        say_that_a_proxy_is_there(&mut targets)?;
    }
    if arguments.store.is_some() && targets.iter().any(|target| *target != Server::Wirelab) {
        return Err(Failure::usage(
            "--store applies only to wirelab's own server, and --target names another; leave one of them out",
        ));
    }
    let profiles_only = targets.iter().all(|target| matches!(target, Server::Profile(_)));
    if !targets.is_empty() && profiles_only && !arguments.transport.is_empty() {
        return Err(Failure::usage("a profile has its own transport; leave --transport out"));
    }
    if let Some(given) = &arguments.plan {
        let found = plan_files::find(given, arguments.size.into(), &arguments.data);
        let plan = found.map_err(Failure::usage)?;
        return match targets.is_empty() {
            true => Ok(plan),
            false => plan.on(targets).map_err(Failure::usage),
        };
    }
    let RunArguments {
        transport, subscribers, rate, duration, recording, speed, poll_interval, store, ..
    } = arguments;
    let lines = match recording {
        Some(recording) => {
            Some(LineProcess::Replay { recording: recording.clone(), speed: speed.unwrap_or(1.0) })
        }
        None if rate.is_some() || duration.is_some() => Some(LineProcess::Poisson(schedule::Generated {
            rate_hz: rate.unwrap_or(AD_HOC_LINES.rate_hz),
            duration: duration.unwrap_or(AD_HOC_LINES.duration),
            ..AD_HOC_LINES
        })),
        None => None,
    };
    let options =
        poll_interval.map(|interval| Options { polling: Polling::every(interval), ..Options::default() });
    let serve = store.map(|store| ServeOptions {
        store: match store {
            cli::Store::Disk => StoreKind::Disk,
            cli::Store::Memory => StoreKind::Memory,
        },
        ..ServeOptions::default()
    });
    let factors = Given {
        transports: (!transport.is_empty()).then(|| transport.clone()),
        subscribers: *subscribers,
        fault: (!arguments.cut_at.is_empty()).then(|| Fault::Cut(Cut { at: arguments.cut_at.clone() })),
        options,
        serve,
        lines,
        ..Given::default()
    };
    let targets = (!targets.is_empty()).then_some(targets);
    let flags = AdHoc { targets, factors, ..AdHoc::default() };
    if flags == AdHoc::default() {
        plan_files::find(DEFAULT_PLAN, arguments.size.into(), &arguments.data).map_err(Failure::usage)
    } else {
        Plan::ad_hoc(flags).map_err(Failure::usage)
    }
}

fn say_that_a_proxy_is_there(targets: &mut [Server]) -> Result<(), Failure> {
    let mut urls = 0;
    for target in targets {
        match target {
            Server::Running(Running { way, .. }) => {
                *way = Way::ThroughProxy;
                urls += 1;
            }
            Server::Wirelab | Server::Profile(_) => {}
        }
    }
    match urls {
        0 => Err(Failure::usage(
            "--through-proxy is about a --target http://host:port; name one, or leave it out",
        )),
        _ => Ok(()),
    }
}
