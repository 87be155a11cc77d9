//! New lines of the decision log (`status.decisions`), worded in the units of the on-call engineer.

use crate::format;
use crate::run::context::Run;
use crate::run::degrade::report;
use crate::run::{climb, deletion};
use crate::state::condition::EventReason;
use crate::state::decision::Decision;
use crate::state::ledger::LedgerState;
use crate::state::release;
use crate::state::run::{RunStatus, Stage, Verdict};
use crate::state::status::{JobState, JobStatus, TargetStatus};
use crate::timeline;

/// Returns the new lines of the decision log: a line for each change between two statuses.
///
/// The function covers overrides, deletion, floors, machines, Jobs, degradation steps, signals,
/// stage and verdict. The code places the sentence of the log beside the change that causes the
/// sentence.
pub(in crate::run) fn lines(before: &RunStatus, after: &RunStatus, run: &Run<'_>) -> Vec<Decision> {
    let mut lines = Vec::new();
    let mut say = |reason: EventReason, message: String| {
        lines.push(Decision::new(run.now, reason, message));
    };
    for o in run.overrides.iter().filter(|o| !before.overrides.contains(&o.name)) {
        say(EventReason::OverrideInForce, o.describe());
    }
    for name in before.overrides.iter().filter(|name| !after.overrides.contains(name)) {
        say(EventReason::OverrideOver, format!("override {name} is over"));
    }
    match (before.deletion_time, after.deletion_time) {
        (None, Some(_)) => {
            if let Some(said) = deletion::sentence(run.record, after, run.world) {
                say(
                    if run.record.deleting() {
                        EventReason::RunDeleted
                    } else {
                        EventReason::SurgeDeleted
                    },
                    said,
                );
            }
        }
        (Some(_), None) => {
            say(
                EventReason::SurgeBack,
                format!("surge {} is there again: the event goes on", run.record.surge),
            );
        }
        _ => {}
    }
    for target in &after.targets {
        let old = before.targets.iter().find(|t| t.name == target.name).and_then(|t| t.floor);
        if let Some((reason, message)) = floor_change(target, old, after, run) {
            say(reason, message);
        }
        let nothing = TargetStatus::default();
        let old = before.targets.iter().find(|t| t.name == target.name).unwrap_or(&nothing);
        if let Some((reason, message)) = what_others_did(target, old) {
            say(reason, message);
        }
    }
    for (reason, message) in machine_lines(before, after) {
        say(reason, message);
    }
    for job in &after.jobs {
        let nothing = JobStatus::waiting(&job.name);
        let old = before.jobs.iter().find(|j| j.name == job.name).unwrap_or(&nothing);
        if let Some((reason, message)) = job_change(job, old, run) {
            say(reason, message);
        }
    }
    for (reason, message) in report::news(before, after) {
        say(reason, message);
    }
    for (reason, message) in signal_lines(before, after, run) {
        say(reason, message);
    }
    if before.stage != after.stage {
        say(after.stage.into(), stage_line(before.stage, after));
    } else if before.verdict != after.verdict && after.verdict == Verdict::AtRisk {
        say(EventReason::AtRisk, after.message.clone());
    }
    lines
}

/// Returns a line for each group whose machines were launched, joined, were terminated or fell
/// short.
fn machine_lines(before: &RunStatus, after: &RunStatus) -> Vec<(EventReason, String)> {
    let mut lines = Vec::new();
    let mut say = |reason: EventReason, message: String| lines.push((reason, message));
    for machine in &after.machines {
        let old = before.machines.iter().find(|m| m.name == machine.name);
        let (launched, joined) = old.map_or((0, 0), |m| (m.launched, m.joined));
        if launched != machine.launched {
            let reason = if machine.launched > launched {
                EventReason::MachinesLaunched
            } else {
                EventReason::MachinesReturned
            };
            let (name, now, wanted) = (&machine.name, machine.launched, machine.wanted);
            say(reason, format!("machines {name} {launched} -> {now} of {wanted}"));
        }
        if machine.joined == machine.wanted && machine.joined > joined {
            say(
                EventReason::MachinesJoined,
                format!("all {} machines {} have joined", machine.wanted, machine.name),
            );
        }
    }
    for batch in &after.ledger {
        let told =
            before.ledger.iter().any(|b| b.token == batch.token && b.shortfall == batch.shortfall);
        if let Some(shortfall) = batch.shortfall.as_ref().filter(|_| !told) {
            let came = batch.instances.len();
            say(
                EventReason::MachinesShort,
                format!("{came} of {} {} came: {shortfall}", batch.count, batch.group),
            );
        }
    }
    lines
}

