//! Machines while the cloud fails: never started twice, never left over, and said.

#![expect(clippy::indexing_slicing, reason = "tests")]

use primetime_core::Instant;
use primetime_sim::evening::people::{Act, Deed};
use primetime_sim::evening::recording::Recording;
use primetime_sim::evening::{Scenario, Until, play};
use primetime_sim::oracle::case::Promise;
use primetime_sim::oracle::judge;
use primetime_sim::scenario::shop::{seconds, show};
use primetime_sim::script::{At, Fault, Outage, Part, Script};

fn at(n: i64) -> Instant {
    show() + seconds(n)
}

/// Returns the plain evening with an hour for its end.
fn plain() -> (Scenario, Promise) {
    let (mut scenario, promise) = primetime_sim::scenario::plain();
    scenario.until = Until::AllIsOver(seconds(4_800));
    (scenario, promise)
}

/// True if a run is at risk within a time and says the text.
fn is_said(recording: &Recording, from: i64, until: i64, text: &str) -> bool {
    let runs = recording.history.iter().filter(|e| e.key.0.kind == "SurgeRun");
    let mut within = runs.filter(|e| e.at >= at(from) && e.at < at(until));
    within.any(|e| {
        let message = e.object["status"]["message"].as_str().unwrap_or_default();
        e.object["status"]["verdict"] == "AtRisk" && message.contains(text)
    })
}

fn in_the_account(n: i64, change: fn(&mut primetime_sim::cloud::Fleet)) -> Deed {
    Deed { at: at(n), act: Act::InTheAccount(change) }
}

