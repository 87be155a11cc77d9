//! Tests that dependencies go in a single direction: between crates (`crates.rs`) and between the
//! files of a crate (`modules.rs`).

mod crates;
mod modules;
