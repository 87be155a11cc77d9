//! Rules about replicas and minima of workloads and their autoscalers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::release::ReleaseCause;
use primetime_k8s::reconciler::HEARTBEAT;
use serde_json::Value;

use crate::evening::recording::Recording;
use crate::field::{at, number, text};
use crate::gate::LATE;
use crate::oracle::case::{Broken, Case, workload_of};
use crate::script::{Jump, Part};
use crate::server::object::Event;

/// Time for which a sample stays valid after the last answer of Prometheus, including the time of a
/// reconcile pass.
const STILL_KNOWN: TimeDelta = TimeDelta::seconds(12);

/// A change of `spec.replicas` or of a minimum.
struct Command<'a> {
    /// Name of the workload.
    name: &'a str,
    /// Field: `replicas` or `min`.
    field: &'static str,
    from: Option<i64>,
    to: i64,
    event: &'a Event,
}

/// Returns all changes of replicas and minima, by operators and by other writers.
fn changes(recording: &Recording) -> Vec<Command<'_>> {
    let mut stands: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let changed = recording.history.iter().filter_map(|event| {
        let (field, pointer) = match event.key.0.kind {
            "Deployment" => ("replicas", "/spec/replicas"),
            "HorizontalPodAutoscaler" => ("min", "/spec/minReplicas"),
            "ScaledObject" => ("min", "/spec/minReplicaCount"),
            _ => return None,
        };
        let name = workload_of(event);
        let to = number(&event.object, pointer)?;
        let from = stands.insert((field, name), to);
        (from != Some(to)).then_some(Command { name, field, from, to, event })
    });
    changed.collect()
}

/// Returns the changes by operators.
fn commanded(recording: &Recording) -> impl Iterator<Item = Command<'_>> {
    changes(recording).into_iter().filter(|c| c.event.by.is_some())
}

fn commands(case: Case<'_>) -> impl Iterator<Item = Command<'_>> {
    commanded(case.recording)
}

/// Returns the `resourceVersion`s at which operators raised a value.
pub(super) fn raises(case: Case<'_>) -> impl Iterator<Item = u64> {
    commands(case).filter(|c| c.from.is_some_and(|from| c.to > from)).map(|c| c.event.version)
}

/// Returns all events of the holds of a workload.
fn holds<'a>(case: Case<'a>, name: &'a str) -> impl Iterator<Item = &'a Event> {
    case.of("SurgeHold")
        .filter(move |hold| text(&hold.object, "/spec/targetRef/name") == Some(name))
}

/// Returns the last event of the hold before a command.
fn hold_of<'a>(case: Case<'a>, command: &Command<'a>) -> Option<&'a Event> {
    let version = command.event.version;
    holds(case, command.name).take_while(move |hold| hold.version < version).last()
}

/// Returns the commands of the operators as text, in order, workload by workload. Equal evenings
/// have equal commands.
#[must_use]
pub fn told(recording: &Recording) -> Vec<String> {
    let mut all: Vec<_> = commanded(recording).collect();
    all.sort_by_key(|c| (c.name, c.field));
    let tell = |c: &Command<'_>| {
        format!("{} {} {} -> {}", c.name, c.field, c.from.unwrap_or_default(), c.to)
    };
    all.iter().map(tell).collect()
}

impl Command<'_> {
    fn lowers(&self) -> bool {
        self.from.is_some_and(|from| self.to < from)
    }

    fn tell(&self, rule: &str, why: &str) -> Broken {
        let (name, field, to) = (self.name, self.field, self.to);
        let from = self.from.unwrap_or_default();
        format!("{rule}: {name} {field} {from} -> {to} at {}: {why}", self.event.at)
    }
}

