//! Mutation tests: the tests of core, shell and simulator must catch each seeded mistake. `make
//! mutations` runs all mutations.
//!
//! The program copies the project at the beginning, plants a single mutation at a time in the copy,
//! and runs the tests of the copy. The tests of the core run first, because the core's tests take
//! seconds. If the core's tests catch nothing, the tests of shell and simulator run too.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A mutation: the original text, and a plausible mistake that replaces the text.
struct Mutation {
    name: &'static str,
    /// The text stands after the line `// mutate: MARKER`, in any file of the controller: it may move.
    /// `plant` searches every Rust source of the controller for the marker.
    marker: &'static str,
    right: &'static str,
    wrong: &'static str,
}

impl Mutation {
    /// Returns the text of a file with the mistake planted.
    ///
    /// Returns `None` if the file has no such marker, or if the [`NEAR`] lines after the marker do
    /// not contain the original text.
    fn plant_in(&self, text: &str) -> Option<String> {
        let line = format!("// mutate: {}\n", self.marker);
        let from = text.find(&line)? + line.len();
        let (before, after) = text.split_at(from);
        let near = after.split_inclusive('\n').take(NEAR).map(str::len).sum();
        let (near, rest) = after.split_at(near);
        let planted = near.replacen(self.right, self.wrong, 1);
        (planted != near).then(|| format!("{before}{planted}{rest}"))
    }
}

/// Number of lines after a marker in which `plant_in` searches for the original text.
const NEAR: usize = 6;

