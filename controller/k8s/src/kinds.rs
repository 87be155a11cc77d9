//! Kinds of other projects: one file per kind decodes the fields that the planner needs, and
//! patches the object.
//!
//! A new kind of autoscaler needs a file here, a watch in `watch.rs`, and a variant of
//! [`AutoscalerKind`]. The defaults of the variant belong to `primetime_core::scaling::autoscaler`.

pub mod bounds;
mod decode;
pub mod drain;
pub mod hpa;
pub mod job;
pub mod node;
mod patch;
pub mod pods;
pub mod scaled_object;
pub mod values;
pub mod workload;

use kube::Client;
use primetime_core::output::Write;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed::{Autoscaler, AutoscalerKind};

use crate::call::CallError;
use crate::shared::Shared;

/// Executes a write and stores the result in the cache.
///
/// Each patch is a single atomic call: the patch tests the observed value before the replacement,
/// without a read in advance. The patch also tests `metadata.resourceVersion`. A delayed write
/// would otherwise succeed after another process has raised and restored the same value.
///
/// # Errors
///
/// [`CallError::Conflict`] if the object differs from the observed state; the object stays
/// unchanged. Any other [`CallError`] if the request fails.
pub async fn write(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    write: &Write,
    leads: impl Fn() -> bool,
) -> Result<(), CallError> {
    match write {
        Write::Replicas { workload, from, to } => {
            workload::scale(client, shared, namespace, workload, (*from, *to), leads).await
        }
        Write::Bounds { kind: AutoscalerKind::HorizontalPodAutoscaler, name, min, max, .. } => {
            hpa::set_bounds(client, shared, namespace, name, (*min, *max), leads).await
        }
        Write::Bounds { kind: AutoscalerKind::ScaledObject, name, min, max, idle, .. } => {
            let bounds = (*min, *max, *idle);
            scaled_object::set_bounds(client, shared, namespace, name, bounds, leads).await
        }
    }
}

/// True if the autoscaler no longer scales the target, according to a quorum read.
///
/// # Errors
///
/// Any [`CallError`] except `NotFound`, if the read fails.
pub async fn is_unscaled(
    client: &Client,
    namespace: &str,
    target: &Workload,
    autoscaler: &Autoscaler,
) -> Result<bool, CallError> {
    let name = &autoscaler.name;
    let scaler = match autoscaler.kind {
        AutoscalerKind::HorizontalPodAutoscaler => hpa::get(client, namespace, name).await,
        AutoscalerKind::ScaledObject => scaled_object::get(client, namespace, name).await,
    };
    let same = |target: &Workload, other: &Workload| {
        (&target.kind, &target.name) == (&other.kind, &other.name)
    };
    match scaler {
        Ok(scaler) => Ok(scaler.is_none_or(|scaler| !same(target, &scaler.target))),
        Err(CallError::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}
