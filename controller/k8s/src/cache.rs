//! What the watches have seen, kept compactly: one small record per object, never the object itself.
//!
//! # Guarantees
//!
//! The newer of two versions of an object counts, whichever comes first: our own write is not undone by a watch that lags.
//! A list that lacks more than a fifth of what was known is confirmed by a second one before anything is forgotten.

pub mod scalers;
mod snapshot;
pub mod store;
pub mod table;
