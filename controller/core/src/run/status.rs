//! Steps 8 and 9: what people read of a run.

pub(crate) mod decisions;
pub mod explain;
pub mod progress;
pub mod report;