const MUTATIONS: [Mutation; 64] = [
    Mutation {
        name: "machines are launched without a reservation",
        marker: "launches-without-a-reservation",
        right: "(offer.wanted + join::replacements(status, group, world, now)).min(offer.most);",
        wrong: "(offer.wanted + join::replacements(status, group, world, now)).max(offer.most.min(0));",
    },
    Mutation {
        name: "a rise of the shape is written when it is due",
        marker: "shape-rises-without-lead",
        right: "v.at > at && v.at <= at + ahead",
        wrong: "v.at > at && v.at <= at",
    },
    Mutation {
        name: "a cliff of the shape is a cliff of the floor",
        marker: "shape-falls-like-a-stone",
        right: "v.highest() - fall(pace, at - v.at)",
        wrong: "v.highest() - fall(pace, at - v.at) * 1_000",
    },
    Mutation {
        name: "a shape lowers while a signal is unknown",
        marker: "shape-lowers-while-a-signal-is-unknown",
        right: "!self.required.blind",
        wrong: "true",
    },
    Mutation {
        name: "machines of a shape go without a pause between batches",
        marker: "batches-of-machines-without-a-pause",
        right: "last + pace.step_time",
        wrong: "last",
    },
    Mutation {
        name: "a shape lowers against a hold override",
        marker: "shape-lowers-against-a-hold",
        right: "self.overrides.hold()",
        wrong: "false",
    },
    Mutation {
        name: "no machine is kept for the pods of a machine that goes",
        marker: "no-room-for-the-pods-of-a-machine-that-goes",
        right: ".saturating_add(1)",
        wrong: "",
    },
    Mutation {
        name: "pods that serve are evicted within the event",
        marker: "serving-pods-evicted-in-the-event",
        right: ".max(self.needed_in_the_event(target, baseline))",
        wrong: "",
    },
    Mutation {
        name: "a floor that waited falls to the shape at once",
        marker: "shape-falls-at-once-after-a-wait",
        right: "step.saturating_mul(u64::try_from(passed).unwrap_or(0)) / (100 * time)",
        wrong: "u64::from(before) + step * 0 + time * 0 + u64::try_from(passed).unwrap_or(0)",
    },
    Mutation {
        name: "a machine with pods ends within the event",
        marker: "machine-with-pods-ends-within-the-event",
        right: "node.unschedulable && node.pods_left == Some(0)",
        wrong: "node.unschedulable",
    },
    Mutation {
        name: "a run goes before its reservation is returned",
        marker: "lets-a-run-go-before-its-reservation",
        right: "&& record.guarded && until",
        wrong: "&& record.deleting() && until",
    },
    Mutation {
        name: "machines are launched while a gate is closed",
        marker: "launches-while-a-gate-is-closed",
        right: "|| !self.closed(&group.class, status).is_empty()",
        wrong: "",
    },
    Mutation {
        name: "pre-scaling begins at T0, not its lead time earlier",
        marker: "pre-scaling-begins-t0",
        right: "needed_by - target.lead - ramp",
        wrong: "needed_by",
    },
    Mutation {
        name: "the baseline is captured twice",
        marker: "baseline-captured-twice",
        right: "let mut next = Hold { claims, ..hold.clone() };",
        wrong: "let mut next = Hold { claims, baseline: live.map_or_else(|| hold.baseline.clone(), baseline), ..hold.clone() };",
    },
    Mutation {
        name: "the maximum is restored first",
        marker: "maximum-restored-first",
        right: "max: if fits { at_rest.max } else { current.max },",
        wrong: "max: if fits || true { at_rest.max } else { current.max },",
    },
    Mutation {
        name: "overlapping floors combine by the last, not the highest",
        marker: "overlapping-floors-combine-last",
        right: "claims.iter().map(|c| c.floor).max() else",
        wrong: "claims.iter().map(|c| c.floor).next_back() else",
    },
    Mutation {
        name: "an unknown load is no load",
        marker: "unknown-load-no-load",
        right: "Err(_) => Required { blind: true, ..sum },",
        wrong: "Err(_) => sum,",
    },
    Mutation {
        name: "an unknown load is quiet",
        marker: "unknown-load-quiet",
        right: "quiet &= !reading.raises();",
        wrong: "",
    },
    Mutation {
        name: "metrics lower the floor inside the window",
        marker: "metrics-lower-floor-inside",
        right: "let before = facts.claimed.map_or(0, |c| c.floor);",
        wrong: "let before = 0;",
    },
    Mutation {
        name: "one jump of the load is a slope",
        marker: "jump-load-slope",
        right: "const RISES: usize = 3;",
        wrong: "const RISES: usize = 1;",
    },
    Mutation {
        name: "a rise within the plan is met far beyond it",
        marker: "rise-within-plan-met",
        right: "required.ahead.min(trusted)",
        wrong: "required.ahead.max(trusted)",
    },
    Mutation {
        name: "the release takes back what another writer has set",
        marker: "release-takes-back-foreign-value",
        right: " && from > to && from == hold.previous.replicas;",
        wrong: " && from > to;",
    },
    Mutation {
        name: "what KEDA keeps when idle is left while the target is held",
        marker: "keda-keeps-when-idle",
        right: "let differs = autoscaler::idles(hold) &&",
        wrong: "let differs = false &&",
    },
    Mutation {
        name: "a paused autoscaler is left to lower what was raised beside it",
        marker: "paused-autoscaler-left-lower",
        right: "(unscaled || alone)",
        wrong: "unscaled",
    },
    Mutation {
        name: "a patch does not test what was seen",
        marker: "patch-does-test-seen",
        right: "if let Some(from) = change.from {",
        wrong: "if let Some(from) = change.from.filter(|_| false) {",
    },
    Mutation {
        name: "a patch that is late is done",
        marker: "patch-late-done",
        right: "seen.filter(|v| !v.is_empty()).map(version)",
        wrong: "seen.filter(|_| false).map(version)",
    },
    Mutation {
        name: "who does not lead any more writes all the same",
        marker: "does-lead-any-more",
        right: "if !leadership.leads() {\n        return Err",
        wrong: "if false {\n        return Err",
    },
    Mutation {
        name: "an instance that is on no list is believed to have no node",
        marker: "instance-no-list-believed",
        right: "may_go == 0 || (node.is_none() && !looked)",
        wrong: "may_go == 0",
    },
    Mutation {
        name: "all machines are sent away at once",
        marker: "machines-sent-away",
        right: "(all * percent / 100).max(1)",
        wrong: "(all * percent).max(1)",
    },
    Mutation {
        name: "a token is different at each attempt to send it",
        marker: "token-different-each-attempt",
        right: "batch: Box::new(b.clone()), run_uid",
        wrong: "batch: Box::new(crate::state::ledger::Batch { token: format!(\"{}-{}\", b.token, now.timestamp()), ..b.clone() }), run_uid",
    },
    Mutation {
        name: "a fresh process lowers at once",
        marker: "fresh-process-lowers",
        right: "if now < may_lower_from {\n        return Err(Wait::JustStarted(may_lower_from));",
        wrong: "if false {\n        return Err(Wait::JustStarted(may_lower_from));",
    },
    Mutation {
        name: "the hold after the end has no end",
        marker: "hold-after-end-no",
        right: "if now >= end + hold.max_time {",
        wrong: "if now >= end + hold.max_time * 1000 {",
    },
    Mutation {
        name: "the event ends at its end, load or not",
        marker: "event-ends-end-load",
        right: "    let Some(hold) = announcement.hold else {\n        return Some(ReleaseCause::End);\n    };",
        wrong: "    let Some(hold) = announcement.hold.filter(|_| false) else {\n        return Some(ReleaseCause::End);\n    };",
    },
    Mutation {
        name: "a step down is taken for granted before it stands in the hold",
        marker: "step-down-taken-granted",
        right: "settled: self.is_on_record(target)\n                    && !self.world.doubted.contains(&target.workload)\n                    && live",
        wrong: "settled: live",
    },
    Mutation {
        name: "a clock that goes back lets go of what is held",
        marker: "clock-goes-back-lets",
        right: "&& facts.held_since.is_none_or(|since| since <= now) =>",
        wrong: "=>",
    },
    Mutation {
        name: "a clock that jumps is believed",
        marker: "clock-jumps-believed",
        right: "let jumped = drift.abs() > TOLERANCE;",
        wrong: "let jumped = drift.abs() > TOLERANCE * 1_000_000;",
    },
    Mutation {
        name: "a list whose answer is lost is waited for",
        marker: "list-whose-answer-lost",
        right: "const LIST_TIMEOUT: Duration = Duration::from_secs(10);",
        wrong: "const LIST_TIMEOUT: Duration = Duration::from_hours(10);",
    },
    Mutation {
        name: "what a watch never said is never seen",
        marker: "watch-never-said-never",
        right: "const RELIST: Duration = Duration::from_mins(5);",
        wrong: "const RELIST: Duration = Duration::from_hours(5);",
    },
    Mutation {
        name: "a failed piece of work is done again at once, for ever",
        marker: "failed-piece-work-done",
        right: "if let Some(at) = lane.not_before.filter(|at| now < *at) {",
        wrong: "if let Some(at) = lane.not_before.filter(|at| now < *at && false) {",
    },
    Mutation {
        name: "machines are given back before the targets",
        marker: "machines-given-back-before",
        right: "} else if way == Way::Go {",
        wrong: "} else {",
    },
    Mutation {
        name: "a process that begins with a wrong clock believes it",
        marker: "process-begins-wrong-clock",
        right: "_ if clock_error.is_some() || !listed =>",
        wrong: "_ if !listed =>",
    },
    Mutation {
        name: "an edit moves a run, and leaves what it asks for",
        marker: "edit-moves-run-leaves",
        right: "run.spec = run_spec(planned, &surge.spec);",
        wrong: "let asks = run.spec.event.targets.clone();\n        run.spec = run_spec(planned, &surge.spec);\n        run.spec.event.targets = asks;",
    },
    Mutation {
        name: "an instance expires before its event ends",
        marker: "instance-expires-before-event",
        right: "manual_start::latest_end(self.record).max(self.end).max(self.now);",
        wrong: "manual_start::latest_end(self.record) - TimeDelta::hours(200);",
    },
    Mutation {
        name: "who begins to lead believes what its watches have shown",
        marker: "begins-lead-believes-watches",
        right: "self.began.store(milliseconds(self.passed()), Ordering::Release);",
        wrong: "",
    },
    Mutation {
        name: "what a wrong clock wrote is waited for",
        marker: "wrong-clock-wrote-waited",
        right: "*instant = now.min(*instant);",
        wrong: "let _ = (now, instant);",
    },
    Mutation {
        name: "a machine that never joins is not replaced",
        marker: "machine-never-joins-replaced",
        right: "lost(status, group, world, now).min(spare)",
        wrong: "lost(status, group, world, now).min(spare).min(0)",
    },
    Mutation {
        name: "machines that never join are replaced all night",
        marker: "machines-never-join-replaced",
        right: "saturating_mul(MOST).saturating_sub(ever(",
        wrong: "saturating_mul(99).saturating_sub(ever(",
    },
    Mutation {
        name: "a target is lowered in the middle of its rollout",
        marker: "target-lowered-middle-rollout",
        right: "let rolls = live.rolling && patient;",
        wrong: "let rolls = live.rolling && patient && false;",
    },
    Mutation {
        name: "two steps down are one fall where an autoscaler is slow",
        marker: "two-steps-down-fall",
        right: "let lags = patch::lags(&hold.hold, live) && patient;",
        wrong: "let lags = patch::lags(&hold.hold, live) && patient && false;",
    },
    Mutation {
        name: "what a step runs is undone while it still goes on",
        marker: "step-runs-undone-while",
        right: "ended && !waits && !matches!(self.world.jobs, Seen::Absent)",
        wrong: "(ended || true) && !waits && !matches!(self.world.jobs, Seen::Absent)",
    },
    Mutation {
        name: "a restore Job is not waited for",
        marker: "restore-job-not-waited-for",
        right: "did && !(self.has_ended(degrade)",
        wrong: "did && false && !(self.has_ended(degrade)",
    },
    Mutation {
        name: "what is degraded goes back because nothing is known",
        marker: "degraded-goes-back-because",
        right: "Says::Unknown | Says::Neither => false,",
        wrong: "Says::Unknown => shown.engaged,\n        Says::Neither => false,",
    },
    Mutation {
        name: "a value of another writer is taken back",
        marker: "foreign-value-taken-back",
        right: "false if ours && !later_owes",
        wrong: "false if !later_owes",
    },
    Mutation {
        name: "what another step has put there is what stood there before",
        marker: "another-step-put-stood",
        right: "theirs.map_or_else(|| value.clone(), |other| other.owed.before.clone())",
        wrong: "theirs.map_or_else(|| value.clone(), |_| value.clone())",
    },
    Mutation {
        name: "a hold that cannot be read is no hold",
        marker: "hold-cannot-read-no",
        right: "self.world.unreadable_holds.get(&hold::name(&target.workload))",
        wrong: "self.world.unreadable_holds.get(&hold::name(&target.workload)).filter(|_| false)",
    },
    Mutation {
        name: "an answer that says nothing settles the launch",
        marker: "open-answer-settles",
        right: "Some(LaunchAnswer::Unheard(why)) => batch.shortfall = Some(short(why)),",
        wrong: "Some(LaunchAnswer::Unheard(why)) => batch.settled = !why.is_empty(),",
    },
    Mutation {
        name: "an id that the account does not know is gone at once",
        marker: "unknown-id-is-gone",
        right: "asked.at >= from + STRIKE_AFTER",
        wrong: "asked.at >= from",
    },
    Mutation {
        name: "an open launch is struck two minutes after the release",
        marker: "struck-too-early",
        right: ">= STRIKE_AFTER",
        wrong: ">= TimeDelta::minutes(2)",
    },
    Mutation {
        name: "nodes stay cordoned when the event goes on",
        marker: "cordon-stays",
        right: "n.unschedulable && n.cordoned_by_us",
        wrong: "n.unschedulable && n.cordoned_by_us && false",
    },
    Mutation {
        name: "pods are evicted below what is needed",
        marker: "evicted-below-what-is-needed",
        right: "(w.clone(), share(n, *all))",
        wrong: "(w.clone(), share(n, *all) + 99)",
    },
    Mutation {
        name: "a drain never ends",
        marker: "drain-never-ends",
        right: "now >= since + DRAIN_TIME * 2 &&",
        wrong: "now >= since + DRAIN_TIME * 200 &&",
    },
    Mutation {
        name: "an instance is swept before its expiry",
        marker: "swept-before-its-expiry",
        right: "i.expires.is_some_and(|at| at <= now)",
        wrong: "i.expires.is_some()",
    },
    Mutation {
        name: "the last step down does not wait for the machines",
        marker: "last-step-before-the-machines",
        right: "if fact.machines && (floor.last",
        wrong: "if fact.machines && false && (floor.last",
    },
    Mutation {
        name: "a run is done while the cloud shows an instance of it",
        marker: "completed-over-a-living-instance",
        right: "status.ledger.is_empty()",
        wrong: "true",
    },
];

