//! What scales a workload, found by the workload: a namespace may have a thousand of each.

use std::collections::{BTreeMap, BTreeSet};

use primetime_core::state::announcement::Workload;
use primetime_core::state::{hold, observed};

use super::{Index, Key, Lookup, Table};
use crate::narrow::Scaler;

/// HPAs, or `ScaledObject`s.
pub type Scalers = Table<Key, Scaler, ByTarget>;

/// Names of scalers by namespace and name of what they scale.
#[derive(Debug, Default)]
pub struct ByTarget(BTreeMap<Key, BTreeSet<String>>);

impl ByTarget {
    fn of<'a>(&'a self, namespace: &str, target: &str) -> impl Iterator<Item = &'a str> {
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

impl Index {
    /// What scales a workload: the autoscaler that its hold has on record, as long as it is there; otherwise a `ScaledObject`
    /// before the HPA it generates. A new one beside it (a Helm rename creates before it deletes) changes nothing yet.
    pub(super) fn scaler<'a>(
        &'a self,
        namespace: &'a str,
        workload: &'a Workload,
    ) -> Option<&'a Scaler> {
        let by_keda = || of_workload(&self.scaled_objects, namespace, workload);
        let hpas = || of_workload(&self.hpas, namespace, workload).filter(|s| !s.generated);
        let hold = self.holds.get(&(namespace.to_owned(), hold::name(workload)));
        let known = hold.and_then(|row| row.value.as_ref().ok()?.hold.baseline.autoscaler.as_ref());
        let on_record =
            known.and_then(|known| by_keda().chain(hpas()).find(|s| s.bounds.is(known)));
        on_record.or_else(|| by_keda().next()).or_else(|| hpas().next())
    }

    /// What scales it, or the HPA that KEDA has generated for it, would go below this, if it were not its minimum.
    pub(super) fn kept_at(
        &self,
        namespace: &str,
        workload: &Workload,
        scaler: Option<&Scaler>,
    ) -> Option<u32> {
        let scaler = scaler?;
        if scaler.bounds.kind == observed::AutoscalerKind::HorizontalPodAutoscaler {
            return scaler.kept_at;
        }
        of_workload(&self.hpas, namespace, workload).find(|hpa| hpa.generated)?.kept_at
    }

    /// KEDA has generated an HPA for the workload, and the `ScaledObject` behind it was not seen.
    pub(super) fn scaled_by_unseen_keda(&self, namespace: &str, workload: &Workload) -> bool {
        of_workload(&self.hpas, namespace, workload).any(|s| s.generated)
            && of_workload(&self.scaled_objects, namespace, workload).next().is_none()
    }
}

/// The scalers of a workload in a table.
fn of_workload<'a>(
    table: &'a Scalers,
    namespace: &'a str,
    workload: &'a Workload,
) -> impl Iterator<Item = &'a Scaler> {
    let names = table.lookup().of(namespace, &workload.name);
    let scalers = names.filter_map(move |name| table.get(&(namespace.to_owned(), name.to_owned())));
    scalers.map(|row| &*row.value).filter(|s| {
        s.target.kind == workload.kind
            && s.target.name == workload.name
            && group(&s.target.api_version) == group(&workload.api_version)
    })
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
