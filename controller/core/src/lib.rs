//! The decisions of Primetime as values.
//!
//! [`plan::plan`] is a pure function from a [`state::world::World`] and an instant to an
//! [`output::Plan`]. The function uses no clock, no I/O, no randomness and no hash-map order. The
//! shell (`primetime-k8s` and the operator binary) observes the cluster and calls [`plan::plan`].
//! The shell persists the returned records first, and then performs the acts.
//!
//! Each module uses only modules from higher rows of the table:
//!
//! | module | content |
//! |---|---|
//! | [`decimal`], [`format`], [`row`] | numbers, text formatting, shared records |
//! | [`reference`] | syntax of object references and queries |
//! | [`lease`] | leader election |
//! | [`schedule`] | conversion of wall-clock times in a time zone to instants |
//! | [`state`] | types of announced, observed and persisted objects |
//! | [`calendar`] | acceptance of calendar feeds |
//! | [`output`] | records and acts |
//! | [`port`] | interfaces of the shell to clouds, metrics sources and feeds |
//! | [`timeline`] | start time of each step, computed backwards from T0 |
//! | [`shape`] | floor that the shape of an event asks for at a time |
//! | [`preflight`] | rules that tell days before why a target will not be ready |
//! | [`machines`] | the ledger of instances: launch, join, terminate |
//! | [`occurrences`] | passes 1 and 2: calendars, and the runs of each surge |
//! | [`scaling`] | pass 4: claims to one level per target, and the patches of the level |
//! | [`run`] | pass 3: the steps of one run |
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
pub mod preflight;
pub mod reference;
pub mod row;
pub mod run;
pub mod scaling;
pub mod schedule;
pub mod shape;
pub mod state;
pub mod timeline;

/// An instant in UTC. The module [`schedule`] alone converts wall-clock times to instants.
pub type Instant = chrono::DateTime<chrono::Utc>;

/// Returns a span of `n` whole seconds.
#[must_use]
pub fn seconds(n: u32) -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(i64::from(n))
}
