//! Whole evenings in virtual time: the real planner and shell against models of everything around them.
//!
//! | room | what |
//! |---|---|
//! | [`clock`] | virtual time |
//! | [`server`] | a model of the API server behind a real `kube::Client` |
//! | [`cluster`] | controllers, scheduler, kubelets, HPA |
//! | [`cloud`] | EC2 |
//! | [`load`] | visitors, and the Prometheus that counts them |
//! | [`script`] | what goes wrong, as a value |
//! | [`draw`] | scripts from a seed |
//! | [`gate`] | the door at which it happens |
//! | [`operator`] | the operator, and its lives |
//! | [`evening`] | all of it together |
//! | [`scenario`] | the evenings that are played |
//! | [`announced`] | the evening of a surge that a user wrote |
//! | [`curve`] | load over time |
//! | [`outcome`] | what an evening was worth |
//! | [`oracle`] | what must hold, whatever went wrong |

#![expect(
    clippy::indexing_slicing,
    reason = "JSON objects of the model's own making: a field that is missing is null, and is made when it is set"
)]

pub mod announced;
pub mod clock;
pub mod cloud;
pub mod cluster;
pub mod curve;
pub mod draw;
pub mod evening;
mod field;
pub mod gate;
pub mod load;
pub mod operator;
pub mod oracle;
pub mod outcome;
pub mod scenario;
pub mod script;
pub mod server;

/// The whole part of a number that is small enough for one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates; seconds and replicas are far smaller"
)]
pub(crate) fn whole(number: f64) -> i64 {
    number as i64
}
