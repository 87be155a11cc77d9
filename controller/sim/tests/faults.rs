//! Every fault at every request of every evening.
//!
//! If `PRIMETIME_SOAK` is set, the test plays all plans, otherwise a share. `PRIMETIME_PLAN`
//! selects the plan with that number.

mod common;

use common::{Case, Share, number, play_all};
use primetime_sim::evening::play;
use primetime_sim::evening::recording::Recording;
use primetime_sim::oracle::judge;
use primetime_sim::scenario;
use primetime_sim::script::{Fault, Script};

/// Seed of all evenings in this file.
const SEED: u64 = 1;

/// Time limit of `make test`, in seconds.
const SECONDS: u64 = 140;

#[test]
fn without_a_fault_every_promise_is_kept() {
    for (scenario, promise) in scenario::all() {
        let recording = play(&scenario, &Script::default(), SEED).unwrap();
        let broken = judge(&recording, &promise, &Script::default());
        assert!(broken.is_empty(), "{}: {broken:#?}", scenario.name);
    }
}

#[test]
fn a_fault_at_a_request_breaks_no_promise() {
    let evenings = scenario::all();
    let mut all = Vec::new();
    for (evening, (scenario, _)) in evenings.iter().enumerate() {
        let requests = play(scenario, &Script::default(), SEED).unwrap().requests;
        for (at, request) in requests.iter().enumerate() {
            for fault in Fault::of(scenario.operators) {
                let number = all.len();
                all.push(Case {
                    name: format!(
                        "PRIMETIME_PLAN={number} cargo test --release --locked -p primetime-sim --test faults, \
                         where request {at} is {request}"
                    ),
                    evening,
                    script: Script::one(at, fault),
                    seed: SEED,
                    twice: false,
                });
            }
        }
    }
    let plans = all.len();
    let plan = number("PRIMETIME_PLAN").and_then(|n| usize::try_from(n).ok());
    if let Some(plan) = plan {
        all = all.into_iter().skip(plan).take(1).collect();
    }
    let share = if plan.is_some() { Share::all() } else { Share::of(SECONDS) };
    share.order(&mut all);
    let same: Vec<Recording> = evenings
        .iter()
        .map(|(scenario, _)| play(scenario, &Script::default(), SEED).unwrap())
        .collect();
    play_all(&evenings, &all, &same, &share);
    println!("{}", share.told("plans of one fault", plans.min(all.len()), "faults"));
}
