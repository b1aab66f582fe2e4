//! The plan that the arguments of `wirelab run` ask for: an existing one, or one made of options.

use wirelab_clients::harness::cell::{
    AD_HOC_LINES, Factors, Given, LineProcess, Running, ServeOptions, Server, StoreKind, Way,
};
use wirelab_clients::harness::network::Fault;
use wirelab_clients::harness::network::cut::Cut;
use wirelab_clients::harness::plan::{AdHoc, Plan, Size};
use wirelab_clients::harness::schedule;
use wirelab_clients::{HttpVersion, Options, Polling};

use super::super::Failure;
use super::super::reach::Reach;
use crate::commands::cli::{self, AdHocArguments, HttpArgument, RunArguments};
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

/// Returns the named plan, or the plan made of options, on the named targets, over the given network and as often as asked.
pub(super) fn plan(arguments: &RunArguments) -> Result<Plan, Failure> {
    let plan = on_targets(arguments)?.over(&(&arguments.network).into()).map_err(Failure::usage)?;
    let plan = reached(plan, &Reach::of(&arguments.trust)?)?;
    match arguments.repetitions {
        Some(repetitions) => plan.repeated(repetitions).map_err(Failure::usage),
        None => Ok(plan),
    }
}

/// Returns the plan with its running targets as this command reaches them.
pub(super) fn reached(mut plan: Plan, reach: &Reach) -> Result<Plan, Failure> {
    let mut is_running = false;
    for target in &mut plan.targets {
        match target {
            Server::Running(Running { url, .. }) => {
                *url = reach.to(url.clone())?;
                is_running = true;
            }
            Server::Wirelab | Server::Profile(_) => {}
        }
    }
    if reach.says_whom_to_trust() && !is_running {
        return Err(Failure::usage(
            "--ca and --insecure are about a --target https://host:port; name one, or leave them out",
        ));
    }
    Ok(plan)
}

/// Returns the plan on the named targets, over its own network.
fn on_targets(arguments: &RunArguments) -> Result<Plan, Failure> {
    let target = |given: &String| {
        Server::parse(given, |name| plan_files::profile(name, &arguments.data)).map_err(Failure::usage)
    };
    let mut targets: Vec<Server> = arguments.target.iter().map(target).collect::<Result<_, _>>()?;
    if arguments.through_proxy {
        say_that_a_proxy_is_there(&mut targets)?;
    }
    if arguments.ad_hoc.store.is_some() && targets.iter().any(|target| *target != Server::Wirelab) {
        return Err(Failure::usage(
            "--store applies only to wirelab's own server, and --target names another; leave one of them out",
        ));
    }
    let profiles_only = targets.iter().all(|target| matches!(target, Server::Profile(_)));
    if !targets.is_empty() && profiles_only && !arguments.ad_hoc.transport.is_empty() {
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
    if targets.is_empty() && arguments.ad_hoc == AdHocArguments::default() {
        let found = plan_files::find(DEFAULT_PLAN, arguments.size.into(), &arguments.data);
        return found.map_err(Failure::usage);
    }
    let targets = (!targets.is_empty()).then_some(targets);
    let factors = factors(&arguments.ad_hoc);
    Plan::ad_hoc(AdHoc { targets, factors, ..AdHoc::default() }).map_err(Failure::usage)
}

/// Returns the factors that the options give.
fn factors(arguments: &AdHocArguments) -> Given {
    let AdHocArguments {
        transport,
        cut_at,
        subscribers,
        rate,
        duration,
        payload,
        recording,
        speed,
        poll_interval,
        hold,
        http,
        tls,
        compression,
        store,
    } = arguments;
    let lines = match recording {
        Some(recording) => {
            Some(LineProcess::Replay { recording: recording.clone(), speed: speed.unwrap_or(1.0) })
        }
        None if rate.is_some() || duration.is_some() || payload.is_some() => {
            Some(LineProcess::Poisson(schedule::Generated {
                rate_hz: rate.unwrap_or(AD_HOC_LINES.rate_hz),
                duration: duration.unwrap_or(AD_HOC_LINES.duration),
                // A number that does not fit is refused like any other that is too large.
                payload_bytes: payload
                    .map_or(AD_HOC_LINES.payload_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            }))
        }
        None => None,
    };
    let defaults = Factors::options_default();
    let options = Options {
        polling: poll_interval.map_or(defaults.polling, Polling::every),
        hold: hold.unwrap_or(defaults.hold),
        http: http.map_or(defaults.http, |version| match version {
            HttpArgument::Http1 => HttpVersion::Http1,
            HttpArgument::Http2 => HttpVersion::Http2,
        }),
        compression: compression.unwrap_or(defaults.compression),
        ..defaults
    };
    let defaults = ServeOptions::default();
    let serve = ServeOptions {
        store: store.map_or(defaults.store, |store| match store {
            cli::Store::Disk => StoreKind::Disk,
            cli::Store::Memory => StoreKind::Memory,
        }),
        // The server offers what its clients ask for.
        compression: options.compression,
        ..defaults
    };
    Given {
        transports: (!transport.is_empty()).then(|| transport.clone()),
        subscribers: *subscribers,
        fault: (!cut_at.is_empty()).then(|| Fault::Cut(Cut { at: cut_at.clone() })),
        options: Some(options),
        serve: Some(serve),
        tls: *tls,
        lines,
        ..Given::default()
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::cli::{Cli, Command};

    fn asked(options: &[&str]) -> Plan {
        let cli = Cli::try_parse_from([&["wirelab", "run"], options].concat()).unwrap();
        let Some(Command::Run(arguments)) = cli.command else { panic!("run was asked for") };
        plan(&arguments).unwrap()
    }

    #[test]
    fn any_plan_is_repeated_as_often_as_asked() {
        for (options, name) in [
            (&["--repetitions", "6"][..], DEFAULT_PLAN),
            (&["e02-interval", "--repetitions", "6"], "e02-interval"),
            (&["--rate", "20", "--repetitions", "6"], "ad-hoc"),
        ] {
            let plan = asked(options);
            assert_eq!((plan.name.as_str(), plan.repetitions), (name, 6), "{options:?}");
        }
    }

    #[test]
    fn any_option_makes_a_plan_and_none_runs_the_default_one() {
        assert_eq!(asked(&[]).name, DEFAULT_PLAN);
        // The value is the default, and the option is given all the same.
        for options in
            [["--compression", "identity"], ["--http", "1.1"], ["--hold", "25s"], ["--store", "memory"]]
        {
            assert_eq!(asked(&options), Plan::default(), "{options:?}");
        }
    }
}
