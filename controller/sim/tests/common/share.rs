//! Share of the evenings that a test run plays: all evenings, or as many as fit into the time
//! limit.
//!
//! The git tree of the commit determines a random order. The same commit plays the same evenings
//! first, another commit plays other evenings.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use super::number;

/// Time limit in seconds for builds without optimisation. The release build plays the decisive
/// share.
const IN_PASSING: u64 = 5;

/// Fewest evenings of a share. A share that gets no CPU time would prove nothing.
const AT_LEAST: usize = if super::THOROUGH { 100 } else { 10 };

/// Share of the evenings: their order and a time limit.
pub struct Share {
    /// Git tree that seeds the order, or `None` if the test plays all evenings in the given order.
    tree: Option<String>,
    /// Time limit, or `None` without a limit.
    time: Option<Duration>,
    ends: OnceLock<Instant>,
    most: usize,
    played: AtomicUsize,
}

impl Share {
    /// Returns the share of a test run.
    ///
    /// If `PRIMETIME_SOAK` is set, the share has all evenings. If `PRIMETIME_PLAYS` is set, the
    /// share has that number of evenings. `PRIMETIME_SECONDS` replaces the time limit `seconds`.
    pub fn of(seconds: u64) -> Self {
        let most = number("PRIMETIME_PLAYS").and_then(|n| usize::try_from(n).ok());
        let soak = std::env::var_os("PRIMETIME_SOAK").is_some();
        let seconds = if super::THOROUGH { seconds } else { IN_PASSING };
        let seconds = number("PRIMETIME_SECONDS").unwrap_or(seconds);
        Self {
            tree: (!soak).then(tree),
            time: (!soak && most.is_none()).then(|| Duration::from_secs(seconds)),
            ends: OnceLock::new(),
            most: most.unwrap_or(usize::MAX),
            played: AtomicUsize::new(0),
        }
    }

    /// Returns a share that contains every case.
    pub fn all() -> Self {
        let (ends, played) = (OnceLock::new(), AtomicUsize::new(0));
        Self { tree: None, time: None, ends, most: usize::MAX, played }
    }

    /// Shuffles the cases into the order of the share.
    pub fn order<T>(&self, all: &mut [T]) {
        use std::hash::Hasher;
        let Some(tree) = &self.tree else { return };
        let mut hasher = SipHasher13::new();
        hasher.write(tree.as_bytes());
        fastrand::Rng::with_seed(hasher.finish()).shuffle(all);
    }

    /// Returns the index of the next case, or `None` after the time limit.
    ///
    /// The time limit starts at the first call. The share contains at least [`AT_LEAST`] cases,
    /// even after the time limit.
    pub fn next(&self) -> Option<usize> {
        #[expect(clippy::disallowed_methods, reason = "how long real work goes on")]
        let over = self.time.is_some_and(|time| {
            let now = Instant::now();
            now >= *self.ends.get_or_init(|| now + time)
        });
        let taken = self.played.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            ((!over || n < AT_LEAST) && n < self.most).then_some(n + 1)
        });
        taken.ok()
    }

    /// Returns a summary of the played share, with the command that plays the same share again.
    pub fn told(&self, what: &str, all: usize, test: &str) -> String {
        let played = self.played.load(Ordering::Relaxed).min(all);
        assert!(played > 0, "{what}: none of {all} was played");
        let Some(tree) = &self.tree else { return format!("{what}: {played} of {all}") };
        let permille = played * 1000 / all.max(1);
        format!(
            "{what}: {played} of {all} ({}.{} %), in the order of tree {tree}; the same again: PRIMETIME_TREE={tree} \
             PRIMETIME_PLAYS={played} cargo test --release --locked -p primetime-sim --test {test}; all: make soak",
            permille / 10,
            permille % 10
        )
    }
}

/// Returns the value of `PRIMETIME_TREE`. If the variable is not set, returns the git tree of
/// `HEAD`, or "unknown" without git.
fn tree() -> String {
    let asked = || {
        let git = Command::new("git")
            .args(["rev-parse", "--short=12", "HEAD^{tree}"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .ok()?;
        let tree = String::from_utf8(git.stdout).ok()?.trim().to_owned();
        (git.status.success() && !tree.is_empty()).then_some(tree)
    };
    std::env::var("PRIMETIME_TREE").ok().or_else(asked).unwrap_or_else(|| "unknown".to_owned())
}
