//! One fault at one request of an evening: a rotating tenth of all of them, and all with `PRIMETIME_SOAK=1`.

mod common;

use common::{Case, number, play_all, seed};
use primetime_sim::evening::play;
use primetime_sim::oracle::judge;
use primetime_sim::scenario;
use primetime_sim::script::{Fault, Script};

#[test]
fn without_a_fault_every_promise_is_kept() {
    for (scenario, promise) in scenario::all() {
        let recording = play(&scenario, &Script::default(), seed()).unwrap();
        let broken = judge(&recording, &promise, &Script::default());
        assert!(broken.is_empty(), "{}: {broken:#?}", scenario.name);
    }
}

#[test]
fn a_fault_at_a_request_breaks_no_promise() {
    let evenings = scenario::all();
    let mut all = Vec::new();
    for (evening, (scenario, _)) in evenings.iter().enumerate() {
        let requests = play(scenario, &Script::default(), seed()).unwrap().requests;
        for (at, request) in requests.iter().enumerate() {
            all.extend(Fault::ALL.map(|fault| Case {
                name: format!("request {at} is {request}"),
                evening,
                script: Script::one(at, fault),
                seed: seed(),
            }));
        }
    }
    let soak = std::env::var_os("PRIMETIME_SOAK").is_some();
    let stride = if soak { 1 } else { number("PRIMETIME_STRIDE").unwrap_or(10) };
    let (mut kept, count, rest) = (0, all.len(), seed() % stride);
    all.retain(|_| {
        kept += 1;
        kept % stride == rest
    });
    println!("{} of {count} plans; PRIMETIME_SEED={} plays them again", all.len(), seed());
    play_all(&evenings, &all);
}
