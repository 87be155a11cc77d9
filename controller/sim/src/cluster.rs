//! Models of the controllers besides Primetime: workload controller, scheduler, kubelets, HPA,
//! KEDA, node autoscaler, and machines that join.

mod behavior;
mod hpa;
pub mod jobs;
mod keda;
pub mod model;
pub mod nodes;
mod pods;

use primetime_core::Instant;

use crate::cluster::model::Cluster;
use crate::script::Part;
use crate::server::refusal::Refusal;

impl Cluster {
    /// Runs a pass of every controller.
    ///
    /// # Errors
    ///
    /// Returns the refusal of the model API server, which means that the model contradicts itself.
    pub fn step(&mut self, now: Instant) -> Result<(), Refusal> {
        self.consolidate(now)?;
        self.join_and_leave(now)?;
        self.pods(now)?;
        self.jobs(now)?;
        self.autoscale_nodes(now)?;
        self.generate(now)?;
        if now >= self.hpa_due && !self.load.script.is_out(Part::Api, now) {
            self.hpa_due = now + self.pace.hpa_sync;
            self.autoscale(now)?;
        }
        Ok(())
    }
}
