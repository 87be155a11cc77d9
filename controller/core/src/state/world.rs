//! What the planner sees of one namespace: what was announced, what was observed, and our own records.
//!
//! Every observation may be [`Seen::Unknown`], which never lowers anything. Maps are ordered: the same world gives
//! the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use chrono::TimeDelta;

use crate::Instant;
use crate::row::Row;
use crate::state::announcement::Workload;
use crate::state::calendar::{CalendarRecord, Reading};
use crate::state::hold::{HoldRecord, Reached};
use crate::state::ladder;
use crate::state::observed::{
    Fleet, InstanceClass, Jobs, LaunchAnswer, MetricsSource, Node, Seen, TargetState,
};
use crate::state::overrides::Override;
use crate::state::run::RunRecord;
use crate::state::series::Series;
use crate::state::surge::SurgeRecord;

/// One namespace, and what it may name of the cluster.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Announcements by name.
    pub surges: BTreeMap<String, Row<SurgeRecord>>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, Row<CalendarRecord>>,
    /// The last look at the feed of each calendar.
    pub readings: BTreeMap<String, Arc<Reading>>,
    /// Occurrences by name.
    pub runs: BTreeMap<String, Row<RunRecord>>,
    /// Holds by name.
    pub holds: BTreeMap<String, Row<HoldRecord>>,
    /// Holds that cannot be understood, by name, and why: their targets are left as they are.
    pub unreadable_holds: BTreeMap<String, String>,
    /// What on-call asked for.
    pub overrides: Vec<Override>,
    /// Workloads named by surges, runs and holds.
    pub targets: BTreeMap<Workload, Seen<TargetState>>,
    /// Classes by name.
    pub classes: BTreeMap<String, InstanceClass>,
    /// Sources by name.
    pub sources: BTreeMap<String, MetricsSource>,
    /// Workloads that were not listed since this process leads: what was seen of them may be old.
    pub doubted: BTreeSet<Workload>,
    /// Jobs that runs speak of; [`Seen::Absent`] where this installation may not create any.
    pub jobs: Seen<Jobs>,
    /// What steps of a ladder may write.
    pub may_degrade: BTreeSet<ladder::Object>,
    /// What was seen where steps of a ladder write.
    pub places: BTreeMap<ladder::Place, ladder::Seen>,
    /// What sources have said lately, by source and query.
    pub samples: BTreeMap<(String, String), Row<Series>>,
    /// Instances by run uid.
    pub fleets: BTreeMap<String, Seen<Row<Fleet>>>,
    /// Answers to launches whose entry is not settled yet, by token.
    pub launches: BTreeMap<String, LaunchAnswer>,
    /// Nodes by instance id.
    pub nodes: BTreeMap<String, Node>,
    /// When the list of all nodes was asked for that came last; nothing before the first.
    pub nodes_as_of: Option<Instant>,
    /// When the fields of a hold's level were last seen in force, by hold: what is lower now was lowered by another writer.
    pub reached: BTreeMap<String, Reached>,
    /// Answers of the API server that was asked for a surge by name, by that name: the uid of the surge, or that there is none.
    pub surge_looks: BTreeMap<String, Option<String>>,
    /// Nothing is lowered for so long after a deletion: it may be half of a replacement.
    pub delete_grace: TimeDelta,
    /// Nothing is lowered before this instant: a process that has just started, or just become leader, has not seen
    /// enough.
    pub may_lower_from: Instant,
    /// By how much the clock that `now` is read from is ahead of the API server's, or behind it where negative; nothing
    /// while they agree.
    pub clock_error: Option<TimeDelta>,
    /// Distinguishes the instances of this cluster from those of others in the same account.
    pub cluster: String,
}

impl World {
    /// The clock that `now` is read from is believed: it is the API server's, and has not jumped lately.
    #[must_use]
    pub fn trusts_its_clock(&self, now: Instant) -> bool {
        self.clock_error.is_none() && now >= self.may_lower_from
    }

    /// What is known of a workload.
    #[must_use]
    pub fn target(&self, workload: &Workload) -> &Seen<TargetState> {
        static NOT_LOOKED_AT: LazyLock<Seen<TargetState>> = LazyLock::new(Seen::default);
        self.targets.get(workload).unwrap_or(&NOT_LOOKED_AT)
    }
}
