//! The table of verdicts, `docs/verdicts.md`: every state of the observed world in every stage of a
//! run.
//!
//! The planner computes each row. The test compares the file, and writes the file if
//! `PRIMETIME_GENERATE` is set.

#![allow(clippy::too_many_lines, clippy::match_same_arms)] // two tables

use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::state::announcement::{JobStep, JobTemplate, Moment, TemplateKind};
use crate::state::budget::{Budget, Ceilings};
use crate::state::observed::{Bounds, Cause, ContainerLimits, Jobs, PodTemplate, Quota};
use crate::state::run::RunStatus;

/// A stage of the evening, and the instant at which the state is observed.
const STAGES: [&str; 4] = ["Planned", "WarmingUp", "Live", "Releasing"];

fn instant(stage: &str) -> Instant {
    match stage {
        "Planned" => t0() - seconds(86_400),
        "WarmingUp" => t0() - seconds(250),
        "Live" => start() + seconds(600),
        _ => end() + seconds(200),
    }
}

/// Required verdict on a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Nothing is wrong.
    Pass,
    /// The verdict is `AtRisk` in every stage in which the state concerns the run.
    Risk,
    /// The message or a condition names the state, and the verdict may stay.
    Say,
}

type Change = fn(&mut Evening);

/// Returns each state with the required verdict, a word that the run must say, and the change of
/// the world.
///
/// The function is a table, so that each state stands beside the change that makes the state.
fn states() -> Vec<(&'static str, Must, &'static str, Change)> {
    vec![
        ("everything is known and fits", Must::Pass, "", |_| {}),
        ("a target does not exist", Must::Risk, "does not exist", |e| unknown(e, Seen::Absent)),
        ("a target was not listed yet", Must::Risk, "not listed yet", |e| {
            unknown(e, Seen::Unknown(Cause::NotListed("Deployment".into())));
        }),
        ("the kind of a target may not be listed", Must::Risk, "scalableKinds", |e| {
            let why = "deployments.apps is forbidden: cannot list resource".into();
            let remedy = "add it to scalableKinds of the Helm chart";
            let kind = "Deployment".into();
            unknown(e, Seen::Unknown(Cause::Forbidden { kind, remedy, why }));
        }),
        ("the kind of a target is not served", Must::Risk, "does not serve", |e| {
            unknown(e, Seen::Unknown(Cause::NotServed("Rollout".into())));
        }),
        ("the kind of a target cannot be scaled", Must::Risk, "no scale subresource", |e| {
            unknown(e, Seen::Unknown(Cause::NotScalable("DaemonSet".into())));
        }),
        ("the kind of a target cannot be looked up", Must::Risk, "timeout", |e| {
            let why = "apps/v1 Deployment cannot be looked up: timeout".into();
            unknown(e, Seen::Unknown(Cause::Failed(why)));
        }),
        ("a target with a multiplier is at zero", Must::Risk, "times 0 replicas", |e| {
            let search = e.state("search");
            (search.replicas, search.ready, search.created) = (0, 0, 0);
            if let Some(hold) = e.world.holds.get_mut("deployment-search") {
                hold.hold.baseline.replicas = 0;
            }
        }),
        ("a multiplier plans more than 10,000 replicas", Must::Risk, "16200 replicas", |e| {
            let search = e.state("search");
            (search.replicas, search.ready, search.created) = (900, 900, 900);
            if let Some(hold) = e.world.holds.get_mut("deployment-search") {
                hold.hold.baseline.replicas = 900;
            }
        }),
        ("a target has fewer ready pods than its floor", Must::Say, "pods", |e| {
            e.state("web").ready = 3;
        }),
        ("a target is in the middle of a rollout", Must::Say, "rollout", |e| {
            e.state("web").rolling = true;
        }),
        ("another writer keeps lowering a target", Must::Risk, "contested", |e| {
            if let Some(hold) = e.world.holds.get_mut("deployment-web") {
                hold.hold.contested_by = Some("argocd-controller".into());
            }
            let web = e.state("web");
            web.ready = 10;
            web.replicas = 10;
        }),
        ("a GitOps controller owns the replicas", Must::Say, "argocd", |e| {
            e.state("search").written_by = Some("argocd-controller".into());
        }),
        ("the hold of a target cannot be decoded", Must::Risk, "cannot be read", |e| {
            if let Some(hold) = e.world.holds.remove("deployment-search") {
                e.world.unreadable_holds.insert(hold.name.clone(), "level: ninety".into());
            }
        }),
        ("the HPA of a target never scales down", Must::Say, "selectPolicy", |e| {
            let web = e.state("web");
            web.never_scales_down = true;
        }),
        ("a StatefulSet starts its pods one after another", Must::Risk, "one after another", |e| {
            let search = e.state("search");
            search.ready = 5;
            search.pods = Arc::new(PodTemplate { one_by_one: true, ..PodTemplate::default() });
        }),
        ("a ResourceQuota refuses pods of the plan", Must::Risk, "ResourceQuota compute", |e| {
            lower(e);
            let one = |n: u64| [("pods".to_owned(), n)].into();
            let quota = Quota { hard: one(15_000), used: one(15_000) };
            bounds(
                e,
                Bounds { quotas: [("compute".to_owned(), quota)].into(), ..Bounds::default() },
            );
        }),
        ("a LimitRange refuses every new pod", Must::Risk, "LimitRange small", |e| {
            lower(e);
            let asks = [("requests.cpu".to_owned(), 2_000)].into();
            let pods = PodTemplate { containers: vec![asks], ..PodTemplate::default() };
            e.state("web").pods = Arc::new(pods);
            let max = [("cpu".to_owned(), 1_000)].into();
            let limits = ContainerLimits { max, ..ContainerLimits::default() };
            bounds(
                e,
                Bounds { limits: [("small".to_owned(), limits)].into(), ..Bounds::default() },
            );
        }),
        ("ResourceQuotas may not be listed", Must::Say, "whether the pods fit", |e| {
            let why = "resourcequotas is forbidden".into();
            let kind = "ResourceQuota".into();
            let remedy = "upgrade the Helm chart, whose ClusterRole grants it";
            e.world.bounds = Seen::Unknown(Cause::Forbidden { kind, remedy, why });
        }),
        ("the plan is below the usual replicas", Must::Say, "usual days", |e| {
            let web = e.state("web");
            (web.replicas, web.ready, web.created) = (200, 200, 200);
            if let Some(hold) = e.world.holds.get_mut("deployment-web") {
                hold.hold.baseline.replicas = 200;
            }
        }),
        ("a load needs more than maxReplicas", Must::Risk, "maxReplicas allows", |e| {
            e.load = Box::new(sessions(80_000.0));
        }),
        ("a signal has no answer", Must::Risk, "signal sessions is unknown", |e| {
            e.load = Box::new(|_| Sample::Unknown(Why::NoAnswer("connection refused".into())));
        }),
        ("a signal selects nothing", Must::Risk, "signal sessions is unknown", |e| {
            e.load = Box::new(|_| Sample::Unknown(Why::Empty));
        }),
        ("a signal has a partial answer", Must::Risk, "signal sessions is unknown", |e| {
            e.load = Box::new(|_| Sample::Unknown(Why::Partial("store is down".into())));
        }),
        ("the MetricsSource does not exist", Must::Risk, "signal sessions is unknown", |e| {
            e.world.sources.clear();
        }),
        ("the InstanceClass does not exist", Must::Risk, "does not exist", |e| {
            e.world.classes.clear();
            e.cloud.clear();
            e.world.nodes.clear();
        }),
        ("machines are off in this installation", Must::Risk, "machines.enabled", |e| {
            e.world.may_launch = false;
            shut(e);
        }),
        ("the InstanceClass is not open to the namespace", Must::Risk, "spec.namespaces", |e| {
            e.world.classes.get_mut("paris").unwrap().namespaces.clear();
            shut(e);
        }),
        ("the InstanceClass has no room", Must::Risk, "spec.limits.maxInstances", |e| {
            e.world.classes.get_mut("paris").unwrap().limits.max_instances = Some(16);
            shut(e);
        }),
        ("the run exceeds the replicas of a SurgeBudget", Must::Risk, "SurgeBudget", |e| {
            let limits = Ceilings { replicas: Some(200), ..Ceilings::default() };
            e.world.budgets = vec![Budget { name: "team-a".into(), limits }];
        }),
        ("a Job of the warm-up has no template", Must::Risk, "warm", |e| {
            with_job(e, Jobs::default());
        }),
        ("Jobs may not be created here", Must::Risk, "jobs.enabled", |e| {
            with_job(e, Jobs::default());
            e.world.jobs = Seen::Absent;
        }),
        ("the clock is wrong", Must::Risk, "clock is 90 s ahead", |e| {
            e.world.clock_error = Some(seconds(90));
        }),
        ("the surge was deleted", Must::Say, "deleted", |e| {
            e.world.surges.clear();
            e.world.surge_looks.insert("capital".into(), None);
            e.world.delete_grace = seconds(600);
        }),
    ]
}

