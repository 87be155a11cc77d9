//! Wait for the operator to obey an override.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use kube::ResourceExt;
use primetime_api::SurgeRun;
use primetime_core::state::overrides::{Action, Override};
use primetime_core::state::run::{RunStatus, Stage};

use super::effect::{self, Effect};
use crate::cluster::Cluster;
use crate::leader::{self, Leader, NO_OPERATOR};
use crate::runs::of_surge;
use crate::screen;

/// Exit code if the operator has not obeyed within [`WAIT`].
pub const NOT_OBEYED: u8 = 4;

/// Time to wait for the effect. The operator reacts within a second and writes the status at once.
const WAIT: Duration = Duration::from_secs(5);

/// Interval between two reads of the runs.
const INTERVAL: Duration = Duration::from_millis(250);

/// Returns the runs that an override is meant for: all runs between the begin and the completion,
/// or else the next run. A start is meant for the earliest run that is not being released.
fn meant<'a>(runs: &'a [SurgeRun], action: &Action) -> Vec<&'a SurgeRun> {
    let stage = |run: &SurgeRun| run.status.as_ref().map_or(Stage::Planned, |s| s.stage);
    let open = || runs.iter().filter(|run| stage(run) < Stage::Done);
    if *action == Action::Start {
        let releases = |run: &&SurgeRun| run.status.as_ref().is_some_and(|s| s.release.is_some());
        return open().filter(|run| !releases(run)).take(1).collect();
    }
    let begun: Vec<_> = open().filter(|run| stage(run) > Stage::Planned).collect();
    if begun.is_empty() { open().take(1).collect() } else { begun }
}

/// Waits up to 5 s for the effect of an override, prints the effect, and returns the exit code.
///
/// `before` contains the runs from before the creation of the override. If no operator leads, the
/// function does not wait.
pub async fn wait(cluster: &Cluster, asked: &Override, before: &[SurgeRun]) -> Result<ExitCode> {
    let names: Vec<String> =
        meant(before, &asked.action).into_iter().map(ResourceExt::name_any).collect();
    let leader = leader::look(cluster).await;
    let dead = matches!(leader, Leader::None { .. });
    let until = tokio::time::Instant::now() + if dead { Duration::ZERO } else { WAIT };
    let effects = loop {
        let now = of_surge(cluster, &asked.surge).await?;
        let effects = effects(asked, &names, before, &now);
        let obeyed = !effects.is_empty() && effects.iter().all(|(_, e)| e.is_obeyed());
        if obeyed || tokio::time::Instant::now() >= until {
            break effects;
        }
        tokio::time::sleep(INTERVAL).await;
    };
    let mut code = ExitCode::SUCCESS;
    for (run, effect) in &effects {
        let (word, text) = match effect {
            Effect::Obeyed(text) => ("obeyed", text),
            Effect::NotYet(text) => {
                code = ExitCode::from(NOT_OBEYED);
                ("not obeyed yet", text)
            }
        };
        let run = if effects.len() > 1 { format!("run {run}: ") } else { String::new() };
        screen::show(&format!("{word}: {run}{}\n", screen::plain(text)))?;
    }
    if effects.is_empty() {
        code = ExitCode::from(NOT_OBEYED);
        screen::show(&format!(
            "not obeyed yet: surge {} has no open run; the override applies to a run before {}\n",
            asked.surge,
            asked.expires.format("%H:%M:%SZ"),
        ))?;
    }
    leader.warn();
    Ok(if dead && code != ExitCode::SUCCESS { ExitCode::from(NO_OPERATOR) } else { code })
}

/// Returns the effect on each run that the override is meant for. A run that is gone shows no
/// effect.
fn effects(
    asked: &Override,
    names: &[String],
    before: &[SurgeRun],
    now: &[SurgeRun],
) -> Vec<(String, Effect)> {
    let find =
        |runs: &[SurgeRun], name: &str| runs.iter().find(|run| run.name_any() == name).cloned();
    names
        .iter()
        .map(|name| {
            let old =
                find(before, name).and_then(|run| run.status).unwrap_or_else(RunStatus::default);
            let effect = find(now, name).map_or_else(
                || Effect::NotYet("the run is gone".to_owned()),
                |run| effect::of(asked, &old, &run),
            );
            (name.clone(), effect)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(name: &str, start: &str, stage: &str) -> SurgeRun {
        serde_json::from_value(json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun", "metadata": {"name": name},
            "spec": {"startTime": start, "readyTime": start, "endTime": start, "targets": []},
            "status": {"stage": stage},
        }))
        .unwrap()
    }

    #[test]
    fn an_override_is_meant_for_what_has_begun_or_else_for_the_next_run() {
        let (done, live, next) = (
            run("done", "2031-01-05T20:00:00Z", "Done"),
            run("live", "2031-01-12T20:00:00Z", "Live"),
            run("next", "2031-01-19T20:00:00Z", "Planned"),
        );
        let names = |runs: &[SurgeRun]| {
            meant(runs, &Action::Hold).into_iter().map(ResourceExt::name_any).collect::<Vec<_>>()
        };
        assert_eq!(names(&[done.clone(), live, next.clone()]), ["live"]);
        assert_eq!(names(&[done.clone(), next]), ["next"]);
        assert!(names(&[done]).is_empty());
    }
}
