//! Data types shared by all planner rules: announced specs, observations and persisted records. The
//! types contain no planning rules. Functions outside `world.rs` do not take a [`world::World`].

pub mod announcement;
pub mod budget;
pub mod calendar;
pub mod condition;
pub mod decision;
pub mod hold;
pub mod ladder;
pub mod ledger;
pub mod observed;
pub mod overrides;
pub mod place;
pub mod release;
pub mod report;
pub mod run;
pub mod sample;
pub mod series;
pub mod shape;
pub mod status;
pub mod surge;
pub mod world;
