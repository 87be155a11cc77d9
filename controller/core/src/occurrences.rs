//! Passes 1 and 2: the accepted events of each calendar, and the runs of each surge.

mod budget;
pub(crate) mod calendars;
pub mod runs;
pub(crate) mod surges;

use std::borrow::Cow;

use chrono::{NaiveDateTime, SecondsFormat};

use crate::Instant;
use crate::schedule::Schedule;
use crate::state::surge::{Follows, SurgeSpec};
use crate::state::world::World;

/// Returns the schedule of a surge: `spec.schedule`, or the events of the calendar that the surge
/// follows.
///
/// # Errors
///
/// Returns a message if the `SurgeCalendar` does not exist, or if the operator has not read the
/// feed yet. The planner then plans no run and cancels no run.
pub fn schedule_of<'a>(spec: &'a SurgeSpec, world: &World) -> Result<Cow<'a, Schedule>, String> {
    let Some(Follows { calendar, duration }) = &spec.follows else {
        return Ok(Cow::Borrowed(&spec.schedule));
    };
    let followed = world.calendars.get(calendar).map(|c| &c.status);
    match followed.filter(|status| status.was_read()) {
        Some(status) => Ok(Cow::Owned(status.schedule(&spec.schedule, *duration))),
        None if followed.is_some() => Err(format!("SurgeCalendar {calendar} was not read yet")),
        None => Err(format!("SurgeCalendar {calendar} is not there")),
    }
}

/// Returns the name of the run of a surge that starts at an instant.
///
/// The API server creates a name only once, and therefore guarantees at most one run per
/// occurrence.
#[must_use]
pub fn run_name(surge: &str, start: Instant) -> String {
    // A namespace may have 30,000 runs, and a format string would be parsed again for each run.
    let utc = start.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{surge}-{}", utc.replace(['-', ':'], "").to_lowercase())
}

/// Parses the name of a run into the surge and the start. Returns `None` if [`run_name`] did not
/// build the name.
#[must_use]
pub fn named_after(run: &str) -> Option<(&str, Instant)> {
    let (surge, start) = run.rsplit_once('-')?;
    let start = NaiveDateTime::parse_from_str(start, "%Y%m%dt%H%M%Sz").ok()?.and_utc();
    // The parser also accepts signs, white space and short numbers. The comparison rejects such
    // names.
    (run_name(surge, start) == run).then_some((surge, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn a_run_is_named_after_its_start() {
        let start = chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap();
        assert_eq!(run_name("capital", start), "capital-20140112t200000z");
        assert_eq!(named_after("capital-20140112t200000z"), Some(("capital", start)));
        for other in ["capital", "capital-20140112", "capital-20140112t2000z", "by-hand"] {
            assert_eq!(named_after(other), None, "{other}");
        }
    }
}
