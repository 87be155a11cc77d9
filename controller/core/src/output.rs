//! The parts of a plan: records to persist, and acts on objects that the operator does not own.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::Instant;
use crate::state::announcement::{JobTemplate, Window, Workload};
use crate::state::calendar::CalendarStatus;
use crate::state::decision::Decision;
use crate::state::hold::{Claim, Hold};
use crate::state::ladder::Place;
use crate::state::ledger::Batch;
use crate::state::observed::{AutoscalerKind, Reservation};
use crate::state::run::RunStatus;
use crate::state::surge::SurgeStatus;

/// An act on the Job of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobAct {
    /// Create the Job.
    Create(Box<NewJob>),
    /// Read the Job by name from the API server, because no list contains the Job any more.
    Look {
        /// Name of the Job.
        name: String,
    },
}

/// The Job of a step, to be created from a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Name of the Job.
    pub name: String,
    /// Reference to the template: a `CronJob` or a suspended Job.
    pub template: JobTemplate,
    /// Maximum run time of the Job (`spec.activeDeadlineSeconds`), at least 1 s.
    pub deadline: TimeDelta,
    /// The Job's `spec.backoffLimit`. If `None`, the Job keeps the value of the template.
    pub retries: Option<u32>,
    /// Name of the run that owns the Job.
    pub run: String,
    /// Uid of that run.
    pub run_uid: String,
}

/// A call to the cloud or an act on a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineAct {
    /// Start the instances of a ledger entry.
    Launch {
        /// The ledger entry, as persisted.
        batch: Box<Batch>,
        /// Uid of the run. The cloud stores the uid as a tag of each instance.
        run_uid: String,
    },
    /// Cordon a Node that a later step drains, so that an evicted pod does not land there and move
    /// a second time.
    Cordon {
        /// Name of the Node.
        node: String,
    },
    /// Open a Node that the operator has cordoned, because the event goes on.
    Uncordon {
        /// Name of the Node.
        node: String,
    },
    /// Cordon a Node and empty the Node of pods.
    Drain {
        /// Name of the Node.
        node: String,
        /// True if the Node is not cordoned yet.
        open: bool,
        /// Pods of targets that may be evicted now, by workload. Pods of other workloads are bound
        /// by each `PodDisruptionBudget` alone.
        spare: BTreeMap<Workload, u32>,
        /// True after the drain deadline: the pods are deleted, and no `PodDisruptionBudget` counts.
        overdue: bool,
    },
    /// Ask the cloud for instances that the inventory lacks.
    Ask {
        /// Instance ids from the ledger.
        ids: Vec<String>,
    },
    /// Move the expiry tag of instances to a later time.
    Renew {
        /// Instance ids from the ledger.
        ids: Vec<String>,
        /// The new time.
        expires: Instant,
    },
    /// List all Nodes again, because a stale list may lack the Node of an instance.
    LookAtNodes,
    /// Terminate instances. The shell first compares the tags of each instance with the run.
    Terminate {
        /// Instance ids from the ledger.
        ids: Vec<String>,
        /// Uid of the run. The shell terminates only instances that carry the uid as a tag.
        run_uid: String,
    },
}

/// The output of a pass of the planner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Changes of our own objects. The reconciler persists the records first.
    pub records: Vec<Record>,
    /// Effects on other objects. A record that is already persisted covers each act. The writes
    /// stand in order of deadline.
    pub acts: Vec<Act>,
    /// Time of the next pass, if no change of the world causes an earlier pass.
    pub wake: Option<Instant>,
}

/// The run of an occurrence, to be created as a copy of the surge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Name of the run.
    pub name: String,
    /// Name of the surge.
    pub surge: String,
    /// Uid of the surge.
    pub owner: String,
    /// The `metadata.generation` of the surge that the planner copies.
    pub generation: i64,
    /// Ready time, start and end of the run.
    pub window: Window,
    /// Text of `spec.startNote`, if the local start time is skipped or repeated by a clock change.
    pub note: Option<String>,
    /// Id of the calendar event (`spec.eventId`), if a calendar plans the run.
    pub event: Option<String>,
}

