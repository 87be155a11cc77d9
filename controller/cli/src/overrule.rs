//! Overrides: written as objects, so that each has a reason, an author and an expiry.

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

/// What every override needs.
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

/// Which event begins.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Name of the surge.
    surge: String,
    /// Reason, for the decision log.
    #[arg(long)]
    reason: String,
}

/// A start is a moment: ten minutes are enough for an operator that is just being restarted.
const START_LASTS: TimeDelta = TimeDelta::minutes(10);

impl From<&Start> for Overrule {
    fn from(start: &Start) -> Self {
        Self { surge: start.surge.clone(), lasts: START_LASTS, reason: start.reason.clone() }
    }
}

/// How much higher.
#[derive(Debug, Default, clap::Args)]
#[group(id = "amount", required = false, multiple = true)]
pub struct Boost {
    /// Name of the target in the surge [default: all targets].
    #[arg(long)]
    target: Option<String>,
    /// Minimum of replicas.
    #[arg(long, conflicts_with = "percent", required_unless_present = "percent")]
    replicas: Option<u32>,
    /// Minimum in percent of the planned floor.
    #[arg(long)]
    percent: Option<u32>,
}

/// Which steps of the ladder of degradation.
#[derive(Debug, Default, clap::Args)]
pub struct Steps {
    /// Name of the step in the surge [default: all steps].
    #[arg(long)]
    step: Option<String>,
}

/// What an override speaks of.
#[derive(Debug, Default)]
pub struct About<'a> {
    /// A target, and how much higher.
    pub boost: Option<&'a Boost>,
    /// Steps of the ladder.
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

/// Who we are to the API server: where it cannot stamp the author itself, it demands the truth.
async fn author(cluster: &Cluster) -> Result<Option<String>> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let review = bounded(api.create(&PostParams::default(), &SelfSubjectReview::default())).await?;
    Ok(review.status.and_then(|s| s.user_info).and_then(|u| u.username))
}

/// Sends an override and says what it means.
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

/// A mistyped name is an error now and not a surprise at 21:05.
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
        // The run of a surge that was deleted goes on for a while, and a run may have no surge at all.
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

/// Whether there is something to start: a run whose preparation has begun and that waits for a person, or was started.
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
