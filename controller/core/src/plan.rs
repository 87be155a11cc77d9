//! All rules, in order.
//!
//! A plan has records and acts. Records are persisted first; an act is only ever derived from a record that the
//! world already shows as persisted. So "intent before effect" needs no bookkeeping: whoever crashes between the
//! two plans the same act again from the same record.

mod calendars;
mod holds;
mod runs;
mod surges;

use std::collections::BTreeMap;

use crate::Instant;
use crate::calendar::CalendarStatus;
use crate::decision::Decision;
use crate::degrade::SwitchAct;
use crate::hold::Hold;
use crate::jobs::JobAct;
use crate::machines::MachineAct;
use crate::run::{RunRecord, RunStatus};
use crate::surge::Window;
use crate::world::{SurgeStatus, World};
use crate::write::Write;

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Persist these.
    pub records: Vec<Record>,
    /// Do these: each is covered by a record that is persisted already. In deadline order.
    pub acts: Vec<Act>,
    /// Look again at this instant, even if nothing changes.
    pub wake: Option<Instant>,
}

/// The run of an occurrence, to be copied from its surge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Name of the run.
    pub name: String,
    /// The surge.
    pub surge: String,
    /// Its uid.
    pub owner: String,
    /// The generation that was planned from.
    pub generation: i64,
    /// Its instants.
    pub window: Window,
    /// Said where its start was not as simple as that.
    pub note: Option<String>,
    /// The event of a calendar that it is.
    pub event: Option<String>,
}

/// A change of our own objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Create the run of an occurrence from the surge as it stands.
    CreateRun(PlannedRun),
    /// The surge was edited and the run has not begun: copy the surge again.
    ReplanRun(PlannedRun),
    /// The event of a run that has begun starts earlier or goes on for longer: its instants move, and nothing else of it.
    StretchRun {
        /// Name of the run.
        run: String,
        /// The new instants: none of them is for less.
        window: Window,
        /// What people are told of it.
        news: Decision,
    },
    /// The occurrence moved before its run had begun, or it is long over.
    DeleteRun {
        /// Name of the run.
        run: String,
        /// Its uid.
        uid: String,
        /// What people are told of it.
        news: Option<Decision>,
    },
    /// Put our finalizer on a run, before its first effect, and let it outlive its surge.
    Guard {
        /// Name of the run.
        run: String,
    },
    /// The surge was deleted and created again, and announces a run that has begun: the run goes on as its own.
    AdoptRun {
        /// Name of the run.
        run: String,
        /// The uid of the surge.
        owner: String,
        /// The generation that the run was copied from, where the run asks for what the new surge says.
        generation: Option<i64>,
    },
    /// Take our finalizer off: everything was given back. From then on the run goes with its surge.
    Unguard {
        /// Name of the run.
        run: String,
        /// The uid of the surge, where that is there.
        owner: Option<String>,
    },
    /// Write the status of a run.
    RunStatus {
        /// Name of the run.
        run: String,
        /// The new status.
        status: Box<RunStatus>,
        /// An act, or a person, waits for it: write it at once.
        urgent: bool,
        /// Lines that are new in the decision log.
        news: Vec<Decision>,
    },
    /// Write the status of a surge.
    SurgeStatus {
        /// Name of the surge.
        surge: String,
        /// The new status.
        status: Box<SurgeStatus>,
    },
    /// Write the status of a calendar.
    CalendarStatus {
        /// Name of the calendar.
        calendar: String,
        /// The new status.
        status: Box<CalendarStatus>,
    },
    /// Begin to hold a target.
    CreateHold {
        /// Name of the hold.
        name: String,
        /// The record.
        hold: Box<Hold>,
    },
    /// Change the record of a hold.
    UpdateHold {
        /// Name of the hold.
        name: String,
        /// The record.
        hold: Box<Hold>,
    },
    /// The target was given back.
    DeleteHold {
        /// Name of the hold.
        name: String,
    },
}

/// An effect on somebody else's object.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Patch a target or its autoscaler.
    Write {
        /// The hold that covers it.
        hold: String,
        /// The patches, in order: each only after the one before it succeeded.
        writes: Vec<Write>,
        /// When they are due.
        due: Instant,
    },
    /// Start, drain or terminate machines.
    Machine {
        /// The run.
        run: String,
        /// What to do.
        act: MachineAct,
    },
    /// Read or write a value that a step of a ladder speaks of.
    Switch(SwitchAct),
    /// Ask for a surge by name: the list does not show it, and that proves nothing.
    LookForSurge {
        /// Name of the surge.
        surge: String,
    },
    /// Create a Job, or look for one.
    Job {
        /// The run.
        run: String,
        /// What to do.
        act: JobAct,
    },
}

/// What is put together on the way.
#[derive(Debug, Default)]
struct Draft {
    plan: Plan,
    claims: holds::Claims,
}

impl Draft {
    fn record(&mut self, record: Record) {
        self.plan.records.push(record);
    }

    /// Looks again at `at`, if that is in the future.
    fn wake(&mut self, at: Instant, now: Instant) {
        if at > now {
            self.plan.wake = Some(self.plan.wake.map_or(at, |w| w.min(at)));
        }
    }
}

/// Decides everything for one namespace at one instant.
#[must_use]
pub fn plan(world: &World, now: Instant) -> Plan {
    let mut draft = Draft::default();
    // 1. Each calendar says what counts of its feed.
    for calendar in world.calendars.values() {
        calendars::plan(calendar, world, now, &mut draft);
    }
    // 2. Each surge has the runs of its next occurrences.
    let mut runs: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
    for run in world.runs.values() {
        runs.entry(&run.surge).or_default().push(run);
    }
    for surge in world.surges.values() {
        let of_its_name = runs.get(surge.name.as_str()).map_or(&[][..], Vec::as_slice);
        surges::plan(surge, of_its_name, world, now, &mut draft);
    }
    // 3. Each run says what it asks of each target, keeps its ledger, and explains itself.
    for run in world.runs.values() {
        runs::plan(run, world, now, &mut draft);
    }
    // 4. The claims of all runs meet in one hold per target.
    holds::plan(world, now, &mut draft);
    draft.plan
}

#[cfg(test)]
mod tests;
