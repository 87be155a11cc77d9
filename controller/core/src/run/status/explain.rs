//! Status fields of a run for people: counts, verdict, stage, message and conditions.

use chrono::TimeDelta;

use crate::Instant;
use crate::machines::join;
use crate::preflight::Finding;
use crate::run::context::Run;
use crate::run::load::{self, Reading};
use crate::run::status::progress::{self, Progress};
use crate::run::status::releasing::unreadable;
use crate::run::{deletion, floor, jobs, preflight};
use crate::scaling::usual;
use crate::state::announcement::{JobStep, Target};
use crate::state::condition::{ConditionReason, ConditionType, condition, set_condition};
use crate::state::hold;
use crate::state::observed::Seen;
use crate::state::run::{RunStatus, Stage, Verdict};
use crate::state::sample::Why;
use crate::state::status::{JobState, MachineStatus, TargetStatus};
use crate::timeline;

/// Tolerated delay of a warm-up Job. A Job that starts within 10 s of the planned start is on time.
const A_MOMENT: TimeDelta = TimeDelta::seconds(10);

impl Run<'_> {
    /// Returns the required and the present amount of every target, machine group and warm-up Job.
    fn progress(&self, status: &RunStatus, findings: &[Finding]) -> Vec<Progress> {
        let targets =
            self.announcement.targets.iter().zip(&self.timeline.targets).map(|(t, start)| {
                let shown = status.targets.iter().find(|s| s.name == t.name);
                let (stuck, waits) = match self.missing(t, status) {
                    Some(missing) if missing.stuck => (Some(missing.sentence), None),
                    other => (None, other.map(|missing| missing.sentence)),
                };
                // What Kubernetes says about the pods is newer than what the preflight expects.
                let trouble = self
                    .unreadable(t)
                    .map(|why| unreadable(t, why))
                    .or_else(|| self.contested(t))
                    .or(stuck)
                    .or_else(|| preflight::risk(findings, &t.name));
                let held = self.world.holds.get(&hold::name(&t.workload));
                Progress {
                    name: t.name.clone(),
                    unit: "pods",
                    there: shown.and_then(|s| s.ready),
                    wanted: shown.and_then(|s| s.wanted(false)).unwrap_or(0),
                    start: held.map_or(*start, |h| h.hold.since_time.max(*start)),
                    lead: t.lead,
                    trouble,
                    waits,
                }
            });
        let machines =
            self.announcement.machines.iter().zip(&self.timeline.machines).map(|(g, start)| {
                let shown = status.machines.iter().find(|m| m.name == g.name);
                let class = self.world.classes.get(&g.class);
                Progress {
                    name: format!("machines {}", g.name),
                    unit: "joined",
                    there: shown.map(|m| m.joined),
                    wanted: self.machines_needed(g),
                    start: *start,
                    lead: class.map_or(timeline::UNKNOWN_CLASS_LEAD, |c| c.lead),
                    trouble: shown.and_then(|shown| self.machine_trouble(g, shown, status)),
                    waits: None,
                }
            });
        targets.chain(machines).chain(self.warm_up(status)).collect()
    }

    /// Returns the progress of the warm-up Jobs, which must succeed by T0.
    fn warm_up(&self, status: &RunStatus) -> Vec<Progress> {
        let steps = self.announcement.warm_up().zip(&self.timeline.warm_up);
        // A new leader has not listed Jobs yet. The status therefore reports unknown Jobs only from
        // `may_lower_from` on.
        let unknown = |done: bool| match &self.world.jobs {
            Seen::Unknown(why) if !done && self.now >= self.world.may_lower_from => {
                Some(why.to_string())
            }
            _ => None,
        };
        let step = |(step, start): (&JobStep, &Instant)| {
            let job = status.jobs.iter().find(|job| job.name == step.name);
            let done = job.is_some_and(|job| job.state == JobState::Succeeded);
            // The planned start counts if the Job began at most `A_MOMENT` later. The creation of a
            // Job takes a few seconds, which must not count as late.
            let began = job.and_then(|job| job.start_time).unwrap_or(self.now);
            let start = if began > *start + A_MOMENT { began } else { *start };
            Progress {
                name: format!("{} {}", step.moment.as_str(), step.name),
                unit: "jobs",
                there: Some(u32::from(done)),
                wanted: 1,
                start,
                lead: step.deadline,
                trouble: jobs::trouble(step, job, self.world).or_else(|| unknown(done)),
                waits: None,
            }
        };
        steps.map(step).collect()
    }

    pub(super) fn contested(&self, target: &Target) -> Option<String> {
        let hold = self.world.holds.get(&hold::name(&target.workload))?;
        let by = hold.hold.contested_by.as_ref()?;
        Some(format!("contested: {by} keeps lowering it"))
    }

    /// Returns the risks of a run whose pods may all be ready: unknown signals, and a load above
    /// `maxReplicas`.
    fn risks_beside_the_counts(&self, status: &RunStatus) -> Vec<String> {
        let unknown = self.unknown_signals(status).into_iter();
        let unknown = unknown.map(|signal| format!("{signal}: it raises and lowers nothing"));
        let clipped = condition(&status.conditions, ConditionType::Clipped);
        let clipped = clipped.filter(|clipped| clipped.holds());
        let clipped = clipped.map(|clipped| clipped.message.clone());
        unknown.chain(clipped).chain(self.machine_risks(status)).collect()
    }

    /// Returns the signals that raise a target and have been unknown for [`load::DOUBT`], each with
    /// its cause.
    ///
    /// A process that has just started has sent no query yet, which counts after a minute. A
    /// threshold signal knows nothing before the first pod of its target is ready.
    pub(in crate::run) fn unknown_signals(&self, status: &RunStatus) -> Vec<String> {
        let begun = self.world.may_lower_from.max(self.timeline.begin - timeline::PREPARE_AHEAD);
        let unknown = |reading: &Reading| {
            let why = reading.load.as_ref().err().filter(|_| reading.raises())?;
            let shown = status.signals.iter().find(|shown| shown.name == reading.name);
            let since = shown.and_then(|shown| shown.unknown_since);
            let counts = match why {
                Why::NotAskedYet => self.now >= begun + load::SILENCE,
                Why::PodsUnknown if self.now < self.window.ready_by => false,
                _ => since.is_some_and(|since| self.now >= since + load::DOUBT),
            };
            counts.then(|| format!("signal {} is unknown ({why})", reading.name))
        };
        self.readings.iter().filter_map(unknown).collect()
    }

    /// Fills `status.targets` and `status.machines` with the current counts.
    pub(in crate::run) fn count(&self, status: &mut RunStatus) {
        let before = std::mem::take(&mut status.targets);
        status.targets = self
            .announcement
            .targets
            .iter()
            .zip(&self.timeline.targets)
            .map(|(t, start)| {
                self.target_status(t, *start, before.iter().find(|b| b.name == t.name))
            })
            .collect();
        status.machines = self
            .announcement
            .machines
            .iter()
            .map(|g| MachineStatus {
                name: g.name.clone(),
                wanted: self.machines_now(g),
                launched: join::launched(status, &g.name),
                joined: join::joined(status, &g.name, self.world),
            })
            .collect();
    }

    /// Fills stage, verdict, message, summaries and conditions of the status from the counts.
    pub(in crate::run) fn explain(&self, status: &mut RunStatus) {
        let findings = self.preflight();
        let progress = self.progress(status, &findings);
        let (verdict, message) = progress::judge(&progress, self.window.ready_by, self.now);
        let all_there = verdict == Verdict::Ready;
        status.stage = self.stage(status, all_there);
        if status.stage == Stage::Releasing {
            (status.verdict, status.message) = self.releasing(status);
        } else {
            let risks = self.risks_beside_the_counts(status);
            status.verdict = if risks.is_empty() { verdict } else { Verdict::AtRisk };
            status.message = [vec![message], risks].concat().join("; ");
            self.set_preflight(&mut status.conditions, &findings);
            if all_there && status.ready_time.is_none() && self.now >= self.timeline.begin {
                status.ready_time = Some(self.now);
            }
        }
        if self.is_armed() && status.release.is_none() && self.now >= self.timeline.begin {
            let until = self.end.format("%H:%M:%SZ");
            status.message = format!(
                "{}; armed: it begins when a person says so, until {until}",
                status.message
            );
        }
        let rolling = status.targets.iter().filter(|t| t.rolling && status.release.is_none());
        let rolling: Vec<_> = rolling.map(|t| t.name.as_str()).collect();
        if !rolling.is_empty() {
            let rolling = rolling.join(", ");
            status.message = format!("{}; in the middle of a rollout: {rolling}", status.message);
        }
        self.say_what_is_degraded(status);
        if status.release.is_none()
            && let Some(said) = deletion::sentence(self.record, status, self.world)
        {
            status.message = format!("{}; {said}", status.message);
        }
        if let Some(error) = self.world.clock_error {
            status.verdict = Verdict::AtRisk;
            status.message = format!("{}; {}", status.message, wrong_clock(error));
        }
        let releasing = status.release.is_some();
        let sum = |n: &dyn Fn(&TargetStatus) -> u32| status.targets.iter().map(n).sum::<u32>();
        status.ready_summary = Some(format!(
            "{}/{}",
            sum(&|t| t.ready.unwrap_or(0)),
            sum(&|t| t.wanted(releasing).unwrap_or(0))
        ));
        status.machine_summary = (!status.machines.is_empty()).then(|| {
            let joined: u32 = status.machines.iter().map(|m| m.joined).sum();
            let wanted: u32 = status.machines.iter().map(|m| m.wanted).sum();
            let wanted = if releasing { 0 } else { wanted };
            format!("{joined}/{wanted}")
        });
        self.set_conditions(status);
        self.say_which_jobs_failed(status);
    }

    fn say_which_jobs_failed(&self, status: &mut RunStatus) {
        let failed = status.jobs.iter().filter(|job| job.state == JobState::Failed);
        let failed: Vec<_> = failed
            .map(|job| format!("{}: {}", job.name, job.message.as_deref().unwrap_or_default()))
            .collect();
        let known = condition(&status.conditions, ConditionType::JobsFailed).is_some();
        if !failed.is_empty() || known {
            let reason = if failed.is_empty() {
                ConditionReason::NoneFailed
            } else {
                ConditionReason::Failed
            };
            let (holds, message) = (!failed.is_empty(), failed.join("; "));
            set_condition(
                &mut status.conditions,
                ConditionType::JobsFailed,
                holds,
                reason,
                message,
                self.now,
            );
        }
    }

    fn set_conditions(&self, status: &mut RunStatus) {
        let ready = status.verdict == Verdict::Ready;
        let (reason, message) = (status.verdict.into(), status.message.clone());
        set_condition(
            &mut status.conditions,
            ConditionType::Ready,
            ready,
            reason,
            message,
            self.now,
        );
        let asked = |r: &Reading| !matches!(r.load, Err(Why::NotAskedYet));
        if !self.readings.iter().any(asked) {
            return;
        }
        let unknown: Vec<_> = self
            .readings
            .iter()
            .filter_map(|r| r.load.as_ref().err().map(|why| (why, format!("{}: {why}", r.name))))
            .collect();
        let reason = unknown.first().map_or(ConditionReason::Known, |(why, _)| why.reason());
        let message = unknown.iter().map(|(_, m)| m.as_str()).collect::<Vec<_>>().join("; ");
        let known = unknown.is_empty();
        set_condition(
            &mut status.conditions,
            ConditionType::SignalsKnown,
            known,
            reason,
            message,
            self.now,
        );
    }

    fn target_status(
        &self,
        target: &Target,
        start: Instant,
        before: Option<&TargetStatus>,
    ) -> TargetStatus {
        let mut shown = before.cloned().unwrap_or_default();
        shown.name.clone_from(&target.name);
        shown.workload = target.workload.to_string();
        let hold = self.world.holds.get(&hold::name(&target.workload));
        shown.baseline = hold.map(|h| h.hold.baseline.replicas).or(shown.baseline);
        // A plan from `replicas` or `load` is known before the planner has seen the target. A plan
        // from `multiplier` needs the baseline.
        let known = (!target.want.needs_baseline()).then_some(0);
        shown.planned = usual::replicas(target, self.world, self.now)
            .or(known)
            .filter(|_| self.record.status.release.is_none())
            .map(|b| {
                let (_, ceiling) = floor::plan_and_ceiling(target, b);
                self.planned_now(target, b).min(ceiling)
            })
            .or(shown.planned);
        let releasing = self.record.status.release.is_some();
        let usual = usual::replicas(target, self.world, self.now).filter(|_| !releasing);
        shown.due = usual.and_then(|b| self.due_now(target, b));
        if self.unreadable(target).is_none() {
            shown.floor = self.claimed(target).map(|c| c.floor);
        }
        shown.highest_floor = shown.highest_floor.max(shown.floor);
        let others = hold.map(|h| &h.hold).filter(|_| shown.floor.is_some());
        let repaired = others.and_then(|h| h.repair_times.last().copied());
        shown.repair_time = repaired.or(shown.repair_time);
        shown.contested_by = others.and_then(|h| h.contested_by.clone());
        match self.world.target(&target.workload) {
            Seen::Known(live) => {
                shown.ready = Some(live.ready);
                shown.rolling = live.rolling && shown.floor.is_some();
            }
            Seen::Absent => (shown.ready, shown.rolling) = (Some(0), false),
            Seen::Unknown(_) => shown.ready = None,
        }
        let reached =
            shown.floor.is_some() && shown.ready >= shown.planned && shown.planned.is_some();
        // Within the event the clock lowers what is planned.
        let counts = target.shape.is_none() || self.now < self.window.start;
        if reached && counts && shown.achieved_lead_seconds.is_none() {
            let from = hold.map_or(start, |h| h.hold.since_time.max(start));
            shown.achieved_lead_seconds = Some((self.now - from).num_seconds());
        }
        shown
    }

    fn stage(&self, status: &RunStatus, all_there: bool) -> Stage {
        if status.release.is_some() {
            return Stage::Releasing;
        }
        match self.now {
            now if now >= self.end => Stage::Holding,
            now if now >= self.window.start && !self.is_armed() => Stage::Live,
            now if now < self.timeline.begin => Stage::Planned,
            _ if all_there => Stage::Ready,
            _ => Stage::WarmingUp,
        }
    }
}

fn wrong_clock(error: TimeDelta) -> String {
    let by = error.num_seconds().abs();
    let side = if error > TimeDelta::zero() { "ahead of" } else { "behind" };
    format!(
        "nothing is lowered: the operator's clock is {by} s {side} the API server's; set it right"
    )
}
