//! Step 9: time of the next pass that the clock alone requires.

use crate::output::Wake;
use crate::run::context::Run;
use crate::run::load;
use crate::scaling::holds;
use crate::shape;
use crate::state::run::RunStatus;
use crate::timeline::{self, PREPARE_AHEAD};

impl Run<'_> {
    /// Returns the next time at which the plan changes without a new observation.
    pub(super) fn next_instant(&self, status: &RunStatus) -> Wake {
        let window = &self.window;
        let mut instants = vec![
            self.timeline.begin - PREPARE_AHEAD,
            self.timeline.begin,
            window.ready_by,
            window.start,
            self.end,
        ];
        instants.extend(self.timeline.machines.iter().copied());
        for (start, target) in self.timeline.targets.iter().zip(&self.announcement.targets) {
            instants.extend([*start - PREPARE_AHEAD, *start, *start + target.lead * 3 / 4]);
            // Each step of a pre-scale requires a pass.
            if self.now >= *start && self.now < window.ready_by {
                let passed =
                    (self.now - *start).num_seconds() / timeline::RAMP_STEP_TIME.num_seconds();
                let next = i32::try_from(passed + 1).unwrap_or(i32::MAX);
                instants.push(*start + timeline::RAMP_STEP_TIME * next);
            }
        }
        let shaped = self.announcement.targets.iter().any(|target| target.shape.is_some());
        if shaped && self.now < self.end {
            instants.push(shape::next(window, self.now));
        }
        for (start, step) in self.timeline.warm_up.iter().zip(self.announcement.warm_up()) {
            instants.extend([*start, *start + step.deadline * 3 / 4]);
        }
        for (job, step) in status.jobs.iter().zip(&self.announcement.jobs) {
            instants.extend(job.start_time.map(|at| at + step.deadline));
        }
        if let Some(hold) = self.announcement.hold {
            instants.push(self.end + hold.max_time);
            if let Some(since) = status.quiet_since {
                instants.push(since.max(self.end - hold.for_time) + hold.for_time);
            }
        }
        instants.extend(self.overrides.next_expiry());
        let doubted = status.signals.iter().filter_map(|signal| signal.unknown_since);
        instants.extend(doubted.map(|since| since + load::DOUBT));
        if let Some(way) = &status.release {
            instants.push(self.all_due(way) - holds::OTHERS_TIME);
        }
        Wake::at_first(instants, self.now)
    }
}
