//! Evenings in which up to four things go wrong, drawn from seeds: 5,000 of them in an optimised build, 20 in another,
//! or `PRIMETIME_SEEDS`, from `PRIMETIME_SEED` on. Each is played twice, and has to be the same evening.

mod common;

use common::{Case, THOROUGH, number, play_all};
use primetime_sim::draw;
use primetime_sim::evening::play;
use primetime_sim::scenario;
use primetime_sim::script::Script;

/// The first seed.
fn seed() -> u64 {
    number("PRIMETIME_SEED").unwrap_or(1)
}

#[test]
fn whatever_goes_wrong_breaks_no_promise() {
    let evenings = scenario::all();
    let requests: Vec<usize> = evenings
        .iter()
        .map(|(scenario, _)| play(scenario, &Script::default(), 0).unwrap().requests.len())
        .collect();
    let count = number("PRIMETIME_SEEDS").unwrap_or(if THOROUGH { 5_000 } else { 20 });
    let cases: Vec<Case> = (seed()..seed() + count)
        .map(|seed| {
            let evening = usize::try_from(seed).unwrap_or(0) % evenings.len();
            Case {
                name: format!("PRIMETIME_SEED={seed} PRIMETIME_SEEDS=1 cargo test -p primetime-sim --test seeds"),
                evening,
                script: draw::script(&evenings[evening].0, requests[evening], seed),
                seed,
                twice: true,
            }
        })
        .collect();
    play_all(&evenings, &cases, &[]);
}
