//! Step 3: signals, times and overrides in the status of a run.

use crate::Instant;
use crate::format;
use crate::run::context::Run;
use crate::run::load::{self, Reading};
use crate::schedule;
use crate::state::run::RunStatus;
use crate::state::sample::Why;
use crate::state::status::SignalStatus;

impl Run<'_> {
    /// Updates the observed fields of the status.
    ///
    /// The fields are `signals`, `quietSince`, `beginTime`, `endTime`, `startLocal` and
    /// `overrides`. `signals` contains values, peaks and the times since which values are unknown.
    /// `overrides` contains the names of the overrides in force.
    pub(super) fn observe(&self, status: &mut RunStatus) {
        let before = std::mem::take(&mut status.signals);
        status.signals = self
            .announcement
            .signals
            .iter()
            .map(|s| {
                let old = before.iter().find(|o| o.name == s.name);
                let reading = self.readings.iter().find(|r| r.name == s.name);
                signal_status(&s.name, old, reading, self.now)
            })
            .collect();
        load::observe_load(status, &self.readings, self.announcement.hold, self.now);
        status.begin_time = Some(self.timeline.begin);
        status.end_time = Some(self.end);
        status.start_local =
            Some(schedule::in_zone(self.record.window.start, self.record.time_zone.as_deref()));
        status.overrides = self.overrides.iter().map(|o| o.name.clone()).collect();
    }
}

pub(crate) fn signal_status(
    name: &str,
    old: Option<&SignalStatus>,
    reading: Option<&Reading>,
    now: Instant,
) -> SignalStatus {
    let mut shown = SignalStatus {
        name: name.to_owned(),
        peak: old.and_then(|o| o.peak.clone()),
        ..SignalStatus::default()
    };
    match reading.map(|r| &r.load) {
        // A process that has just started has not queried the source yet, so the last recorded
        // status of the signal stays.
        Some(Err(Why::NotAskedYet)) => return old.cloned().unwrap_or(shown),
        Some(Ok(load)) => {
            shown.value = Some(format::number(load.value));
            shown.required = Some(load.required);
        }
        Some(Err(why)) => {
            shown.unknown_since = Some(old.and_then(|o| o.unknown_since).unwrap_or(now));
            shown.unknown_because = Some(why.to_string());
        }
        None => {}
    }
    shown
}