/// A lost answer at each call, then a cloud that throttles, refuses the credentials, or does not show
/// what there is, and an operator that dies in the middle.
#[test]
fn one_machine_a_place_whatever_follows_a_lost_answer() {
    let (scenario, promise) = plain();
    let requests = play(&scenario, &Script::default(), 1).unwrap();
    let after = [
        None,
        Some((Part::CloudThrottles, 20)),
        Some((Part::Credentials, 20)),
        Some((Part::CloudLags, 10)),
        Some((Part::CloudLags, 120)),
        Some((Part::CloudLags, 720)),
    ];
    let (mut played, mut broken) = (0, Vec::new());
    for call in ["EC2 DescribeInstances", "EC2 CreateFleet", "EC2 TerminateInstances"] {
        let n = requests.requests.iter().position(|r| r.starts_with(call)).unwrap();
        let when = if call == "EC2 TerminateInstances" { 80 } else { -76 };
        for outage in after {
            for (fault, dies) in [(Fault::ReplyLost, false), (Fault::CrashAfterEffect, true)] {
                let outage = outage.map(|(part, lasts)| Outage {
                    part,
                    from: at(when),
                    until: at(when + lasts),
                });
                let script = Script {
                    faults: vec![At { request: n, fault }],
                    outages: outage.into_iter().collect(),
                    ..Script::default()
                };
                let recording = play(&scenario, &script, 1).unwrap();
                let rules = judge(&recording, &promise, &script);
                played += 1;
                if !rules.is_empty() || recording.machines.len() != 17 {
                    let machines = recording.machines.len();
                    broken.push(format!(
                        "{call} lost, then {:?}, dies {dies}: {machines} machines; {}",
                        script.outages,
                        rules.join("; ")
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{} of {played}:\n{}", broken.len(), broken.join("\n"));
}

/// B3: a role of another account, or another region. Nothing that cannot be seen is gone.
#[test]
fn another_account_in_the_middle_of_a_run_makes_nothing_gone() {
    for (from, until) in [(-40, 40), (20, 20 + 2_400)] {
        let (scenario, promise) = plain();
        let script = Script::out(Part::Elsewhere, at(from), at(until));
        let recording = play(&scenario, &script, 1).unwrap();
        assert_eq!(judge(&recording, &promise, &script), [""; 0], "from {from} to {until}");
        assert_eq!(recording.machines.len(), 17);
        assert!(is_said(&recording, from, from + 15, "and this operator sees"));
    }
}

/// B6: a key that may not be used, a quota of volumes, user data that powers off.
#[test]
fn a_template_whose_machines_die_young_starts_three_times_as_many_at_most() {
    let (scenario, promise) = plain();
    let script = Script::out(Part::DieYoung, at(-80), at(300));
    let recording = play(&scenario, &script, 1).unwrap();
    let broken = judge(&recording, &promise, &script);
    assert!(
        !broken.iter().any(|rule| rule.starts_with("S8") || rule.starts_with('L')),
        "{broken:?}"
    );
    let started = recording.machines.len();
    assert!(started > 17 && started <= 51, "{started} were started");
    assert!(is_said(&recording, -80, 60, "was terminated outside of Primetime"));
}

/// B7: the account protects one machine, which keeps no other one, and is named.
#[test]
fn a_protected_machine_keeps_no_other_one_and_is_named() {
    let (mut scenario, promise) = plain();
    scenario.deeds = vec![
        in_the_account(20, |fleet| fleet.machines[3].protected = true),
        in_the_account(1_200, |fleet| fleet.machines[3].protected = false),
    ];
    let recording = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(judge(&recording, &promise, &Script::default()), [""; 0]);
    let undisturbed = play(&plain().0, &Script::default(), 1).unwrap().over.unwrap();
    for machine in recording.machines.iter().filter(|m| m.id != "i-0003") {
        assert!(machine.ended_at.unwrap() <= undisturbed, "{}", machine.id);
    }
    assert!(is_said(&recording, 100, 1_200, "i-0003 cannot be terminated: OperationNotPermitted"));
    assert!(recording.over.unwrap() >= at(1_200), "a run is not done while a machine runs");
}

/// B10, B11: a machine stops in the event, or while the run holds after the end.
#[test]
fn a_machine_that_stops_is_replaced_within_half_a_minute() {
    for stops in [5, 62] {
        let (mut scenario, promise) = plain();
        scenario.deeds = vec![in_the_account(stops, |fleet| fleet.machines[3].stopped = true)];
        let recording = play(&scenario, &Script::default(), 1).unwrap();
        let broken = judge(&recording, &promise, &Script::default());
        let left = |rule: &String| ["L1", "L3", "L4", "L7"].iter().any(|l| rule.starts_with(l));
        assert!(!broken.iter().any(left), "{broken:?}");
        let new = recording.machines.get(17).map(|m| m.started_at);
        assert!(new.is_some_and(|new| new <= at(stops + 30)), "stops at {stops}: {new:?}");
        assert_eq!(recording.machines.len(), 18);
    }
}

/// B18: a `PodDisruptionBudget` that never yields.
#[test]
fn a_drain_that_is_never_allowed_ends_at_its_deadline_and_is_said() {
    let (scenario, promise) = plain();
    let script = Script::out(Part::Evictions, at(60), at(7_200));
    let recording = play(&scenario, &script, 1).unwrap();
    let broken = judge(&recording, &promise, &Script::default());
    assert!(
        !broken.iter().any(|rule| rule.starts_with("L3") || rule.starts_with("L1")),
        "{broken:?}"
    );
    assert!(is_said(&recording, 60, 7_200, "not empty after 15 min"));
    assert!(recording.machines.iter().all(|m| m.ended_at.is_some()));
}

/// The tags of a machine are stripped by hand: it is neither called gone nor ended.
#[test]
fn a_machine_without_our_tags_is_named_and_never_ended() {
    let (mut scenario, promise) = plain();
    scenario.deeds = vec![
        in_the_account(20, |fleet| fleet.machines[3].tagged = false),
        in_the_account(1_800, |fleet| fleet.machines[3].tagged = true),
    ];
    let recording = play(&scenario, &Script::default(), 1).unwrap();
    assert_eq!(judge(&recording, &promise, &Script::default()), [""; 0]);
    assert!(is_said(&recording, 100, 1_800, "i-0003 have lost the tags"));
}
