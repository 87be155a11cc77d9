//! Preflight rules for the objects of files. Projection and rules are those of the operator.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use primetime_core::preflight::{self, Facts, Finding, Subject, Usual};
use primetime_core::state::announcement::{Announcement, Target, Workload};
use primetime_core::state::observed::{Seen, TargetState};
use primetime_k8s::cache::store::Cache;
use primetime_k8s::cache::table::{Key, Lookup, Table};
use primetime_k8s::kinds::scaled_object::ScaledObject;
use primetime_k8s::kinds::workload::Scalable;
use primetime_k8s::kinds::{bounds, hpa};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Cache of the operator, filled with the objects of the files in the namespace of a surge.
pub struct Given {
    cache: Cache,
}

impl Given {
    /// Decodes workloads, autoscalers, quotas and limits. The function skips other objects, and
    /// objects that cannot be decoded: `kubectl apply` judges such objects.
    #[must_use]
    pub fn new(objects: &[Value], surge: &Value) -> Self {
        let mut cache = Cache::default();
        let shared = namespace(surge);
        // `kubectl apply -n` puts an object without a namespace into the namespace of the surge.
        let together =
            |object: &&Value| namespace(object).is_empty() || namespace(object) == shared;
        for object in objects.iter().filter(together) {
            let kind = (text(object, "/apiVersion").to_owned(), text(object, "/kind").to_owned());
            let key = (shared.to_owned(), text(object, "/metadata/name").to_owned());
            match kind.1.as_str() {
                "HorizontalPodAutoscaler" => {
                    let read =
                        decoded(object).and_then(|o: HorizontalPodAutoscaler| hpa::scaler(&o));
                    put(&mut cache.hpas, key, read);
                }
                "ScaledObject" => {
                    put(
                        &mut cache.scaled_objects,
                        key,
                        decoded(object).map(|o: ScaledObject| o.scaler()),
                    );
                }
                "ResourceQuota" => {
                    let read = decoded(object).and_then(|o: ResourceQuota| bounds::quota(&o));
                    put(&mut cache.quotas, key, read);
                }
                "LimitRange" => {
                    put(
                        &mut cache.limits,
                        key,
                        decoded(object).map(|o: LimitRange| bounds::limits(&o)),
                    );
                }
                _ if kind.0.starts_with("apps/") || object.pointer("/spec/template").is_some() => {
                    let read = decoded(object).map(|o: Scalable| o.replicas(&kind.1));
                    put(cache.workloads.entry(kind).or_default(), key, read);
                }
                _ => {}
            }
        }
        for table in cache.workloads.values_mut() {
            all_listed(table);
        }
        all_listed(&mut cache.hpas);
        all_listed(&mut cache.scaled_objects);
        all_listed(&mut cache.quotas);
        all_listed(&mut cache.limits);
        Self { cache }
    }

    /// Applies the rules to the targets whose workloads are in the files.
    #[must_use]
    pub fn findings(&self, surge: &Value, announcement: &Announcement) -> Vec<Finding> {
        let namespace = namespace(surge);
        let seen = |target: &Target| self.seen(namespace, &target.workload);
        let targets: Vec<_> = announcement
            .targets
            .iter()
            .filter_map(|target| Some((target, seen(target)?)))
            .collect();
        let subjects = targets.iter().filter_map(|(target, seen)| {
            let live = seen.known()?;
            let usual = Usual::of(live.replicas, live.autoscaler.as_ref());
            Some(Subject { target, seen, usual: Some(usual), raised: false, time: target.lead })
        });
        let bounds = self.cache.bounds(namespace);
        preflight::findings(&Facts { subjects: subjects.collect(), bounds: &bounds })
    }

    fn seen(&self, namespace: &str, workload: &Workload) -> Option<Seen<TargetState>> {
        let seen = self.cache.target(namespace, workload);
        seen.known().is_some().then_some(seen)
    }
}

fn put<T: PartialEq, L: Lookup<Key, T>>(table: &mut Table<Key, T, L>, key: Key, row: Option<T>) {
    if let Some(row) = row {
        table.apply(key, row, String::new());
    }
}

/// Marks everything that was put in as the complete list.
fn all_listed<T: PartialEq + Clone, L: Lookup<Key, T>>(table: &mut Table<Key, T, L>) {
    let rows: Vec<_> = table.iter().map(|(key, row)| (key.clone(), row.clone())).collect();
    table.relist();
    for (key, row) in rows {
        table.apply(key, row, String::new());
    }
    table.relisted();
}

fn decoded<K: DeserializeOwned>(object: &Value) -> Option<K> {
    serde_json::from_value(object.clone()).ok()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}
