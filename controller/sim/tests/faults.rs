//! Every fault at every request of every evening: all of them with `PRIMETIME_SOAK=1`; otherwise a tenth, another one
//! each day (`PRIMETIME_DAY`), and of that again only a part where the build is not optimised.

mod common;

use std::time::{Duration, SystemTime};

use common::{Case, THOROUGH, number, play_all};
use primetime_sim::evening::{Recording, play};
use primetime_sim::oracle::judge;
use primetime_sim::scenario;
use primetime_sim::script::{Fault, Script};

/// All evenings of this file are drawn from one seed.
const SEED: u64 = 1;

/// Days since 1970: which part of all plans is played.
fn day() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "another tenth each day, whatever is played in it"
    )]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    number("PRIMETIME_DAY").unwrap_or_else(|| now.unwrap_or(Duration::ZERO).as_secs() / 86_400)
}

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
            all.extend(Fault::of(scenario.operators).into_iter().map(|fault| Case {
                name: format!("request {at} is {request}"),
                evening,
                script: Script::one(at, fault),
                seed: SEED,
                twice: false,
            }));
        }
    }
    let soak = std::env::var_os("PRIMETIME_SOAK").is_some();
    let usual = if THOROUGH { 10 } else { 1_000 };
    let stride = if soak { 1 } else { number("PRIMETIME_STRIDE").unwrap_or(usual).max(1) };
    let (mut seen, count, rest) = (0, all.len(), day() % stride);
    all.retain(|_| {
        seen += 1;
        seen % stride == rest
    });
    println!("{} of {count} plans; PRIMETIME_DAY={} plays them again", all.len(), day());
    let same: Vec<Recording> = evenings
        .iter()
        .map(|(scenario, _)| play(scenario, &Script::default(), SEED).unwrap())
        .collect();
    play_all(&evenings, &all, &same);
}
