//! Whole evenings in virtual time: the real planner and shell against models of everything around them.
//!
//! | room | what |
//! |---|---|
//! | [`clock`] | virtual time |
//! | [`server`] | a model of the API server behind a real `kube::Client` |
//! | [`cluster`] | controllers, scheduler, kubelets, HPA |
//! | [`cloud`] | EC2 |
//! | [`load`] | visitors, and the Prometheus that counts them |
//! | [`gate`] | one fault at one request |
//! | [`evening`] | all of it together |
//! | [`scenario`] | the evenings that are played |
//! | [`oracle`] | what must hold, whatever went wrong |

#![expect(
    clippy::indexing_slicing,
    reason = "JSON objects of the model's own making: a field that is missing is null, and is made when it is set"
)]

pub mod clock;
pub mod cloud;
pub mod cluster;
pub mod evening;
pub mod gate;
pub mod load;
pub mod oracle;
pub mod scenario;
pub mod server;