/// A change of our own objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Create the run of an occurrence from the present spec of the surge.
    CreateRun(PlannedRun),
    /// Copy the edited surge again into a run that has not begun.
    ReplanRun(PlannedRun),
    /// Extend the window of a run that has begun, because the calendar event starts earlier or ends
    /// later.
    ///
    /// The record changes no other field of the run.
    StretchRun {
        /// Name of the run.
        run: String,
        /// The new window, which contains the old window.
        window: Window,
        /// Entry for the decision log and the Kubernetes Event.
        news: Decision,
    },
    /// Delete a run that the surge withdrew before the run began, or that is completed.
    ///
    /// A completed run goes if the run exceeds `spec.historyLimit` or if the surge no longer
    /// exists.
    DeleteRun {
        /// Name of the run.
        run: String,
        /// Uid of the run.
        uid: String,
        /// Entry for the decision log and the Kubernetes Event of a withdrawn run. A completed run
        /// has none.
        news: Option<Decision>,
    },
    /// Add our finalizer to a run before the first effect of the run, and remove the owner
    /// reference to the surge.
    ///
    /// The garbage collector then does not delete the run together with the surge.
    AddFinalizer {
        /// Name of the run.
        run: String,
    },
    /// Give a run in progress a new owner, because the surge was deleted and created again.
    AdoptRun {
        /// Name of the run.
        run: String,
        /// Uid of the new surge.
        owner: String,
        /// The generation of the new surge, if the spec of the run equals the spec of the new
        /// surge. Else `None`.
        generation: Option<i64>,
    },
    /// Remove our finalizer from a run, because the run has restored everything.
    ///
    /// The garbage collector then deletes the run together with the surge.
    RemoveFinalizer {
        /// Name of the run.
        run: String,
        /// Uid of the surge, if the surge exists.
        owner: Option<String>,
    },
    /// Write the status of a run.
    RunStatus {
        /// Name of the run.
        run: String,
        /// The new status.
        status: Box<RunStatus>,
        /// True if an act or a person waits for the status. The reconciler then writes the status
        /// without the usual rate limit.
        urgent: bool,
        /// New entries of the decision log.
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
    /// Reserve instances of an `InstanceClass` for a run, or return the reservation if it has no
    /// instance.
    ///
    /// The write fails if the class has changed since, so that runs never reserve the same room.
    Reserve {
        /// Name of the class.
        class: String,
        /// The reservation.
        reservation: Box<Reservation>,
    },
    /// Create the hold of a target.
    CreateHold {
        /// Name of the hold.
        name: String,
        /// The contents of the hold.
        hold: Box<Hold>,
    },
    /// Change the contents of a hold.
    UpdateHold {
        /// Name of the hold.
        name: String,
        /// The new contents of the hold.
        hold: Box<Hold>,
    },
    /// Delete the hold, because the target is back at the baseline.
    DeleteHold {
        /// Name of the hold.
        name: String,
    },
}

/// An effect on an object that the operator does not own.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Patch a target or the autoscaler of the target.
    Write {
        /// Name of the hold that covers the writes.
        hold: String,
        /// The patches in order. The reconciler sends each patch only after the previous patch has
        /// succeeded.
        writes: Vec<Write>,
        /// Time at which the writes are due.
        due: Instant,
    },
    /// Start, drain or terminate machines.
    Machine {
        /// Name of the run.
        run: String,
        /// The act.
        act: MachineAct,
    },
    /// Read or write a value that a step of the ladder changes.
    Switch(SwitchAct),
    /// Read a surge by name from the API server, because a list that lacks the surge proves
    /// nothing.
    LookForSurge {
        /// Name of the surge.
        surge: String,
    },
    /// Read why pods of a target are missing.
    LookAtPods {
        /// The target.
        workload: Workload,
    },
    /// Create a Job, or read a Job by name.
    Job {
        /// Name of the run.
        run: String,
        /// The act.
        act: JobAct,
    },
}

/// Time of the next pass: the earliest of several instants.
///
/// Each step of the planner returns a `Wake`, which the caller must use. A dropped `Wake` would
/// delay the next pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the next instant of a step has to reach the plan"]
pub(crate) struct Wake(Option<Instant>);

