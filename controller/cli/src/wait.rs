//! `kubectl surge wait`: wait until the next run of a surge is ready, live or over.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use chrono::TimeDelta;
use clap::ValueEnum;
use kube::{Api, ResourceExt};
use primetime_api::{ScheduledSurge, SurgeRun};
use primetime_core::state::run::{RunStatus, Stage, Verdict};

use crate::cluster::{Cluster, bounded};
use crate::duration::duration;
use crate::leader;
use crate::runs::of_surge;
use crate::screen;
use crate::status;

/// State to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum For {
    /// Everything is ready: the verdict is Ready.
    Ready,
    /// The event has begun.
    Live,
    /// The run has ended and has returned all capacity.
    Done,
}

/// Surge and state of the wait.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the surge.
    surge: String,
    /// State to wait for.
    #[arg(long = "for", value_enum, default_value_t = For::Ready)]
    state: For,
    /// Longest time to wait: 90s, 30m, 2h; at most 24h.
    #[arg(long, value_parser = duration, default_value = "30m")]
    timeout: TimeDelta,
}

/// Interval between two reads.
const INTERVAL: Duration = Duration::from_secs(1);

impl For {
    /// True if a run has reached the state.
    fn is_reached(self, status: &RunStatus) -> bool {
        match self {
            Self::Ready => status.verdict == Verdict::Ready && status.stage < Stage::Releasing,
            Self::Live => matches!(status.stage, Stage::Live | Stage::Holding),
            Self::Done => status.stage == Stage::Done,
        }
    }
}

/// True if the surge exists.
async fn announced(cluster: &Cluster, surge: &str) -> Result<bool> {
    let surges: Api<ScheduledSurge> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    Ok(bounded(surges.get_opt(surge)).await?.is_some())
}

/// Waits for the earliest run that was open at the beginning. The exit code is 1 if the time is over
/// or the run can no longer reach the state.
pub async fn until(cluster: &Cluster, args: &Args) -> Result<ExitCode> {
    let began = tokio::time::Instant::now();
    let patience = args.timeout.to_std().unwrap_or_default();
    let mut name = None::<String>;
    loop {
        // A single read that fails ends no wait.
        let runs = match of_surge(cluster, &args.surge).await {
            Ok(runs) => runs,
            Err(why) if began.elapsed() < patience => {
                eprintln!("{}; trying again", screen::plain(&format!("{why:#}")));
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            Err(why) => return Err(why),
        };
        let stage = |run: &SurgeRun| run.status.as_ref().map_or(Stage::Planned, |s| s.stage);
        let run = match &name {
            Some(name) => runs.iter().find(|run| run.name_any() == *name),
            None => runs.iter().find(|run| stage(run) < Stage::Done),
        };
        let told = match run {
            None if name.is_some() => bail!("the run of surge {} is gone", args.surge),
            None if announced(cluster, &args.surge).await? => {
                format!("surge {} has no open run", args.surge)
            }
            None => return Err(status::unknown(cluster, &args.surge).await),
            Some(run) => {
                let found = name.insert(run.name_any()).clone();
                let status = run.status.clone().unwrap_or_default();
                let (at, verdict) = (status.stage.as_str(), status.verdict.as_str());
                let told = screen::plain(&format!("{found}: {at} {verdict}: {}", status.message));
                if args.state.is_reached(&status) {
                    // Without a leader the status is old.
                    screen::show(&format!("{told}\n"))?;
                    let leader = leader::look(cluster).await;
                    leader.warn();
                    return Ok(leader.code());
                }
                if status.stage >= Stage::Done {
                    bail!("{told}")
                }
                told
            }
        };
        if began.elapsed() >= patience {
            bail!("not {:?} within {}: {told}", args.state, screen::length(args.timeout))
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_reached_by_verdict_and_stage() {
        let status = |stage, verdict| RunStatus { stage, verdict, ..RunStatus::default() };
        assert!(For::Ready.is_reached(&status(Stage::Ready, Verdict::Ready)));
        assert!(For::Ready.is_reached(&status(Stage::Live, Verdict::Ready)));
        assert!(!For::Ready.is_reached(&status(Stage::Live, Verdict::AtRisk)));
        assert!(!For::Ready.is_reached(&status(Stage::Done, Verdict::Ready)));
        assert!(For::Live.is_reached(&status(Stage::Holding, Verdict::Ready)));
        assert!(!For::Done.is_reached(&status(Stage::Cancelled, Verdict::Ready)));
    }
}