/// Returns a line for each signal that became unknown or is known again.
fn signal_lines(
    before: &RunStatus,
    after: &RunStatus,
    run: &Run<'_>,
) -> Vec<(EventReason, String)> {
    let mut lines = Vec::new();
    let mut say = |reason: EventReason, message: String| lines.push((reason, message));
    for signal in &after.signals {
        let was_unknown =
            before.signals.iter().any(|s| s.name == signal.name && s.unknown_since.is_some());
        match (&signal.unknown_because, was_unknown) {
            (Some(why), false) => {
                let raises = run.readings.iter().any(|r| r.name == signal.name && r.raises());
                let so =
                    if raises { "nothing is lowered" } else { "nothing is turned on or off by it" };
                say(
                    EventReason::SignalUnknown,
                    format!("signal {} is unknown ({why}): {so}", signal.name),
                );
            }
            (None, true) if signal.value.is_some() => {
                say(EventReason::SignalKnown, format!("signal {} is known again", signal.name));
            }
            _ => {}
        }
    }
    lines
}

fn floor_change(
    target: &TargetStatus,
    old: Option<u32>,
    after: &RunStatus,
    run: &Run<'_>,
) -> Option<(EventReason, String)> {
    let name = &target.name;
    match (old, target.floor) {
        (None, Some(new)) => {
            let from = target.baseline.map_or_else(String::new, |b| format!("{b} -> "));
            let times_after = timeline::times_after(run.announcement);
            let by = run.window.ready_by - timeline::time_of(name, &times_after);
            let by = by.format("%H:%M:%SZ");
            Some((
                EventReason::FloorRaised,
                format!("{name} {from}{new}: planned to be ready by {by}"),
            ))
        }
        (Some(old), Some(new)) if new > old => {
            let by_load = signal_sentence(name, old, after, run);
            let boosted = run.overrides.boost(name, target.planned.unwrap_or(0)) >= new;
            if by_load.is_none() && !boosted && is_a_small_step(target, (old, new), run) {
                return None;
            }
            let why = by_load.unwrap_or_else(|| why_raised(after).to_owned());
            let spec = run.announcement.targets.iter().find(|t| t.name == *name);
            let rung = spec.and_then(|t| climb::rung(t, target.baseline?, new));
            let rung = rung.map(|rung| format!(" ({rung})")).unwrap_or_default();
            Some((EventReason::FloorRaised, format!("{name} {old} -> {new}{rung}: {why}")))
        }
        (Some(old), Some(new)) if new < old => {
            if after.release.is_none() && is_a_small_step(target, (old, new), run) {
                return None;
            }
            let why = match &after.release {
                Some(release) => release.cause.sentence().to_owned(),
                None => shape_sentence(target, run),
            };
            Some((EventReason::FloorLowered, format!("{name} {old} -> {new}: {why}")))
        }
        (Some(old), None) => Some((
            EventReason::FloorDropped,
            format!("{name} {old} -> none: this run asks for nothing more"),
        )),
        _ => None,
    }
}

/// Returns why a floor rises without a live load.
fn why_raised(after: &RunStatus) -> &'static str {
    let draining = after.living().any(|i| i.state == LedgerState::Draining);
    if draining && after.release.is_none() {
        return "pods on a machine that goes are replaced first";
    }
    "planned or boosted"
}

/// True if a floor follows its shape without passing a tenth of the plan. A shape moves a floor each
/// 30 s, and the log has room for the whole evening.
fn is_a_small_step(target: &TargetStatus, (old, new): (u32, u32), run: &Run<'_>) -> bool {
    let spec = run.announcement.targets.iter().find(|t| t.name == target.name);
    let full = spec.filter(|t| t.shape.is_some()).and_then(|t| t.planned(target.baseline));
    let tenth = |replicas: u32, full: u32| u64::from(replicas) * 10 / u64::from(full.max(1));
    full.is_some_and(|full| tenth(old, full) == tenth(new, full))
}

