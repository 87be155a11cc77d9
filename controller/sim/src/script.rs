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
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
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
    ];
}

impl Fault {
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
    /// The cloud answers nothing but errors.
    Cloud,
    /// Prometheus does not answer.
    Prometheus,
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
    pub const ALL: [Self; 9] = [
        Self::Api,
        Self::Cloud,
        Self::Prometheus,
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
