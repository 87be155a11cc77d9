//! Jobs of a run: decodes a Job, and creates a Job from a template.

use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::Resource;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use primetime_api::{APP_FIELD_MANAGER, SurgeRun, tags};
use primetime_core::output::NewJob;
use primetime_core::state::announcement::TemplateKind;
use primetime_core::state::observed;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::call::{CallError, bounded};
use crate::kinds::decode::dynamic_resource;
use crate::shared::Shared;

/// Returns the API resource of a template: `CronJob` or `Job` in `batch/v1`.
#[must_use]
pub fn resource(kind: TemplateKind) -> ApiResource {
    let name = match kind {
        TemplateKind::CronJob => "CronJob",
        TemplateKind::Job => "Job",
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", name))
}

/// Decodes the uid, the run label, `spec.suspend` and the outcome of a Job for the planner.
#[must_use]
pub fn read(job: &Job) -> observed::Job {
    let conditions = job.status.conditions.iter();
    let holds = |c: &&JobCondition| c.status == "True";
    observed::Job {
        uid: job.metadata.uid.clone().unwrap_or_default(),
        run_uid: job.labels().get(tags::RUN).cloned(),
        suspended: job.spec.suspend,
        outcome: conditions.filter(holds).find_map(|c| match c.type_.as_str() {
            "Complete" => Some(Ok(())),
            "Failed" => Some(Err(why(c))),
            _ => None,
        }),
    }
}

fn why(failed: &JobCondition) -> String {
    let said = [failed.reason.as_deref(), failed.message.as_deref()];
    said.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// Creates the Job of a step from the template, and stores the result in the cache.
///
/// # Errors
///
/// [`CallError::Conflict`] if a Job of this name exists. [`CallError::NotFound`] if the template
/// does not exist. [`CallError::Invalid`] if the template is unusable. The cache keeps every error
/// except a conflict, and the status of the run shows the error.
pub async fn create(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    act: &NewJob,
) -> Result<(), CallError> {
    let key = (namespace.to_owned(), act.name.clone());
    let created = make(client, namespace, act).await;
    shared.with(|cache| match &created {
        Ok(job) => {
            let version = job.metadata.resource_version.clone().unwrap_or_default();
            cache.job_errors.remove(&key);
            cache.jobs.apply(key, read(job), version);
        }
        Err(CallError::Conflict(_)) => {}
        Err(error) => drop(cache.job_errors.insert(key, error.to_string())),
    });
    created.map(drop)
}

/// Reads a Job with a GET by name, if no list contains the Job. Stores the answer in the cache.
///
/// # Errors
///
/// Any [`CallError`] except `NotFound`. If the Job does not exist, the cache records the Job as
/// gone.
pub async fn look(
    client: &Client,
    shared: &Shared,
    namespace: &str,
    name: &str,
) -> Result<(), CallError> {
    let kind = resource(TemplateKind::Job);
    let jobs = Api::<Job>::namespaced_with(client.clone(), namespace, &kind);
    let key = (namespace.to_owned(), name.to_owned());
    match bounded(jobs.get(name)).await {
        Ok(job) => {
            let version = job.metadata.resource_version.clone().unwrap_or_default();
            shared.with(|cache| cache.jobs.apply(key, read(&job), version));
        }
        Err(CallError::NotFound(_)) => {
            shared.with(|cache| cache.jobs_gone.insert(key));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn make(client: &Client, namespace: &str, act: &NewJob) -> Result<Job, CallError> {
    let kind = resource(act.template.kind);
    let templates = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    let found = bounded(templates.get(&act.template.name)).await?;
    let job = from_template(found, act)
        .map_err(|why| CallError::Invalid(format!("{} {why}", act.template)))?;
    let by =
        PostParams { field_manager: Some(APP_FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let body = serde_json::to_vec(&job).map_err(|error| CallError::Failed(error.to_string()))?;
    let request =
        kube::core::Request::new(Job::url_path(&resource(TemplateKind::Job), Some(namespace)))
            .create(&by, body)
            .map_err(|error| CallError::Failed(error.to_string()))?;
    bounded(client.request::<Job>(request)).await
}

/// Labels that the Job controller adds to the pods of a Job. A copy must not inherit the labels,
/// because the controller sets new values.
const OF_THE_CONTROLLER: [&str; 4] = [
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];

/// Annotation in which `kubectl apply` stores the last applied configuration.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Builds a Job from the template of a `CronJob`, or from a suspended Job.
///
/// The run owns the Job, so the garbage collector deletes the Job together with the run. The Job
/// has no `ttlSecondsAfterFinished`, because users need the logs as long as the run exists.
fn from_template(template: DynamicObject, act: &NewJob) -> Result<Value, &'static str> {
    // A Job that runs or has run is no template. The author of a surge may lack the right to run
    // the Job again.
    if act.template.kind == TemplateKind::Job
        && template.data.pointer("/spec/suspend") != Some(&json!(true))
    {
        return Err("is not suspended: it is no template");
    }
    copy(template, act).ok_or("has no Job in it")
}

fn copy(template: DynamicObject, act: &NewJob) -> Option<Value> {
    let DynamicObject { metadata, mut data, .. } = template;
    let mut spec = data.get_mut("spec")?.take();
    let mut labels = json!(metadata.labels.unwrap_or_default());
    let mut annotations = json!(metadata.annotations.unwrap_or_default());
    if act.template.kind == TemplateKind::CronJob {
        let mut inner = spec.get_mut("jobTemplate")?.take();
        labels = inner.pointer_mut("/metadata/labels").map_or_else(|| json!({}), Value::take);
        annotations =
            inner.pointer_mut("/metadata/annotations").map_or_else(|| json!({}), Value::take);
        spec = inner.get_mut("spec")?.take();
    }
    let without = |map: Option<&mut Value>, keys: &[&str]| {
        if let Some(map) = map.and_then(Value::as_object_mut) {
            map.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    without(Some(&mut labels), &OF_THE_CONTROLLER);
    without(Some(&mut annotations), &[APPLIED]);
    without(Some(&mut spec), &["selector", "manualSelector", "suspend", "ttlSecondsAfterFinished"]);
    without(spec.pointer_mut("/template/metadata/labels"), &OF_THE_CONTROLLER);
    let fields: &mut Map<String, Value> = spec.as_object_mut()?;
    fields.insert("activeDeadlineSeconds".into(), act.deadline.num_seconds().max(1).into());
    if let Some(retries) = act.retries {
        fields.insert("backoffLimit".into(), retries.into());
    }
    labels.as_object_mut()?.insert(tags::RUN.into(), act.run_uid.clone().into());
    let owner = OwnerReference {
        api_version: SurgeRun::api_version(&()).into_owned(),
        kind: SurgeRun::kind(&()).into_owned(),
        name: act.run.clone(),
        uid: act.run_uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    };
    let metadata = json!({
        "name": act.name, "labels": labels, "annotations": annotations, "ownerReferences": [owner],
    });
    Some(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}))
}

/// Decoded `Job` or `CronJob`. The planner needs only the name of a `CronJob`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Job {
    /// Metadata of the object.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Decoded part of `spec`.
    #[serde(default)]
    pub spec: JobSpec,
    /// Decoded part of `status`.
    #[serde(default)]
    pub status: JobStatus,
}

/// Decoded part of a Job's `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobSpec {
    /// True if the Job is suspended.
    #[serde(default)]
    pub suspend: bool,
}

/// Decoded part of a Job's `status`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobStatus {
    /// Conditions of the Job. A finished Job has the condition `Complete` or `Failed`.
    #[serde(default)]
    pub conditions: Vec<JobCondition>,
}

dynamic_resource!(Job);

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use primetime_core::state::announcement::JobTemplate;

    fn act(kind: TemplateKind) -> NewJob {
        NewJob {
            name: "photos-1".into(),
            template: JobTemplate { kind, name: "warm".into() },
            deadline: TimeDelta::seconds(900),
            retries: None,
            run: "capital-1".into(),
            run_uid: "uid-run".into(),
        }
    }

    fn made(template: Value, act: &NewJob) -> Value {
        from_template(serde_json::from_value(template).unwrap(), act).unwrap()
    }

    #[test]
    fn a_cron_job_gives_its_template_and_nothing_of_itself() {
        let cron_job = json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "warm", "labels": {"of": "the CronJob"}},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {
                "metadata": {"labels": {"team": "shop"}},
                "spec": {"backoffLimit": 4, "ttlSecondsAfterFinished": 0, "template": {"spec": {"x": 1}}},
            }},
        });
        let job = made(cron_job.clone(), &act(TemplateKind::CronJob));
        let labels = json!({"team": "shop", "primetime.dev/run": "uid-run"});
        assert_eq!(job["metadata"]["labels"], labels);
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "uid-run");
        let spec = json!({
            "backoffLimit": 4, "activeDeadlineSeconds": 900, "template": {"spec": {"x": 1}},
        });
        assert_eq!(job["spec"], spec, "it stays until its run goes");
        let retries = NewJob { retries: Some(0), ..act(TemplateKind::CronJob) };
        assert_eq!(made(cron_job, &retries)["spec"]["backoffLimit"], 0);
    }

    #[test]
    fn a_copy_of_a_suspended_job_runs_and_has_its_own_pods() {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "warm", "uid": "a", "labels": {"team": "shop"},
                         "annotations": {APPLIED: "{}", "why": "photos"}},
            "spec": {"suspend": true, "selector": {"matchLabels": {"controller-uid": "a"}},
                     "template": {"metadata": {"labels": {"app": "warm", "controller-uid": "a",
                        "batch.kubernetes.io/job-name": "warm"}}, "spec": {}}},
        });
        let job = made(job, &act(TemplateKind::Job));
        assert_eq!(job["metadata"]["annotations"], json!({"why": "photos"}));
        let spec = json!({
            "activeDeadlineSeconds": 900,
            "template": {"metadata": {"labels": {"app": "warm"}}, "spec": {}},
        });
        assert_eq!(job["spec"], spec);
    }

    #[test]
    fn a_job_that_is_not_suspended_is_not_copied() {
        for spec in [json!({"template": {}}), json!({"suspend": false, "template": {}})] {
            let job = json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": spec,
            });
            let job = serde_json::from_value(job).unwrap();
            let refused = from_template(job, &act(TemplateKind::Job));
            assert_eq!(refused, Err("is not suspended: it is no template"));
        }
    }

    #[test]
    fn what_came_of_a_job_is_read_from_its_conditions() {
        let read_status = |conditions: Value| {
            let job = json!({"metadata": {"name": "x"}, "status": {"conditions": conditions}});
            read(&serde_json::from_value(job).unwrap()).outcome
        };
        let condition = |kind: &str, status: &str| json!([{"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "too many"}]);
        assert_eq!(read_status(json!([])), None);
        assert_eq!(read_status(condition("Failed", "False")), None);
        assert_eq!(read_status(condition("Complete", "True")), Some(Ok(())));
        let said = "BackoffLimitExceeded: too many".to_owned();
        assert_eq!(read_status(condition("Failed", "True")), Some(Err(said)));
    }
}
