//! Events whose second is not known beforehand: everything is ready by T0, and a person says when it begins.
//!
//! From the announced start on the run is armed. A start is counted once and stands in the run's status, with the API server's
//! time of it: a second start changes nothing. From it on the event lasts as long as announced; without one it is
//! called off.

use crate::Instant;
use crate::state::announcement::{Announcement, Start, Window};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// A person has yet to say that the event begins.
#[must_use]
pub fn waits(run: &RunRecord, announcement: &Announcement) -> bool {
    announcement.start != Start::Automatic && run.status.started_time.is_none()
}

/// The instants that count now: those that were announced, or those that follow from a person's start.
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

/// The latest instant at which the event may end, whenever it is started; extensions left out.
#[must_use]
pub fn latest_end(run: &RunRecord) -> Instant {
    let Window { start, end, .. } = run.window;
    match run.announcement.as_ref().map(|announcement| announcement.start) {
        Ok(Start::Manual { within }) => end + within.unwrap_or(end - start),
        _ => end,
    }
}

/// Whether a start of the surge is about this run: the first of those that wait, unless one that was started goes on.
#[must_use]
pub fn is_meant(run: &RunRecord, world: &World) -> bool {
    let others = || world.runs.values().filter(|r| r.surge == run.surge && r.name != run.name);
    // One that comes down is over for people.
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
