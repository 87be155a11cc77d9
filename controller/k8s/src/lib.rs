//! Kubernetes shell of Primetime: watches fill a cache, and the reconciler executes each plan as
//! records and acts. The core makes all decisions.
//!
//! ```text
//! API server -> watch -> cache -> World -> plan(world, now) -> records -> own objects
//!                                                           -> acts    -> kinds (only what is on record)
//! ```

mod backoff;
pub mod cache;
pub mod calendars;
pub mod call;
pub mod events;
pub mod kinds;
pub mod lease;
pub mod reconciler;
pub mod server_time;
pub mod shared;
pub mod signals;
pub mod watch;
pub mod zoneinfo;
