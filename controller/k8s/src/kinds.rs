//! Kinds that are not ours: how each is read, narrowly, and what of it is patched. One file per kind.
//!
//! A new kind of autoscaler has a file here (what is read, what is patched), a variant of
//! [`AutoscalerKind`] with its defaults in `primetime_core::scaling::autoscaler`, and a watch in `watch.rs`.

mod decode;
pub mod drain;
pub mod hpa;
pub mod job;
pub mod node;
mod patch;
pub mod scaled_object;
pub mod values;
pub mod workload;

use kube::Client;
use primetime_core::output::Write;
use primetime_core::state::announcement::Workload;
use primetime_core::state::observed::{Autoscaler, AutoscalerKind};

use crate::call::CallError;
use crate::shared::Shared;

/// Performs one write and shows the cache what came of it.
///
/// Each patch tests what was seen before it replaces it, in one call: atomic, and without a read before it. It tests the
/// resourceVersion too: a write that was held up on its way, while another process has raised and given back, finds the
/// old value there again and is late all the same.
///
/// # Errors
///
/// See [`CallError`]. What is not as it was seen is a conflict, and nothing is changed.
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

/// Whether an autoscaler really does not scale a target any more: a quorum read.
///
/// # Errors
///
/// See [`CallError`].
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
