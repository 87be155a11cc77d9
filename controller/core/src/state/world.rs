//! The input of the planner for one namespace: specs, observations and persisted records.
//!
//! An observation may be [`Seen::Unknown`], and the planner never lowers capacity because of an
//! unknown observation. The maps are ordered, so that equal worlds give equal plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use chrono::TimeDelta;

use crate::Instant;
use crate::row::Row;
use crate::state::announcement::Workload;
use crate::state::budget::Budget;
use crate::state::calendar::{CalendarRecord, Reading};
use crate::state::hold::{HoldRecord, Reached};
use crate::state::ladder;
use crate::state::observed::{
    Asked, Bounds, CloudLook, Fleet, Instance, InstanceClass, InstanceState, Jobs, LaunchAnswer,
    MetricsSource, Node, Obstacles, Seen, TargetState,
};
use crate::state::overrides::Override;
use crate::state::place::Place;
use crate::state::run::RunRecord;
use crate::state::series::Series;
use crate::state::surge::SurgeRecord;

/// The objects of one namespace, and the cluster-wide objects that the namespace may refer to.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Name of the namespace.
    pub namespace: String,
    /// Surges by name.
    pub surges: BTreeMap<String, Row<SurgeRecord>>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, Row<CalendarRecord>>,
    /// Results of the last feed read, by calendar name.
    pub readings: BTreeMap<String, Arc<Reading>>,
    /// Runs by name.
    pub runs: BTreeMap<String, Row<RunRecord>>,
    /// Holds by name.
    pub holds: BTreeMap<String, Row<HoldRecord>>,
    /// Decoding errors of unreadable holds, by name. The planner leaves the targets of unreadable
    /// holds unchanged.
    pub unreadable_holds: BTreeMap<String, String>,
    /// All overrides in the namespace.
    pub overrides: Vec<Override>,
    /// States of the workloads that unfinished runs and holds refer to.
    pub targets: BTreeMap<Workload, Seen<TargetState>>,
    /// What bounds the pods of this namespace.
    pub bounds: Seen<Arc<Bounds>>,
    /// Instance classes by name.
    pub classes: BTreeMap<String, InstanceClass>,
    /// `SurgeBudget`s that name this namespace, by name.
    pub budgets: Vec<Budget>,
    /// Metrics sources by name.
    pub sources: BTreeMap<String, MetricsSource>,
    /// Workloads whose state may be stale, because no list has completed since the process became
    /// leader.
    pub doubted: BTreeSet<Workload>,
    /// True if this installation may launch machines (chart value `machines.enabled`).
    pub may_launch: bool,
    /// Jobs and templates that runs refer to. The value is [`Seen::Absent`] if the chart value
    /// `jobs.enabled` is off.
    pub jobs: Seen<Jobs>,
    /// Objects that degradation steps may write, according to the chart values.
    pub may_degrade: BTreeSet<ladder::Object>,
    /// Results of the last reads of the keys and fields that degradation steps write.
    pub places: BTreeMap<ladder::Place, ladder::Seen>,
    /// Recent samples, by metrics source and query.
    pub samples: BTreeMap<(String, String), Row<Series>>,
    /// What the last looks at the cloud have shown.
    pub cloud: CloudLook,
    /// Instances of the last complete look, by run UID. A run without instances has no entry.
    pub fleets: BTreeMap<String, Row<Fleet>>,
    /// Answers about ids that no look has shown, by instance ID.
    pub asked: BTreeMap<String, Asked>,
    /// Errors of the last termination calls, by instance ID.
    pub not_ended: BTreeMap<String, String>,
    /// Answers of the cloud to launch calls, by ledger token.
    pub launches: BTreeMap<String, LaunchAnswer>,
    /// Nodes, by instance ID.
    pub nodes: BTreeMap<String, Node>,
    /// Time of the request for the last complete list of Nodes. The value is `None` before the
    /// first list.
    pub nodes_as_of: Option<Instant>,
    /// Times at which live fields last had at least the value of the level, by hold. If a field is
    /// lower now, another writer has lowered the field.
    pub reached: BTreeMap<String, Reached>,
    /// True if this installation may list pods (chart value `pods.enabled`).
    pub may_look_at_pods: bool,
    /// Why pods of a target are missing, from the last look at its pods.
    pub obstacles: BTreeMap<Workload, Obstacles>,
    /// UIDs that the API server returned for surges requested by name. The value is `None` if the
    /// API server has no surge of the name.
    pub surge_looks: BTreeMap<String, Option<String>>,
    /// Grace period after the deletion of a run or surge (chart value `deleteGraceSeconds`). The
    /// planner lowers nothing meanwhile, because the deletion may be part of a replacement.
    pub delete_grace: TimeDelta,
    /// Earliest time at which the planner may lower anything. A process that has just started, or
    /// has just become leader, waits for fresh observations.
    pub may_lower_from: Instant,
    /// Time since which this process leads. An entry of an earlier time may have been sent by another
    /// process.
    pub leads_since: Instant,
    /// Difference between the clock behind `now` and the clock of the API server, positive if the
    /// first is ahead. The value is `None` while the clocks agree.
    pub clock_error: Option<TimeDelta>,
    /// Name of the cluster. The name separates instances of the cluster from other instances in the
    /// same cloud account.
    pub cluster: String,
}

impl World {
    /// True if the clock behind `now` is reliable: the clock agrees with the API server, and
    /// `may_lower_from` has passed.
    #[must_use]
    pub fn trusts_its_clock(&self, now: Instant) -> bool {
        self.clock_error.is_none() && now >= self.may_lower_from
    }

    /// Returns the place and the instances of a run from the last complete look at the cloud, with
    /// the time of the look. Returns `None` before the first look.
    #[must_use]
    pub fn fleet(&self, run_uid: &str) -> Option<(&Place, &Fleet, Instant)> {
        static NOTHING: Fleet = Fleet { instances: Vec::new() };
        let (place, at) = (self.cloud.place.as_ref()?, self.cloud.at?);
        Some((place, self.fleets.get(run_uid).map_or(&NOTHING, |fleet| &**fleet), at))
    }

    /// True if the last look shows an instance of a run as stopped. A stopped instance runs no pod,
    /// whatever its Node says.
    #[must_use]
    pub fn is_stopped(&self, run_uid: &str, id: &str) -> bool {
        let stopped = |i: &Instance| i.id == id && i.state == InstanceState::Stopped;
        self.fleet(run_uid).is_some_and(|(_, fleet, _)| fleet.instances.iter().any(stopped))
    }

    /// Returns the observed state of a workload.
    #[must_use]
    pub fn target(&self, workload: &Workload) -> &Seen<TargetState> {
        static NOT_LOOKED_AT: LazyLock<Seen<TargetState>> = LazyLock::new(Seen::default);
        self.targets.get(workload).unwrap_or(&NOT_LOOKED_AT)
    }
}