/// L2, L8: if capacity exists, ready pods reach the floor by T0 and stay at the floor until the
/// end.
pub(super) fn ready_at_t0(case: Case<'_>) -> Option<Broken> {
    let promise = case.promise;
    let looks = case.recording.looks.iter();
    let within = looks.filter(|l| l.at >= promise.ready_by && l.at < promise.until);
    for look in within {
        for (name, floor) in promise.floors_at(look.at) {
            let ready = look.workloads.iter().find(|w| w.name == name).map_or(0, |w| w.ready);
            if ready < floor {
                return Some(format!(
                    "L2: {name} has {ready} of {floor} pods ready at {}",
                    look.at
                ));
            }
        }
    }
    None
}

/// S1, S2: in the window of the promise (T0 to the end), no writer lowers raised replicas below the
/// floor.
pub(super) fn never_lowered_in_the_window(case: Case<'_>) -> Option<Broken> {
    let promise = case.promise;
    let mut replicas: BTreeMap<&str, i64> = BTreeMap::new();
    let mut held: BTreeMap<&str, i64> = BTreeMap::new();
    let mut raised: BTreeSet<&str> = BTreeSet::new();
    case.recording.history.iter().find_map(|event| {
        let (is, was, name) = match event.key.0.kind {
            "SurgeHold" => {
                let name = text(&event.object, "/spec/targetRef/name")?;
                held.insert(name, number(&event.object, "/spec/level/replicas")?);
                let is = *replicas.get(name)?;
                (is, is, name)
            }
            "Deployment" => {
                let name = event.key.2.as_str();
                let is = number(&event.object, "/spec/replicas")?;
                (is, replicas.insert(name, is).unwrap_or(is), name)
            }
            _ => return None,
        };
        let floor = promise.floors_at(event.at).iter().find(|(of, _)| *of == name)?.1;
        if is >= floor && held.get(name).is_some_and(|level| *level >= floor) {
            raised.insert(name);
        }
        (in_the_window(case, event.at) && is < was && is < floor && raised.contains(name))
            .then(|| format!("S1: {name} is at {is}, below {floor}, at {}", event.at))
    })
}

fn in_the_window(case: Case<'_>, at: Instant) -> bool {
    at >= case.promise.window_from && at < case.promise.until
}

/// S1: in the window of the promise (T0 to the end), every command of an operator requests at least
/// the floor.
pub(super) fn commands_keep_the_floor(case: Case<'_>) -> Option<Broken> {
    let below = |c: &Command<'_>| {
        let floors = case.promise.floors_at(c.event.at);
        floors.iter().any(|(of, floor)| *of == c.name && c.to < *floor)
    };
    commands(case)
        .filter(|c| in_the_window(case, c.event.at))
        .find(below)
        .map(|c| c.tell("S1", "below the floor"))
}

/// S2: in the window of the promise (T0 to the end), an operator lowers nothing, except after an
/// edit by people. The clock may lower a plan with a shape, down to the share of the time.
pub(super) fn commands_climb_only(case: Case<'_>) -> Option<Broken> {
    if case.promise.shape.is_some() {
        return None;
    }
    commands(case)
        .filter(|c| in_the_window(case, c.event.at) && c.lowers())
        .find(|c| !case.promise.edits.iter().any(|edit| c.event.at >= *edit))
        .map(|c| c.tell("S2", "lowered in the window"))
}

/// S3: an operator requests at most the cap, and sets no minimum above the autoscaler's maximum.
pub(super) fn commands_keep_the_cap(case: Case<'_>) -> Option<Broken> {
    let cap = |name: &str| case.promise.caps.iter().find(|(of, _)| *of == name);
    commands(case)
        .find(|c| {
            let beyond = cap(c.name).is_some_and(|(_, cap)| c.to > *cap);
            let above_its_max = c.field == "min"
                && number(&c.event.object, "/spec/maxReplicas").is_some_and(|max| c.to > max);
            beyond || above_its_max
        })
        .map(|c| c.tell("S3", "beyond the cap"))
}