impl Wake {
    /// A `Wake` without a time: the state does not change without an outside cause.
    pub(crate) const NEVER: Self = Self(None);

    /// Returns a `Wake` at an instant, if the instant is in the future.
    pub(crate) fn at(at: Instant, now: Instant) -> Self {
        Self(Some(at).filter(|at| *at > now))
    }

    /// Returns a `Wake` at the earliest future instant of the list.
    pub(crate) fn at_first(instants: impl IntoIterator<Item = Instant>, now: Instant) -> Self {
        Self(instants.into_iter().filter(|at| *at > now).min())
    }

    /// Returns the earlier of two `Wake` values.
    pub(crate) fn or(self, other: Self) -> Self {
        Self([self.0, other.0].into_iter().flatten().min())
    }

    /// Returns the instant, or `None` if no pass is planned.
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }
}

/// The plan and the claims that the passes of the planner build up.
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

/// A change of a field from the observed value to a new value. An unset field is `None`.
///
/// The patch tests the observed value and fails with a conflict if the value has changed. A raise
/// from a stale value would otherwise undo a higher value of another writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The observed value.
    pub from: Option<u32>,
    /// The new value.
    pub to: Option<u32>,
}

/// A patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Bounds of an autoscaler.
    Bounds {
        /// Kind of the autoscaler.
        kind: AutoscalerKind,
        /// Name of the autoscaler.
        name: String,
        /// The new minimum, or `None` to keep the minimum.
        min: Option<Change>,
        /// The new maximum, or `None` to keep the maximum.
        max: Option<Change>,
        /// The new `idleReplicaCount` of a KEDA `ScaledObject`, or `None` to keep the value.
        idle: Option<Change>,
        /// True if the patch lowers a bound.
        lowers: bool,
    },
    /// `spec.replicas` of the scale subresource.
    Replicas {
        /// The workload.
        workload: Workload,
        /// The observed number of replicas.
        from: u32,
        /// The new number of replicas.
        to: u32,
    },
}

impl Write {
    /// True if the patch lowers a bound or the number of replicas.
    #[must_use]
    pub fn lowers(&self) -> bool {
        match self {
            Self::Bounds { lowers, .. } => *lowers,
            Self::Replicas { from, to, .. } => to < from,
        }
    }
}

/// An act on a place: a value that a degradation step writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchAct {
    /// Read the present value.
    Read {
        /// The place.
        place: Place,
    },
    /// Write a value, if the present value still equals the observed value.
    Write {
        /// The place.
        place: Place,
        /// The observed value, or `None` if the value was not set.
        from: Option<String>,
        /// The new value, or `None` to remove the value.
        to: Option<String>,
    },
}

/// Claims of all runs of a namespace.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub(crate) by_target: BTreeMap<Workload, Vec<(Claim, Instant)>>,
    /// Runs that the planner cannot judge in the present pass. The recorded claims of such a run
    /// stay unchanged.
    pub(crate) undecided: BTreeSet<String>,
    /// Targets of released runs. The value is true if every such run lets the raised maximum of the
    /// target go.
    maxima: BTreeMap<Workload, bool>,
}

impl Claims {
    pub(crate) fn add(&mut self, workload: &Workload, claim: Claim, due: Instant) {
        self.by_target.entry(workload.clone()).or_default().push((claim, due));
    }

    /// Records whether a released run lets the raised maximum of a target go. A run that keeps the
    /// maximum overrules all others.
    pub(crate) fn let_maximum_go(&mut self, workload: &Workload, lets_go: bool) {
        let all = self.maxima.entry(workload.clone()).or_insert(true);
        *all &= lets_go;
    }

    /// True if at least one released run names the target, and all such runs let the maximum go.
    pub(crate) fn lets_maximum_go(&self, workload: &Workload) -> bool {
        self.maxima.get(workload).copied().unwrap_or(false)
    }

    pub(crate) fn leave_as_recorded(&mut self, run: &str) {
        self.undecided.insert(run.to_owned());
    }
}
