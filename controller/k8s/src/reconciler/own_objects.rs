//! Requests that write runs and the status of surges and calendars.
//!
//! The reconciler persists each record before the act that the record covers. A request fails with
//! a conflict if the object has changed since the read that the request is based on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource};
use primetime_api::{
    FINALIZER, SURGE_UID, ScheduledSurge, SurgeCalendar, SurgeRun, is_surge, run_record, run_spec,
    surge_record,
};
use primetime_core::output::PlannedRun;
use primetime_core::reference;
use primetime_core::state::announcement::Window;
use primetime_core::state::calendar::CalendarStatus;
use primetime_core::state::run::RunStatus;
use primetime_core::state::surge::SurgeStatus;
use serde_json::{Value, json};
use tracing::warn;

use crate::cache::table::Key;
use crate::call::{CallError, bounded};
use crate::reconciler::merge_patch::patch_of;
use crate::shared::Shared;

/// Writer for the records of one namespace.
pub struct Records<'a> {
    /// Client of the API server.
    pub client: &'a Client,
    /// Cache that receives the replies.
    pub shared: &'a Shared,
    /// Namespace of the records.
    pub namespace: &'a str,
}

fn warn_of_older_definitions(name: &str) {
    let fix = "kubectl apply --server-side -f charts/primetime/crds";
    warn!(name, fix, "the API server keeps less than was written: its definitions are older");
}

