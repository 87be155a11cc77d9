//! Commands that create a `SurgeOverride`, so that every override has a reason, an author and an
//! expiry.

use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::TimeDelta;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use primetime_api::{
    FINALIZER, ObjectRef, OverrideAction, ScheduledSurge, StartPolicy, SurgeOverride,
    SurgeOverrideSpec, SurgeRun,
};
use primetime_core::reference;

use crate::cluster::{Cluster, bounded, now};
use crate::leader;
use crate::screen;
use crate::status;

/// Surge, duration and reason of an override.
#[derive(Debug, clap::Args)]
pub struct Overrule {
    /// Name of the surge.
    surge: String,
    /// Duration: 90s, 30m, 2h; at most 24h.
    #[arg(long = "for", value_parser = duration)]
    lasts: TimeDelta,
    /// Reason, for the decision log.
    #[arg(long)]
    reason: String,
}

/// Surge and reason of a start.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Name of the surge.
    surge: String,
    /// Reason, for the decision log.
    #[arg(long)]
    reason: String,
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
    target: Option<String>,
    /// Minimum of replicas.
    #[arg(long, conflicts_with = "percent", required_unless_present = "percent")]
    replicas: Option<u32>,
    /// Minimum of replicas, in percent of the planned floor of the target.
    #[arg(long)]
    percent: Option<u32>,
}

/// Degradation steps of an override.
#[derive(Debug, Default, clap::Args)]
pub struct Steps {
    /// Name of the step in the surge [default: all steps].
    #[arg(long)]
    step: Option<String>,
}

/// Target, amount or degradation steps that an override refers to.
#[derive(Debug, Default)]
pub struct About<'a> {
    /// Target and amount of a `Boost` override.
    pub boost: Option<&'a Boost>,
    /// Steps of a `Degrade` or `Restore` override.
    pub steps: Option<&'a Steps>,
}

fn duration(text: &str) -> Result<TimeDelta, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: i64 =
        number.parse().map_err(|_| "a number with s, m or h, such as 30m".to_owned())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        _ => return Err("a number with s, m or h, such as 30m".to_owned()),
    };
    if !(1..=86_400).contains(&seconds) {
        return Err("more than nothing and at most 24h".to_owned());
    }
    Ok(TimeDelta::seconds(seconds))
}

/// Returns the user name that the API server has for the plugin.
///
/// If no mutating admission sets `spec.author`, the validating admission refuses any author but the
/// true user.
async fn author(cluster: &Cluster) -> Result<Option<String>> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let review = bounded(api.create(&PostParams::default(), &SelfSubjectReview::default())).await?;
    Ok(review.status.and_then(|s| s.user_info).and_then(|u| u.username))
}

/// Creates an override and prints the effect, the expiry and the command that deletes the override.
pub async fn send(
    cluster: &Cluster,
    action: OverrideAction,
    overrule: &Overrule,
    about: About<'_>,
) -> Result<ExitCode> {
    if overrule.reason.trim().len() < 3 {
        bail!("--reason: at least three characters, for the decision log");
    }
    let nothing = Boost::default();
    let boost = about.boost.unwrap_or(&nothing);
    let step = about.steps.and_then(|steps| steps.step.as_deref());
    check(cluster, &overrule.surge, boost.target.as_deref(), about.steps).await?;
    if action == OverrideAction::Start {
        may_start(cluster, &overrule.surge).await?;
    }
    let expire_time = now() + overrule.lasts;
    let word = format!("{action:?}").to_lowercase();
    let name = format!("{}-{word}-{}", overrule.surge, now().format("%H%M%S%3f"));
    let spec = SurgeOverrideSpec {
        surge_ref: ObjectRef { name: overrule.surge.clone() },
        action,
        target: boost.target.clone(),
        replicas: boost.replicas,
        percent: boost.percent,
        step: step.map(str::to_owned),
        reason: overrule.reason.clone(),
        expire_time,
        author: author(cluster).await?,
    };
    let api: Api<SurgeOverride> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let made =
        bounded(api.create(&PostParams::default(), &SurgeOverride::new(&name, spec))).await?;
    screen::show(&format!(
        "{word} of surge {} until {} by {}; undo with: kubectl delete override -n {} {name}\n",
        overrule.surge,
        expire_time.format("%Y-%m-%d %H:%M:%SZ"),
        made.spec.author.as_deref().unwrap_or("unknown"),
        cluster.namespace,
    ))?;
    let leader = leader::look(cluster).await;
    leader.warn();
    Ok(leader.code())
}

