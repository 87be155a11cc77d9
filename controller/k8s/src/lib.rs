//! The shell on the Kubernetes side: watches into a compact index, plans out as records and acts.
//!
//! `watch` fills [`index::Index`]; [`engine`] asks the core for a plan whenever something changes or falls due,
//! persists its records ([`record`]) and performs its acts ([`apply`], [`drain`], [`jobs`]). Nothing here decides.

pub mod apply;
pub mod calendars;
pub mod call;
pub mod drain;
pub mod engine;
pub mod events;
pub mod index;
pub mod jobs;
pub mod lease;
pub mod narrow;
pub mod record;
pub mod server_time;
pub mod signals;
pub mod switches;
pub mod watch;
pub mod zoneinfo;
