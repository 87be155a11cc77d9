//! Why pods of a target are missing: a look at the pods, and the words of Kubernetes for the status.

use chrono::TimeDelta;

use crate::output::{Act, Draft, Wake};
use crate::run::context::Run;
use crate::state::announcement::Target;
use crate::state::hold;
use crate::state::observed::Obstacle;
use crate::state::run::RunStatus;
use crate::state::status::TargetStatus;

/// Time after a write before the planner looks at pods that are not ready. Pods need some seconds to
/// start anyway.
const FIRST_LOOK: TimeDelta = TimeDelta::seconds(10);

/// Time between two looks at the pods of a target.
const NEXT_LOOK: TimeDelta = TimeDelta::seconds(15);

/// Time for which a reason must last before it is a risk. A registry that throttles, or a container that
/// is restarted once, passes by itself.
const LASTS: TimeDelta = TimeDelta::seconds(30);

/// Largest number of reasons in a message.
const NAMED: usize = 2;

/// Why pods of a target are missing.
pub(super) struct Missing {
    /// The words of Kubernetes.
    pub(super) sentence: String,
    /// True if the pods do not become ready by themselves. Pods that wait for a Node may.
    pub(super) stuck: bool,
}

impl Run<'_> {
    /// Asks for a look at the pods of each target that misses pods. A target that misses none costs no
    /// request.
    pub(super) fn look_at_pods(&self, status: &RunStatus, draft: &mut Draft) -> Wake {
        let mut wake = Wake::NEVER;
        if status.release.is_some() || !self.world.may_look_at_pods {
            return wake;
        }
        for (target, start) in self.announcement.targets.iter().zip(&self.timeline.targets) {
            let Some(held) = self.world.holds.get(&hold::name(&target.workload)) else { continue };
            if shown_short(target, status).is_none() {
                continue;
            }
            // A look in the future was stamped by a wrong clock.
            let seen = self.world.obstacles.get(&target.workload).map(|seen| seen.at);
            let seen = seen.filter(|at| *at <= self.now);
            let first = held.hold.since_time.max(*start) + FIRST_LOOK;
            let next = seen.map_or(first, |at| at + NEXT_LOOK);
            if self.now >= next {
                draft.plan.acts.push(Act::LookAtPods { workload: target.workload.clone() });
            } else {
                wake = wake.or(Wake::at(next, self.now));
            }
        }
        wake
    }

    /// Returns why pods of a target are missing, as Kubernetes says it. Returns `None` if no pod is
    /// missing, or if nothing has been said yet.
    pub(super) fn missing(&self, target: &Target, status: &RunStatus) -> Option<Missing> {
        let shown = shown_short(target, status).filter(|_| status.release.is_none())?;
        let live = self.world.target(&target.workload).known()?;
        let hold = &self.world.holds.get(&hold::name(&target.workload))?.hold;
        let uncreated = live.created < live.replicas;
        if let Some(failure) = live.failure.as_ref().filter(|_| uncreated) {
            let sentence = format!("no pod can be created: {failure}");
            return Some(Missing { sentence, stuck: true });
        }
        let wanted = shown.wanted(false).unwrap_or(0);
        let mut words = Vec::new();
        let mut stuck = false;
        if live.replicas < wanted && self.now >= hold.due_time + FIRST_LOOK {
            words.push(format!("only {} of {wanted} replicas are asked for", live.replicas));
        }
        if let Some(seen) = self.world.obstacles.get(&target.workload) {
            let why = seen.why.as_deref().unwrap_or_default();
            // An Event of a refusal outlives the refusal.
            let counts = |o: &&Obstacle| o.pods > 0 || uncreated;
            let why: Vec<_> = why.iter().filter(counts).take(NAMED).collect();
            let lasts = |o: &Obstacle| o.since.is_some_and(|since| self.now >= since + LASTS);
            stuck = why.iter().any(|obstacle| !obstacle.may_pass() && lasts(obstacle));
            words.extend(why.iter().map(ToString::to_string));
            if let Some(error) = seen.error.as_ref().filter(|_| why.is_empty()) {
                words.push(format!("why is not known: its pods cannot be read: {error}"));
            }
        }
        (!words.is_empty()).then(|| Missing { sentence: words.join("; "), stuck })
    }
}

/// Returns the status of a target that misses pods: fewer are ready than must be.
fn shown_short<'s>(target: &Target, status: &'s RunStatus) -> Option<&'s TargetStatus> {
    let shown = status.targets.iter().find(|shown| shown.name == target.name)?;
    let counted = shown.floor.is_some() && shown.ready.is_some();
    (counted && shown.ready < shown.wanted(false)).then_some(shown)
}