/// Returns an error if the surge, the target or a step does not exist. A typing error thus fails at
/// once, not during the event.
async fn check(
    cluster: &Cluster,
    surge: &str,
    target: Option<&str>,
    steps: Option<&Steps>,
) -> Result<()> {
    reference::name(surge).map_err(|why| anyhow::anyhow!(why))?;
    let surges: Api<ScheduledSurge> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let runs: Api<SurgeRun> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let (targets, degrade) = if let Some(found) = bounded(surges.get_opt(surge)).await? {
        (found.spec.event.targets, found.spec.event.degrade)
    } else {
        // A run continues for a while after the deletion of the surge, and a run may exist without
        // a surge.
        let open = |run: &SurgeRun| run.status.as_ref().is_none_or(|s| s.completion_time.is_none());
        let of_surge = |run: &SurgeRun| {
            run.spec.surge_name.as_deref() == Some(surge) || run.name_any() == surge
        };
        let runs = bounded(runs.list(&ListParams::default())).await?.items;
        match runs.into_iter().find(|run| of_surge(run) && open(run)) {
            Some(run) => (run.spec.event.targets, run.spec.event.degrade),
            None => return Err(status::unknown(cluster, surge).await),
        }
    };
    let targets: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    let ladder: Vec<&str> = degrade.iter().map(|step| step.name.as_str()).collect();
    if let Some(target) = target.filter(|target| !targets.contains(target)) {
        bail!("surge {surge} has no target \"{target}\"; it has {}", targets.join(", "))
    }
    let Some(steps) = steps else { return Ok(()) };
    if ladder.is_empty() {
        bail!("surge {surge} has no steps of degradation")
    }
    if let Some(step) = steps.step.as_deref().filter(|step| !ladder.contains(step)) {
        bail!("surge {surge} has no step \"{step}\"; it has {}", ladder.join(", "))
    }
    Ok(())
}

/// Returns an error if no run of the surge can be started by a person.
///
/// A `Start` override needs a run with `startPolicy: Manual` and with the finalizer of Primetime,
/// which the planner sets at the begin of the preparation. A second start is no error.
async fn may_start(cluster: &Cluster, surge: &str) -> Result<()> {
    let runs: Api<SurgeRun> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut runs = bounded(runs.list(&ListParams::default())).await?.items;
    runs.retain(|run| {
        let over = run.status.as_ref().is_some_and(|s| s.completion_time.is_some());
        run.spec.surge_name.as_deref().unwrap_or(&run.name_any()) == surge && !over
    });
    runs.sort_by_key(|run| run.spec.start_time);
    let Some(next) = runs.first() else { bail!("surge {surge} has no run to start") };
    if next.spec.event.start_policy == StartPolicy::Automatic {
        let start = next.spec.start_time.format("%Y-%m-%d %H:%M:%SZ");
        bail!("surge {surge} begins by itself at {start}: its startPolicy is Automatic")
    }
    if !runs.iter().any(|run| run.finalizers().iter().any(|f| f == FINALIZER)) {
        let begins =
            next.status.as_ref().and_then(|s| s.begin_time).unwrap_or(next.spec.ready_time);
        bail!(
            "run {} is not being prepared yet, which begins at {}; until then move startTime",
            next.name_any(),
            begins.format("%Y-%m-%d %H:%M:%SZ")
        )
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(TimeDelta::seconds(90)));
        assert_eq!(duration("30m"), Ok(TimeDelta::minutes(30)));
        assert_eq!(duration("24h"), Ok(TimeDelta::hours(24)));
        for wrong in ["", "30", "m", "0s", "25h", "1d", "-5m", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
