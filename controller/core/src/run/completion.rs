//! Step 8: completion of a run that has restored everything.

use crate::Instant;
use crate::output::Wake;
use crate::run::context::Run;
use crate::run::degrade;
use crate::run::status::report;
use crate::state::observed::{Instance, InstanceState};
use crate::state::run::{RunStatus, Stage};

impl Run<'_> {
    /// True if a look at the cloud since the release began shows no instance of the run, or the run
    /// has never launched one.
    fn cloud_shows_nothing(&self, status: &RunStatus, since: Instant) -> bool {
        // mutate: completed-over-a-living-instance
        status.ledger.is_empty()
            || self.world.fleet(&self.record.uid).is_some_and(|(_, fleet, at)| {
                let gone = |i: &Instance| i.state == InstanceState::Terminated;
                at >= since && fleet.instances.iter().all(gone)
            })
    }

    /// Completes the run if targets, machines and values are restored and the Jobs have ended.
    ///
    /// Before `may_lower_from` the process has not observed enough, so the planner only schedules a
    /// pass.
    pub(super) fn complete(&self, status: &mut RunStatus) -> Wake {
        let Some(way) = self.record.status.release.as_ref() else {
            return Wake::NEVER;
        };
        if status.release.as_ref() != Some(way)
            || !Self::let_go(status)
            || !self.targets_given_back()
            || status.owes_machines()
            || !self.cloud_shows_nothing(status, way.start_time)
            || status.owes_values()
            || status.degrade.iter().any(|step| step.engaged)
            || degrade::owes_work(self.ladder(status))
            || self.waits_for_jobs_until(status).is_some_and(|at| self.now < at)
        {
            return Wake::NEVER;
        }
        if self.now < self.world.may_lower_from {
            return Wake::at(self.world.may_lower_from, self.now);
        }
        let called_off = way.start_time < self.window.start || self.is_armed();
        status.stage = if called_off { Stage::Cancelled } else { Stage::Done };
        status.completion_time = Some(self.now);
        let report = report::write(self.announcement, &self.window, status, way.cause, self.now);
        let left: Vec<_> = degrade::left(status, self.announcement).collect();
        let but = if left.is_empty() {
            String::new()
        } else {
            format!(", but what {} has run was not undone", left.join(", "))
        };
        status.message = format!(
            "everything was given back{but}; {}",
            match report.slack_seconds {
                Some(s) if s >= 0 => format!("ready {s} s before T0"),
                Some(s) => format!("ready {} s after T0", -s),
                None => "it never was ready".to_owned(),
            }
        );
        status.report = Some(report);
        Wake::NEVER
    }
}
