//! Who leads: the decision half of leader election by a Lease.
//!
//! The shell writes with the resourceVersion it read, so two candidates never both succeed. Times are judged by this
//! process's own monotonic time from when it *saw* a renewal, never by comparing clocks of two machines, and never by a
//! wall clock, which may be set: here a time is a [`Duration`] since an origin of this process.

use std::time::Duration;

/// What the Lease object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The holder; `None` if it is free.
    pub holder: Option<String>,
    /// Its resourceVersion: a change means a renewal.
    pub version: String,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A holder that was not seen to renew for this long has lost it.
    pub duration: Duration,
    /// A holder that could not renew for this long must stop; shorter than `duration`.
    pub renew_deadline: Duration,
    /// How often to look.
    pub retry: Duration,
}

impl Default for Terms {
    /// client-go's defaults: 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What this candidate knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The version last seen, and when it was first seen.
    seen: Option<(String, Duration)>,
    /// When this candidate last renewed.
    renewed: Option<Duration>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Write our name into the Lease.
    Take,
    /// Write a new renew time.
    Renew,
    /// Another process holds it.
    Wait,
}

impl Memory {
    /// Decides after a look at the Lease.
    pub fn look(&mut self, lease: &Lease, me: &str, terms: Terms, now: Duration) -> Move {
        if self.seen.as_ref().is_none_or(|(version, _)| *version != lease.version) {
            self.seen = Some((lease.version.clone(), now));
        }
        match lease.holder.as_deref() {
            None | Some("") => Move::Take,
            Some(holder) if holder == me => Move::Renew,
            Some(_) => {
                let silent = self
                    .seen
                    .as_ref()
                    .is_some_and(|(_, since)| now.saturating_sub(*since) >= terms.duration);
                if silent { Move::Take } else { Move::Wait }
            }
        }
    }

    /// Remembers a successful write, at the time before it was sent.
    pub fn wrote(&mut self, at: Duration) {
        self.renewed = Some(at);
    }

    /// Forgets leadership.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// Whether this candidate may act at `now`.
    #[must_use]
    pub fn leads(&self, terms: Terms, now: Duration) -> bool {
        self.renewed.is_some_and(|at| now.saturating_sub(at) < terms.renew_deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn lease(holder: Option<&str>, version: &str) -> Lease {
        Lease { holder: holder.map(Into::into), version: version.into() }
    }

    #[test]
    fn a_free_lease_is_taken_and_an_own_one_renewed() {
        let mut memory = Memory::default();
        assert_eq!(memory.look(&lease(None, "1"), "a", Terms::default(), at(0)), Move::Take);
        assert_eq!(memory.look(&lease(Some("a"), "2"), "a", Terms::default(), at(2)), Move::Renew);
    }

    #[test]
    fn anothers_lease_is_taken_only_after_a_whole_duration_of_silence() {
        let mut memory = Memory::default();
        let look = |m: &mut Memory, version, second| {
            m.look(&lease(Some("b"), version), "a", Terms::default(), at(second))
        };
        assert_eq!(look(&mut memory, "1", 0), Move::Wait);
        assert_eq!(look(&mut memory, "2", 14), Move::Wait);
        assert_eq!(look(&mut memory, "2", 28), Move::Wait);
        assert_eq!(look(&mut memory, "2", 29), Move::Take);
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_another_may_take_over() {
        let terms = Terms::default();
        let mut memory = Memory::default();
        assert!(!memory.leads(terms, at(0)));
        memory.wrote(at(0));
        assert!(memory.leads(terms, at(9)));
        assert!(!memory.leads(terms, at(10)));
        assert!(terms.renew_deadline < terms.duration);
    }
}
