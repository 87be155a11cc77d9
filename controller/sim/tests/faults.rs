//! One fault at one request of an evening: all of them with `PRIMETIME_SOAK=1`, a sample otherwise.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use primetime_sim::evening::{Scenario, play};
use primetime_sim::gate::{Fault, Plan};
use primetime_sim::oracle::{Promise, judge};
use primetime_sim::scenario;

/// An evening takes two seconds in a build for tests: so many fit into every run of them.
const SAMPLE: usize = 40;

fn seed() -> u64 {
    std::env::var("PRIMETIME_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

/// Every fault at every request, in the order of scenarios and requests.
fn plans(scenarios: &[(Scenario, Promise)]) -> std::io::Result<Vec<(usize, Plan, String)>> {
    let mut plans = Vec::new();
    for (n, (scenario, _)) in scenarios.iter().enumerate() {
        let requests = play(scenario, None, seed())?.requests;
        for (at, request) in requests.into_iter().enumerate() {
            plans.extend(Fault::ALL.map(|fault| (n, Plan { at, fault }, request.clone())));
        }
    }
    Ok(plans)
}

#[test]
fn without_a_fault_every_promise_is_kept() {
    for (scenario, promise) in scenario::all() {
        let recording = play(&scenario, None, seed()).unwrap();
        let broken = judge(&recording, &promise);
        assert!(broken.is_empty(), "{}: {broken:#?}", scenario.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_evening() {
    let (scenario, _) = scenario::all().remove(0);
    let hash = || play(&scenario, None, seed()).unwrap().hash();
    assert_eq!(hash(), hash(), "{}", scenario.name);
}

#[test]
fn a_fault_at_a_request_breaks_no_promise() {
    let scenarios = scenario::all();
    let all = plans(&scenarios).unwrap();
    let soak = std::env::var_os("PRIMETIME_SOAK").is_some();
    let stride = if soak { 1 } else { all.len().div_ceil(SAMPLE) };
    let first = usize::try_from(seed()).unwrap_or(0) % stride;
    let chosen: Vec<_> = all.iter().skip(first).step_by(stride).collect();
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((n, plan, request)) =
                    chosen.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let (scenario, promise) = &scenarios[*n];
                    let recording = play(scenario, Some(*plan), seed()).unwrap();
                    for rule in judge(&recording, promise) {
                        let Plan { at, fault } = plan;
                        let line =
                            format!("{}: {fault:?} at {at} ({request}): {rule}", scenario.name);
                        broken.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let mut broken = broken.into_inner().unwrap();
    broken.sort();
    println!("{} of {} plans, seed {}", chosen.len(), all.len(), seed());
    assert!(
        broken.is_empty(),
        "{} rules were broken; PRIMETIME_SEED={} plays them again:\n{}",
        broken.len(),
        seed(),
        broken.join("\n")
    );
}
