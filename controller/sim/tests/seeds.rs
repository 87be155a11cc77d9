//! Evenings with up to four faults, drawn from seeds. The test plays each evening twice and
//! requires equal recordings.
//!
//! The test plays a share of 5,000 seeds, or all seeds with `PRIMETIME_SOAK=1`. `PRIMETIME_SEED`
//! sets the first seed, and `PRIMETIME_SEEDS` sets the number of seeds.

mod common;

use common::{Case, Share, number, play_all};
use primetime_sim::draw;
use primetime_sim::evening::play;
use primetime_sim::scenario;
use primetime_sim::script::Script;

/// Time limit of `make test`, in seconds.
const SECONDS: u64 = 100;

/// Returns the first seed.
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
    let asked = number("PRIMETIME_SEEDS");
    let count = asked.unwrap_or(5_000);
    let asked = asked.is_some() || number("PRIMETIME_SEED").is_some();
    let share = if asked { Share::all() } else { Share::of(SECONDS) };
    let mut cases: Vec<Case> = (seed()..seed() + count)
        .map(|seed| {
            let evening = usize::try_from(seed).unwrap_or(0) % evenings.len();
            Case {
                name: format!("PRIMETIME_SEED={seed} PRIMETIME_SEEDS=1 cargo test --release --locked -p primetime-sim --test seeds"),
                evening,
                script: draw::script(&evenings[evening].0, requests[evening], seed),
                seed,
                twice: true,
            }
        })
        .collect();
    share.order(&mut cases);
    play_all(&evenings, &cases, &[], &share);
    println!("{}", share.told("drawn evenings, twice each", cases.len(), "seeds"));
}