/// S4: an operator lowers nothing while the load is unknown. Exceptions are an override, a
/// deletion, an edit, and the end of the longest hold.
pub(super) fn unknown_never_lowers(case: Case<'_>) -> Option<Broken> {
    let blind = |at: Instant| {
        let silent = [Part::Prometheus, Part::MetricsStale];
        let outages = case.script.outages.iter().filter(|o| silent.contains(&o.part));
        outages.into_iter().any(|o| at >= o.from + STILL_KNOWN && at < o.until)
    };
    let without_a_look = [ReleaseCause::HoldExpired, ReleaseCause::Override, ReleaseCause::Deleted]
        .map(|cause| format!("{cause:?}"));
    let mut causes: BTreeMap<&str, Instant> = BTreeMap::new();
    for event in case.of("SurgeRun") {
        let why = text(&event.object, "/status/release/cause");
        if why.is_some_and(|why| without_a_look.iter().any(|known| known == why)) {
            causes.entry(&event.key.2).or_insert(event.at);
        }
    }
    // An operator may execute a decision after a delay, so the rule uses the time of the hold.
    commands(case)
        .filter(|c| c.lowers() && blind(hold_of(case, c).map_or(c.event.at, |hold| hold.at)))
        .filter(|c| !causes.values().any(|since| c.event.at >= *since))
        .find(|c| !case.promise.edits.iter().any(|edit| c.event.at >= *edit))
        .map(|c| c.tell("S4", "lowered while the load is unknown"))
}

/// S5: an operator requests neither 0 replicas nor a minimum of 0.
pub(super) fn never_zero(case: Case<'_>) -> Option<Broken> {
    commands(case).find(|c| c.to < 1).map(|c| c.tell("S5", "to nothing"))
}

/// S7, S12: each command equals `spec.level` of the hold at that time. A late command, or a command
/// of a former leader, has no effect.
pub(super) fn intent_stands_before_the_command(case: Case<'_>) -> Option<Broken> {
    let mut held: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut commands = commands(case).peekable();
    for event in &case.recording.history {
        if event.key.0.kind == "SurgeHold"
            && let Some(name) = text(&event.object, "/spec/targetRef/name")
        {
            if event.what == "DELETED" {
                held.remove(name);
            } else {
                held.insert(name, event.object.as_ref());
            }
        }
        let Some(command) = commands.next_if(|c| c.event.version == event.version) else {
            continue;
        };
        let pointer =
            if command.field == "min" { "/spec/level/min" } else { "/spec/level/replicas" };
        let level = held.get(command.name).and_then(|hold| number(hold, pointer));
        if level != Some(command.to) {
            return Some(command.tell("S12", &format!("the hold says {level:?}")));
        }
    }
    None
}

/// S13, L5: from five seconds after the begin of an override until its end, the operator requests
/// exactly the override's replicas.
pub(super) fn a_word_of_on_call_wins(case: Case<'_>) -> Option<Broken> {
    case.promise.words.iter().find_map(|(name, from, until, value)| {
        let obeyed_by = case.recovered(*from + TimeDelta::seconds(5));
        let looks = case.recording.looks.iter();
        let within = looks.filter(|look| look.at >= obeyed_by && look.at < *until);
        let short = within
            .filter_map(|look| Some((look, look.workloads.iter().find(|w| w.name == *name)?)))
            .find(|(_, workload)| workload.replicas < *value)
            .map(|(look, w)| {
                format!("L5: {name} is asked for {} and not for {value} at {}", w.replicas, look.at)
            });
        short.or_else(|| {
            commands(case)
                .filter(|c| c.name == *name && c.event.at >= obeyed_by && c.event.at < *until)
                .find(|c| c.to != *value)
                .map(|c| c.tell("S13", &format!("on-call says {value}")))
        })
    })
}

/// S14: an operator lowers only a value that an operator wrote last.
pub(super) fn the_last_writer_is_respected(case: Case<'_>) -> Option<Broken> {
    // If a workload has an autoscaler, `spec.replicas` belongs to the autoscaler.
    let autoscalers = case.of("HorizontalPodAutoscaler").chain(case.of("ScaledObject"));
    let scaled: BTreeSet<&str> =
        autoscalers.filter_map(|hpa| text(&hpa.object, "/spec/scaleTargetRef/name")).collect();
    let mut ours: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for change in changes(case.recording) {
        let was_ours = ours.insert((change.field, change.name), change.event.by.is_some());
        let contested = change.field == "replicas" && scaled.contains(change.name);
        if change.event.by.is_some() && change.lowers() && was_ours != Some(true) && !contested {
            return Some(change.tell("S14", "another writer had put it there"));
        }
    }
    None
}

