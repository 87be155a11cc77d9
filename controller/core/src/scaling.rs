//! Pass 4: the claims of all runs meet in one hold per target, and the hold says what is patched.

pub mod autoscaler;
pub(crate) mod holds;
pub mod level;
pub mod patch;
pub mod repair;
