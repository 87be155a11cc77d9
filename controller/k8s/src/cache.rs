//! Cache of all objects that the watches report. The cache keeps a compact record of each object
//! instead of the object.
//!
//! # Guarantees
//!
//! The cache keeps the newer of two versions of an object, in whichever order the versions arrive.
//! A lagging watch therefore never reverts a write of this process. If a list lacks more than a
//! fifth of the known objects, a second list must confirm the absence before the cache drops an
//! object.

pub mod cloud;
pub mod scalers;
mod snapshot;
pub mod store;
pub mod table;
