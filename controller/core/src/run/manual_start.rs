//! Manual start of an event without a fixed time: the run is ready by T0 and waits for a person.
//!
//! A run with `startPolicy: Manual` is armed until `armedSeconds` after the announced start. The
//! planner records the first start override in `status.startedTime`, with the creation time that
//! the API server set. A second start has no effect. The event lasts as long as announced, counted
//! from the recorded start. If no start arrives, the planner cancels the event.

use crate::Instant;
use crate::state::announcement::{Announcement, Start, Window};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// True if the run waits for a person to start the event.
#[must_use]
pub fn waits(run: &RunRecord, announcement: &Announcement) -> bool {
    announcement.start != Start::Automatic && run.status.started_time.is_none()
}

/// Returns the instants in force: the announced instants, or the instants that follow from the
/// start.
#[must_use]
pub fn window(run: &RunRecord, announcement: &Announcement) -> Window {
    let Window { ready_by, start, end } = run.window;
    let Start::Manual { within } = announcement.start else { return run.window };
    match run.status.started_time {
        Some(started) => {
            Window { ready_by: ready_by.min(started), start: started, end: started + (end - start) }
        }
        None => Window { ready_by, start, end: start + within.unwrap_or(end - start) },
    }
}

/// Returns the latest time at which the event may end, without extensions by overrides.
#[must_use]
pub fn latest_end(run: &RunRecord) -> Instant {
    let Window { start, end, .. } = run.window;
    match run.announcement.as_ref().map(|announcement| announcement.start) {
        Ok(Start::Manual { within }) => end + within.unwrap_or(end - start),
        _ => end,
    }
}

/// True if a start override of the surge applies to the run.
///
/// The override applies to the earliest waiting run. If another started run of the surge is in
/// progress, the override applies to no other run.
#[must_use]
pub fn is_meant(run: &RunRecord, world: &World) -> bool {
    let others = || world.runs.values().filter(|r| r.surge == run.surge && r.name != run.name);
    // A started run counts as over once the release has begun.
    let goes_on = |r: &RunRecord| {
        let RunStatus { started_time, release, completion_time, .. } = &r.status;
        started_time.is_some() && release.is_none() && completion_time.is_none()
    };
    let waits_longer = |r: &RunRecord| {
        let waits = r.announcement.as_ref().is_ok_and(|announcement| waits(r, announcement));
        waits
            && r.guarded
            && r.status.completion_time.is_none()
            && (r.window.start, &r.name) < (run.window.start, &run.name)
    };
    !others().any(|r| goes_on(r) || waits_longer(r))
}
