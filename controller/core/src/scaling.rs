//! Pass 4: combination of the claims of all runs in a hold per target, and patches for each hold.

pub mod autoscaler;
pub(crate) mod holds;
pub mod level;
pub mod patch;
pub mod repair;
pub mod usual;