fn owned_by(surge: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: ScheduledSurge::api_version(&()).into_owned(),
        kind: ScheduledSurge::kind(&()).into_owned(),
        name: surge.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

fn owners_of_others(run: &SurgeRun) -> Vec<OwnerReference> {
    run.owner_references().iter().filter(|o| !is_surge(o)).cloned().collect()
}

fn finalizers_of_others(run: &SurgeRun) -> Vec<String> {
    run.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect()
}

impl Records<'_> {
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    pub(super) fn key(&self, name: &str) -> Key {
        (self.namespace.to_owned(), name.to_owned())
    }

    fn show_run(&self, run: &SurgeRun) {
        let version = run.resource_version().unwrap_or_default();
        self.shared
            .with(|cache| cache.runs.apply(self.key(&run.name_any()), run_record(run), version));
    }

    /// Reads the surge of a planned run. Fails with a conflict if the uid or `metadata.generation`
    /// differs from the plan, or if the surge is being deleted.
    async fn surge(&self, planned: &PlannedRun) -> Result<ScheduledSurge, CallError> {
        let surge = bounded(self.api::<ScheduledSurge>().get(&planned.surge)).await?;
        let metadata = &surge.metadata;
        if metadata.generation == Some(planned.generation)
            && metadata.uid.as_ref() == Some(&planned.owner)
            && metadata.deletion_timestamp.is_none()
        {
            return Ok(surge);
        }
        Err(CallError::Conflict(format!(
            "surge {} has changed since it was planned",
            planned.surge
        )))
    }

    /// Creates the run of an occurrence. The API server refuses a second run of the same name.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the surge has changed since the plan, or if the run exists. Any
    /// other [`CallError`] if a request fails.
    pub async fn create_run(&self, planned: &PlannedRun) -> Result<(), CallError> {
        let surge = self.surge(planned).await?;
        let mut run = SurgeRun::new(&planned.name, run_spec(planned, &surge.spec));
        run.metadata.namespace = Some(self.namespace.to_owned());
        run.metadata.owner_references = Some(vec![owned_by(&planned.surge, &planned.owner)]);
        run.metadata.annotations = Some([(SURGE_UID.to_owned(), planned.owner.clone())].into());
        let run = bounded(self.api::<SurgeRun>().create(&PostParams::default(), &run)).await?;
        self.show_run(&run);
        Ok(())
    }

    /// Copies the spec of an edited surge into a run that has not begun.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the surge has changed since the plan, or if the run has begun.
    /// Any other [`CallError`] if a request fails.
    pub async fn replan_run(&self, planned: &PlannedRun) -> Result<(), CallError> {
        let surge = self.surge(planned).await?;
        let api = self.api::<SurgeRun>();
        let mut run = bounded(api.get(&planned.name)).await?;
        // The finalizer shows that the run has begun since the plan, and the spec of such a run is
        // frozen.
        if run.finalizers().iter().any(|f| f == FINALIZER) {
            return Err(CallError::Conflict(format!("run {} has begun", planned.name)));
        }
        // mutate: edit-moves-run-leaves
        run.spec = run_spec(planned, &surge.spec);
        let run = bounded(api.replace(&planned.name, &PostParams::default(), &run)).await?;
        self.show_run(&run);
        Ok(())
    }

    /// Patches `spec.readyTime`, `spec.startTime` and `spec.endTime` of a run that has begun.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the run no longer has the `resourceVersion` of the plan. Any
    /// other [`CallError`] if the request fails.
    pub async fn stretch_run(
        &self,
        name: &str,
        window: Window,
        version: &str,
    ) -> Result<(), CallError> {
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": {
                "readyTime": window.ready_by, "startTime": window.start, "endTime": window.end,
            },
        });
        self.patch_run(name, patch).await
    }

    /// Deletes a run that has not begun, or that ended long ago. Succeeds if the run is gone.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the run no longer has the uid and the `resourceVersion` of the
    /// plan. Any other [`CallError`] if the request fails.
    pub async fn delete_run(&self, name: &str, uid: &str, version: &str) -> Result<(), CallError> {
        let only_this = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: Some(version.to_owned()),
            }),
            ..DeleteParams::default()
        };
        let deleted = match bounded(self.api::<SurgeRun>().delete(name, &only_this)).await {
            Err(CallError::NotFound(_)) => None,
            deleted => deleted?.left(),
        };
        match deleted.filter(|run| !run.finalizers().is_empty()) {
            Some(run) => self.show_run(&run),
            None => self.shared.with(|cache| cache.runs.forget(&self.key(name))),
        }
        Ok(())
    }

    /// Adds Primetime's finalizer to a run. Replaces the owner reference to the surge with an
    /// annotation, so that the run outlives the surge.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if another writer changes the run between the read and the patch.
    /// Any other [`CallError`] if a request fails.
    pub async fn add_finalizer(&self, name: &str) -> Result<(), CallError> {
        let api = self.api::<SurgeRun>();
        let run = bounded(api.get(name)).await?;
        let mut finalizers = finalizers_of_others(&run);
        finalizers.push(FINALIZER.to_owned());
        let surge = run.owner_references().iter().find(|o| is_surge(o)).map(|o| o.uid.clone());
        let known = run.annotations().get(SURGE_UID).cloned();
        let patch = json!({"metadata": {
            "resourceVersion": run.resource_version(),
            "finalizers": finalizers,
            "ownerReferences": owners_of_others(&run),
            "annotations": {SURGE_UID: surge.or(known)},
        }});
        self.patch_run(name, patch).await
    }

    /// Removes Primetime's finalizer from a run. Restores the owner reference to the surge if the
    /// surge exists. Succeeds if the run is gone.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if another writer changes the run between the read and the patch.
    /// Any other [`CallError`] except `NotFound` if the read fails, and any [`CallError`] if the
    /// patch fails.
    pub async fn remove_finalizer(&self, name: &str, owner: Option<&str>) -> Result<(), CallError> {
        let run = match bounded(self.api::<SurgeRun>().get(name)).await {
            Err(CallError::NotFound(_)) => return Ok(()),
            run => run?,
        };
        let surge = run.spec.surge_name.as_deref().zip(owner);
        let mut owners = owners_of_others(&run);
        owners.extend(surge.map(|(surge, uid)| owned_by(surge, uid)));
        let patch = json!({"metadata": {
            "resourceVersion": run.resource_version(),
            "finalizers": finalizers_of_others(&run),
            "ownerReferences": owners,
        }});
        self.patch_run(name, patch).await
    }

    /// Records in a run that a recreated surge has adopted the run. Writes the uid of the surge as
    /// an annotation, and `spec.surgeGeneration`.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the run no longer has the `resourceVersion` of the plan. Any
    /// other [`CallError`] if the request fails.
    pub async fn adopt_run(
        &self,
        name: &str,
        owner: &str,
        generation: Option<i64>,
        version: &str,
    ) -> Result<(), CallError> {
        let patch = json!({
            "metadata": {"resourceVersion": version, "annotations": {SURGE_UID: owner}},
            "spec": {"surgeGeneration": generation},
        });
        self.patch_run(name, patch).await
    }

    async fn patch_run(&self, name: &str, patch: Value) -> Result<(), CallError> {
        let api = self.api::<SurgeRun>();
        let run = bounded(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
        self.show_run(&run);
        Ok(())
    }

    /// Patches the changed fields of a run's `status`. Returns false if the API server has dropped
    /// a field, because the CRD is older than this process.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the run no longer has the `resourceVersion` of the plan. Any
    /// other [`CallError`] if the request fails.
    pub async fn run_status(
        &self,
        name: &str,
        before: &RunStatus,
        after: &RunStatus,
        version: &str,
    ) -> Result<bool, CallError> {
        let patch = patch_of("status", before, after, version)?;
        let api = self.api::<SurgeRun>();
        let run =
            bounded(api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
        let kept = run.status.as_ref() == Some(after);
        if !kept {
            warn_of_older_definitions(name);
        }
        self.show_run(&run);
        Ok(kept)
    }

    /// Reads a surge with a GET by name, and stores the answer in the cache.
    ///
    /// # Errors
    ///
    /// [`CallError::Refused`] if the name is not a valid object name. Any other [`CallError`]
    /// except `NotFound`, if the request fails.
    pub async fn look_for_surge(&self, name: &str) -> Result<(), CallError> {
        reference::name(name).map_err(CallError::Refused)?;
        let surge = bounded(self.api::<ScheduledSurge>().get_opt(name)).await?;
        let uid = surge.as_ref().and_then(|surge| surge.metadata.uid.clone());
        self.shared.with(|cache| {
            if let Some(surge) = &surge {
                let version = surge.resource_version().unwrap_or_default();
                cache.surges.apply(self.key(name), surge_record(surge), version);
            }
            cache.surge_looks.insert(self.key(name), uid);
        });
        Ok(())
    }

    /// Patches the changed fields of a surge's `status`. Returns false if the API server has
    /// dropped a field, because the CRD is older than this process.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the surge no longer has the `resourceVersion` of the plan. Any
    /// other [`CallError`] if the request fails.
    pub async fn surge_status(
        &self,
        name: &str,
        before: &SurgeStatus,
        after: &SurgeStatus,
        version: &str,
    ) -> Result<bool, CallError> {
        let patch = patch_of("status", before, after, version)?;
        let api = self.api::<ScheduledSurge>();
        let surge =
            bounded(api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
        let version = surge.resource_version().unwrap_or_default();
        let kept = surge.status.as_ref() == Some(after);
        if !kept {
            warn_of_older_definitions(name);
        }
        self.shared.with(|cache| cache.surges.apply(self.key(name), surge_record(&surge), version));
        Ok(kept)
    }

    /// Patches the changed fields of a calendar's `status`.
    ///
    /// # Errors
    ///
    /// [`CallError::Conflict`] if the calendar no longer has the `resourceVersion` of the plan. Any
    /// other [`CallError`] if the request fails.
    pub async fn calendar_status(
        &self,
        name: &str,
        before: &CalendarStatus,
        after: &CalendarStatus,
        version: &str,
    ) -> Result<(), CallError> {
        let patch = patch_of("status", before, after, version)?;
        let api = self.api::<SurgeCalendar>();
        let calendar =
            bounded(api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
        let version = calendar.resource_version().unwrap_or_default();
        self.shared
            .with(|cache| cache.calendars.apply(self.key(name), (&calendar).into(), version));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciler::merge_patch::difference;

    #[test]
    fn a_patch_says_only_what_changed_and_removes_with_null() {
        let before =
            json!({"stage": "Live", "quietSince": "x", "targets": [1, 2], "release": {"a": 1}});
        let after = json!({"stage": "Live", "targets": [1], "release": {"a": 2}, "message": "m"});
        assert_eq!(
            difference(&before, &after),
            Some(json!({"quietSince": null, "targets": [1], "release": {"a": 2}, "message": "m"}))
        );
        assert_eq!(difference(&before, &before), None);
    }
}
