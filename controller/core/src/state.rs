//! The types below all rules: what is announced, what is observed, and what is persisted. No rule lives here, and no
//! function here takes a [`world::World`].

pub mod announcement;
pub mod calendar;
pub mod condition;
pub mod decision;
pub mod hold;
pub mod ladder;
pub mod ledger;
pub mod observed;
pub mod overrides;
pub mod release;
pub mod report;
pub mod run;
pub mod sample;
pub mod series;
pub mod status;
pub mod surge;
pub mod world;
