//! Seeded mistakes: each must be caught by the tests of core, shell and simulator. `make mutations` plants one after the
//! other in a copy of the project, as it is when it begins, and runs them: those of the core first, which take seconds,
//! the others where those see nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A mistake: a text of a file, and what somebody might have written instead.
struct Mutation {
    name: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
}

const MUTATIONS: [Mutation; 43] = [
    Mutation {
        name: "pre-scaling begins at T0, not its lead time earlier",
        file: "controller/core/src/timeline.rs",
        right: "needed_by - target.lead - ramp",
        wrong: "needed_by",
    },
    Mutation {
        name: "the baseline is captured twice",
        file: "controller/core/src/hold.rs",
        right: "let mut next = Hold { claims, ..hold.clone() };",
        wrong: "let mut next = Hold { claims, baseline: live.map_or_else(|| hold.baseline.clone(), baseline), ..hold.clone() };",
    },
    Mutation {
        name: "the maximum is restored first",
        file: "controller/core/src/hold.rs",
        right: "max: if fits { at_rest.max } else { current.max },",
        wrong: "max: if fits || true { at_rest.max } else { current.max },",
    },
    Mutation {
        name: "overlapping floors combine by the last, not the highest",
        file: "controller/core/src/hold.rs",
        right: "claims.iter().map(|c| c.floor).max() else",
        wrong: "claims.iter().map(|c| c.floor).next_back() else",
    },
    Mutation {
        name: "an unknown load is no load",
        file: "controller/core/src/signal.rs",
        right: "Err(_) => Required { blind: true, ..sum },",
        wrong: "Err(_) => sum,",
    },
    Mutation {
        name: "an unknown load is quiet",
        file: "controller/core/src/release.rs",
        right: "quiet &= !reading.raises();",
        wrong: "",
    },
    Mutation {
        name: "metrics lower the floor inside the window",
        file: "controller/core/src/demand.rs",
        right: "let before = facts.claimed.map_or(0, |c| c.floor);",
        wrong: "let before = 0;",
    },
    Mutation {
        name: "one jump of the load is a slope",
        file: "controller/core/src/signal/series.rs",
        right: "const RISES: usize = 3;",
        wrong: "const RISES: usize = 1;",
    },
    Mutation {
        name: "a rise within the plan is met far beyond it",
        file: "controller/core/src/demand.rs",
        right: "required.ahead.min(trusted)",
        wrong: "required.ahead.max(trusted)",
    },
    Mutation {
        name: "the release takes back what somebody else has written",
        file: "controller/core/src/write.rs",
        right: " && from > to && from == hold.previous.replicas;",
        wrong: " && from > to;",
    },
    Mutation {
        name: "what KEDA keeps when idle is left while the target is held",
        file: "controller/core/src/write.rs",
        right: "let differs = hold::idles(hold) &&",
        wrong: "let differs = false &&",
    },
    Mutation {
        name: "a paused autoscaler is left to lower what was raised beside it",
        file: "controller/core/src/write.rs",
        right: "(unscaled || alone)",
        wrong: "unscaled",
    },
    Mutation {
        name: "a patch does not test what was seen",
        file: "controller/k8s/src/apply.rs",
        right: "if let Some(from) = change.from {",
        wrong: "if let Some(from) = change.from.filter(|_| false) {",
    },
    Mutation {
        name: "a patch that is late is done",
        file: "controller/k8s/src/apply.rs",
        right: "seen.filter(|v| !v.is_empty()).map(version)",
        wrong: "seen.filter(|_| false).map(version)",
    },
    Mutation {
        name: "who does not lead any more writes all the same",
        file: "controller/k8s/src/engine.rs",
        right: "if !leadership.leads() {\n        return Err",
        wrong: "if false {\n        return Err",
    },
    Mutation {
        name: "an instance that is on no list is believed to have no node",
        file: "controller/core/src/machines/wind_down.rs",
        right: "may_go == 0 || (node.is_none() && !looked)",
        wrong: "may_go == 0",
    },
    Mutation {
        name: "all machines are sent away at once",
        file: "controller/core/src/machines/wind_down.rs",
        right: "(all * percent / 100).max(1)",
        wrong: "(all * percent).max(1)",
    },
    Mutation {
        name: "a token is different at each attempt to send it",
        file: "controller/core/src/machines.rs",
        right: "batch: Box::new(b.clone()), run_uid",
        wrong: "batch: Box::new(Batch { token: format!(\"{}-{}\", b.token, now.timestamp()), ..b.clone() }), run_uid",
    },
    Mutation {
        name: "a fresh process lowers at once",
        file: "controller/core/src/release.rs",
        right: "if now < may_lower_from {\n        return Err(Wait::JustStarted(may_lower_from));",
        wrong: "if false {\n        return Err(Wait::JustStarted(may_lower_from));",
    },
    Mutation {
        name: "the hold after the end has no end",
        file: "controller/core/src/release.rs",
        right: "if now >= end + hold.max_time {",
        wrong: "if now >= end + hold.max_time * 1000 {",
    },
    Mutation {
        name: "the event ends at its end, load or not",
        file: "controller/core/src/release.rs",
        right: "    let Some(hold) = announcement.hold else {\n        return Some(ReleaseCause::End);\n    };",
        wrong: "    let Some(hold) = announcement.hold.filter(|_| false) else {\n        return Some(ReleaseCause::End);\n    };",
    },
    Mutation {
        name: "a step down is taken for granted before it stands in the hold",
        file: "controller/core/src/plan/runs.rs",
        right: "settled: self.is_on_record(target)\n                    && !self.world.doubted.contains(&target.workload)\n                    && live",
        wrong: "settled: live",
    },
    Mutation {
        name: "a clock that goes back lets go of what is held",
        file: "controller/core/src/demand.rs",
        right: "&& facts.held_since.is_none_or(|since| since <= now) =>",
        wrong: "=>",
    },
    Mutation {
        name: "a clock that jumps is believed",
        file: "controller/k8s/src/engine/steady.rs",
        right: "let jumped = drift.abs() > TOLERANCE;",
        wrong: "let jumped = drift.abs() > TOLERANCE * 1_000_000;",
    },
    Mutation {
        name: "a list whose answer is lost is waited for",
        file: "controller/k8s/src/watch/stream.rs",
        right: "const LIST_TIMEOUT: Duration = Duration::from_secs(10);",
        wrong: "const LIST_TIMEOUT: Duration = Duration::from_hours(10);",
    },
    Mutation {
        name: "what a watch never said is never seen",
        file: "controller/k8s/src/watch/stream.rs",
        right: "const RELIST: Duration = Duration::from_mins(5);",
        wrong: "const RELIST: Duration = Duration::from_hours(5);",
    },
    Mutation {
        name: "a failed piece of work is done again at once, for ever",
        file: "controller/k8s/src/engine/lanes.rs",
        right: "if let Some(at) = lane.not_before.filter(|at| now < *at) {",
        wrong: "if let Some(at) = lane.not_before.filter(|at| now < *at && false) {",
    },
    Mutation {
        name: "machines are given back before the targets",
        file: "controller/core/src/plan/runs.rs",
        right: "        } else if Self::let_go(&self.record.status)\n            && self.targets_given_back()\n",
        wrong: "        } else if true\n",
    },
    Mutation {
        name: "a process that begins with a wrong clock believes it",
        file: "controller/k8s/src/engine.rs",
        right: "_ if clock_error.is_some() || !listed =>",
        wrong: "_ if !listed =>",
    },
    Mutation {
        name: "an edit moves a run, and leaves what it asks for",
        file: "controller/k8s/src/record.rs",
        right: "run.spec = run_spec(planned, &surge.spec);",
        wrong: "let asks = run.spec.targets.clone();\n        run.spec = run_spec(planned, &surge.spec);\n        run.spec.targets = asks;",
    },
    Mutation {
        name: "an instance expires before its event ends",
        file: "controller/k8s/src/engine/acts.rs",
        right: "armed::latest_end(world.runs.get(&run)?) + INSTANCE_LIFE_AFTER_END",
        wrong: "armed::latest_end(world.runs.get(&run)?) - INSTANCE_LIFE_AFTER_END",
    },
    Mutation {
        name: "who begins to lead believes what its watches have shown",
        file: "controller/k8s/src/lease.rs",
        right: "self.began.store(milliseconds(self.passed()), Ordering::Release);",
        wrong: "",
    },
    Mutation {
        name: "what a wrong clock wrote is waited for",
        file: "controller/core/src/run.rs",
        right: "*instant = now.min(*instant);",
        wrong: "let _ = (now, instant);",
    },
    Mutation {
        name: "a machine that never joins is not replaced",
        file: "controller/core/src/machines/join.rs",
        right: "not_joined(status, group, world, now).min(spare).min(left + replaced)",
        wrong: "not_joined(status, group, world, now).min(spare).min(left + replaced).min(0)",
    },
    Mutation {
        name: "machines that never join are replaced all night",
        file: "controller/core/src/machines/join.rs",
        right: ".min(spare).min(left + replaced)",
        wrong: ".min(spare)",
    },
    Mutation {
        name: "a target is lowered in the middle of its rollout",
        file: "controller/core/src/plan/runs.rs",
        right: "let rolls = live.rolling && patient;",
        wrong: "let rolls = live.rolling && patient && false;",
    },
    Mutation {
        name: "two steps down are one fall where an autoscaler is slow",
        file: "controller/core/src/plan/runs.rs",
        right: "let lags = write::lags(&hold.hold, live) && patient;",
        wrong: "let lags = write::lags(&hold.hold, live) && patient && false;",
    },
    Mutation {
        name: "what a step runs is undone while it still goes on",
        file: "controller/core/src/degrade/work.rs",
        right: "ended && !waits && !matches!(self.world.jobs, Seen::Absent)",
        wrong: "(ended || true) && !waits && !matches!(self.world.jobs, Seen::Absent)",
    },
    Mutation {
        name: "nobody waits for what a step has run to be undone",
        file: "controller/core/src/degrade/work.rs",
        right: "did && !(self.has_ended(degrade)",
        wrong: "did && false && !(self.has_ended(degrade)",
    },
    Mutation {
        name: "what is degraded goes back because nothing is known",
        file: "controller/core/src/degrade.rs",
        right: "Says::Unknown | Says::Neither => false,",
        wrong: "Says::Unknown => shown.engaged,\n        Says::Neither => false,",
    },
    Mutation {
        name: "a value that somebody else has put there is taken back",
        file: "controller/core/src/degrade/owed.rs",
        right: "false if ours && !later_owes",
        wrong: "false if !later_owes",
    },
    Mutation {
        name: "what another step has put there is what stood there before",
        file: "controller/core/src/degrade/owed.rs",
        right: "theirs.map_or_else(|| value.clone(), |other| other.owed.before.clone())",
        wrong: "theirs.map_or_else(|| value.clone(), |_| value.clone())",
    },
    Mutation {
        name: "a hold that cannot be read is no hold",
        file: "controller/core/src/plan/runs.rs",
        right: "self.world.unreadable_holds.get(&hold::name(&target.workload))",
        wrong: "self.world.unreadable_holds.get(&hold::name(&target.workload)).filter(|_| false)",
    },
];

