//! Evenings in which up to four things go wrong, drawn from seeds: a share of 5,000, all of them with `PRIMETIME_SOAK=1`, or
//! `PRIMETIME_SEEDS` from `PRIMETIME_SEED` on. Each is played twice, and has to be the same evening.

mod common;

use common::{Case, Share, number, play_all};
use primetime_sim::draw;
use primetime_sim::evening::play;
use primetime_sim::scenario;
use primetime_sim::script::Script;

/// The share of `make test`, in seconds.
const SECONDS: u64 = 100;

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
