//! What the tests of several rules begin with.

use crate::state::announcement::{Target, Want, Workload};
use crate::state::observed::TargetState;

/// A target that nothing scales, with all of its pods ready.
pub(crate) fn plain(replicas: u32) -> TargetState {
    TargetState {
        replicas,
        ready: replicas,
        rolling: false,
        written_by: None,
        autoscaler: None,
        paused: false,
        kept_at: None,
    }
}

/// The shop's target of the "Capital" evening.
pub(crate) fn web(planned: u32) -> Target {
    Target {
        name: "web".into(),
        workload: Workload {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "web".into(),
        },
        want: Want::Replicas(planned),
        max_replicas: Some(260),
        rungs: vec![],
        max_step: None,
        lead: crate::seconds(360),
    }
}
