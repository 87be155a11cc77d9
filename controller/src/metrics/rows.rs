//! Samples of the gauges, from the status of runs and calendars.

use primetime_core::Instant;
use primetime_core::machines::terminate;
use primetime_core::state::condition::{ConditionType, condition};
use primetime_core::state::run::{RunRecord, Stage, Verdict};
use primetime_core::state::status::JobState;
use primetime_core::state::world::World;
use primetime_core::state::{hold, overrides};

type Labels = Vec<(&'static str, String)>;

/// A sample of a gauge family.
pub(super) struct Row {
    pub(super) family: &'static str,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// Returns the samples of a run.
///
/// The function is a single table: each metric family stands beside the status field with the
/// value.
#[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit into 53 bits")]
pub(super) fn of_run(namespace: &str, run: &RunRecord, world: &World, now: Instant) -> Vec<Row> {
    let status = &run.status;
    let own = |more: Labels| -> Labels {
        let mut labels = vec![
            ("namespace", namespace.to_owned()),
            ("surge", run.surge.clone()),
            ("run", run.name.clone()),
        ];
        labels.extend(more);
        labels
    };
    let mut rows = Vec::new();
    let mut show =
        |family, more: Labels, value: f64| rows.push(Row { family, labels: own(more), value });
    let yes = |b: bool| f64::from(u8::from(b));

    // If the operator cannot decode a run, the times of the run are unknown. The function then
    // shows no times.
    if run.decoded {
        let window = run.window;
        let end = status.end_time.unwrap_or(window.end);
        for (family, at) in [
            ("primetime_run_ready_by_timestamp_seconds", window.ready_by),
            ("primetime_run_start_timestamp_seconds", window.start),
            ("primetime_run_end_timestamp_seconds", end),
        ] {
            show(family, vec![], at.timestamp() as f64);
        }
    }
    for stage in Stage::ALL {
        show(
            "primetime_run_stage",
            vec![("stage", stage.as_str().to_owned())],
            yes(status.stage == stage),
        );
    }
    for verdict in [Verdict::OnTrack, Verdict::AtRisk, Verdict::Ready] {
        show(
            "primetime_run_verdict",
            vec![("verdict", verdict.as_str().to_owned())],
            yes(status.verdict == verdict),
        );
    }
    if status.completion_time.is_some() {
        return rows;
    }
    for target in run.announcement.iter().flat_map(|a| &a.targets) {
        let label = || vec![("target", target.name.clone())];
        let held = world.holds.get(&hold::name(&target.workload)).map(|h| &h.hold);
        if let Some(held) = held {
            let floor = held.claims.iter().map(|c| c.floor).max().unwrap_or(0);
            show("primetime_target_floor_replicas", label(), f64::from(floor));
            show("primetime_target_contested", label(), yes(held.contested_by.is_some()));
        }
        let shown = status.targets.iter().find(|t| t.name == target.name);
        let wanted = shown.and_then(|target| target.wanted(status.release.is_some()));
        if let Some(wanted) = wanted {
            show("primetime_target_wanted_replicas", label(), f64::from(wanted));
        }
        if let Some(live) = world.target(&target.workload).known() {
            show("primetime_target_ready_replicas", label(), f64::from(live.ready));
        }
    }
    for machine in &status.machines {
        let label = || vec![("group", machine.name.clone())];
        let wanted = if status.release.is_some() { 0 } else { machine.wanted };
        show("primetime_machines_wanted", label(), f64::from(wanted));
        show("primetime_machines_launched", label(), f64::from(machine.launched));
        show("primetime_machines_joined", label(), f64::from(machine.joined));
    }
    if !status.ledger.is_empty() {
        let stuck = terminate::not_given_back(run, world, now);
        show("primetime_machines_not_given_back", Vec::new(), f64::from(stuck));
    }
    for signal in &status.signals {
        let label = || vec![("signal", signal.name.clone())];
        if let Some(load) = signal.value.as_ref().and_then(|v| v.parse().ok()) {
            show("primetime_signal_load", label(), load);
        }
        if let Some(required) = signal.required {
            show("primetime_signal_required_replicas", label(), f64::from(required));
        }
        show("primetime_signal_unknown", label(), yes(signal.unknown_since.is_some()));
    }
    for step in &status.degrade {
        let label = vec![("step", step.name.clone())];
        show("primetime_degrade_step_engaged", label, yes(step.engaged));
    }
    if let Some(ladder) = condition(&status.conditions, ConditionType::LadderReady) {
        show("primetime_degrade_ladder_ready", vec![], yes(ladder.holds()));
    }
    let failed = status.jobs.iter().filter(|job| job.state == JobState::Failed).count();
    show("primetime_jobs_failed", vec![], failed as f64);
    for (family, action, value) in of_overrides(run, world) {
        show(family, vec![("action", action.to_owned())], value);
    }
    rows
}

/// Returns the samples of the overrides in force on a run: family, action and value.
#[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit into 53 bits")]
fn of_overrides(run: &RunRecord, world: &World) -> Vec<(&'static str, &'static str, f64)> {
    let mut samples = Vec::new();
    for action in ["Hold", "Boost", "Extend", "Release", "Start", "Degrade", "Restore"] {
        let in_force = |o: &&overrides::Override| {
            run.status.overrides.contains(&o.name) && word(&o.action) == action
        };
        let in_force = || world.overrides.iter().filter(in_force);
        samples.push(("primetime_overrides_in_force", action, in_force().count() as f64));
        if let Some(expiry) = in_force().map(|o| o.expires).max() {
            let family = "primetime_override_expiry_timestamp_seconds";
            samples.push((family, action, expiry.timestamp() as f64));
        }
    }
    samples
}

fn word(action: &overrides::Action) -> &'static str {
    match action {
        overrides::Action::Hold => "Hold",
        overrides::Action::Boost { .. } => "Boost",
        overrides::Action::Extend => "Extend",
        overrides::Action::Release => "Release",
        overrides::Action::Start => "Start",
        overrides::Action::Degrade { on: true, .. } => "Degrade",
        overrides::Action::Degrade { on: false, .. } => "Restore",
    }
}

/// Returns the samples of the calendars. A calendar that the operator has not read yet has none.
pub(super) fn of_calendars(namespace: &str, world: &World) -> Vec<Row> {
    let calendars = world.calendars.values();
    let samples = calendars.filter_map(|calendar| {
        let ready = condition(&calendar.status.conditions, ConditionType::Ready)?;
        Some(Row {
            family: "primetime_calendar_ready",
            labels: vec![("namespace", namespace.to_owned()), ("calendar", calendar.name.clone())],
            value: f64::from(u8::from(ready.holds())),
        })
    });
    samples.collect()
}
