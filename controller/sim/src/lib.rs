//! Simulator of whole evenings in virtual time: the real planner and shell run against models of
//! cluster, cloud and metrics.
//!
//! | module | content |
//! |---|---|
//! | [`clock`] | virtual time |
//! | [`server`] | model of the API server behind a real `kube::Client` |
//! | [`cluster`] | models of controllers, scheduler, kubelets, HPA |
//! | [`cloud`] | model of EC2 |
//! | [`load`] | visitors, and the Prometheus that counts them |
//! | [`script`] | faults of an evening, as a value |
//! | [`draw`] | scripts drawn from a seed |
//! | [`gate`] | gate that injects the faults into requests |
//! | [`operator`] | the operator, and its lives |
//! | [`evening`] | one evening with all models |
//! | [`scenario`] | evenings of the tests |
//! | [`announced`] | evening of a surge that a user wrote |
//! | [`curve`] | load over time |
//! | [`outcome`] | figures of an evening |
//! | [`oracle`] | rules that hold under every fault |

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

/// Truncates a number to the whole part. Numbers beyond `i64` saturate.
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates; seconds and replicas are far smaller"
)]
pub(crate) fn whole(number: f64) -> i64 {
    number as i64
}
