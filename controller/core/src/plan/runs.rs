//! Each run says what it asks of each target, keeps its ledger, comes down after the end, and explains itself.

mod explain;
mod ladder;
mod news;

use chrono::TimeDelta;

use super::{Act, Draft, Record};
use crate::Instant;
use crate::armed;
use crate::decision;
use crate::degrade;
use crate::deletion::{self, Surge};
use crate::demand::{self, Demand, Facts};
use crate::hold::{self, Claim};
use crate::jobs;
use crate::machines;
use crate::overrides::{self, InForce};
use crate::release;
use crate::report;
use crate::run::{ReleaseCause, RunRecord, RunStatus, Stage, Verdict, set_condition};
use crate::schedule;
use crate::signal::{self, Reading, Required, Sample, Series, Why};
use crate::surge::{Announcement, MachineGroup, OnUnknown, Target, Window};
use crate::timeline::{self, PREPARE_AHEAD, Timeline};
use crate::world::{Seen, World};
use crate::write;

/// A Deployment that makes no progress for so long calls its rollout failed (`progressDeadlineSeconds`, 600).
const ROLLOUT_TIME: TimeDelta = TimeDelta::minutes(10);

/// A run while it is being planned.
struct Run<'a> {
    record: &'a RunRecord,
    announcement: &'a Announcement,
    /// The instants that count now.
    window: Window,
    world: &'a World,
    overrides: InForce<'a>,
    timeline: Timeline,
    readings: Vec<Reading>,
    /// The end in force.
    end: Instant,
    now: Instant,
}

pub(super) fn plan(record: &RunRecord, world: &World, now: Instant, draft: &mut Draft) {
    if deletion::asks(record, world) {
        draft.plan.acts.push(Act::LookForSurge { surge: record.surge.clone() });
    }
    if record.status.completion_time.is_some() {
        return let_go_of(record, world, draft);
    }
    if record.deleting() && !record.guarded {
        return;
    }
    // Runs of version 0.1.0 that have begun still go with their surge.
    if record.guarded && record.collected && !record.deleting() {
        draft.record(Record::Guard { run: record.name.clone() });
    }
    let announcement = match &record.announcement {
        Ok(announcement) => announcement,
        Err(why) => return refuse(record, why, now, draft),
    };
    let run = Run::new(record, announcement, world, now);
    let mut status = record.status.clone();
    // While the clock itself is in doubt it cannot say which instants have come.
    if world.trusts_its_clock(now) {
        status.bring_back_to(now);
    }
    run.observe(&mut status);
    deletion::observe(record, &mut status, world, now);
    if !record.guarded && deletion::counts(record, &status, world, now) {
        return draft.record(delete(record));
    }
    let begun = now >= run.timeline.begin - PREPARE_AHEAD;
    if begun && run.is_armed() {
        run.hear_of_a_start(&mut status);
    }
    run.begin_release(&mut status, draft);
    if begun && status.release.is_none() && !record.guarded {
        draft.record(Record::Guard { run: record.name.clone() });
    }
    if record.guarded {
        run.come_down(&mut status, draft);
        run.ask_for_targets(&mut status, draft);
        run.keep_ledger(&mut status, draft);
    } else {
        // Somebody who takes our finalizer off by hand takes nothing down with it.
        draft.claims.leave_as_recorded(&record.name);
    }
    run.count(&mut status);
    if record.guarded {
        run.keep_jobs(&mut status, draft);
        run.keep_ladder(&mut status, draft);
    }
    run.switch(draft);
    run.explain(&mut status);
    run.complete(&mut status, draft);
    run.set_wake(&status, draft);
    let news = news::lines(&record.status, &status, &run);
    decision::append(&mut status.decisions, news.clone());
    if status != record.status {
        let urgent = urgent(&record.status, &status);
        let (run, status) = (record.name.clone(), Box::new(status));
        draft.record(Record::RunStatus { run, status, urgent, news });
    }
}

