//! Ladder of a run: update of the status, acts, conditions and lines of the decision log.

use crate::format;
use crate::output::{Act, Draft, Wake};
use crate::run::context::Run;
use crate::run::degrade::{self, jobs, values};
use crate::run::jobs as run_jobs;
use crate::state::announcement::Announcement;
use crate::state::condition::{
    ConditionReason, ConditionType, EventReason, condition, set_condition,
};
use crate::state::ladder::{Action, Owed, Step, StepStatus, Work};
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

impl Run<'_> {
    /// Updates the steps in `status.degrade`, and records the values read at the places of the
    /// steps.
    pub(in crate::run) fn keep_ladder(&self, status: &mut RunStatus) -> Wake {
        let way = self.record.status.release.as_ref();
        let let_go = way.is_some_and(|way| {
            way.cause.by_a_person()
                || (Self::let_go(&self.record.status) && self.targets_given_back())
        });
        let facts = degrade::LadderInputs {
            announcement: self.announcement,
            readings: &self.readings,
            overrides: &self.overrides,
            ready_by: self.window.ready_by,
            over: let_go,
            may_leave_from: self.world.may_lower_from,
        };
        degrade::keep(status, &facts, self.world, self.now);
        values::take_over(status, self.record, self.world, self.now);
        Wake::at_first(degrade::next_turn(self.announcement, status), self.now)
    }

    /// Adds the reads and writes of places that the recorded steps require.
    pub(in crate::run) fn switch(&self, draft: &mut Draft) -> Wake {
        for act in values::acts(self.record, self.world, self.now) {
            draft.plan.acts.push(Act::Switch(act));
        }
        Wake::at_first(values::next_look(self.record, self.world, self.now), self.now)
    }

    /// Returns the inputs for decisions about the Jobs of the ladder.
    pub(in crate::run) fn ladder<'a>(&'a self, status: &'a RunStatus) -> jobs::Known<'a> {
        let (announcement, world, now) = (self.announcement, self.world, self.now);
        jobs::Known { status, announcement, world, now }
    }

    fn in_the_way(&self, step: &Step, shown: Option<&StepStatus>) -> Option<String> {
        obstacle(step, shown, self.record, self.announcement, self.world)
    }

    /// Writes active steps and obstacles into `status.message` and the conditions `Degraded` and
    /// `LadderReady`.
    pub(in crate::run) fn say_what_is_degraded(&self, status: &mut RunStatus) {
        let steps = &self.announcement.degrade;
        if steps.is_empty() {
            return;
        }
        let shown = |name: &str| status.degrade.iter().find(|s| s.name == name);
        let on: Vec<_> = steps
            .iter()
            .filter_map(|step| shown(&step.name).filter(|s| s.engaged))
            .map(|s| {
                let since = s.since_time.unwrap_or(self.now).format("%H:%M:%SZ");
                let why = s.message.as_deref().unwrap_or_default();
                format!("{} since {since} ({why})", s.name)
            })
            .collect();
        let trouble: Vec<_> = steps
            .iter()
            .filter_map(|step| {
                let why = self.in_the_way(step, shown(&step.name))?;
                Some(format!("degrade step {}: {why}", step.name))
            })
            .collect();
        let (degraded, troubled) = (!on.is_empty(), !trouble.is_empty());
        let (on, trouble) = (on.join(", "), trouble.join("; "));
        if degraded {
            status.message = format!("{}; degraded: {on}", status.message);
        }
        if troubled {
            status.message = format!("{}; {trouble}", status.message);
        }
        let reason = if degraded { ConditionReason::StepsOn } else { ConditionReason::NoStepOn };
        set_condition(
            &mut status.conditions,
            ConditionType::Degraded,
            degraded,
            reason,
            on,
            self.now,
        );
        let reason = if troubled { ConditionReason::Impossible } else { ConditionReason::Possible };
        let (list, ladder) = (&mut status.conditions, ConditionType::LadderReady);
        set_condition(list, ladder, !troubled, reason, trouble, self.now);
    }
}

/// Returns the changes of the ladder for the decision log: reason and sentence.
pub(in crate::run) fn news(before: &RunStatus, after: &RunStatus) -> Vec<(EventReason, String)> {
    let nothing = StepStatus::default();
    let steps = after.degrade.iter().filter_map(|step| {
        let old = before.degrade.iter().find(|s| s.name == step.name).unwrap_or(&nothing);
        change(step, old)
    });
    let trouble = trouble(after).filter(|_| trouble(before).is_none());
    steps.chain(trouble.map(|why| (EventReason::LadderTrouble, why.to_owned()))).collect()
}

/// Returns the line for a step that changed state, or whose value was written or restored.
fn change(current: &StepStatus, old: &StepStatus) -> Option<(EventReason, String)> {
    let name = &current.name;
    if current.engaged != old.engaged {
        let why = current.message.as_deref().unwrap_or("its condition has gone");
        return Some(if current.engaged {
            (EventReason::DegradeOn, format!("{name} on: {why}"))
        } else {
            (EventReason::DegradeOff, format!("{name} off: {why}"))
        });
    }
    let told =
        |owed: &Owed| (format::told(owed.before.as_deref()), format::told(Some(&owed.written)));
    match (&current.owed, &old.owed) {
        (Some(owed), _) if current.engaged && current.in_place && !old.in_place => {
            let (before, written) = told(owed);
            let what = format!("{name}: {} {before} -> {written}", owed.place);
            Some((EventReason::DegradeInPlace, what))
        }
        (None, Some(owed)) => {
            let ((before, written), place) = (told(owed), &owed.place);
            let what = format!("{name}: {place} is given back, from {written}; it was {before}");
            Some((EventReason::DegradeReturned, what))
        }
        _ => None,
    }
}

fn trouble(status: &RunStatus) -> Option<&str> {
    let ladder = condition(&status.conditions, ConditionType::LadderReady)?;
    (!ladder.holds()).then_some(ladder.message.as_str())
}

/// Returns the obstacle to a step, if any. The status names the obstacle days before the event.
fn obstacle(
    step: &Step,
    shown: Option<&StepStatus>,
    run: &RunRecord,
    announcement: &Announcement,
    world: &World,
) -> Option<String> {
    match &step.action {
        Action::Write { place, .. } => values::trouble(place, &step.name, shown, run, world),
        Action::Run(work) => obstacle_of_jobs(work, announcement, run, world),
    }
}

/// Returns the obstacle to the Jobs of a step, if any.
fn obstacle_of_jobs(
    work: &Work,
    announcement: &Announcement,
    run: &RunRecord,
    world: &World,
) -> Option<String> {
    let names = [Some(&work.degrade), work.restore.as_ref()].into_iter().flatten();
    let mut steps =
        names.filter_map(|name| announcement.jobs.iter().find(|step| step.name == *name));
    let shown = |name: &str| run.status.jobs.iter().find(|job| job.name == name);
    steps.find_map(|step| run_jobs::trouble(step, shown(&step.name), world))
}
