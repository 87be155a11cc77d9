//! Rules that every evening must keep, in spite of all faults.
//!
//! Each rule is a function with a doc sentence. The document `docs/invariants.md` lists the numbers
//! S1 to S24, L1 to L9 and E1 to E6.

mod authority;
pub mod case;
mod end;
pub mod equal;
pub mod floors;
mod jobs;
mod ladder;
mod machines;
mod records;

use crate::evening::recording::Recording;
use crate::oracle::case::{Broken, Case, Promise, RECOVERY, SETBACK};
use crate::script::{Part, Script};

/// Returns every rule that an evening broke. Faults of the script extend the deadlines of the
/// promise.
#[must_use]
pub fn judge(recording: &Recording, promise: &Promise, script: &Script) -> Vec<Broken> {
    let t0 = promise.ready_by;
    let mut promise = promise.clone();
    // If a second operator exists, the standby takes over from a paused or crashed leader after the
    // expiry of the lease. The judge therefore extends T0 by [`RECOVERY`].
    if script.faults.iter().any(|a| a.fault.pause().is_some() || a.fault.is_crash())
        && recording.lives.iter().any(|life| life.operator > 0)
    {
        promise.ready_by += RECOVERY;
    }
    // The operator cannot be ready in time while the API server fails. The slack of every scenario
    // covers a single request fault. Each further fault extends T0 by [`SETBACK`].
    let setbacks = i32::try_from(script.faults.len()).unwrap_or(i32::MAX).saturating_sub(1).max(0);
    promise.ready_by += SETBACK * setbacks;
    if let Some(last) = script.last_outage() {
        promise.ready_by = promise.ready_by.max(last + RECOVERY + SETBACK * setbacks);
        // If the recovery from the last outage ends after the event, the judge demands no
        // readiness.
        if last + RECOVERY >= promise.end {
            promise.ready_by = promise.until;
        }
    }
    // If machines never join or die young, the judge demands no readiness.
    let useless = |part| matches!(part, Part::NeverJoins | Part::DieYoung);
    if script.outages.iter().any(|o| useless(o.part)) {
        promise.ready_by = promise.until;
    }
    // An operator with a wrong clock may consider a launch too early or too late, and skip the
    // launch. The judge therefore accepts fewer machines.
    if !script.jumps.is_empty() {
        promise.machines = promise.machines.min(recording.machines.len());
    }
    broken(Case { recording, promise: &promise, script, t0 })
}

type Rule = fn(Case<'_>) -> Option<Broken>;

fn broken(case: Case<'_>) -> Vec<Broken> {
    let rules: [Rule; 41] = [
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
        floors::the_baseline_is_served,
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

fn the_model_is_sound(case: Case<'_>) -> Option<Broken> {
    case.recording.broken.clone().map(|why| format!("the model contradicts itself: {why}"))
}
