//! What is asked of workloads and their autoscalers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::state::release::ReleaseCause;
use serde_json::Value;

use crate::evening::recording::Recording;
use crate::field::{at, number, text};
use crate::gate::LATE;
use crate::oracle::case::{Broken, Case, workload_of};
use crate::script::{Jump, Part};
use crate::server::object::Event;

/// A sample is believed for so long, and a look takes a moment.
const STILL_KNOWN: TimeDelta = TimeDelta::seconds(12);

/// A field of a workload or an autoscaler that an operator has set.
struct Command<'a> {
    /// Of which workload.
    name: &'a str,
    /// `replicas` or `min`.
    field: &'static str,
    from: Option<i64>,
    to: i64,
    event: &'a Event,
}

/// What every event did to replicas and minima, operators' and others'.
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

/// What operators did to them.
fn commanded(recording: &Recording) -> impl Iterator<Item = Command<'_>> {
    changes(recording).into_iter().filter(|c| c.event.by.is_some())
}

fn commands(case: Case<'_>) -> impl Iterator<Item = Command<'_>> {
    commanded(case.recording)
}

/// The versions at which operators asked for more.
pub(super) fn raises(case: Case<'_>) -> impl Iterator<Item = u64> {
    commands(case).filter(|c| c.from.is_some_and(|from| c.to > from)).map(|c| c.event.version)
}

/// Everything that happened to the holds of a workload.
fn holds<'a>(case: Case<'a>, name: &'a str) -> impl Iterator<Item = &'a Event> {
    case.of("SurgeHold")
        .filter(move |hold| text(&hold.object, "/spec/targetRef/name") == Some(name))
}

/// The hold as it stood when a command was done.
fn hold_of<'a>(case: Case<'a>, command: &Command<'a>) -> Option<&'a Event> {
    let version = command.event.version;
    holds(case, command.name).take_while(move |hold| hold.version < version).last()
}

/// What operators asked for, in order, workload by workload: what two evenings that are the same have in common.
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

/// L2, L8: if capacity exists, ready pods reach the floor by T0 and stay there to the end.
pub(super) fn ready_at_t0(case: Case<'_>) -> Option<Broken> {
    let promise = case.promise;
    let looks = case.recording.looks.iter();
    let within = looks.filter(|l| l.at >= promise.ready_by && l.at < promise.until);
    for look in within {
        for (name, floor) in &promise.floors {
            let ready = look.workloads.iter().find(|w| w.name == *name).map_or(0, |w| w.ready);
            if ready < *floor {
                return Some(format!(
                    "L2: {name} has {ready} of {floor} pods ready at {}",
                    look.at
                ));
            }
        }
    }
    None
}

/// S1, S2: what was raised is not lowered in the window, by any writer.
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
        let floor = promise.floors.iter().find(|(of, _)| *of == name)?.1;
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

/// S1: what an operator asks for in the window is the floor, or more.
pub(super) fn commands_keep_the_floor(case: Case<'_>) -> Option<Broken> {
    let floor = |name: &str| case.promise.floors.iter().find(|(of, _)| *of == name);
    commands(case)
        .filter(|c| in_the_window(case, c.event.at))
        .find(|c| floor(c.name).is_some_and(|(_, floor)| c.to < *floor))
        .map(|c| c.tell("S1", "below the floor"))
}

/// S2: in the window an operator's commands climb, but for what people change.
pub(super) fn commands_climb_only(case: Case<'_>) -> Option<Broken> {
    commands(case)
        .filter(|c| in_the_window(case, c.event.at) && c.lowers())
        .find(|c| !case.promise.edits.iter().any(|edit| c.event.at >= *edit))
        .map(|c| c.tell("S2", "lowered in the window"))
}

/// S3: an operator asks for no more than the cap, and never for more than the autoscaler may give.
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

/// S4: nothing is lowered while the load is unknown, unless a person says so or the longest hold is over.
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
    // What was decided before may be done later.
    commands(case)
        .filter(|c| c.lowers() && blind(hold_of(case, c).map_or(c.event.at, |hold| hold.at)))
        .filter(|c| !causes.values().any(|since| c.event.at >= *since))
        .find(|c| !case.promise.edits.iter().any(|edit| c.event.at >= *edit))
        .map(|c| c.tell("S4", "lowered while the load is unknown"))
}

