//! Script of an evening, as a value: faults at numbered requests, outages within time spans, jumps
//! of the operator's clock.

use std::fmt;

use chrono::TimeDelta;
use primetime_core::Instant;

/// Fault at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before the request reaches the server.
    CrashBefore,
    /// The process dies after the server executed the request and before the reply arrives.
    CrashAfterEffect,
    /// The process dies when the reply arrives.
    CrashAfterReply,
    /// The server executes the request, and the reply never arrives.
    ReplyLost,
    /// The server executes the request 40 s late, after every client timeout.
    Late,
    /// The server answers 500 and does not execute the request.
    Refused,
    /// The server answers 409 and does not execute the request.
    Conflict,
    /// The server answers 429 and does not execute the request.
    TooMany,
    /// All watches deliver no events for 5 s after the request.
    Stale,
    /// All watches deliver no events for 30 s after the request.
    VeryStale,
    /// The process pauses 40 s before sending the request, longer than the Lease duration.
    /// Afterwards the process continues without noticing the pause.
    Paused,
    /// The process pauses 200 s before sending the request, until the event is over.
    PausedLong,
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::CrashBefore,
        Self::CrashAfterEffect,
        Self::CrashAfterReply,
        Self::ReplyLost,
        Self::Late,
        Self::Refused,
        Self::Conflict,
        Self::TooMany,
        Self::Stale,
        Self::VeryStale,
        Self::Paused,
        Self::PausedLong,
    ];

    /// Returns the faults for an evening with `operators` operators. A single operator never
    /// pauses, because no standby would take over.
    #[must_use]
    pub fn of(operators: usize) -> Vec<Self> {
        let mut all = Self::ALL.to_vec();
        all.retain(|fault| operators > 1 || fault.pause().is_none());
        all
    }

    /// Returns the duration of the pause of the process, if the fault is a pause.
    #[must_use]
    pub fn pause(self) -> Option<TimeDelta> {
        match self {
            Self::Paused => Some(TimeDelta::seconds(40)),
            Self::PausedLong => Some(TimeDelta::seconds(200)),
            _ => None,
        }
    }

    /// Returns the duration of the watch silence after the request, if the fault silences watches.
    #[must_use]
    pub fn silence(self) -> Option<TimeDelta> {
        match self {
            Self::Stale => Some(TimeDelta::seconds(5)),
            Self::VeryStale => Some(TimeDelta::seconds(30)),
            _ => None,
        }
    }

    /// True if the process dies of the fault.
    #[must_use]
    pub fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfterEffect | Self::CrashAfterReply)
    }
}

/// Fault at the n-th request of an evening, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Number of the request.
    pub request: usize,
    /// Fault at the request.
    pub fault: Fault,
}

/// Component or capability that can be out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The API server answers 503 and closes all watches.
    Api,
    /// The API server answers 403 to every write of an operator to a workload or autoscaler.
    Forbidden,
    /// Lists of the API server contain only every other object, with status 200.
    ListsPartial,
    /// The API server answers 410 Gone if a watch resumes from an old `resourceVersion`.
    WatchesGone,
    /// The API server refuses every eviction, as with a `PodDisruptionBudget` of zero.
    Evictions,
    /// Nodes cannot pull images. Pods created during the outage become ready only after the outage.
    Images,
    /// A foreign node autoscaler, without knowledge of Primetime, terminates machines that carry no
    /// pod.
    Consolidation,
    /// Machines launched during the outage run and never join the cluster.
    NeverJoins,
    /// The cloud answers every call with an error.
    Cloud,
    /// The cloud answers a single call in 4 s and throttles all others with `RequestLimitExceeded`.
    CloudThrottles,
    /// The credentials for the cloud have expired: every call is refused.
    Credentials,
    /// The credentials are of another account, in which no instance of the cluster runs.
    Elsewhere,
    /// Machines launched during the outage are terminated right after the launch.
    DieYoung,
    /// `DescribeInstances` of the cloud answers with the state at the beginning of the outage.
    CloudLags,
    /// Prometheus does not answer.
    Prometheus,
    /// Prometheus answers queries in even seconds with an empty result.
    MetricsGaps,
    /// Prometheus answers with the value, and the timestamp, of the beginning of the outage.
    MetricsStale,
    /// Prometheus answers 0.
    Lies,
    /// No operator process runs.
    Operator,
    /// Watches deliver no events, and deliver all of the delayed events after the outage.
    WatchesSilent,
    /// Watches lose every event of the outage for good.
    WatchesLossy,
    /// Watches deliver every event twice.
    WatchesDoubled,
    /// Watches deliver the latest event first.
    WatchesReversed,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 20] = [
        Self::Api,
        Self::Forbidden,
        Self::ListsPartial,
        Self::WatchesGone,
        Self::Evictions,
        Self::Images,
        Self::Consolidation,
        Self::NeverJoins,
        Self::Cloud,
        Self::CloudThrottles,
        Self::CloudLags,
        Self::Prometheus,
        Self::MetricsGaps,
        Self::MetricsStale,
        Self::Lies,
        Self::Operator,
        Self::WatchesSilent,
        Self::WatchesLossy,
        Self::WatchesDoubled,
        Self::WatchesReversed,
    ];
}

