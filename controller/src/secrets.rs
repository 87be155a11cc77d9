//! Secrets for metrics sources, in the namespace of the operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use primetime_core::port::{Answer, Secrets};
use primetime_k8s::call::{CallError, bounded};
use tokio::time::Instant;

/// Time for which a Secret is not read again.
const FRESH: Duration = Duration::from_mins(1);

/// Time for which a Secret is not read again after a failure.
const AGAIN: Duration = Duration::from_secs(10);

type Keys = BTreeMap<String, Vec<u8>>;

/// The keys of a Secret, or the sentence of a failure, and the time of the next read.
struct Read {
    keys: Result<Keys, String>,
    next: Instant,
}

/// Secrets of a namespace, read by name. The chart grants the names (`metrics.secrets`).
pub struct NamedSecrets {
    secrets: Api<Secret>,
    read: Mutex<BTreeMap<String, Read>>,
}

impl NamedSecrets {
    /// Returns the Secrets of a namespace.
    pub fn of(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace), read: Mutex::default() }
    }

    fn cached(&self, name: &str) -> Option<Result<Keys, String>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(name).filter(|read| Instant::now() < read.next).map(|read| read.keys.clone())
    }

    async fn fetch(&self, name: &str) -> Result<Keys, String> {
        if let Some(keys) = self.cached(name) {
            return keys;
        }
        let found = bounded(self.secrets.get(name)).await;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, fresh) = match found {
            Ok(secret) => {
                let data = secret.data.unwrap_or_default();
                (Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect()), FRESH)
            }
            Err(CallError::NotFound(_)) => (Err(format!("Secret {name} does not exist")), AGAIN),
            Err(CallError::Refused(_)) => {
                let why = "may not be read; metrics.secrets of the Helm chart grants it";
                (Err(format!("Secret {name} {why}")), AGAIN)
            }
            // The API server does not answer: the values read last still hold.
            Err(error) => match read.get(name).map(|read| read.keys.clone()) {
                Some(Ok(keys)) => (Ok(keys), AGAIN),
                _ => (Err(format!("Secret {name}: {error}")), AGAIN),
            },
        };
        read.insert(name.to_owned(), Read { keys: keys.clone(), next: Instant::now() + fresh });
        keys
    }
}

impl Secrets for NamedSecrets {
    fn read<'a>(&'a self, name: &'a str) -> Answer<'a, Result<Keys, String>> {
        Box::pin(self.fetch(name))
    }
}
