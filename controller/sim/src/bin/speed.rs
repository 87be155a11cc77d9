//! Benchmark of the simulator: the time to play, to judge and to hash each of the twelve evenings.
//!
//! The last line gives the sum as a multiple of a fixed amount of hashing in the same process. The
//! multiple makes results of different machines comparable. The first argument is the number of
//! repetitions (default 3). The second argument selects a single evening by name.

use std::hash::Hasher;
use std::time::{Duration, Instant};

use primetime_sim::evening::play;
use primetime_sim::evening::recording::Recording;
use primetime_sim::oracle::judge;
use primetime_sim::scenario;
use primetime_sim::script::Script;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Returns the average duration of a piece of work, and the result of the last repetition.
fn timed<T>(times: u32, mut work: impl FnMut() -> T) -> (Duration, Option<T>) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark")]
    let began = Instant::now();
    let mut last = None;
    for _ in 0..times {
        last = Some(std::hint::black_box(work()));
    }
    (began.elapsed() / times.max(1), last)
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let times = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let only = arguments.next();
    let (unit, _) = timed(3, || {
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        (0..10_000_000_u64).for_each(|n| hasher.write_u64(std::hint::black_box(n)));
        hasher.finish()
    });
    let script = Script::default();
    let mut sum = Duration::ZERO;
    for (scenario, promise) in scenario::all() {
        if only.as_ref().is_some_and(|only| scenario.name != only) {
            continue;
        }
        let (played, recording) = timed(times, || play(&scenario, &script, 1));
        let recording: Recording = recording.transpose()?.unwrap_or_default();
        let (judged, _) = timed(times, || judge(&recording, &promise, &script));
        let (hashed, hash) = timed(times, || recording.hash());
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        println!(
            "{:32} {:5} requests {:5} events: played in {:6.1} ms, judged in {:5.1}, hashed in {:4.1}; {:016x}",
            scenario.name,
            recording.requests.len(),
            recording.history.len(),
            milliseconds(played),
            milliseconds(judged),
            milliseconds(hashed),
            hash.unwrap_or_default(),
        );
        sum += played + judged + hashed;
    }
    let ratio = sum.as_secs_f64() / unit.as_secs_f64();
    println!(
        "all: {:.0} ms, {ratio:.1} times ten million words hashed",
        sum.as_secs_f64() * 1000.0
    );
    Ok(())
}
