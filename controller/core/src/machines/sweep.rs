//! Instances with the tag of the cluster that no ledger owns.
//!
//! A run that a person has freed of its finalizer, a deleted namespace, or a launch that the cloud
//! showed after the end of the run leaves such instances behind.

use std::collections::BTreeMap;

use crate::Instant;
use crate::row::Row;
use crate::state::observed::{Fleet, Instance, InstanceState};

/// What the cluster knows of the run that an instance names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The run goes on, and its ledger owns the instance.
    Open,
    /// The run is completed. A completed run has returned everything, so it owns nothing.
    Completed,
    /// No run has the UID.
    Gone,
}

/// Returns the ids to terminate, by UID of the run.
///
/// An instance of a completed run goes at once, unless it has joined: pods may run there. Such an
/// instance, and an instance of a run that is gone, goes once its expiry has passed: a second cluster may carry the same name by mistake, and renews the expiry of
/// its own instances. An instance without a readable expiry stays, and people see it as an orphan.
#[must_use]
pub fn sweep(
    fleets: &BTreeMap<String, Row<Fleet>>,
    owner: impl Fn(&str) -> Owner,
    has_node: impl Fn(&str) -> bool,
    now: Instant,
) -> BTreeMap<String, Vec<String>> {
    let mut ended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (uid, fleet) in fleets {
        let owner = owner(uid);
        let goes = |i: &&Instance| {
            let due = match owner {
                Owner::Open => false,
                Owner::Completed if !has_node(&i.id) => true,
                // mutate: swept-before-its-expiry
                Owner::Completed | Owner::Gone => i.expires.is_some_and(|at| at <= now),
            };
            due && i.state != InstanceState::Terminated
        };
        let ids: Vec<_> = fleet.instances.iter().filter(goes).map(|i| i.id.clone()).collect();
        if !ids.is_empty() {
            ended.insert(uid.clone(), ids);
        }
    }
    ended
}

/// Returns the number of instances that no open run owns.
#[must_use]
pub fn orphans(fleets: &BTreeMap<String, Row<Fleet>>, owner: impl Fn(&str) -> Owner) -> usize {
    let lost = fleets.iter().filter(|(uid, _)| owner(uid) != Owner::Open);
    let each = lost.flat_map(|(_, fleet)| &fleet.instances);
    each.filter(|i| i.state != InstanceState::Terminated).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;

    const NOW: Instant = Instant::UNIX_EPOCH;

    fn instance(id: &str, expires: Option<Instant>, state: InstanceState) -> Instance {
        Instance { id: id.into(), token: "pt".into(), state, expires, reason: None }
    }

    #[test]
    fn what_a_completed_run_left_goes_at_once_and_what_nothing_owns_when_it_expires() {
        let (past, later) = (NOW - seconds(1), NOW + seconds(1));
        let fleet = Fleet {
            instances: vec![
                instance("i-past", Some(past), InstanceState::Living),
                instance("i-later", Some(later), InstanceState::Stopped),
                instance("i-untold", None, InstanceState::Living),
                instance("i-joined", Some(later), InstanceState::Living),
                instance("i-gone", Some(past), InstanceState::Terminated),
            ],
        };
        let fleets = BTreeMap::from([("uid".to_owned(), fleet.into())]);
        let swept = |owner| {
            sweep(&fleets, |_| owner, |id| id == "i-joined", NOW).remove("uid").unwrap_or_default()
        };
        assert_eq!(swept(Owner::Open), Vec::<String>::new());
        assert_eq!(swept(Owner::Gone), ["i-past"]);
        assert_eq!(swept(Owner::Completed), ["i-past", "i-later", "i-untold"]);
        assert_eq!((orphans(&fleets, |_| Owner::Gone), orphans(&fleets, |_| Owner::Open)), (4, 0));
    }
}