/// The project's files as they were at the beginning: who works on them meanwhile disturbs nothing.
type Files = Vec<(String, Vec<u8>)>;

fn files(root: &Path) -> std::io::Result<Files> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().map(|file| Ok((file.to_owned(), std::fs::read(root.join(file))?))).collect()
}

/// Writes the copy, with a mistake in it or none.
fn plant(files: &Files, copy: &Path, mutation: Option<&Mutation>) -> std::io::Result<()> {
    for (file, text) in files {
        let to = copy.join(file);
        let mut text = text.clone();
        if let Some(mutation) = mutation.filter(|m| m.file == file) {
            let right = String::from_utf8_lossy(&text);
            text = right.replacen(mutation.right, mutation.wrong, 1).into_bytes();
        }
        // Files that stay as they are keep their time, and need not be built again.
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

/// The names of the tests of these packages that fail; nothing if all pass.
fn failing(
    copy: &Path,
    target: &Path,
    packages: &[&str],
) -> std::io::Result<Result<Vec<String>, String>> {
    let output = Command::new("cargo")
        .args(["test", "--locked", "--quiet"])
        .args(packages.iter().flat_map(|package| ["-p", package]))
        // It would find every mistake: what is right is not there then.
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

/// The core's own tests, then those of everything that the core moves.
const STAGES: [&[&str]; 2] = [&["primetime-core"], &["primetime-k8s", "primetime-sim"]];

/// What the tests say of a copy: what they caught, or why it does not build.
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
        for mutation in MUTATIONS {
            let file = format!("{}/../../{}", env!("CARGO_MANIFEST_DIR"), mutation.file);
            let text = std::fs::read_to_string(&file).unwrap();
            let found = text.matches(mutation.right).count();
            assert_eq!(found, 1, "{}: {} in {}", mutation.name, mutation.right, mutation.file);
        }
    }
}