/// Removes the machines and the reservation of the run.
fn shut(e: &mut Evening) {
    e.world.classes.get_mut("paris").unwrap().reservations.clear();
    e.cloud.clear();
    e.world.nodes.clear();
}

fn unknown(evening: &mut Evening, seen: Seen<TargetState>) {
    evening.world.targets.insert(workload("search"), seen);
}

/// 170 of the pods of `web` were not created.
fn lower(evening: &mut Evening) {
    let web = evening.state("web");
    (web.created, web.ready) = (10, 10);
}

fn bounds(evening: &mut Evening, bounds: Bounds) {
    evening.world.bounds = Seen::Known(Arc::new(bounds));
}

fn with_job(evening: &mut Evening, jobs: Jobs) {
    let step = JobStep {
        name: "warm".into(),
        moment: Moment::WarmUp,
        template: JobTemplate { kind: TemplateKind::CronJob, name: "warm-caches".into() },
        deadline: seconds(60),
        retries: None,
        after: vec![],
    };
    for run in evening.world.runs.values_mut() {
        if let Ok(announcement) = &mut run.announcement {
            announcement.jobs.push(step.clone());
        }
    }
    if let Ok(spec) = &mut evening.world.surges.get_mut("capital").unwrap().spec {
        spec.announcement.jobs.push(step);
    }
    evening.world.jobs = Seen::Known(jobs);
}

