//! Autoscalers, indexed by the workload that each autoscaler scales. The index avoids a scan,
//! because a namespace may hold a thousand autoscalers and a thousand workloads.

use std::collections::{BTreeMap, BTreeSet};

use primetime_core::state::announcement::Workload;
use primetime_core::state::observed;

use crate::cache::table::{Key, Lookup, Table};

/// Cached record of an autoscaler: an HPA or a `ScaledObject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    /// Workload that the autoscaler scales (`spec.scaleTargetRef`).
    pub target: Workload,
    /// Kind and name of the autoscaler, with the minimum, the maximum and KEDA's idle count.
    pub bounds: observed::Autoscaler,
    /// True if KEDA generated the HPA. The reconciler never patches a generated HPA; the reconciler
    /// patches the `ScaledObject` instead.
    pub generated: bool,
    /// True if an annotation pauses the `ScaledObject`. Always false for an HPA.
    pub paused: bool,
    /// Replicas (`status.desiredReplicas`) that the HPA keeps only because of the minimum that the
    /// HPA read at the last sync. The value is `None` for a `ScaledObject`, and for an HPA that the
    /// minimum does not limit.
    pub kept_at: Option<u32>,
    /// `behavior.scaleDown.selectPolicy` is `Disabled`.
    pub never_scales_down: bool,
    /// The field manager that last wrote the minimum.
    pub written_by: Option<String>,
}

/// Table of HPAs or of `ScaledObject`s, indexed by target workload.
pub type Scalers = Table<Key, Scaler, ByTarget>;

/// Names of autoscalers, by namespace and name of the target workload.
#[derive(Debug, Default)]
pub struct ByTarget(BTreeMap<Key, BTreeSet<String>>);

impl ByTarget {
    pub(super) fn of<'a>(&'a self, namespace: &str, target: &str) -> impl Iterator<Item = &'a str> {
        let names = self.0.get(&(namespace.to_owned(), target.to_owned()));
        names.into_iter().flatten().map(String::as_str)
    }
}

impl Lookup<Key, Scaler> for ByTarget {
    fn insert(&mut self, (namespace, name): &Key, scaler: &Scaler) {
        let target = (namespace.clone(), scaler.target.name.clone());
        self.0.entry(target).or_default().insert(name.clone());
    }

    fn remove(&mut self, (namespace, name): &Key, scaler: &Scaler) {
        let target = (namespace.clone(), scaler.target.name.clone());
        if let Some(names) = self.0.get_mut(&target) {
            names.remove(name);
            if names.is_empty() {
                self.0.remove(&target);
            }
        }
    }
}

pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
