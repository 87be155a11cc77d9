//! Recorder of all requested replicas and HPA bounds in the shop, in order and from any client.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinSet;

use crate::evening::SHOP;

/// Requested size of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `spec.replicas` of a Deployment.
    Replicas(i32),
    /// `spec.minReplicas` and `spec.maxReplicas` of an HPA.
    Bounds(i32, i32),
}

/// A change of a requested size.
#[derive(Clone, Debug)]
pub struct Change {
    /// Time of the watch event.
    pub at: DateTime<Utc>,
    /// Name of the Deployment or HPA.
    pub name: String,
    /// Requested size after the change.
    pub asked: Asked,
}

/// A recorder that runs until the value is dropped.
#[derive(Debug)]
pub struct Recorder {
    changes: Arc<Mutex<Vec<Change>>>,
    _watches: JoinSet<()>,
}

impl Recorder {
    /// Starts the watches on Deployments and HPAs of the shop.
    #[must_use]
    pub fn start(client: &Client) -> Self {
        let changes = Arc::<Mutex<Vec<Change>>>::default();
        let mut watches = JoinSet::new();
        let (deployments, hpas) = (changes.clone(), changes.clone());
        let api = Api::<Deployment>::namespaced(client.clone(), SHOP);
        watches.spawn(record(api, deployments, |deployment| {
            Some(Asked::Replicas(deployment.spec.as_ref()?.replicas?))
        }));
        let api = Api::<HorizontalPodAutoscaler>::namespaced(client.clone(), SHOP);
        watches.spawn(record(api, hpas, |hpa| {
            let spec = hpa.spec.as_ref()?;
            Some(Asked::Bounds(spec.min_replicas.unwrap_or(1), spec.max_replicas))
        }));
        Self { changes, _watches: watches }
    }

    /// Returns all changes of the Deployment and the HPA with the given name, in order.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<Change> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().filter(|change| change.name == name).cloned().collect()
    }

    /// Returns the changes of `spec.replicas` of a Deployment, in order.
    #[must_use]
    pub fn replicas(&self, name: &str) -> Vec<(DateTime<Utc>, i32)> {
        let changes = self.of(name).into_iter();
        let replicas = changes.filter_map(|change| match change.asked {
            Asked::Replicas(replicas) => Some((change.at, replicas)),
            Asked::Bounds(..) => None,
        });
        replicas.collect()
    }
}

async fn record<K>(
    api: Api<K>,
    changes: Arc<Mutex<Vec<Change>>>,
    read: impl Fn(&K) -> Option<Asked>,
) where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(object) | Event::InitApply(object)) = event else { continue };
        let Some(asked) = read(&object) else { continue };
        let (at, name) = (Utc::now(), object.name_any());
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        let same_kind = |c: &&Change| {
            std::mem::discriminant(&c.asked) == std::mem::discriminant(&asked) && c.name == name
        };
        if changes.iter().rev().find(same_kind).is_none_or(|last| last.asked != asked) {
            changes.push(Change { at, name, asked });
        }
    }
}
