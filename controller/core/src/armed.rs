//! Events whose second nobody knows: everything is ready by T0, and a person says when it begins.
//!
//! From the announced start on the run is armed. A start is counted once and stands in the run's status: whoever says it
//! again changes nothing. From it on the event lasts as long as announced; without one it is called off.

use crate::run::RunRecord;
use crate::surge::{Announcement, Start, Window};

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
