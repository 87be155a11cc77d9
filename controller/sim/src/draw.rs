//! Random fault scripts drawn from a seed, and the reduction of a script to the shortest script
//! that still fails.

use chrono::TimeDelta;
use primetime_core::Instant;

use crate::evening::Scenario;
use crate::script::{At, Fault, Jump, Outage, Part, Script};

/// Latest start of an outage or a clock jump, in seconds after the beginning of the evening. The
/// evening must recover from every fault that starts earlier.
const TROUBLED: i64 = 180;

/// Draws a script of up to four faults, outages or clock jumps for an evening of `requests`
/// requests. The same seed gives the same script.
#[must_use]
pub fn script(scenario: &Scenario, requests: usize, seed: u64) -> Script {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut script = Script::default();
    for _ in 0..random.usize(1..=4) {
        match random.u32(0..10) {
            0..6 => {
                let fault = random.choice(Fault::of(scenario.operators));
                let fault = fault.unwrap_or(Fault::Refused);
                script.faults.push(At { request: random.usize(0..requests.max(1)), fault });
            }
            6..9 => {
                let part = random.choice(Part::ALL).unwrap_or(Part::Api);
                let (from, until) = span(scenario, &mut random, 60_000);
                // After the end of the event, the run releases floors if the signal is low. A
                // `Lies` outage ends at `deceivable`, because later the planner would believe a
                // false load of 0.
                let until = if part == Part::Lies { until.min(scenario.deceivable) } else { until };
                script.outages.push(Outage { part, from: from.min(until), until });
            }
            _ => {
                // Wrong clock for less than two minutes, off by up to an hour.
                let by = random.i64(-3600..=3600);
                // Evenings run 60 times faster than real time, so an error of less than 20 s is
                // multiplied by 60.
                let by = TimeDelta::seconds(if by.abs() < 20 { by * 60 } else { by });
                let (from, until) = span(scenario, &mut random, 110_000);
                script.jumps.push(Jump { from, until, by });
            }
        }
    }
    let lists_lie = script.outages.iter().any(|o| o.part == Part::ListsPartial);
    if lists_lie {
        // A restarted process cannot recognise a partial list. The script therefore drops operator
        // outages, crashes and pauses, because a process paused for longer than a Lease restarts.
        // The script drops lossy watches as well: with partial lists, neither watch nor list would
        // report the object.
        script.outages.retain(|o| !matches!(o.part, Part::Operator | Part::WatchesLossy));
        script.faults.retain(|a| !a.fault.is_crash() && a.fault.pause().is_none());
    }
    script
}

/// Draws a time span that begins within `TROUBLED` seconds after the beginning and lasts 500 ms to
/// `at_most` ms.
fn span(scenario: &Scenario, random: &mut fastrand::Rng, at_most: i64) -> (Instant, Instant) {
    let from = scenario.begin + TimeDelta::milliseconds(random.i64(0..TROUBLED * 1000));
    (from, from + TimeDelta::milliseconds(random.i64(500..at_most)))
}

/// Shortens a script: removes every step that `breaks` does not need to stay true.
pub fn shrink(script: &Script, breaks: impl Fn(&Script) -> bool) -> Script {
    let mut shortest = script.clone();
    let mut n = 0;
    while n < shortest.len() {
        let shorter = shortest.without(n);
        if breaks(&shorter) {
            shortest = shorter;
        } else {
            n += 1;
        }
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let at = |request| At { request, fault: Fault::Refused };
        let script = Script { faults: vec![at(1), at(2), at(3)], ..Script::default() };
        let shortest = shrink(&script, |s| s.faults.contains(&at(2)));
        assert_eq!(shortest, Script::one(2, Fault::Refused));
    }
}
