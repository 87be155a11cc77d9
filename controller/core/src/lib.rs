//! What Primetime decides, as values.
//!
//! [`plan::plan`] is a pure function from a [`state::world::World`] and an instant to an [`output::Plan`]: no
//! clock, no I/O, no randomness, no hash-map order. The shell (`primetime-k8s` and the operator
//! binary) observes, calls it, persists the records it returns, and only then performs its acts.
//!
//! Each module uses those above it:
//!
//! | module | what |
//! |---|---|
//! | [`decimal`], [`format`], [`row`] | numbers, words for sentences, shared records |
//! | [`reference`] | what references and queries may look like |
//! | [`lease`] | leader election |
//! | [`schedule`] | wall clock in a time zone to instant |
//! | [`state`] | what is announced, observed and persisted: types only |
//! | [`calendar`] | what of a feed is believed |
//! | [`output`] | records and acts |
//! | [`port`] | what the shell reaches the outside through |
//! | [`timeline`] | when each step must start so that it is ready in time |
//! | [`machines`] | the ledger of instances: launch, join, terminate |
//! | [`occurrences`] | passes 1 and 2: which runs each surge has |
//! | [`scaling`] | pass 4: claims to one level per target, and its patches |
//! | [`run`] | pass 3: the life of one run, step by step |
//! | [`plan`] | the four passes |

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
