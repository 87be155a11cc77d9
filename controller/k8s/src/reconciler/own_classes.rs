//! Request that writes the reservations of an `InstanceClass`.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use primetime_api::{InstanceClass, InstanceClassStatus};
use primetime_core::state::observed::Reservation;
use serde_json::json;

use crate::call::{CallError, bounded};
use crate::shared::Shared;

/// Replaces the reservations in the status of a class.
///
/// # Errors
///
/// [`CallError::Conflict`] if the class no longer has the given `resourceVersion`. Any other
/// [`CallError`] if the request fails.
pub(super) async fn reserve(
    client: &Client,
    shared: &Shared,
    name: &str,
    reservations: Vec<Reservation>,
    version: &str,
) -> Result<(), CallError> {
    let api: Api<InstanceClass> = Api::all(client.clone());
    let status = InstanceClassStatus::of(reservations);
    // A merge patch replaces the list as a whole, and an empty list is absent in the status.
    let (reserved, all) = (status.reserved, status.reservations);
    let patch = json!({
        "metadata": {"resourceVersion": version},
        "status": {"reserved": reserved, "reservations": all},
    });
    let class =
        bounded(api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
    let version = class.resource_version().unwrap_or_default();
    shared.with(|cache| cache.classes.apply(name.to_owned(), (&class).into(), version));
    Ok(())
}
