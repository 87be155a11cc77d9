//! Scripts drawn from a seed, and scripts made as short as they can be.

use chrono::TimeDelta;
use primetime_core::Instant;

use crate::evening::Scenario;
use crate::script::{At, Fault, Jump, Outage, Part, Script};

/// Nothing goes wrong later than this after the beginning: what follows must end well.
const TROUBLED: i64 = 180;

/// Up to four things that go wrong in an evening of so many requests.
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
                // After the end it is the load that decides: who lies then is believed.
                let until = if part == Part::Lies { until.min(scenario.deceivable) } else { until };
                script.outages.push(Outage { part, from: from.min(until), until });
            }
            _ => {
                // The clock is set wrong, and set right within two minutes.
                let by = random.i64(-3600..=3600);
                // An evening is 60 times as fast as it was: so is a clock that is wrong by a few seconds.
                let by = TimeDelta::seconds(if by.abs() < 20 { by * 60 } else { by });
                let (from, until) = span(scenario, &mut random, 110_000);
                script.jumps.push(Jump { from, until, by });
            }
        }
    }
    let lists_lie = script.outages.iter().any(|o| o.part == Part::ListsPartial);
    if lists_lie {
        // A process that starts with half a list has no way to know; who has stood still for longer than a lease lasts
        // begins again. Nor can it know where neither watch nor list says it.
        script.outages.retain(|o| !matches!(o.part, Part::Operator | Part::WatchesLossy));
        script.faults.retain(|a| !a.fault.is_crash() && a.fault.pause().is_none());
    }
    script
}

/// A part of the evening, at most so many milliseconds long.
fn span(scenario: &Scenario, random: &mut fastrand::Rng, at_most: i64) -> (Instant, Instant) {
    let from = scenario.begin + TimeDelta::milliseconds(random.i64(0..TROUBLED * 1000));
    (from, from + TimeDelta::milliseconds(random.i64(500..at_most)))
}

/// The script without everything that is not needed to break what it breaks.
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