/// A run that is over goes with its surge: at once where that is gone already.
fn let_go_of(record: &RunRecord, world: &World, draft: &mut Draft) {
    let surge = deletion::surge(record, world);
    let stays = surge == Surge::There && !record.collected;
    if record.guarded || (stays && !record.deleting()) {
        let owner = record.owner.clone().filter(|_| surge == Surge::There);
        draft.record(Record::Unguard { run: record.name.clone(), owner });
    } else if surge == Surge::Gone && !record.collected && !record.deleting() {
        draft.record(delete(record));
    }
}

fn delete(record: &RunRecord) -> Record {
    Record::DeleteRun { run: record.name.clone(), uid: record.uid.clone(), news: None }
}

/// A run that cannot be understood is not acted upon; what it claimed stays claimed.
fn refuse(record: &RunRecord, why: &str, now: Instant, draft: &mut Draft) {
    draft.claims.leave_as_recorded(&record.name);
    let mut status = record.status.clone();
    why.clone_into(&mut status.message);
    status.verdict = Verdict::AtRisk;
    set_condition(&mut status.conditions, "Accepted", false, "Invalid", why.to_owned(), now);
    if status != record.status {
        let (run, status) = (record.name.clone(), Box::new(status));
        draft.record(Record::RunStatus { run, status, urgent: true, news: Vec::new() });
    }
}

/// Something waits for the record: an act, or a person.
fn urgent(before: &RunStatus, after: &RunStatus) -> bool {
    let floors = |status: &RunStatus| status.targets.iter().map(|t| t.floor).collect::<Vec<_>>();
    let states = |status: &RunStatus| {
        let each = status.conditions.iter().map(|c| (c.type_.clone(), c.status.clone()));
        each.collect::<Vec<_>>()
    };
    // That a machine has joined is told with the next word.
    let calls = |status: &RunStatus| {
        let mut ledger = status.ledger.clone();
        ledger.iter_mut().flat_map(|b| &mut b.instances).for_each(|i| i.join_time = None);
        ledger
    };
    calls(before) != calls(after)
        || before.jobs != after.jobs
        || before.degrade != after.degrade
        || before.release != after.release
        || before.stage != after.stage
        || before.verdict != after.verdict
        || before.overrides != after.overrides
        || before.started_time != after.started_time
        || before.deletion_time != after.deletion_time
        || before.completion_time != after.completion_time
        || states(before) != states(after)
        || floors(before) != floors(after)
}

impl<'a> Run<'a> {
    fn new(
        record: &'a RunRecord,
        announcement: &'a Announcement,
        world: &'a World,
        now: Instant,
    ) -> Self {
        let overrides = overrides::in_force(&world.overrides, record, now);
        let window = armed::window(record, announcement);
        let timeline = timeline::plan(announcement, &window, world, |t| baseline_of(t, world));
        let readings = if now < timeline.begin - PREPARE_AHEAD {
            Vec::new()
        } else {
            {
                let read = |s| read(s, announcement, world, now);
                announcement.signals.iter().map(read).collect()
            }
        };
        let end = overrides.end(window.end);
        Self { record, announcement, window, world, overrides, timeline, readings, end, now }
    }