/// The project's files as read at the beginning: later edits of the working tree do not affect the
/// run.
type Files = Vec<(String, Vec<u8>)>;

/// True if `plant` may put a mutation into the file: a Rust source of the controller other than
/// this file.
fn is_source(file: &str) -> bool {
    let rust = Path::new(file).extension().is_some_and(|extension| extension == "rs");
    rust && file.starts_with("controller/") && !file.ends_with("mutations.rs")
}

fn files(root: &Path) -> std::io::Result<Files> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().map(|file| Ok((file.to_owned(), std::fs::read(root.join(file))?))).collect()
}

/// Writes the copy of the project, with a single mutation or without a mutation.
fn plant(files: &Files, copy: &Path, mutation: Option<&Mutation>) -> std::io::Result<()> {
    for (file, text) in files {
        let to = copy.join(file);
        let mut text = text.clone();
        if let Some(mutation) = mutation.filter(|_| is_source(file)) {
            let planted = mutation.plant_in(&String::from_utf8_lossy(&text));
            text = planted.map_or(text, String::into_bytes);
        }
        // Unchanged files keep their modification time, so cargo does not rebuild their crates.
        if std::fs::read(&to).is_ok_and(|there| there == text) {
            continue;
        }
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(to, text)?;
    }
    Ok(())
}

