//! Arrows go one way: between crates (`crates.rs`), and between the files of a crate (`modules.rs`).

mod crates;
mod modules;