/// Outage of a part, from `from` inclusive to `until` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Part that is out.
    pub part: Part,
    /// Beginning of the outage.
    pub from: Instant,
    /// End of the outage.
    pub until: Instant,
}

/// Error of the operator's clock, from `from` inclusive to `until` exclusive, both in correct time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Beginning of the error.
    pub from: Instant,
    /// End of the error.
    pub until: Instant,
    /// Offset of the clock, positive if the clock is fast.
    pub by: TimeDelta,
}

/// Script of an evening: all faults, outages and clock jumps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Faults at numbered requests.
    pub faults: Vec<At>,
    /// Outages of parts.
    pub outages: Vec<Outage>,
    /// Errors of the operator's clock.
    pub jumps: Vec<Jump>,
}

impl Script {
    /// Returns a script with a single fault.
    #[must_use]
    pub fn one(request: usize, fault: Fault) -> Self {
        Self { faults: vec![At { request, fault }], ..Self::default() }
    }

    /// Returns a script with a single outage.
    #[must_use]
    pub fn out(part: Part, from: Instant, until: Instant) -> Self {
        Self { outages: vec![Outage { part, from, until }], ..Self::default() }
    }

    /// Returns the fault at a request, if the script has a fault there.
    #[must_use]
    pub fn at(&self, request: usize) -> Option<Fault> {
        self.faults.iter().find(|f| f.request == request).map(|f| f.fault)
    }

    /// True if `part` is out at `now`.
    #[must_use]
    pub fn is_out(&self, part: Part, now: Instant) -> bool {
        self.outages.iter().any(|o| o.part == part && now >= o.from && now < o.until)
    }

    /// Returns the beginning of the outage of `part` at `now`, if `part` is out. If outages
    /// overlap, the earliest beginning counts.
    #[must_use]
    pub fn out_since(&self, part: Part, now: Instant) -> Option<Instant> {
        let out = self.outages.iter().filter(|o| o.part == part && now >= o.from && now < o.until);
        out.map(|o| o.from).min()
    }

    /// Returns the end of the outage of `part` at `now`, if `part` is out. If outages overlap, the
    /// latest end counts.
    #[must_use]
    pub fn out_until(&self, part: Part, now: Instant) -> Option<Instant> {
        let out = self.outages.iter().filter(|o| o.part == part && now >= o.from && now < o.until);
        out.map(|o| o.until).max()
    }

    /// Returns the time at which the last outage and the last clock error have ended.
    #[must_use]
    pub fn last_outage(&self) -> Option<Instant> {
        let jumps = self.jumps.iter().map(|j| j.until);
        self.outages.iter().map(|o| o.until).chain(jumps).max()
    }

    /// Returns the number of faults, outages and clock jumps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.faults.len() + self.outages.len() + self.jumps.len()
    }

    /// True if the script is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the script without the n-th step, counted through faults, outages and jumps in this
    /// order.
    #[must_use]
    pub fn without(&self, n: usize) -> Self {
        let mut script = self.clone();
        let (faults, outages) = (self.faults.len(), self.outages.len());
        if n < faults {
            script.faults.remove(n);
        } else if n < faults + outages {
            script.outages.remove(n - faults);
        } else if n < self.len() {
            script.jumps.remove(n - faults - outages);
        }
        script
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: Instant| at.format("%H:%M:%S%.3f").to_string();
        let faults = self.faults.iter().map(|a| format!("{:?} at request {}", a.fault, a.request));
        let outages = self
            .outages
            .iter()
            .map(|o| format!("{:?} out from {} to {}", o.part, time(o.from), time(o.until)));
        let jumps = self.jumps.iter().map(|j| {
            let by = j.by.num_seconds();
            format!("the clock is wrong by {by} s from {} to {}", time(j.from), time(j.until))
        });
        let all: Vec<_> = faults.chain(outages).chain(jumps).collect();
        f.write_str(if all.is_empty() { "no fault" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}
