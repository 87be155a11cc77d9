//! Steps 7 and 8: what people read of a run.

pub(crate) mod decisions;
pub mod explain;
pub mod progress;
pub mod report;
