//! The decisions of leader election with a Lease. The shell sends the requests.
//!
//! The shell writes the Lease with the `resourceVersion` that the shell has read. The API server
//! therefore rejects the second of two candidates that write at once. A candidate measures the age
//! of a renewal with the monotonic clock of the candidate. The age counts from the moment at which
//! the candidate *saw* the renewal. The candidate never compares the clocks of two machines, and
//! never uses a wall clock, which an administrator may set. A time in this module is a [`Duration`]
//! since the start of the process.

use std::time::Duration;

/// The fields of the Lease object that the election needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// `spec.holderIdentity`, or `None` if the Lease has no holder.
    pub holder: Option<String>,
    /// `metadata.resourceVersion`. A changed version means that the holder has renewed the Lease.
    pub version: String,
}

/// Durations of the leader election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Time without a renewal after which another candidate may take the Lease.
    pub duration: Duration,
    /// Time without a successful renewal after which the leader stops acting. Shorter than
    /// `duration`, so that the leader stops before another candidate takes over.
    pub renew_deadline: Duration,
    /// Time between two reads of the Lease.
    pub retry: Duration,
}

impl Default for Terms {
    /// Returns the defaults of client-go: 15 s, 10 s and 2 s.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// State of the candidate between two reads of the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The `resourceVersion` last seen, and the time at which the candidate first saw that version.
    seen: Option<(String, Duration)>,
    /// Time of the last successful write of the Lease by the candidate, or `None` if the candidate
    /// does not lead.
    renewed: Option<Duration>,
}

/// The next action of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Write the identity of the candidate into the Lease.
    Take,
    /// Write a new `spec.renewTime`.
    Renew,
    /// Do nothing, because another process holds the Lease.
    Wait,
}

impl Memory {
    /// Returns the next action of the candidate `me` after a read of the Lease.
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

    /// Records a successful write of the Lease. `at` is the time before the shell sent the request.
    pub fn wrote(&mut self, at: Duration) {
        self.renewed = Some(at);
    }

    /// Records that the candidate no longer leads.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// True if the candidate may act as leader at `now`.
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
