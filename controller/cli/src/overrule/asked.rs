//! Arguments of the commands that create an override.

use chrono::TimeDelta;

use crate::duration::duration;

/// Surge, duration and reason of an override.
#[derive(Debug, clap::Args)]
pub struct Overrule {
    /// Name of the surge.
    pub surge: String,
    /// Duration: 90s, 30m, 2h; at most 24h.
    #[arg(long = "for", value_parser = duration)]
    pub lasts: TimeDelta,
    /// Reason, for the decision log.
    #[arg(long)]
    pub reason: String,
}

/// Surge and reason of a start.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Name of the surge.
    pub surge: String,
    /// Reason, for the decision log.
    #[arg(long)]
    pub reason: String,
}

/// Lifetime of a `Start` override. Ten minutes suffice for an operator that is restarting.
const START_LASTS: TimeDelta = TimeDelta::minutes(10);

impl From<&Start> for Overrule {
    fn from(start: &Start) -> Self {
        Self { surge: start.surge.clone(), lasts: START_LASTS, reason: start.reason.clone() }
    }
}

/// Target and amount of a boost.
#[derive(Debug, Default, clap::Args)]
#[group(id = "amount", required = false, multiple = true)]
pub struct Boost {
    /// Name of the target in the surge [default: all targets].
    #[arg(long)]
    pub target: Option<String>,
    /// Minimum of replicas.
    #[arg(long, conflicts_with = "percent", required_unless_present = "percent")]
    pub replicas: Option<u32>,
    /// Minimum of replicas, in percent of the planned floor of the target.
    #[arg(long)]
    pub percent: Option<u32>,
}

/// Degradation steps of an override.
#[derive(Debug, Default, clap::Args)]
pub struct Steps {
    /// Name of the step in the surge [default: all steps].
    #[arg(long)]
    pub step: Option<String>,
}

/// Target, amount or degradation steps that an override refers to.
#[derive(Debug, Default)]
pub struct About<'a> {
    /// Target and amount of a `Boost` override.
    pub boost: Option<&'a Boost>,
    /// Steps of a `Degrade` or `Restore` override.
    pub steps: Option<&'a Steps>,
}