/// Returns the status of the run after the change is observed in a stage.
fn judged(stage: &str, change: Change) -> RunStatus {
    let mut evening = Evening::new();
    let at = instant(stage);
    match stage {
        "Planned" => evening.now = at - seconds(30),
        "Releasing" => {
            evening.pass(start() + seconds(60), seconds(30));
            evening.load = Box::new(sessions(500.0));
            evening.pass(at - seconds(30), seconds(30));
        }
        _ => evening.pass(at - seconds(30), seconds(10)),
    }
    // The test persists records and performs no act, so that the changed world stays as the change
    // made it.
    let observe = |evening: &mut Evening| {
        let sample = (evening.load)(evening.now);
        let key = ("main".into(), "sum(shop_sessions)".into());
        evening.world.samples.entry(key).or_default().hear(sample);
        for record in super::plan(&evening.world, evening.now).records {
            if !matches!(record, Record::UpdateHold { .. } | Record::DeleteHold { .. }) {
                evening.persist(record);
            }
        }
    };
    observe(&mut evening);
    change(&mut evening);
    for now in [at - seconds(20), at, at, at] {
        evening.now = now;
        observe(&mut evening);
    }
    evening.run().status.clone()
}

/// True if the state concerns a run in the stage.
fn concerns(name: &str, stage: &str) -> bool {
    let releasing = stage == "Releasing";
    let planned = stage == "Planned";
    match name {
        // The signals are read from shortly before the first step.
        n if n.starts_with("a signal") || n.contains("MetricsSource") => !planned,
        "a load needs more than maxReplicas" => stage == "Live",
        // No hold exists yet.
        "another writer keeps lowering a target" | "the hold of a target cannot be decoded" => {
            !planned
        }
        "a target has fewer ready pods than its floor" => !releasing,
        // The rule judges only before the first write.
        "a StatefulSet starts its pods one after another" => planned,
        // A run that has begun is never lowered by a budget.
        "the run exceeds the replicas of a SurgeBudget" => planned,
        "a target is in the middle of a rollout" => !planned,
        // The garbage collector deletes a run that has not begun together with the surge.
        "the surge was deleted" => !planned && !releasing,
        // A release creates no pods, machines or Jobs of the warm-up.
        "a target does not exist"
        | "a target with a multiplier is at zero"
        | "a multiplier plans more than 10,000 replicas"
        | "a GitOps controller owns the replicas"
        | "the HPA of a target never scales down"
        | "a ResourceQuota refuses pods of the plan"
        | "a LimitRange refuses every new pod"
        | "ResourceQuotas may not be listed"
        | "the plan is below the usual replicas"
        | "the InstanceClass does not exist"
        | "machines are off in this installation"
        | "the InstanceClass is not open to the namespace"
        | "the InstanceClass has no room"
        | "a Job of the warm-up has no template"
        | "Jobs may not be created here" => !releasing,
        _ => true,
    }
}

