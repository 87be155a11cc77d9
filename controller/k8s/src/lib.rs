//! The shell on the Kubernetes side: watches into a cache, plans out as records and acts. Nothing here decides.
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
