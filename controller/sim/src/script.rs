//! Everything that goes wrong in an evening, as a value: faults at numbered requests, outages from one instant to
//! another, jumps of the operator's clock.

use std::fmt;

use chrono::TimeDelta;
use primetime_core::Instant;

/// A fault at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before the request arrives.
    CrashBefore,
    /// The process dies when it was done and before the reply arrives.
    CrashAfterEffect,
    /// The process dies with the reply in its hands.
    CrashAfterReply,
    /// It is done and the reply never arrives.
    ReplyLost,
    /// It is done long after everybody has stopped waiting for it.
    Late,
    /// It is answered 500, and not done.
    Refused,
    /// It is answered 409, and not done.
    Conflict,
    /// It is answered 429, and not done.
    TooMany,
    /// From then on watches say nothing for five seconds.
    Stale,
    /// From then on watches say nothing for thirty seconds.
    VeryStale,
    /// The process stands still before it sends the request, for longer than a lease lasts, and then goes on as if
    /// nothing had happened.
    Paused,
    /// The same, until all is over.
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

    /// What so many operators have to bear: where there is one, no standby takes over while it stands still.
    #[must_use]
    pub fn of(operators: usize) -> Vec<Self> {
        let mut all = Self::ALL.to_vec();
        all.retain(|fault| operators > 1 || fault.pause().is_none());
        all
    }

    /// How long the process stands still.
    #[must_use]
    pub fn pause(self) -> Option<TimeDelta> {
        match self {
            Self::Paused => Some(TimeDelta::seconds(40)),
            Self::PausedLong => Some(TimeDelta::seconds(200)),
            _ => None,
        }
    }

    /// How long watches say nothing from then on.
    #[must_use]
    pub fn silence(self) -> Option<TimeDelta> {
        match self {
            Self::Stale => Some(TimeDelta::seconds(5)),
            Self::VeryStale => Some(TimeDelta::seconds(30)),
            _ => None,
        }
    }

    /// The process dies of it.
    #[must_use]
    pub fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfterEffect | Self::CrashAfterReply)
    }
}

/// A fault at the n-th request of an evening, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Which request.
    pub request: usize,
    /// What happens to it.
    pub fault: Fault,
}

/// What can be out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The API server answers 503 and ends its watches.
    Api,
    /// Operators may not write to workloads and autoscalers: 403.
    Forbidden,
    /// Lists show every other object only, and say 200.
    ListsPartial,
    /// Watches that resume from an old resourceVersion get 410 Gone.
    WatchesGone,
    /// No pod may be evicted: a budget for disruptions allows none.
    Evictions,
    /// Images cannot be pulled: pods that are made are not ready before this is over.
    Images,
    /// An autoscaler of nodes that knows nothing of us takes machines that carry no pod.
    Consolidation,
    /// Machines that are launched run and never join.
    NeverJoins,
    /// The cloud answers nothing but errors.
    Cloud,
    /// The cloud answers one call in four seconds, and refuses the others.
    CloudThrottles,
    /// The cloud describes what there was when this began.
    CloudLags,
    /// Prometheus does not answer.
    Prometheus,
    /// Prometheus answers every other question with nothing.
    MetricsGaps,
    /// Prometheus answers what it saw when this began, and says when that was.
    MetricsStale,
    /// Prometheus answers 0.
    Lies,
    /// There is no operator.
    Operator,
    /// Watches say nothing, and everything when this is over.
    WatchesSilent,
    /// What happens is never said by a watch.
    WatchesLossy,
    /// Watches say everything twice.
    WatchesDoubled,
    /// Watches say the last first.
    WatchesReversed,
}

impl Part {
    /// All of them.
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

/// Something is out from an instant to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What.
    pub part: Part,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
}

/// The operator's clock is wrong from an instant to before another, by the right clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// By how much, forward or back.
    pub by: TimeDelta,
}

/// Everything that goes wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// At requests.
    pub faults: Vec<At>,
    /// At times.
    pub outages: Vec<Outage>,
    /// Of the clock.
    pub jumps: Vec<Jump>,
}

impl Script {
    /// One fault at one request.
    #[must_use]
    pub fn one(request: usize, fault: Fault) -> Self {
        Self { faults: vec![At { request, fault }], ..Self::default() }
    }

    /// One outage.
    #[must_use]
    pub fn out(part: Part, from: Instant, until: Instant) -> Self {
        Self { outages: vec![Outage { part, from, until }], ..Self::default() }
    }

    /// What happens to a request.
    #[must_use]
    pub fn at(&self, request: usize) -> Option<Fault> {
        self.faults.iter().find(|f| f.request == request).map(|f| f.fault)
    }

    /// Whether something is out at an instant.
    #[must_use]
    pub fn is_out(&self, part: Part, now: Instant) -> bool {
        self.outages.iter().any(|o| o.part == part && now >= o.from && now < o.until)
    }

    /// Since when something is out at an instant, if it is.
    #[must_use]
    pub fn out_since(&self, part: Part, now: Instant) -> Option<Instant> {
        let out = self.outages.iter().filter(|o| o.part == part && now >= o.from && now < o.until);
        out.map(|o| o.from).min()
    }

    /// Until when something is out at an instant, if it is.
    #[must_use]
    pub fn out_until(&self, part: Part, now: Instant) -> Option<Instant> {
        let out = self.outages.iter().filter(|o| o.part == part && now >= o.from && now < o.until);
        out.map(|o| o.until).max()
    }

    /// When the last outage is over, and the clock is right again.
    #[must_use]
    pub fn last_outage(&self) -> Option<Instant> {
        let jumps = self.jumps.iter().map(|j| j.until);
        self.outages.iter().map(|o| o.until).chain(jumps).max()
    }

    /// How many things go wrong.
    #[must_use]
    pub fn len(&self) -> usize {
        self.faults.len() + self.outages.len() + self.jumps.len()
    }

    /// Nothing goes wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The script without its n-th step.
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
