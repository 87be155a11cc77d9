//! Commands that create or delete a `SurgeOverride`, so that every override has a reason, an author
//! and an expiry, and the on-call engineer sees the effect.

mod asked;
mod contradiction;
mod effect;
mod in_force;
mod known;
mod obeyed;
mod undo;

use std::process::ExitCode;

use anyhow::{Result, bail};
use kube::Api;
use kube::api::PostParams;
use primetime_api::{ObjectRef, OverrideAction, SurgeOverride, SurgeOverrideSpec};

use self::in_force::{author, in_force};
use crate::cluster::{Cluster, bounded, now};
use crate::runs::of_surge;
use crate::screen;

pub use asked::{About, Boost, Overrule, Start, Steps};
pub use undo::{Undo, undo};

/// Creates an override. Prints contradictions, the expiry, the command that deletes the override,
/// and the effect on the runs of the surge.
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
    known::check(cluster, &overrule.surge, boost.target.as_deref(), about.steps).await?;
    if action == OverrideAction::Start {
        known::may_start(cluster, &overrule.surge).await?;
    }
    let earlier = in_force(cluster, &overrule.surge).await?;
    let before = of_surge(cluster, &overrule.surge).await?;
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
    let Some(asked) = made.record() else { bail!("the API server returned an invalid override") };
    screen::show(&format!(
        "{word} of surge {} until {} by {}; undo with: kubectl delete override -n {} {name}\n",
        overrule.surge,
        expire_time.format("%Y-%m-%d %H:%M:%SZ"),
        screen::plain(&asked.author),
        cluster.namespace,
    ))?;
    for line in contradiction::of(&asked.action, &earlier) {
        screen::show(&format!("note: {}\n", screen::plain(&line)))?;
    }
    obeyed::wait(cluster, &asked, &before).await
}
