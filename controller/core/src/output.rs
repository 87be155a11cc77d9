//! What a plan consists of: records to persist, and acts on objects outside our own.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::Instant;
use crate::state::announcement::{JobTemplate, Window, Workload};
use crate::state::calendar::CalendarStatus;
use crate::state::decision::Decision;
use crate::state::hold::{Claim, Hold};
use crate::state::ladder::Place;
use crate::state::ledger::Batch;
use crate::state::observed::AutoscalerKind;
use crate::state::run::RunStatus;
use crate::state::surge::SurgeStatus;

/// What is done about the Job of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobAct {
    /// Create it.
    Create(Box<NewJob>),
    /// Ask for it by name: no list has it any more.
    Look {
        /// Name of the Job.
        name: String,
    },
}

/// The Job of a step, to be created from its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Name of the Job.
    pub name: String,
    /// What it is made from.
    pub template: JobTemplate,
    /// It is ended so long after it has begun.
    pub deadline: TimeDelta,
    /// The Job's `backoffLimit`; `None` keeps the value of the template.
    pub retries: Option<u32>,
    /// Name of the run that owns it.
    pub run: String,
    /// Uid of that run.
    pub run_uid: String,
}

/// A call to the cloud or to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineAct {
    /// Start the instances of a ledger entry.
    Launch {
        /// The entry, as persisted.
        batch: Box<Batch>,
        /// Uid of the run: a tag.
        run_uid: String,
    },
    /// Keep new pods off a node that will go in a later step, so that none has to move twice.
    Cordon {
        /// Name of the node.
        node: String,
    },
    /// Cordon a node and evict what runs on it, PDBs respected.
    Drain {
        /// Name of the node.
        node: String,
    },
    /// List the nodes anew: an instance is not on the list that there is, and that may be the list's fault.
    LookAtNodes,
    /// Terminate instances. The shell checks the tags once more.
    Terminate {
        /// Ids from the ledger.
        ids: Vec<String>,
        /// Uid of the run, which their tags must carry.
        run_uid: String,
    },
}

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
    AddFinalizer {
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
    RemoveFinalizer {
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

/// An effect on an object that is not ours.
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

/// When to look again, even if nothing changes: the earliest of several instants. Each step returns one; a step that is
/// forgotten sleeps too long, so it cannot be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the next instant of a step has to reach the plan"]
pub(crate) struct Wake(Option<Instant>);

impl Wake {
    /// Nothing changes by itself.
    pub(crate) const NEVER: Self = Self(None);

    /// At an instant, if that is in the future.
    pub(crate) fn at(at: Instant, now: Instant) -> Self {
        Self(Some(at).filter(|at| *at > now))
    }

    /// At the earliest of these instants that is in the future.
    pub(crate) fn at_first(instants: impl IntoIterator<Item = Instant>, now: Instant) -> Self {
        Self(instants.into_iter().filter(|at| *at > now).min())
    }

    /// The earlier of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self([self.0, other.0].into_iter().flatten().min())
    }

    /// The instant.
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }
}

/// What is put together on the way.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    pub(crate) claims: Claims,
}

impl Draft {
    pub(crate) fn record(&mut self, record: Record) {
        self.plan.records.push(record);
    }
}

/// A field from what was seen to what it shall be; `None` where the field is not set.
///
/// The patch tests what was seen: a change in between makes it fail. A raise from an
/// old view would otherwise cut what another writer has raised further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was seen.
    pub from: Option<u32>,
    /// What it shall be.
    pub to: Option<u32>,
}

/// One patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Bounds of an autoscaler.
    Bounds {
        /// Which kind.
        kind: AutoscalerKind,
        /// Name of the autoscaler.
        name: String,
        /// The minimum, if it is to change.
        min: Option<Change>,
        /// The maximum, if it is to change.
        max: Option<Change>,
        /// What KEDA keeps while no trigger is active, if it is to change.
        idle: Option<Change>,
        /// Something is lowered.
        lowers: bool,
    },
    /// `spec.replicas` of the scale subresource.
    Replicas {
        /// The workload.
        workload: Workload,
        /// What was seen.
        from: u32,
        /// The new value.
        to: u32,
    },
}

impl Write {
    /// Whether the patch takes anything away.
    #[must_use]
    pub fn lowers(&self) -> bool {
        match self {
            Self::Bounds { lowers, .. } => *lowers,
            Self::Replicas { from, to, .. } => to < from,
        }
    }
}

/// What is done about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchAct {
    /// See what stands there.
    Read {
        /// The place.
        place: Place,
    },
    /// Write, if what stands there is still what was seen.
    Write {
        /// The place.
        place: Place,
        /// What was seen; none where it was not set.
        from: Option<String>,
        /// What it shall be; none takes it away.
        to: Option<String>,
    },
}

/// What the runs of a namespace claim.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub(crate) by_target: BTreeMap<Workload, Vec<(Claim, Instant)>>,
    /// Runs whose claims stand as recorded: they could not be judged in this pass.
    pub(crate) undecided: BTreeSet<String>,
}

impl Claims {
    pub(crate) fn add(&mut self, workload: &Workload, claim: Claim, due: Instant) {
        self.by_target.entry(workload.clone()).or_default().push((claim, due));
    }

    pub(crate) fn leave_as_recorded(&mut self, run: &str) {
        self.undecided.insert(run.to_owned());
    }
}
