//! The four passes of the planner, in order.
//!
//! A plan has records and acts. The reconciler persists the records before the acts. The planner
//! derives each act only from a record that the world already shows as persisted. A crash between
//! the persist and the act therefore needs no extra bookkeeping. The restarted process plans the
//! same act again from the same record.

use std::collections::BTreeMap;

use crate::Instant;
use crate::occurrences::{calendars, surges};
use crate::output::{Draft, Plan, Wake};
use crate::run;
use crate::scaling::holds;
use crate::state::run::RunRecord;
use crate::state::world::World;

/// Returns the records and acts for a namespace at an instant.
#[must_use]
pub fn plan(world: &World, now: Instant) -> Plan {
    let (mut draft, mut wake) = (Draft::default(), Wake::NEVER);
    // 1. Pass 1 sets the status of each calendar from the accepted feed.
    for calendar in world.calendars.values() {
        calendars::plan(calendar, world, now, &mut draft);
    }
    // 2. Pass 2 plans the runs of each surge.
    let mut runs: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
    // A run that a person has created has the name of its own as its surge, and takes the place of no
    // occurrence.
    for run in world.runs.values().filter(|run| run.surge != run.name) {
        runs.entry(&run.surge).or_default().push(run);
    }
    for surge in world.surges.values() {
        let of_its_name = runs.get(surge.name.as_str()).map_or(&[][..], Vec::as_slice);
        wake = wake.or(surges::plan(surge, of_its_name, world, now, &mut draft));
    }
    // 3. Pass 3 computes the claims, the ledger and the status of each run.
    for run in world.runs.values() {
        wake = wake.or(run::plan(run, world, now, &mut draft));
    }
    // 4. Pass 4 merges the claims of all runs into a hold for each target.
    wake = wake.or(holds::plan(world, now, &mut draft));
    Plan { wake: wake.instant(), ..draft.plan }
}

#[cfg(test)]
mod tests;
