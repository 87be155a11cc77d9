//! Steps 8 and 9 of planning a run: status fields and decision log, written for people.

pub(crate) mod decisions;
pub mod explain;
mod machines;
pub mod progress;
mod releasing;
pub mod report;
