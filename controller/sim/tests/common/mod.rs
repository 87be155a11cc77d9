//! Player of many evenings on all cores, and collector of the broken rules.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod share;

use std::sync::Mutex;

use primetime_sim::draw::shrink;
use primetime_sim::evening::recording::Recording;
use primetime_sim::evening::{Scenario, play};
use primetime_sim::oracle::case::Promise;
use primetime_sim::oracle::equal::differences;
use primetime_sim::oracle::judge;
use primetime_sim::script::Script;

pub use share::Share;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// True in optimised builds, which play more evenings.
pub const THOROUGH: bool = !cfg!(debug_assertions);

/// Reads a number from an environment variable.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|s| s.parse().ok())
}

/// Evening to be played.
pub struct Case {
    /// Command line that plays the evening again.
    pub name: String,
    pub evening: usize,
    pub script: Script,
    pub seed: u64,
    /// True if the test plays the evening twice and requires equal recordings.
    pub twice: bool,
}

/// Plays an evening and returns the broken rules and the hash of the recording. If `same` is given,
/// the end state of the evening must match `same`.
fn broken(
    (scenario, promise): &(Scenario, Promise),
    script: &Script,
    seed: u64,
    same: Option<&Recording>,
) -> (Vec<String>, u64) {
    let recording = play(scenario, script, seed).unwrap();
    let mut broken = judge(&recording, promise, script);
    broken.extend(same.into_iter().flat_map(|same| differences(&recording, same)));
    (broken, recording.hash())
}

/// Describes the first request at which two recordings of an evening differ.
fn differ(one: &[String], other: &[String]) -> String {
    let both = one.iter().zip(other).enumerate();
    let first = both.into_iter().find(|(_, (a, b))| a != b);
    let told = first.map(|(n, (a, b))| format!("request {n} is {a} and then {b}"));
    told.unwrap_or_else(|| "not in its requests".to_owned())
}

/// Plays the cases of the share on all cores and panics with a list of the broken evenings.
///
/// The list has, for each broken evening, the broken rules and the shortest script that still
/// breaks the first rule. If `same` has a recording for the evening, the end state of each played
/// evening must match that recording.
pub fn play_all(
    evenings: &[(Scenario, Promise)],
    cases: &[Case],
    same: &[Recording],
    share: &Share,
) {
    let found = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = share.next().and_then(|n| cases.get(n)) {
                    let evening = &evenings[case.evening];
                    let same = same.get(case.evening);
                    let (mut rules, hash) = broken(evening, &case.script, case.seed, same);
                    let again = || play(&evening.0, &case.script, case.seed).unwrap();
                    if case.twice && hash != again().hash() {
                        let told = differ(&again().requests, &again().requests);
                        rules.push(format!("the same seed gives another evening: {told}"));
                    }
                    let Some(first) = rules.first() else { continue };
                    // The name of a rule precedes the colon. The shortest script must break the
                    // same rule.
                    let rule = first.split(':').next().unwrap_or_default();
                    let breaks = |script: &Script| {
                        let (rules, _) = broken(evening, script, case.seed, same);
                        rules.iter().any(|b| b.starts_with(rule))
                    };
                    let shortest = shrink(&case.script, breaks);
                    if std::env::var_os("PRIMETIME_STORY").is_some() {
                        let told = play(&evening.0, &shortest, case.seed).unwrap().story();
                        println!("{}", told.join("\n"));
                    }
                    found.lock().unwrap().push(format!(
                        "{}: {}: {shortest}: {}",
                        case.name,
                        evening.0.name,
                        rules.join("; ")
                    ));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    assert!(
        found.is_empty(),
        "{} of {} evenings broke a rule:\n{}",
        found.len(),
        cases.len(),
        found.join("\n")
    );
}
