//! Verdict and message of a run that is releasing: held targets, the causes, and advice.

use crate::run::context::Run;
use crate::run::load;
use crate::scaling::{autoscaler, holds, patch};
use crate::state::announcement::{Moment, OnUnknown, Target};
use crate::state::hold;
use crate::state::observed::Seen;
use crate::state::release::Release;
use crate::state::run::{RunStatus, Verdict};
use crate::state::status::{JobState, JobStatus};

impl Run<'_> {
    /// Returns the verdict and the message of a run that is releasing.
    ///
    /// The verdict is `AtRisk` while something is unknown that the release waits for, and from ten
    /// minutes before everything should have been given back ([`Run::maximum_due`]).
    pub(super) fn releasing(&self, status: &RunStatus) -> (Verdict, String) {
        let Some(way) = status.release.as_ref() else { return (Verdict::OnTrack, String::new()) };
        let mut parts = floors(way);
        let risks = self.risks_while_releasing(status, way);
        let late = self.late(status, way);
        let at_risk = !risks.is_empty() || late.is_some();
        parts.extend(risks);
        parts.extend(self.waits_for(status, way));
        parts.extend(late);
        if self.announcement.on_unknown == OnUnknown::HoldOrPlan
            && load::silent(&self.readings, status, self.now).is_ok()
        {
            parts.push("back at the plan, because a signal is unknown".to_owned());
        } else if self.is_blind() {
            parts.push("a signal is unknown: floors stay until hold.maxSeconds after the end, unless an override or a deletion asked for the release".to_owned());
        }
        if self.overrides.hold() {
            parts.push("held by an override".to_owned());
        }
        let verdict = if at_risk { Verdict::AtRisk } else { Verdict::OnTrack };
        (verdict, format!("releasing: {}", parts.join(", ")))
    }

    /// Returns observations that the release needs and that are unknown, and targets whose floor
    /// another writer does not respect.
    fn risks_while_releasing(&self, status: &RunStatus, way: &Release) -> Vec<String> {
        let mut risks = Vec::new();
        for target in &self.announcement.targets {
            if let Some(why) = self.unreadable(target) {
                risks.push(unreadable(target, why));
            } else if let Seen::Unknown(cause) = self.world.target(&target.workload)
                && self.world.holds.contains_key(&hold::name(&target.workload))
            {
                risks.push(format!("{} stays as it is: {cause}", target.name));
            } else if let Some(contested) = self.contested(target)
                && !is_done(way, target)
            {
                risks.push(format!("{} {contested}", target.name));
            }
        }
        if !way.cause.by_a_person() && self.now < self.end + self.longest_hold() {
            risks.extend(self.unknown_signals(status));
        }
        risks.extend(self.machine_risks(status));
        risks
    }

    /// Returns the controllers and Jobs that the release waits for.
    fn waits_for(&self, status: &RunStatus, way: &Release) -> Vec<String> {
        let mut parts = Vec::new();
        let patient = self.waits_for_others(way);
        for target in self.announcement.targets.iter().filter(|t| patient && !is_done(way, t)) {
            let live = self.world.target(&target.workload);
            let Some(live) = live.known() else { continue };
            if live.rolling {
                parts.push(format!("{} waits for its rollout", target.name));
            }
            let hold = self.world.holds.get(&hold::name(&target.workload));
            if hold.is_some_and(|held| patch::lags(&held.hold, live)) {
                parts.push(format!("{} waits for its autoscaler to follow", target.name));
            }
        }
        parts.extend(self.announcement.targets.iter().filter_map(|t| self.keeps(t, way)));
        let machines = status.living().count();
        if machines > 0 {
            parts.push(format!("{machines} machines to give back"));
            if !self.world.may_launch {
                parts.push(
                    "they cannot be drained, because machines are off in this installation: turn \
                     machines.enabled on until they have ended"
                        .to_owned(),
                );
            }
        }
        let waited_for = |job: &&JobStatus| {
            let step = self.announcement.jobs.iter().find(|step| step.name == job.name);
            match step.map(|step| step.moment) {
                Some(Moment::Release) => matches!(job.state, JobState::Waiting | JobState::Running),
                Some(Moment::Restore) => job.state == JobState::Running,
                _ => false,
            }
        };
        for job in status.jobs.iter().filter(waited_for) {
            let why = job.message.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            parts.push(format!("waits for job {}{why}", job.name));
        }
        parts
    }

    /// Returns a sentence if the autoscaler keeps more pods than the old maximum allows. The
    /// maximum then stays raised until [`Run::maximum_due`].
    fn keeps(&self, target: &Target, way: &Release) -> Option<String> {
        let hold = &self.world.holds.get(&hold::name(&target.workload))?.hold;
        let live = self.world.target(&target.workload).known()?;
        let by = hold.baseline.autoscaler.as_ref().filter(|_| hold.claims.is_empty())?;
        let max = autoscaler::max_or_default(by.kind, by.max);
        let raised = hold.level.max.is_some_and(|level| level > max);
        let above = live.replicas.checked_sub(max).filter(|above| raised && *above > 0)?;
        let (kind, name) = (by.kind.as_str(), &by.name);
        let why = if live.never_scales_down {
            " (behavior.scaleDown.selectPolicy is Disabled)"
        } else {
            ""
        };
        let due = self.maximum_due(way);
        let at = if !live.never_scales_down {
            "once its pods fit".to_owned()
        } else if self.overrides.hold() {
            "after the Hold override".to_owned()
        } else if self.now < due {
            format!("at {}", due.format("%H:%M:%SZ"))
        } else {
            "once the load fits and no other run waits for it".to_owned()
        };
        Some(format!(
            "{kind} {name} keeps {} pods, {above} above its old maximum of {max}{why}; the maximum \
             goes back {at}, and {name} then removes what is above it: scale {} down before, or set a \
             Hold override",
            live.replicas, target.name
        ))
    }

    /// Returns a sentence from ten minutes before the run should have given everything back. A Hold
    /// override or a boost keeps targets on purpose, so the sentence is absent.
    fn late(&self, status: &RunStatus, way: &Release) -> Option<String> {
        let boosted =
            self.announcement.targets.iter().any(|t| self.overrides.boost(&t.name, 100) > 0);
        if self.overrides.hold() || boosted {
            return None;
        }
        let keeps = self.announcement.targets.iter().any(|t| {
            let live = self.world.target(&t.workload).known();
            live.is_some_and(|live| live.never_scales_down) && self.keeps(t, way).is_some()
        });
        let left = !Self::let_go(status)
            || !self.targets_given_back()
            || status.owes_machines()
            || status.owes_values();
        let at = if keeps { self.maximum_due(way) } else { self.all_due(way) };
        if !left || self.now < at - holds::OTHERS_TIME {
            return None;
        }
        let tense = if self.now < at { "is to be" } else { "should have been" };
        Some(format!("everything {tense} given back by {}", at.format("%H:%M:%SZ")))
    }
}

fn floors(way: &Release) -> Vec<String> {
    let floor = |f: &crate::state::release::ReleaseFloor| {
        let now = if f.done { "given back".to_owned() } else { format!("floor {}", f.floor) };
        format!("{} {now}", f.target)
    };
    way.floors.iter().map(floor).collect()
}

pub(super) fn unreadable(target: &Target, why: &str) -> String {
    let name = hold::name(&target.workload);
    format!("SurgeHold {name} cannot be read, so the target is left as it is: {why}")
}

fn is_done(way: &Release, target: &Target) -> bool {
    way.floors.iter().any(|f| f.target == target.name && f.done)
}
