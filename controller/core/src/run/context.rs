//! Context of a run during a planning pass: announcement, instants in force, overrides and signals.

use chrono::TimeDelta;

use crate::Instant;
use crate::run::load::{self, Reading};
use crate::run::manual_start;
use crate::run::overrides::{self, InForce};
use crate::scaling::usual;
use crate::state::announcement::{Announcement, Target, Window};
use crate::state::hold::{self, Claim};
use crate::state::observed::Seen;
use crate::state::run::{RunRecord, RunStatus};
use crate::state::sample::{Sample, Why};
use crate::state::series::Series;
use crate::state::world::World;
use crate::timeline::{self, PREPARE_AHEAD, Timeline};

/// Run with everything that the planner derives before step 3.
pub(super) struct Run<'a> {
    pub(super) record: &'a RunRecord,
    pub(super) announcement: &'a Announcement,
    /// Instants in force: the announced instants, or the instants derived from a manual start.
    pub(super) window: Window,
    pub(super) world: &'a World,
    pub(super) overrides: InForce<'a>,
    pub(super) timeline: Timeline,
    pub(super) readings: Vec<Reading>,
    /// End in force: the end of `window`, or a later end from an `Extend` override.
    pub(super) end: Instant,
    pub(super) now: Instant,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        record: &'a RunRecord,
        announcement: &'a Announcement,
        world: &'a World,
        now: Instant,
    ) -> Self {
        let overrides = overrides::in_force(&world.overrides, record, now);
        let window = manual_start::window(record, announcement);
        let timeline =
            timeline::plan(announcement, &window, world, |t| usual::replicas(t, world, now));
        let readings = if now < timeline.begin - PREPARE_AHEAD {
            Vec::new()
        } else {
            let read = |s| read(s, announcement, world, now);
            announcement.signals.iter().map(read).collect()
        };
        let end = overrides.end(window.end);
        Self { record, announcement, window, world, overrides, timeline, readings, end, now }
    }

    /// True if a signal that raises targets is unknown.
    ///
    /// An unknown signal blocks every lowering of the run, of its machines and of the targets without
    /// a signal too: a target behind the one with the signal serves the same load.
    pub(super) fn is_blind(&self) -> bool {
        self.readings.iter().any(|reading| reading.raises() && reading.load.is_err())
    }

    /// Returns the claim of the run on a target, as recorded in the hold (`spec.claims` of
    /// `SurgeHold`).
    pub(super) fn claimed(&self, target: &Target) -> Option<&'a Claim> {
        let hold = self.world.holds.get(&hold::name(&target.workload))?;
        hold.hold.claims.iter().find(|c| c.run == self.record.name)
    }

    /// Returns the reason why the hold of a target cannot be decoded, if so.
    ///
    /// The planner leaves a target with an undecodable hold unchanged.
    pub(super) fn unreadable(&self, target: &Target) -> Option<&'a String> {
        // mutate: hold-cannot-read-no
        self.world.unreadable_holds.get(&hold::name(&target.workload))
    }

    /// Returns the floor from which the release lowers a target: the claimed floor.
    ///
    /// If the hold is not due yet, the result is at most the live replicas or the baseline,
    /// whichever is higher. A run cancelled before the raise must not first raise the target and
    /// then lower the target.
    pub(super) fn reached(&self, target: &Target) -> Option<u32> {
        let floor = self.claimed(target)?.floor;
        let hold = &self.world.holds.get(&hold::name(&target.workload))?.hold;
        match self.world.target(&target.workload) {
            Seen::Known(live) if hold.due_time > self.now => {
                Some(floor.min(live.replicas.max(hold.baseline.replicas)))
            }
            _ => Some(floor),
        }
    }

    /// True if the run waits for a person to start the event.
    pub(super) fn is_armed(&self) -> bool {
        manual_start::waits(self.record, self.announcement)
    }

    /// True if no target of the run waits for a restore.
    pub(super) fn targets_given_back(&self) -> bool {
        self.announcement.targets.iter().all(|target| self.given_back(target))
    }

    /// True if a target is restored: the hold is gone, or only other runs have claims in the hold. A
    /// target with an undecodable hold is not restored.
    pub(super) fn given_back(&self, target: &Target) -> bool {
        if self.unreadable(target).is_some() {
            return false;
        }
        self.world.holds.get(&hold::name(&target.workload)).is_none_or(|record| {
            let claims = &record.hold.claims;
            !claims.is_empty() && claims.iter().all(|c| c.run != self.record.name)
        })
    }

    pub(super) fn let_go(status: &RunStatus) -> bool {
        status.release.as_ref().is_some_and(|r| r.floors.iter().all(|f| f.done))
    }
}

fn read(
    signal: &crate::state::announcement::Signal,
    announcement: &Announcement,
    world: &World,
    now: Instant,
) -> Reading {
    let Some(source) = world.sources.get(&signal.source) else {
        let unknown = Series::from(Sample::Unknown(Why::NoSuchSource));
        return load::read(signal, &unknown, None, now, TimeDelta::zero());
    };
    let raised = signal.raises.as_ref().map(|raises| &raises.target);
    let target = announcement.targets.iter().find(|t| Some(&t.name) == raised);
    let ready = target.and_then(|t| world.target(&t.workload).known().map(|live| live.ready));
    let key = (signal.source.clone(), signal.query.clone());
    let not_asked = Series::default();
    let series = world.samples.get(&key).map_or(&not_asked, |series| &**series);
    load::read(signal, series, ready, now, source.max_age)
}
