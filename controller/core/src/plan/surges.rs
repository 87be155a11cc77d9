//! Each surge has the run of its occurrence: created once, moved with its surge until it has begun.

use super::{Draft, Record};
use crate::Instant;
use crate::run::{RunRecord, set_condition};
use crate::schedule;
use crate::surge::{Window, run_name};
use crate::world::{SurgeRecord, SurgeSpec, SurgeStatus, World};

/// The instants of the occurrence that a spec announces.
fn window(spec: &SurgeSpec) -> Result<Window, String> {
    let start = spec.schedule.start().map_err(|e| e.to_string())?;
    Ok(Window { ready_by: start - spec.ready_before, start, end: start + spec.duration })
}

/// A run has begun once it may have touched anything.
fn begun(run: &RunRecord) -> bool {
    run.guarded || run.status.completion_time.is_some()
}

pub(super) fn plan(surge: &SurgeRecord, world: &World, now: Instant, draft: &mut Draft) {
    if surge.deleting {
        return;
    }
    let mut status =
        SurgeStatus { observed_generation: Some(surge.generation), ..surge.status.clone() };
    let understood = surge
        .spec
        .as_ref()
        .map_err(|reasons| reasons.join("; "))
        .and_then(|spec| Ok((spec, window(spec)?)));
    match understood {
        Err(why) => {
            // The last good plan is kept: runs that exist stay as they are.
            set_condition(&mut status.conditions, "Accepted", false, "Invalid", why, now);
        }
        Ok((spec, window)) => {
            let zone = spec.schedule.time_zone.as_deref();
            status.next_start_time = Some(window.start);
            status.next_start_local = Some(schedule::in_zone(window.start, zone));
            occurrence(surge, &window, world, &mut status, now, draft);
        }
    }
    if status != surge.status {
        draft.record(Record::SurgeStatus { surge: surge.name.clone(), status: Box::new(status) });
    }
}

fn occurrence(
    surge: &SurgeRecord,
    window: &Window,
    world: &World,
    status: &mut SurgeStatus,
    now: Instant,
    draft: &mut Draft,
) {
    let name = run_name(&surge.name, window.start);
    let own = || world.runs.values().filter(|r| r.surge == surge.name && !r.deleting);
    // Runs of a former start that have not begun move away.
    for stale in own().filter(|r| r.name != name && !begun(r)) {
        draft.record(Record::DeleteRun { run: stale.name.clone(), uid: stale.uid.clone() });
    }
    let accepted = |status: &mut SurgeStatus, reason: &str, message: String| {
        set_condition(
            &mut status.conditions,
            "Accepted",
            reason == "Scheduled",
            reason,
            message,
            now,
        );
    };
    let said = |what: &str| {
        format!("{what}: ready by {}, ends {}", clock(window.ready_by), clock(window.end))
    };
    if let Some(run) = world.runs.get(&name) {
        status.run = Some(name.clone());
        status.last_schedule_time = Some(window.start);
        accepted(status, "Scheduled", said(&format!("run {name}")));
        if run.surge_generation != Some(surge.generation) && !begun(run) && !run.deleting {
            draft.record(Record::ReplanRun {
                surge: surge.name.clone(),
                generation: surge.generation,
                run: name,
                window: *window,
            });
        }
    } else if status.last_schedule_time == Some(window.start) {
        // The run was there and somebody deleted it: that cancels the occurrence, it does not repeat it.
        accepted(
            status,
            "Cancelled",
            format!("run {name} was deleted; move startTime to plan a new one"),
        );
    } else if now >= window.end {
        accepted(status, "Missed", said("the event was over before it could be planned"));
    } else {
        draft.record(Record::CreateRun {
            surge: surge.name.clone(),
            generation: surge.generation,
            run: name,
            window: *window,
        });
    }
}

fn clock(at: Instant) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
