//! What Primetime decides, as values.
//!
//! [`plan::plan`] is a pure function from a [`world::World`] and an instant to a [`plan::Plan`]: no
//! clock, no I/O, no randomness, no hash-map order. The shell (`primetime-k8s` and the operator
//! binary) observes, calls it, persists the records it returns, and only then performs its acts.
//!
//! | room | rule |
//! |---|---|
//! | [`schedule`] | wall clock in a time zone to instant |
//! | [`reference`] | what references and queries may look like |
//! | [`surge`] | what a person announced, validated |
//! | [`world`] | what was observed, and our own records |
//! | [`row`] | a record that looks share |
//! | [`timeline`] | when each step must start so that it is ready in time |
//! | [`signal`] | live load to required replicas; `Unknown` is a value |
//! | [`overrides`] | what on-call asked for |
//! | [`armed`] | events that a person starts: the instants that count |
//! | [`demand`] | the floor one run asks of one target now |
//! | [`hold`] | floors of all runs to one level; what is still ours |
//! | [`write`] | a level to the patches that reach it |
//! | [`machines`] | the ledger of instances |
//! | [`jobs`] | Jobs that are run for an event, and when |
//! | [`degrade`] | what is degraded while capacity cannot follow, and given back |
//! | [`deletion`] | a run, or its surge, was deleted: for how long nothing is lowered |
//! | [`release`] | holding after the end, then coming down step by step |
//! | [`verdict`] | ready, on track, or at risk with the missing number |
//! | [`decision`] | the decision log |
//! | [`report`] | what a run leaves behind |
//! | [`lease`] | who leads |
//! | [`port`] | what the shell reaches the outside through |
//! | [`plan`] | all of it, in order |

pub mod calendar;
pub mod decimal;
#[cfg(test)]
mod fixtures;
pub mod format;
pub mod lease;
pub mod machines;
pub mod occurrences;
pub mod output;
pub mod plan;
pub mod port;
pub mod reference;
pub mod row;
pub mod run;
pub mod scaling;
pub mod schedule;
pub mod state;
pub mod timeline;

/// An instant: always UTC. Wall clocks become instants in [`schedule`] and nowhere else.
pub type Instant = chrono::DateTime<chrono::Utc>;

/// A span of whole seconds.
#[must_use]
pub fn seconds(n: u32) -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(i64::from(n))
}
