//! The ladder of degradation of a run: kept, acted upon, told.

use super::{Act, Draft, Run};
use crate::degrade::{self, Owed, Step, StepStatus};
use crate::run::{RunStatus, set_condition};

impl Run<'_> {
    /// Steps of the ladder go on and off; what was seen where they write is taken over.
    pub(super) fn keep_ladder(&self, status: &mut RunStatus, draft: &mut Draft) {
        let way = self.record.status.release.as_ref();
        let let_go = way.is_some_and(|way| {
            way.cause.by_a_person()
                || (Self::let_go(&self.record.status) && self.targets_given_back())
        });
        let facts = degrade::Facts {
            announcement: self.announcement,
            readings: &self.readings,
            overrides: &self.overrides,
            ready_by: self.window.ready_by,
            over: let_go,
            may_leave_from: self.world.may_lower_from,
        };
        degrade::keep(status, &facts, self.world, self.now);
        degrade::take_over(status, self.record, self.world, self.now);
        for at in degrade::next_turn(self.announcement, status) {
            draft.wake(at, self.now);
        }
    }

    /// What was switched, or may be, is looked at and written.
    pub(super) fn switch(&self, draft: &mut Draft) {
        for act in degrade::acts(self.record, self.world, self.now) {
            draft.plan.acts.push(Act::Switch(act));
        }
        if let Some(at) = degrade::next_look(self.record, self.world, self.now) {
            draft.wake(at, self.now);
        }
    }

    /// What is known of its steps that run Jobs.
    pub(super) fn ladder<'a>(&'a self, status: &'a RunStatus) -> degrade::Known<'a> {
        let (announcement, world, now) = (self.announcement, self.world, self.now);
        degrade::Known { status, announcement, world, now }
    }

    fn in_the_way(&self, step: &Step, shown: Option<&StepStatus>) -> Option<String> {
        degrade::trouble(step, shown, self.record, self.announcement, self.world)
    }

    /// What is degraded, and what could not be.
    pub(super) fn say_what_is_degraded(&self, status: &mut RunStatus) {
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
        let reason = if degraded { "StepsOn" } else { "NoStepOn" };
        set_condition(&mut status.conditions, "Degraded", degraded, reason, on, self.now);
        let reason = if troubled { "Impossible" } else { "Possible" };
        let (list, ladder) = (&mut status.conditions, "LadderReady");
        set_condition(list, ladder, !troubled, reason, trouble, self.now);
    }
}

/// What is new of it in the decision log: reason and sentence.
pub(super) fn news(before: &RunStatus, after: &RunStatus) -> Vec<(&'static str, String)> {
    let nothing = StepStatus::default();
    let steps = after.degrade.iter().filter_map(|step| {
        let old = before.degrade.iter().find(|s| s.name == step.name).unwrap_or(&nothing);
        change(step, old)
    });
    let trouble = trouble(after).filter(|_| trouble(before).is_none());
    steps.chain(trouble.map(|why| ("LadderTrouble", why.to_owned()))).collect()
}

/// What the ladder has done.
fn change(now: &StepStatus, old: &StepStatus) -> Option<(&'static str, String)> {
    let name = &now.name;
    if now.engaged != old.engaged {
        let why = now.message.as_deref().unwrap_or("its condition has gone");
        return Some(if now.engaged {
            ("DegradeOn", format!("{name} on: {why}"))
        } else {
            ("DegradeOff", format!("{name} off: {why}"))
        });
    }
    let told =
        |owed: &Owed| (degrade::told(owed.before.as_deref()), degrade::told(Some(&owed.written)));
    match (&now.owed, &old.owed) {
        (Some(owed), _) if now.engaged && now.in_place && !old.in_place => {
            let (before, written) = told(owed);
            let what = format!("{name}: {} {before} -> {written}", owed.place);
            Some(("DegradeInPlace", what))
        }
        (None, Some(owed)) => {
            let ((before, written), place) = (told(owed), &owed.place);
            let what = format!("{name}: {place} is given back, from {written}; it was {before}");
            Some(("DegradeReturned", what))
        }
        _ => None,
    }
}

fn trouble(status: &RunStatus) -> Option<&str> {
    let ladder = status.conditions.iter().find(|c| c.type_ == "LadderReady")?;
    (ladder.status == "False").then_some(ladder.message.as_str())
}
