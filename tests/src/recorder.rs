//! Everything that is asked of the workloads of the shop, in order, by any client.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinSet;

use crate::evening::SHOP;

/// What is asked for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Replicas of a Deployment.
    Replicas(i32),
    /// The bounds of an HPA.
    Bounds(i32, i32),
}

/// A change of what is asked for.
#[derive(Clone, Debug)]
pub struct Change {
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// Of which workload, or its HPA.
    pub name: String,
    /// What.
    pub asked: Asked,
}

/// A recorder that runs until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    changes: Arc<Mutex<Vec<Change>>>,
    _watches: JoinSet<()>,
}

impl Recorder {
    /// Begins to record.
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

    /// What was asked for by a name, change by change.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<Change> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().filter(|change| change.name == name).cloned().collect()
    }

    /// The replicas that were asked for by a name, change by change.
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