/// Returns the conditions that say something, and the alerts that fire.
fn conditions(status: &RunStatus) -> String {
    let telling = status.conditions.iter().filter(|c| {
        let positive = matches!(
            c.type_.as_str(),
            "SignalsKnown" | "PreflightPassed" | "LadderReady" | "Accepted"
        );
        c.type_ != "Ready" && c.holds() != positive
    });
    let each: Vec<_> =
        telling.map(|c| format!("`{}={}` {}", c.type_, c.status, c.reason)).collect();
    each.join(", ")
}

fn alerts(status: &RunStatus) -> String {
    let mut alerts = Vec::new();
    if status.verdict == Verdict::AtRisk {
        alerts.push(match status.stage {
            Stage::Holding | Stage::Releasing => "ReleaseStuck",
            _ => "SurgeNotReady",
        });
    }
    if status.signals.iter().any(|signal| signal.unknown_since.is_some()) {
        alerts.push("SignalUnknown");
    }
    if status.targets.iter().any(|target| target.contested_by.is_some()) {
        alerts.push("TargetContested");
    }
    alerts.join(", ")
}

fn page() -> String {
    let mut out = String::from(
        "# Verdicts\n\n\
         The verdict on a run for every state of what it depends on, in every stage. The planner computed each row from the \
         \"Capital\" evening: `web` (180 replicas under an HPA of 10 to 60), `search` (`multiplier: \"18\"` of 5), 17 machines and the \
         signal `sessions`. Nothing that is unknown is `OnTrack` or `Ready`. `SurgeNotReady` fires within a day before T0.\n\n\
         Generated by `controller/core/src/plan/tests/verdicts.rs`; a test compares.\n",
    );
    for (name, _, _, change) in states() {
        let _ = write!(
            out,
            "\n## {}\n\n| stage | verdict | conditions | alerts | message |\n|---|---|---|---|---|\n",
            capitalized(name)
        );
        for stage in STAGES.into_iter().filter(|stage| concerns(name, stage)) {
            let status = judged(stage, change);
            let preflight = status.conditions.iter().find(|c| c.type_ == "PreflightPassed");
            let finding = preflight.filter(|c| !c.holds() && !status.message.contains(&c.message));
            let finding = finding.filter(|_| status.verdict != Verdict::AtRisk);
            let said = finding.map(|c| format!("; PreflightPassed: {}", c.message));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {}{} |",
                status.stage.as_str(),
                status.verdict.as_str(),
                conditions(&status),
                alerts(&status),
                status.message,
                said.unwrap_or_default()
            );
        }
    }
    out
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[test]
fn no_state_that_is_not_fine_is_shown_as_fine() {
    for (name, must, word, change) in states() {
        for stage in STAGES.into_iter().filter(|stage| concerns(name, stage)) {
            let status = judged(stage, change);
            let all: Vec<_> = status.conditions.iter().map(|c| c.message.as_str()).collect();
            let said = format!("{} | {}", status.message, all.join(" | "));
            let context = format!("{name}, {stage}: {:?} {said}", status.verdict);
            match must {
                Must::Pass => {
                    assert_ne!(status.verdict, Verdict::AtRisk, "{context}");
                    assert_eq!(conditions(&status), "", "{context}");
                }
                Must::Risk => assert_eq!(status.verdict, Verdict::AtRisk, "{context}"),
                Must::Say => {}
            }
            assert!(said.contains(word), "it is not said: {context}");
        }
    }
}

#[test]
fn the_published_verdicts_are_those_of_the_planner() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verdicts.md");
    let page = page();
    if std::env::var_os("PRIMETIME_GENERATE").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    let published = std::fs::read_to_string(file).unwrap_or_default();
    assert!(page == published, "docs/verdicts.md is old; run `make generate`");
}