/// S5: nothing that ran is sent to 0, and no autoscaler's minimum is below 1.
pub(super) fn never_zero(case: Case<'_>) -> Option<Broken> {
    commands(case).find(|c| c.to < 1).map(|c| c.tell("S5", "to nothing"))
}

/// S7, S12: a command is what the hold says at that moment; one that is late, or comes from a leader of the past, is not
/// done.
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

/// S13, L5: within five seconds a word of on-call is what is asked for, until it ends.
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

/// S14: what is taken back is what an operator has put there.
pub(super) fn the_last_writer_is_respected(case: Case<'_>) -> Option<Broken> {
    // Under an autoscaler replicas are the autoscaler's.
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

/// S15: what another writer sets back is repaired three times in ten minutes, and not for ever.
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

/// S16: on the way down no step takes more than its share.
pub(super) fn way_down_in_steps(case: Case<'_>) -> Option<Broken> {
    let promise = case.promise;
    // What was meant counts, also where it could not be written.
    let top = |name: &str| {
        let levels = holds(case, name);
        let levels = levels.filter_map(|hold| number(&hold.object, "/spec/level/replicas"));
        levels.max().unwrap_or_default()
    };
    // An autoscaler that is let go has its own pace from where it was found.
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

/// F32: while a rollout replaces pods none are taken away besides, unless a person says so or patience has ended.
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
        // The step before may be on its way.
        let late = command.event.at > *since + ON_ITS_WAY;
        let patient = command.event.at < case.promise.patience_ends;
        (command.lowers() && late && patient)
            .then(|| command.tell("F32", "lowered in the middle of a rollout"))
    })
}

/// Clocks that are kept in time are moved so far.
const NO_JUMP: TimeDelta = TimeDelta::seconds(2);

/// A clock that is wrong by less is not found by the answers.
const NOT_TOLD: TimeDelta = TimeDelta::seconds(20);

/// What is on its way when the clock jumps is not called back.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(1);

/// S23: nothing is lowered right after a start, or for two minutes after the clock has jumped.
pub(super) fn nothing_is_lowered_blindly(case: Case<'_>) -> Option<Broken> {
    let blind = |c: &Command<'_>| {
        let mut lives = case.recording.lives.iter().rev();
        let Some(life) = lives.find(|l| Some(l.operator) == c.event.by && l.from <= c.event.at)
        else {
            return false;
        };
        // What was sent long ago is not called back.
        let late = case.recording.late.contains(&c.event.at);
        let sent = if late { c.event.at - LATE } else { c.event.at };
        // A process that begins after a jump has not seen it.
        let seen = |at: Instant| at >= life.from && at + ON_ITS_WAY < sent;
        // The clock of the first operator's machine.
        let far = |jump: &&Jump| jump.by.abs() > NO_JUMP && life.operator == 0;
        // Who stood still while the clock went there and came back has not seen it.
        let slept = |jump: &&Jump| {
            let mut pauses = case.recording.pauses.iter().filter(|p| p.operator == c.event.by);
            pauses.any(|p| p.from <= jump.from && jump.until <= p.until)
        };
        let jumps = case.script.jumps.iter().filter(far).filter(|jump| !slept(jump));
        let jumps = jumps.flat_map(|jump| [jump.from, jump.until]);
        let jumped = |at: Instant| seen(at) && sent - at < TimeDelta::minutes(2);
        // A process that begins with a wrong clock reads the time in each answer.
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
