//! The API types of `primetime.dev/v1alpha1`, and conversion into the types of `primetime_core`.
//!
//! The structs are the source of the YAML in `crds/` (`cargo run -p primetime-api --bin crds`). A
//! test compares both. CEL rules with a message for people check the conditions that need no clock,
//! time zone or other object. The module [`validate`] checks the rest.

mod budget;
mod calendar;
mod class;
mod degrade;
mod event;
mod hold;
mod job;
mod names;
mod object_ref;
mod overrides;
mod run;
mod schedule;
mod shape;
mod source;
mod surge;
pub mod validate;

pub use budget::{BudgetLimits, SurgeBudget, SurgeBudgetSpec};
pub use calendar::{
    CalendarFormat, ConfigMapKeyRef, HowToRead, Match, Place, SurgeCalendar, SurgeCalendarSpec,
    calendar_record, how_to_read,
};
pub use class::{
    Ec2Launch, InstanceClass, InstanceClassSpec, InstanceClassStatus, LaunchTemplateRef, Limits,
    Provider,
};
pub use degrade::{BackendWeight, ConfigMapValue, DegradeCondition, DegradeJobs, DegradeStep};
pub use event::{
    EventSpec, HoldAfterEnd, MachineGroup, Release, ScaleTargetRef, Signal, StartPolicy, Target,
};
pub use hold::{SurgeHold, SurgeHoldSpec, hold_record};
pub use job::{JobStep, JobTemplateRef};
pub use names::{APP_FIELD_MANAGER, FINALIZER, GROUP, SURGE_UID, VERSION, tags};
pub use object_ref::ObjectRef;
pub use overrides::{OverrideAction, SurgeOverride, SurgeOverrideSpec};
pub use run::{SurgeRun, SurgeRunSpec, is_surge, run_record, run_spec, undecoded_run};
pub use schedule::{ExcludedDays, Schedule, Window};
pub use shape::{Shape, ShapePoint};
pub use source::{MetricsSource, MetricsSourceSpec};
pub use surge::{ScheduledSurge, ScheduledSurgeSpec, named_surge, surge_record, surge_spec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Returns all custom resource definitions, in the order in which users need the kinds.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        ScheduledSurge::crd(),
        SurgeRun::crd(),
        SurgeHold::crd(),
        SurgeOverride::crd(),
        SurgeCalendar::crd(),
        InstanceClass::crd(),
        MetricsSource::crd(),
        SurgeBudget::crd(),
    ]
    .into_iter()
    .map(without_unsigned_formats)
    .collect()
}

/// Removes unsigned formats from a CRD. Kubernetes warns about formats other than int32 and int64.
/// The ranges in the schema keep the values unsigned.
fn without_unsigned_formats(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                let unsigned = map
                    .get("format")
                    .and_then(|f| f.as_str())
                    .is_some_and(|f| f.starts_with("uint"));
                if unsigned {
                    map.remove("format");
                }
                map.values_mut().for_each(strip);
            }
            serde_json::Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let Ok(mut value) = serde_json::to_value(&crd) else {
        return crd;
    };
    strip(&mut value);
    serde_json::from_value(value).unwrap_or(crd)
}

/// Returns the text of the committed file of a CRD.
///
/// # Errors
///
/// Returns the error of `serde_yaml` if the CRD cannot become YAML.
pub fn crd_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    let header = "# Generated from controller/api by `make generate`; a test compares.\n";
    Ok(format!("{header}{}", serde_yaml::to_string(crd)?))
}
