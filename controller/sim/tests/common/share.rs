//! The part of all evenings that is played: everything, or as much as there is time for, in an order that the tree of the
//! commit draws. The same commit plays the same evenings first; another one plays others.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use super::number;

/// Seconds of play where the build is not optimised: the release build plays the share that counts.
const IN_PASSING: u64 = 5;

/// A share that starves proves nothing.
const AT_LEAST: usize = if super::THOROUGH { 100 } else { 10 };

/// Which evenings, and for how long.
pub struct Share {
    /// What draws the order; nothing where everything is played.
    tree: Option<String>,
    /// How long; nothing where time does not matter.
    time: Option<Duration>,
    ends: OnceLock<Instant>,
    most: usize,
    played: AtomicUsize,
}

impl Share {
    /// Everything with `PRIMETIME_SOAK=1`; otherwise `seconds`, or `PRIMETIME_SECONDS`, or `PRIMETIME_PLAYS` evenings.
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

    /// Everything that is asked for.
    pub fn all() -> Self {
        let (ends, played) = (OnceLock::new(), AtomicUsize::new(0));
        Self { tree: None, time: None, ends, most: usize::MAX, played }
    }

    /// Brings what could be played into the order in which it is.
    pub fn order<T>(&self, all: &mut [T]) {
        use std::hash::Hasher;
        let Some(tree) = &self.tree else { return };
        let mut hasher = SipHasher13::new();
        hasher.write(tree.as_bytes());
        fastrand::Rng::with_seed(hasher.finish()).shuffle(all);
    }

    /// The place of the next evening, if there is time for one. The clock starts at the first;
    /// [`AT_LEAST`] are played whatever it says.
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

    /// What was covered, and how to play it again.
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

/// The tree of the commit that is checked out, or `PRIMETIME_TREE`.
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