/// Returns the sentence that says why a floor falls before the release: by its shape, or by an edit.
fn shape_sentence(target: &TargetStatus, run: &Run<'_>) -> String {
    let spec = run.announcement.targets.iter().find(|t| t.name == target.name);
    let shaped = spec.filter(|t| t.shape.is_some());
    let full = shaped.and_then(|t| t.planned(target.baseline)).zip(target.planned);
    full.map_or_else(
        || "the plan changed".to_owned(),
        |(full, planned)| {
            let minutes = (run.now - run.window.start).num_minutes();
            format!("the shape asks for {planned} of {full}, {minutes} min after the start")
        },
    )
}

/// Returns the line for a Job whose `state` or `attempt` has changed.
fn job_change(
    current: &JobStatus,
    old: &JobStatus,
    run: &Run<'_>,
) -> Option<(EventReason, String)> {
    if (current.state, current.attempt) == (old.state, old.attempt) {
        return None;
    }
    let step = run.announcement.jobs.iter().find(|step| step.name == current.name)?;
    let (moment, name) = (step.moment.as_str(), &current.name);
    let took = || Some((current.end_time? - current.start_time?).num_seconds());
    match current.state {
        JobState::Waiting => None,
        JobState::Running => {
            let what = format!("{name}: {moment} from {}, as Job {}", step.template, current.job);
            Some((EventReason::JobStarted, what))
        }
        JobState::Succeeded => {
            let took = took().map_or_else(String::new, |s| format!(" after {s} s"));
            Some((EventReason::JobSucceeded, format!("{name}: {moment} is done{took}")))
        }
        JobState::Failed => {
            let why = current.message.as_deref().unwrap_or_default();
            Some((
                EventReason::JobFailed,
                format!("{name}: {moment} has failed, Job {}: {why}", current.job),
            ))
        }
    }
}

/// Returns the line for a change that another writer caused on a target: contest, repair or
/// rollout.
fn what_others_did(current: &TargetStatus, old: &TargetStatus) -> Option<(EventReason, String)> {
    let name = &current.name;
    match (&current.contested_by, &old.contested_by) {
        (Some(by), None) => {
            let why = format!("{name}: {by} keeps lowering it; it is not fought any more");
            return Some((EventReason::Contested, why));
        }
        (None, Some(by)) if current.floor.is_some() => {
            let what = format!("{name}: {by} does not lower it any more");
            return Some((EventReason::ContestOver, what));
        }
        _ => {}
    }
    if current.repair_time > old.repair_time {
        return Some((
            EventReason::Repaired,
            format!("{name} was lowered by another writer, and is raised again"),
        ));
    }
    match (current.rolling, old.rolling) {
        (true, false) => {
            Some((EventReason::RolloutSeen, format!("{name} is in the middle of a rollout")))
        }
        (false, true) if current.floor.is_some() => {
            Some((EventReason::RolloutOver, format!("the rollout of {name} is over")))
        }
        _ => None,
    }
}

/// Returns the sentence that says why the live load needs more replicas than the old floor.
///
/// The sentence states value, prediction and sample age in the units of the on-call engineer.
fn signal_sentence(target: &str, old: u32, after: &RunStatus, run: &Run<'_>) -> Option<String> {
    let signal = run
        .announcement
        .signals_of(target)
        .filter_map(|(s, r)| Some((s, r, after.signals.iter().find(|a| a.name == s.name)?)))
        .max_by_key(|(.., shown)| shown.required)?;
    let (spec, raises, shown) = signal;
    let value = shown.value.as_ref()?;
    let reading = run.readings.iter().find(|r| r.name == spec.name)?;
    let load = reading.load.as_ref().ok().filter(|load| load.required_ahead > old)?;
    let ahead = (load.ahead > load.value).then(|| {
        format!(", {} in {} s", format::number(load.ahead), raises.look_ahead.num_seconds())
    });
    let age = (run.now - load.at).num_seconds().max(0);
    let (name, carries) = (&spec.name, raises.carries);
    let ahead = ahead.unwrap_or_default();
    Some(format!("{value} {name}{ahead} {carries}; {} {age} s old", spec.source))
}

fn stage_line(before: Stage, after: &RunStatus) -> String {
    let why = match after.stage {
        Stage::Releasing => after
            .release
            .as_ref()
            .map_or_else(String::new, |r: &release::Release| r.cause.sentence().to_owned()),
        _ => after.message.clone(),
    };
    format!("{} -> {}: {why}", before.as_str(), after.stage.as_str())
}