    /// The run's claim on a target, as recorded in its hold.
    fn claimed(&self, target: &Target) -> Option<&'a Claim> {
        let hold = self.world.holds.get(&hold::name(&target.workload))?;
        hold.hold.claims.iter().find(|c| c.run == self.record.name)
    }

    /// Why the hold of a target cannot be understood, where there is such a one: nothing is done to the target then.
    fn unreadable(&self, target: &Target) -> Option<&'a String> {
        self.world.unreadable_holds.get(&hold::name(&target.workload))
    }

    /// The floor from which a target comes down: what this run has claimed, but no more than is there while the claim
    /// has not fallen due. Who is called off before it was raised is not raised to be lowered.
    fn reached(&self, target: &Target) -> Option<u32> {
        let floor = self.claimed(target)?.floor;
        let hold = &self.world.holds.get(&hold::name(&target.workload))?.hold;
        match self.world.target(&target.workload) {
            Seen::Known(live) if hold.due_time > self.now => {
                Some(floor.min(live.replicas.max(hold.baseline.replicas)))
            }
            _ => Some(floor),
        }
    }

    /// Remembers peaks, quiet time and what is unknown since when.
    fn observe(&self, status: &mut RunStatus) {
        let before = std::mem::take(&mut status.signals);
        status.signals = self
            .announcement
            .signals
            .iter()
            .map(|s| {
                let old = before.iter().find(|o| o.name == s.name);
                let reading = self.readings.iter().find(|r| r.name == s.name);
                explain::signal_status(&s.name, old, reading, self.now)
            })
            .collect();
        release::observe_load(status, &self.readings, self.announcement.hold, self.now);
        status.begin_time = Some(self.timeline.begin);
        status.end_time = Some(self.end);
        status.start_local =
            Some(schedule::in_zone(self.record.window.start, self.record.time_zone.as_deref()));
        status.overrides = self.overrides.iter().map(|o| o.name.clone()).collect();
    }

    fn begin_release(&self, status: &mut RunStatus, draft: &mut Draft) {
        // A start moves the end, once it is on record.
        if status.started_time != self.record.status.started_time {
            return;
        }
        let deleted = deletion::counts(self.record, status, self.world, self.now);
        if let Some(at) = deletion::counts_from(status, self.world) {
            draft.wake(at, self.now);
        }
        // The surge is there again, and the event is not over.
        let back = status.deletion_time.is_none() && self.record.owner.is_some();
        if back
            && self.now < self.end
            && status.release.as_ref().is_some_and(|r| r.cause == ReleaseCause::Deleted)
        {
            status.release = None;
            jobs::begin_again(status, self.announcement);
        }
        if let Some(release) = status.release.as_mut() {
            // What began by itself goes on as a person's word once a person asks for it.
            if deleted && !release.cause.by_a_person() {
                release.cause = ReleaseCause::Deleted;
            } else if self.overrides.release() && release.cause != ReleaseCause::Deleted {
                release.cause = ReleaseCause::Override;
            }
            return;
        }
        let Some(cause) = release::cause(
            self.record,
            deleted,
            self.announcement,
            status,
            &self.overrides,
            &self.window,
            self.now,
        ) else {
            return;
        };
        // The way down is not begun while nothing may be lowered: a clock that jumped would end the event for good.
        if !cause.by_a_person() && self.now < self.world.may_lower_from {
            return draft.wake(self.world.may_lower_from, self.now);
        }
        let targets = self.announcement.targets.iter();
        let floors: Vec<_> =
            targets.filter_map(|t| Some((t.name.clone(), self.reached(t)?))).collect();
        status.release = Some(release::begin(cause, &floors, self.now));
    }

    /// A person has yet to say that the event begins.
    fn is_armed(&self) -> bool {
        armed::waits(self.record, self.announcement)
    }

    /// A start takes back what began because nobody had started the event.
    fn hear_of_a_start(&self, status: &mut RunStatus) {
        let lost = |r: &crate::run::Release| r.cause == ReleaseCause::NeverStarted;
        let Some(said) = self.overrides.start() else { return };
        if armed::is_meant(self.record, self.world) && status.release.as_ref().is_none_or(lost) {
            status.started_time = Some(said);
            status.release = None;
            jobs::begin_again(status, self.announcement);
        }
    }

    /// The next step down, if the way down has begun and its beginning is on record.
    fn come_down(&self, status: &mut RunStatus, draft: &mut Draft) {
        if self.record.status.release.is_none() {
            return;
        }
        let back_to_plan = self.goes_back_to_the_plan(status, draft);
        let Some(way) = status.release.as_mut() else {
            return;
        };
        // A hold that could not be read when the way down began may be read now.
        for target in &self.announcement.targets {
            if !way.floors.iter().any(|f| f.target == target.name) {
                way.floors.extend(self.reached(target).map(|top| release::from(&target.name, top)));
            }
        }
        // A target without a signal of its own comes down with the others, or waits with them.
        let blind = self.readings.len() < self.announcement.signals.len()
            || self.readings.iter().any(|r| r.raises() && r.load.is_err());
        let patience_ends =
            self.end + self.announcement.hold.map_or(TimeDelta::zero(), |h| h.max_time);
        let patient = self.waits_for_others(way);
        let others_until = self.others_until(way);
        let facts = |name: &str| {
            let target = self.announcement.targets.iter().find(|t| t.name == name)?;
            if self.unreadable(target).is_some() {
                return Some(release::Step::UNREADABLE);
            }
            let hold = self.world.holds.get(&hold::name(&target.workload))?;
            let live = match self.world.target(&target.workload) {
                Seen::Absent => return None,
                Seen::Known(live) => Some(live),
                Seen::Unknown(_) => None,
            };
            let baseline = hold.hold.baseline.replicas;
            let (planned, ceiling) = demand::plan_and_ceiling(target, baseline);
            Some(release::Step {
                baseline,
                required: Required { blind, ..signal::required(&self.readings, name) },
                when_unknown: if back_to_plan { planned } else { 0 },
                boost: self.overrides.boost(name, planned),
                ceiling,
                autoscaled: hold.hold.baseline.autoscaler.is_some()
                    && !live.as_ref().is_some_and(|t| hold::stands_alone(&hold.hold.baseline, t)),
                settled: self.is_on_record(target)
                    && !self.world.doubted.contains(&target.workload)
                    && live.is_some_and(|live| {
                        // Who has new pods coming and old ones going is not left with fewer of both.
                        let rolls = live.rolling && patient;
                        let lags = write::lags(&hold.hold, live) && patient;
                        let due = write::writes(hold, live, Instant::MAX_UTC);
                        !rolls && !lags && !due.iter().any(write::Write::lowers)
                    }),
            })
        };
        let waits = release::step(
            way,
            self.announcement.release,
            facts,
            self.overrides.hold(),
            self.world.may_lower_from,
            patience_ends,
            self.now,
        );
        match waits {
            Ok(()) => draft.wake(self.now + self.announcement.release.step_time, self.now),
            Err(release::Wait::Pace(at) | release::Wait::JustStarted(at)) => {
                draft.wake(at, self.now);
            }
            Err(release::Wait::Blind) => draft.wake(patience_ends, self.now),
            Err(release::Wait::Unsettled(_)) => draft.wake(others_until, self.now),
            Err(release::Wait::Held) => {}
        }
    }

    /// The live load is unknown, and the surge says that its plan is trusted more than silence.
    fn goes_back_to_the_plan(&self, status: &RunStatus, draft: &mut Draft) -> bool {
        if self.announcement.on_unknown == OnUnknown::Hold {
            return false;
        }
        match release::silent(&self.readings, status, self.now) {
            Ok(()) => true,
            Err(later) => {
                if let Some(at) = later {
                    draft.wake(at, self.now);
                }
                false
            }
        }
    }

    /// A rollout, and an autoscaler, are waited for as long as evidence is, and as long as a rollout may take.
    fn others_until(&self, way: &crate::run::Release) -> Instant {
        let hold = self.announcement.hold.map_or(TimeDelta::zero(), |h| h.max_time);
        (self.end + hold).max(way.start_time + ROLLOUT_TIME)
    }

    pub(super) fn waits_for_others(&self, way: &crate::run::Release) -> bool {
        !way.cause.by_a_person() && self.now < self.others_until(way)
    }

    /// The floor of the last step stands in the hold: a step that was not taken over there was not taken.
    fn is_on_record(&self, target: &Target) -> bool {
        let way = self.record.status.release.as_ref();
        let floor = way.and_then(|w| w.floors.iter().find(|f| f.target == target.name));
        match (self.claimed(target), floor) {
            (Some(claim), Some(floor)) => claim.floor <= floor.floor,
            _ => true,
        }
    }

    fn ask_for_targets(&self, status: &mut RunStatus, draft: &mut Draft) {
        let mut clipped = Vec::new();
        for (target, start) in self.announcement.targets.iter().zip(&self.timeline.targets) {
            let Some(demand) = self.demand(target, *start) else {
                continue;
            };
            if let Some(from) = demand.clipped_from {
                clipped.push(format!(
                    "{}: {from} replicas are needed, maxReplicas allows {}",
                    target.name, demand.claim.ceiling
                ));
            }
            draft.claims.add(&target.workload, demand.claim, *start);
        }
        let (holds, reason) =
            if clipped.is_empty() { (false, "WithinLimits") } else { (true, "AtMaxReplicas") };
        let known = status.conditions.iter().any(|c| c.type_ == "Clipped");
        if holds || known {
            set_condition(
                &mut status.conditions,
                "Clipped",
                holds,
                reason,
                clipped.join("; "),
                self.now,
            );
        }
    }

    fn demand(&self, target: &Target, start: Instant) -> Option<Demand> {
        let baseline = baseline_of(target, self.world)?;
        // A step down counts from the moment it is on record, like every other intent: a floor that follows a step which
        // was then not persisted would go down and up again.
        let release = self.record.status.release.as_ref();
        let facts = Facts {
            run: &self.record.name,
            window: &self.window,
            end: self.end,
            baseline,
            start,
            claimed: self.claimed(target),
            held_since: self.claimed(target).and_then(|_| {
                self.world.holds.get(&hold::name(&target.workload)).map(|h| h.hold.since_time)
            }),
            required: signal::required(&self.readings, &target.name),
            ready: self.world.target(&target.workload).known().map(|live| live.ready),
            overrides: &self.overrides,
            release,
        };
        demand::demand(target, facts, self.now)
    }

    /// Targets of this run are given back: no claim of ours, and no hold that waits for its restore.
    fn targets_given_back(&self) -> bool {
        self.announcement.targets.iter().all(|target| {
            if self.unreadable(target).is_some() {
                return false;
            }
            self.world.holds.get(&hold::name(&target.workload)).is_none_or(|record| {
                let claims = &record.hold.claims;
                !claims.is_empty() && claims.iter().all(|c| c.run != self.record.name)
            })
        })
    }

    fn let_go(status: &RunStatus) -> bool {
        status.release.as_ref().is_some_and(|r| r.floors.iter().all(|f| f.done))
    }

    fn keep_ledger(&self, status: &mut RunStatus, draft: &mut Draft) {
        machines::settle(status, self.world, self.record, self.now);
        machines::drain_what_has_joined(status, self.world, self.now);
        if status.release.is_none() {
            if self.now >= self.world.may_lower_from {
                machines::terminate_drained(status, self.world, self.now);
            }
            for (group, start) in self.announcement.machines.iter().zip(&self.timeline.machines) {
                if let Some(class) = self.world.classes.get(&group.class)
                    && self.now >= *start
                    && self.now < self.end
                {
                    let (world, now) = (self.world, self.now);
                    machines::intend(status, self.record, group, &class.launch, world, now);
                    self.replace_lost(status, group, draft);
                }
            }
            if let Some(at) = machines::next_try(status, self.now) {
                draft.wake(at, self.now);
            }
        } else if Self::let_go(&self.record.status)
            && self.targets_given_back()
            && !self.overrides.hold()
        {
            if self.now < self.world.may_lower_from {
                return draft.wake(self.world.may_lower_from, self.now);
            }
            let pace = self.announcement.release;
            let next = machines::wind_down(status, self.world, self.record, pace, self.now);
            if let Some(at) = next {
                draft.wake(at, self.now);
            }
        }
        let persisted = &self.record.status;
        for act in machines::acts(persisted, self.record, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
    }

    /// Jobs are run in their time, each once what comes before it is ready.
    fn keep_jobs(&self, status: &mut RunStatus, draft: &mut Draft) {
        let facts = jobs::Facts {
            run: self.record,
            announcement: self.announcement,
            window: &self.window,
            warm_up: &self.timeline.warm_up,
            end: self.end,
            armed: self.is_armed(),
        };
        jobs::keep(status, facts, self.world, self.now);
        for act in jobs::acts(self.record, self.announcement, self.world, self.now) {
            draft.plan.acts.push(Act::Job { run: self.record.name.clone(), act });
        }
        if !self.announcement.jobs.is_empty() {
            draft.wake(self.world.may_lower_from, self.now);
        }
        if let Some(at) = self.waits_for_jobs_until(status) {
            draft.wake(at, self.now);
        }
    }

    fn waits_for_jobs_until(&self, status: &RunStatus) -> Option<Instant> {
        jobs::waits_until(self.record, status, self.announcement, self.world)
    }

    /// Instances that do not join give way to those that came in their place.
    fn replace_lost(&self, status: &mut RunStatus, group: &MachineGroup, draft: &mut Draft) {
        for instance in status.living().filter(|i| i.join_time.is_none()) {
            draft.wake(machines::late_from(instance, group, self.world), self.now);
        }
        if self.now < self.world.may_lower_from {
            return draft.wake(self.world.may_lower_from, self.now);
        }
        machines::give_up(status, group, self.world, self.now);
        if let Some(act) = machines::look(status, group, self.world, self.now) {
            draft.plan.acts.push(Act::Machine { run: self.record.name.clone(), act });
        }
    }

    /// Ends the run once nothing is owed any more. Whoever may not lower has not seen enough to say so.
    fn complete(&self, status: &mut RunStatus, draft: &mut Draft) {
        let Some(way) = self.record.status.release.as_ref() else {
            return;
        };
        if status.release.as_ref() != Some(way)
            || !Self::let_go(status)
            || !self.targets_given_back()
            || status.owes_machines()
            || status.owes_values()
            || status.degrade.iter().any(|step| step.engaged)
            || degrade::owes_work(self.ladder(status))
            || self.waits_for_jobs_until(status).is_some_and(|at| self.now < at)
        {
            return;
        }
        if self.now < self.world.may_lower_from {
            return draft.wake(self.world.may_lower_from, self.now);
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
    }

    /// The next instant at which something changes by itself.
    fn set_wake(&self, status: &RunStatus, draft: &mut Draft) {
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
            // While a pre-scale climbs, each of its steps is an instant of its own.
            if self.now >= *start && self.now < window.ready_by {
                let passed =
                    (self.now - *start).num_seconds() / timeline::RAMP_STEP_TIME.num_seconds();
                let next = i32::try_from(passed + 1).unwrap_or(i32::MAX);
                instants.push(*start + timeline::RAMP_STEP_TIME * next);
            }
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
        for at in instants {
            draft.wake(at, self.now);
        }
    }
}

/// Replicas found when the target was first held, or found now.
fn baseline_of(target: &Target, world: &World) -> Option<u32> {
    world.holds.get(&hold::name(&target.workload)).map(|h| h.hold.baseline.replicas).or_else(|| {
        // What is there may be raised already.
        let unreadable = world.unreadable_holds.contains_key(&hold::name(&target.workload));
        world.target(&target.workload).known().filter(|_| !unreadable).map(|t| t.replicas)
    })
}

fn read(
    signal: &crate::surge::Signal,
    announcement: &Announcement,
    world: &World,
    now: Instant,
) -> Reading {
    let Some(source) = world.sources.get(&signal.source) else {
        let nobody = Series::from(Sample::Unknown(Why::NoSuchSource));
        return signal::read(signal, &nobody, None, now, TimeDelta::zero());
    };
    let raised = signal.raises.as_ref().map(|raises| &raises.target);
    let target = announcement.targets.iter().find(|t| Some(&t.name) == raised);
    let ready = target.and_then(|t| world.target(&t.workload).known().map(|live| live.ready));
    let key = (signal.source.clone(), signal.query.clone());
    let not_asked = Series::default();
    let series = world.samples.get(&key).map_or(&not_asked, |series| &**series);
    signal::read(signal, series, ready, now, source.max_age)
}