/// S15: an operator repairs a value at most three times in ten minutes after another writer has
/// reverted the value.
pub(super) fn no_fight_for_ever(case: Case<'_>) -> Option<Broken> {
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut repaired: BTreeMap<(&str, &str), Vec<Instant>> = BTreeMap::new();
    for command in commands(case) {
        let key = (command.field, command.name);
        if last.insert(key, command.to) != Some(command.to) {
            continue;
        }
        let times = repaired.entry(key).or_default();
        times.push(command.event.at);
        times.retain(|at| command.event.at - *at < TimeDelta::minutes(10));
        if times.len() > 3 {
            return Some(command.tell("S15", "repaired for the fourth time"));
        }
    }
    None
}

/// S16: during the release no step lowers a workload by more than `step_percent` of the highest
/// level.
pub(super) fn way_down_in_steps(case: Case<'_>) -> Option<Broken> {
    let promise = case.promise;
    // The highest level of the holds counts, even if the operator could not write that level.
    let top = |name: &str| {
        let levels = holds(case, name);
        let levels = levels.filter_map(|hold| number(&hold.object, "/spec/level/replicas"));
        levels.max().unwrap_or_default()
    };
    // If a hold has no claims and a value is at or below the baseline, the autoscaler sets the
    // pace: the rule ignores the command.
    let let_go = |c: &Command<'_>| {
        hold_of(case, c).is_some_and(|hold| {
            at(&hold.object, "/spec/claims").and_then(Value::as_array).is_none_or(Vec::is_empty)
                && c.from <= number(&hold.object, "/spec/baseline/replicas")
        })
    };
    commands(case)
        .filter(|c| c.lowers() && c.event.at >= promise.until && !let_go(c))
        .find(|c| {
            let step = (top(c.name) * promise.step_percent + 99) / 100;
            c.from.unwrap_or_default() - c.to > step.max(1)
        })
        .map(|c| c.tell("S16", "too much at once"))
}

/// F32: an operator lowers nothing while a rollout replaces pods, until `patience_ends`.
pub(super) fn no_step_during_a_rollout(case: Case<'_>) -> Option<Broken> {
    let mut rolling: BTreeMap<&str, Instant> = BTreeMap::new();
    let mut commands = commands(case).peekable();
    case.recording.history.iter().find_map(|event| {
        if event.key.0.kind == "Deployment" {
            let name = event.key.2.as_str();
            let count = |field| number(&event.object, field).unwrap_or_default();
            if count("/status/updatedReplicas") < count("/status/replicas") {
                rolling.entry(name).or_insert(event.at);
            } else {
                rolling.remove(name);
            }
        }
        let command = commands.next_if(|c| c.event.version == event.version)?;
        let since = rolling.get(command.name)?;
        // The command of an earlier step may still be in flight when the rollout begins.
        let late = command.event.at > *since + ON_ITS_WAY;
        let patient = command.event.at < case.promise.patience_ends;
        (command.lowers() && late && patient)
            .then(|| command.tell("F32", "lowered in the middle of a rollout"))
    })
}

