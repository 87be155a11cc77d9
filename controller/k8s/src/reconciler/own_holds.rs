//! Requests that create, patch and delete a `SurgeHold`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use primetime_api::{FINALIZER, SurgeHold, SurgeHoldSpec, hold_record};
use primetime_core::state::hold::Hold;
use serde_json::json;

use crate::call::{CallError, bounded};
use crate::reconciler::merge_patch::patch_of;
use crate::reconciler::own_objects::Records;

impl Records<'_> {
    /// Creates the `SurgeHold` of a target, with Primetime's finalizer.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the hold exists. Any other [`CallError`] if the request fails.
    pub async fn create_hold(&self, name: &str, hold: &Hold) -> Result<(), CallError> {
        let object = SurgeHold {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.to_owned()),
                finalizers: Some(vec![FINALIZER.to_owned()]),
                ..ObjectMeta::default()
            },
            spec: SurgeHoldSpec { hold: hold.clone() },
        };
        let created =
            bounded(self.api::<SurgeHold>().create(&PostParams::default(), &object)).await?;
        self.show_hold(&created);
        Ok(())
    }

    fn show_hold(&self, hold: &SurgeHold) {
        let version = hold.resource_version().unwrap_or_default();
        self.shared.with(|cache| {
            cache.holds.apply(
                self.key(&hold.name_any()),
                hold_record(hold).map(Into::into),
                version,
            )
        });
    }

    /// Patches the changed fields of a hold.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the hold no longer has the given `resourceVersion`. Any other
    /// [`CallError`] if the request fails.
    pub async fn update_hold(
        &self,
        name: &str,
        before: &Hold,
        after: &Hold,
        version: &str,
    ) -> Result<(), CallError> {
        let patch = patch_of("spec", before, after, version)?;
        let api = self.api::<SurgeHold>();
        let hold = bounded(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
        self.show_hold(&hold);
        Ok(())
    }

    /// Removes the finalizer from a hold and deletes the hold, after the target is back at the
    /// baseline. Succeeds if the hold is gone.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the hold no longer has the `resourceVersion` of the plan. Any
    /// other [`CallError`] if a request fails.
    pub async fn delete_hold(&self, name: &str, version: &str) -> Result<(), CallError> {
        let api = self.api::<SurgeHold>();
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": null}});
        match bounded(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await {
            Ok(hold) if hold.metadata.deletion_timestamp.is_none() => {
                let only_this = DeleteParams {
                    preconditions: Some(Preconditions { uid: hold.uid(), resource_version: None }),
                    ..DeleteParams::default()
                };
                match bounded(api.delete(name, &only_this)).await {
                    Ok(_) | Err(CallError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(_) | Err(CallError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        self.shared.with(|cache| cache.holds.forget(&self.key(name)));
        Ok(())
    }
}
