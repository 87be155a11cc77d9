//! All rules, in order.
//!
//! A plan has records and acts. Records are persisted first; an act is only ever derived from a record that the
//! world already shows as persisted. So "intent before effect" needs no bookkeeping: a process that crashes between the
//! two plans the same act again from the same record.

use std::collections::BTreeMap;

use crate::Instant;
use crate::occurrences::{calendars, surges};
use crate::output::{Draft, Plan, Wake};
use crate::run;
use crate::scaling::holds;
use crate::state::run::RunRecord;
use crate::state::world::World;

/// Decides everything for one namespace at one instant.
#[must_use]
pub fn plan(world: &World, now: Instant) -> Plan {
    let (mut draft, mut wake) = (Draft::default(), Wake::NEVER);
    // 1. Each calendar says what counts of its feed.
    for calendar in world.calendars.values() {
        calendars::plan(calendar, world, now, &mut draft);
    }
    // 2. Each surge has the runs of its next occurrences.
    let mut runs: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
    for run in world.runs.values() {
        runs.entry(&run.surge).or_default().push(run);
    }
    for surge in world.surges.values() {
        let of_its_name = runs.get(surge.name.as_str()).map_or(&[][..], Vec::as_slice);
        wake = wake.or(surges::plan(surge, of_its_name, world, now, &mut draft));
    }
    // 3. Each run says what it asks of each target, keeps its ledger, and explains itself.
    for run in world.runs.values() {
        wake = wake.or(run::plan(run, world, now, &mut draft));
    }
    // 4. The claims of all runs meet in one hold per target.
    wake = wake.or(holds::plan(world, now, &mut draft));
    Plan { wake: wake.instant(), ..draft.plan }
}

#[cfg(test)]
mod tests;