/// S25: from T0 to the end of all runs, the ready pods of a workload are never fewer than its
/// baseline, also while machines are emptied.
///
/// Machines that the cloud or another autoscaler takes, and images that cannot be pulled, cost pods
/// that no operator can save.
pub(super) fn the_baseline_is_served(case: Case<'_>) -> Option<Broken> {
    let Case { recording, promise, script, .. } = case;
    let lost = script.outages.iter().any(|o| matches!(o.part, Part::Images | Part::Consolidation));
    if lost || recording.machines.iter().any(|machine| machine.reclaimed) {
        return None;
    }
    let baseline = promise
        .afterwards
        .iter()
        .filter(|(kind, _, pointer, _)| *kind == "Deployment" && *pointer == "/spec/replicas");
    // A person may raise the replicas for good in the course of the evening.
    let first = recording.looks.first();
    let before = |name: &str| {
        let found = first.and_then(|look| look.workloads.iter().find(|w| w.name == name));
        found.map_or(0, |w| w.replicas)
    };
    let baseline = baseline.map(|(_, name, _, replicas)| (*name, before(name).min(*replicas)));
    let baseline: Vec<_> = baseline.collect();
    let looks = recording.looks.iter().filter(|look| look.at >= promise.ready_by);
    looks.flat_map(|look| look.workloads.iter().map(move |w| (look.at, w))).find_map(|(at, w)| {
        let (name, least) = baseline.iter().find(|(name, _)| w.name == *name)?;
        (w.ready < *least).then(|| {
            format!("S25: {name} has {} ready pods at {at}, its baseline is {least}", w.ready)
        })
    })
}

/// Largest jump that time synchronization may cause: the operator tolerates such a jump.
const NO_JUMP: TimeDelta = TimeDelta::seconds(2);

/// Clock error up to which the operator does not detect a difference from the API server's `Date`
/// header.
const NOT_TOLD: TimeDelta = TimeDelta::seconds(20);

/// Time within which a request in flight may still take effect after a clock jump or the begin of a
/// rollout.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(1);

/// S23: an operator lowers nothing during `settle` after its start, or for two minutes after a
/// clock jump. An operator with a clock error above 20 s lowers nothing.
pub(super) fn nothing_is_lowered_blindly(case: Case<'_>) -> Option<Broken> {
    let blind = |c: &Command<'_>| {
        let mut lives = case.recording.lives.iter().rev();
        let Some(life) = lives.find(|l| Some(l.operator) == c.event.by && l.from <= c.event.at)
        else {
            return false;
        };
        // The operator cannot cancel a late request, so the rule uses the send time.
        let late = case.recording.late.contains(&c.event.at);
        let sent = if late { c.event.at - LATE } else { c.event.at };
        // A process that starts after a jump has not observed the jump.
        let seen = |at: Instant| at >= life.from && at + ON_ITS_WAY < sent;
        // The script moves the clock of the first operator only.
        let far = |jump: &&Jump| jump.by.abs() > NO_JUMP && life.operator == 0;
        // A process that was paused during the whole jump has not observed the jump.
        let slept = |jump: &&Jump| {
            let mut pauses = case.recording.pauses.iter().filter(|p| p.operator == c.event.by);
            pauses.any(|p| p.from <= jump.from && jump.until <= p.until)
        };
        // The operator compares its clocks once per heartbeat, so no turn may fall into a shorter
        // jump. A turn that does fall into it plans with the wrong time and observes the jump.
        let short =
            |jump: &&Jump| (jump.until - jump.from).to_std().is_ok_and(|lasted| lasted < HEARTBEAT);
        let jumps = case.script.jumps.iter().filter(far).filter(|j| !short(j) && !slept(j));
        let jumps = jumps.flat_map(|jump| [jump.from, jump.until]);
        let jumped = |at: Instant| seen(at) && sent - at < TimeDelta::minutes(2);
        // A process that starts with a wrong clock detects the error in the `Date` header of the
        // first answer.
        let wrong = |jump: &Jump| {
            let told = jump.from.max(life.from) + ON_ITS_WAY;
            jump.by.abs() > NOT_TOLD && sent >= told && sent < jump.until
        };
        let wrong = life.operator == 0 && case.script.jumps.iter().any(wrong);
        wrong || c.event.at - life.from < case.promise.settle || jumps.into_iter().any(jumped)
    };
    commands(case)
        .filter(Command::lowers)
        .find(blind)
        .map(|c| c.tell("S23", "lowered right after a start or a jump of the clock"))
}
