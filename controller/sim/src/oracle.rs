//! What must hold, whatever went wrong. Each rule is a function with its sentence; the numbers S1 to S24, L1 to L9 and
//! E1 to E6 are those of ARCHITECTURE.md.

mod authority;
mod end;
mod equal;
mod floors;
mod jobs;
mod ladder;
mod machines;
mod records;

use chrono::TimeDelta;
use primetime_core::Instant;

pub use self::equal::differences;
pub use self::floors::told as commands;
use crate::evening::Recording;
use crate::field::{number, text};
use crate::script::{Part, Script};
use crate::server::store::Event;

/// What an evening was meant to be.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Everything is ready from this instant on.
    pub ready_by: Instant,
    /// Nothing is taken away from this instant on.
    pub window_from: Instant,
    /// The end of the event as it was announced: nothing is raised after it.
    pub end: Instant,
    /// Nothing goes below the floors before this instant.
    pub until: Instant,
    /// Until when a release waits for evidence.
    pub patience_ends: Instant,
    /// The floor of each workload.
    pub floors: Vec<(&'static str, i64)>,
    /// What each object has to be like afterwards: kind, name, pointer, value.
    pub afterwards: Vec<(&'static str, &'static str, &'static str, i64)>,
    /// How many instances the evening needs.
    pub machines: usize,
    /// No workload is ever asked for more than this.
    pub caps: Vec<(&'static str, i64)>,
    /// When people change what is planned, and when what they said ends: a floor may fall then.
    pub edits: Vec<Instant>,
    /// What people said: workload, from, until, replicas.
    pub words: Vec<(&'static str, Instant, Instant, i64)>,
    /// How much may be taken away at once, in percent of what there was at the end.
    pub step_percent: i64,
    /// The time between two such steps.
    pub step: TimeDelta,
    /// How long an operator lowers nothing after its start.
    pub settle: TimeDelta,
}

/// An evening, what it was meant to be, and what went wrong in it.
#[derive(Clone, Copy)]
struct Case<'a> {
    recording: &'a Recording,
    promise: &'a Promise,
    script: &'a Script,
    /// The promised T0, whatever has gone wrong.
    t0: Instant,
}

impl<'a> Case<'a> {
    fn of(self, kind: &'a str) -> impl Iterator<Item = &'a Event> {
        self.recording.history.iter().filter(move |e| e.key.0.kind == kind)
    }

    /// The latest instant at which trouble that cannot be helped has passed.
    fn recovered(self, since: Instant) -> Instant {
        let setbacks = i32::try_from(self.script.faults.len()).unwrap_or(i32::MAX);
        let outage = self.script.last_outage().map_or(since, |last| last + RECOVERY);
        outage.max(since + SETBACK * setbacks)
    }
}

/// A rule that an evening broke.
pub type Broken = String;

/// After an outage, everything is ready again within this time: restart, watches that back off, machines that boot.
const RECOVERY: TimeDelta = TimeDelta::seconds(45);

/// What one fault at a request may cost: a call that hangs for 10 s, and the pause before the next.
const SETBACK: TimeDelta = TimeDelta::seconds(15);

/// Every rule that an evening broke, with all that went wrong in it.
#[must_use]
pub fn judge(recording: &Recording, promise: &Promise, script: &Script) -> Vec<Broken> {
    let t0 = promise.ready_by;
    let mut promise = promise.clone();
    // A process that stands still is missed when its lease is over.
    if script.faults.iter().any(|a| a.fault.pause().is_some() || a.fault.is_crash())
        && recording.lives.iter().any(|life| life.operator > 0)
    {
        promise.ready_by += RECOVERY;
    }
    // Nobody can be ready without an API server. One fault at a request fits into the slack of every scenario.
    let setbacks = i32::try_from(script.faults.len()).unwrap_or(i32::MAX).saturating_sub(1).max(0);
    promise.ready_by += SETBACK * setbacks;
    if let Some(last) = script.last_outage() {
        promise.ready_by = promise.ready_by.max(last + RECOVERY + SETBACK * setbacks);
        // What is possible again after the end comes too late.
        if last + RECOVERY >= promise.end {
            promise.ready_by = promise.until;
        }
    }
    // Nor without machines.
    if script.outages.iter().any(|o| o.part == Part::NeverJoins) {
        promise.ready_by = promise.until;
    }
    // Whose clock says that it is not time, or too late, starts nothing.
    if !script.jumps.is_empty() {
        promise.machines = promise.machines.min(recording.machines.len());
    }
    broken(Case { recording, promise: &promise, script, t0 })
}

type Rule = fn(Case<'_>) -> Option<Broken>;

fn broken(case: Case<'_>) -> Vec<Broken> {
    let rules: [Rule; 40] = [
        the_model_is_sound,
        authority::runs_say_what_their_surge_said,
        authority::raised_in_the_name_of_a_run,
        floors::ready_at_t0,
        floors::never_lowered_in_the_window,
        floors::commands_keep_the_floor,
        floors::commands_climb_only,
        floors::commands_keep_the_cap,
        floors::unknown_never_lowers,
        floors::never_zero,
        floors::intent_stands_before_the_command,
        floors::a_word_of_on_call_wins,
        floors::the_last_writer_is_respected,
        floors::no_fight_for_ever,
        floors::way_down_in_steps,
        floors::no_step_during_a_rollout,
        floors::nothing_is_lowered_blindly,
        records::a_baseline_is_written_once,
        records::guarded_until_nothing_is_left,
        records::ready_is_said_of_what_is_ready,
        records::at_risk_is_said_in_time,
        records::one_run_and_one_life,
        records::nothing_but_what_is_granted,
        records::no_process_gives_up,
        machines::intent_before_effect,
        machines::nothing_is_started_twice,
        machines::few_are_replaced_at_once,
        machines::sent_away_in_steps,
        machines::emptied_and_ended_in_order,
        machines::known_to_their_ledger,
        machines::gone_when_they_expire,
        jobs::recorded_before_created,
        jobs::created_once,
        jobs::ready_means_warm,
        ladder::on_record_before_written,
        ladder::values_are_returned,
        ladder::work_is_undone,
        end::it_ends,
        end::everything_is_returned,
        end::quiet_afterwards,
    ];
    rules.iter().filter_map(|rule| rule(case)).collect()
}

/// The workload that an event is about: of an autoscaler the one that it scales, whatever its own name is.
fn workload_of(event: &Event) -> &str {
    let scales = match event.key.0.kind {
        "HorizontalPodAutoscaler" if !event.key.2.starts_with("keda-hpa-") => {
            text(&event.object, "/spec/scaleTargetRef/name")
        }
        "ScaledObject" => text(&event.object, "/spec/scaleTargetRef/name"),
        _ => None,
    };
    scales.unwrap_or(&event.key.2)
}

fn the_model_is_sound(case: Case<'_>) -> Option<Broken> {
    case.recording.broken.clone().map(|why| format!("the model contradicts itself: {why}"))
}