/// Returns the names of the failing tests of the packages. The list is empty if all tests pass. If
/// a package does not build, the function returns the compiler's message.
fn failing(
    copy: &Path,
    target: &Path,
    packages: &[&str],
) -> std::io::Result<Result<Vec<String>, String>> {
    let output = Command::new("cargo")
        .args(["test", "--locked", "--quiet"])
        .args(packages.iter().flat_map(|package| ["-p", package]))
        // The skipped test fails for every planted mutation, because the original text is missing
        // in the copy.
        .args(["--", "--skip", "every_mistake_can_still_be_made"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .env("PRIMETIME_SEEDS", "120")
        .env("PRIMETIME_PLAYS", "362")
        .env("RUST_BACKTRACE", "0")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed =
        said.lines().skip_while(|l| *l != "failures:").filter_map(|l| l.strip_prefix("    "));
    let failed: std::collections::BTreeSet<String> = failed.map(str::to_owned).collect();
    if !output.status.success() && failed.is_empty() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(Ok(failed.into_iter().collect()))
}

/// Packages to test, stage by stage: first the core, then shell and simulator.
const STAGES: [&[&str]; 2] = [&["primetime-core"], &["primetime-k8s", "primetime-sim"]];

/// Returns the tests that fail in a copy, or the compiler's message if the copy does not build.
fn verdict(copy: &Path, target: &Path) -> std::io::Result<Result<Vec<String>, String>> {
    for packages in STAGES {
        match failing(copy, target, packages)? {
            Ok(failed) if failed.is_empty() => {}
            other => return Ok(other),
        }
    }
    Ok(Ok(Vec::new()))
}

fn run(root: &Path, only: &[String]) -> std::io::Result<bool> {
    let (copy, target) = (root.join("target/mutations/tree"), root.join("target/mutations/target"));
    let files = files(root)?;
    plant(&files, &copy, None)?;
    match verdict(&copy, &target)? {
        Ok(failed) if failed.is_empty() => println!("without a mistake all tests pass"),
        other => {
            println!("without a mistake: {other:?}");
            return Ok(false);
        }
    }
    let mut caught_all = true;
    let chosen = |m: &&Mutation| only.is_empty() || only.iter().any(|o| m.name.contains(o));
    for mutation in MUTATIONS.iter().filter(chosen) {
        plant(&files, &copy, Some(mutation))?;
        let said = match verdict(&copy, &target)? {
            Ok(failed) if failed.is_empty() => {
                caught_all = false;
                "NOT CAUGHT".to_owned()
            }
            Ok(failed) => format!("caught by {}", failed.join(", ")),
            Err(why) => {
                caught_all = false;
                format!("DOES NOT BUILD: {}", why.lines().take(12).collect::<Vec<_>>().join("\n"))
            }
        };
        println!("{}: {said}", mutation.name);
    }
    Ok(caught_all)
}

fn main() -> ExitCode {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let only: Vec<String> = std::env::args().skip(1).collect();
    match run(&root, &only) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_can_still_be_made() {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let files = files(&root).unwrap();
        let sources: Vec<_> = files.iter().filter(|(file, _)| is_source(file)).collect();
        for mutation in &MUTATIONS {
            let texts = sources.iter().map(|(_, text)| String::from_utf8_lossy(text));
            let planted = texts.filter_map(|text| mutation.plant_in(&text)).count();
            assert_eq!(planted, 1, "{}: marker {}", mutation.name, mutation.marker);
        }
    }
}
