//! Watches of the kinds of workloads that surges, runs and holds name.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use kube::api::Api;
use primetime_core::reference;
use primetime_core::state::observed::Cause;
use tracing::warn;

use crate::cache::store::Scope;
use crate::cache::table::Table;
use crate::kinds::workload::Scalable;
use crate::shared::{Reader, Shared};
use crate::watch::probe::{PROBE_INTERVAL, probe};
use crate::watch::stream::{key, watch};

/// Watches each workload kind that surges, runs and holds name. The watch starts with the first
/// object that names the kind.
///
/// The function is a single loop, because `looked_up`, `named` and `next` change together with each
/// probe.
pub(super) async fn workloads(client: Client, shared: Shared) {
    let mut watches = tokio::task::JoinSet::new();
    let mut looked_up = BTreeMap::new();
    let (mut of, mut named) = (None, BTreeSet::new());
    loop {
        let unknown = shared.with(|cache| {
            let now = [cache.surges.revision(), cache.runs.revision(), cache.holds.revision()];
            if of.replace(now) != Some(now) {
                named = cache.kinds();
            }
            let known = |kind: &&(String, String)| cache.workloads.contains_key(*kind);
            named.iter().filter(|kind| !known(kind)).cloned().collect::<Vec<_>>()
        });
        let mut next = None;
        for kind in unknown {
            let now = tokio::time::Instant::now();
            if let Some(at) = looked_up.get(&kind).map(|at| *at + PROBE_INTERVAL)
                && now < at
            {
                next = Some(next.map_or(at, |next: tokio::time::Instant| next.min(at)));
                continue;
            }
            looked_up.insert(kind.clone(), now);
            if let Some(group) = unlisted(&shared, &kind) {
                let cause = Cause::NotAllowed { kind: kind.1.clone(), group };
                unwatched(&shared, &kind, &cause);
                continue;
            }
            next = Some(next.map_or(now + PROBE_INTERVAL, |next| next.min(now + PROBE_INTERVAL)));
            let (api_version, name) = &kind;
            match probe(&client, api_version, name).await {
                Ok(Some((resource, true))) => {
                    shared.with(|cache| {
                        cache.unwatched.remove(&kind);
                        cache.workloads.insert(kind.clone(), Table::default());
                    });
                    let api = Api::<Scalable>::all_with(client.clone(), &resource);
                    watches.spawn(watch_workload(api, shared.clone(), kind.clone()));
                }
                Ok(found) => {
                    let cause = if found.is_some() { Cause::NotScalable } else { Cause::NotServed };
                    unwatched(&shared, &kind, &cause(name.clone()));
                }
                Err(error) => {
                    let why = format!("{api_version} {name} cannot be looked up: {error}");
                    unwatched(&shared, &kind, &Cause::Failed(why));
                }
            }
        }
        let again = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.changed_for(Reader::Workloads) => {}
            () = again => {}
        }
    }
}

/// Returns the API group of a kind that this installation does not allow as a target.
fn unlisted(shared: &Shared, kind: &(String, String)) -> Option<String> {
    let group = reference::group_version(&kind.0).map_or("", |it| it.group);
    let refused = shared.with(|cache| cache.may_scale(group, &kind.1)) == Some(false);
    refused.then(|| group.to_owned())
}

/// Records the cause for which a kind is not watched, and notifies the planner of a new cause.
fn unwatched(shared: &Shared, kind: &(String, String), cause: &Cause) {
    let news = shared.with(|cache| {
        let news = cache.unwatched.get(kind) != Some(cause);
        cache.unwatched.insert(kind.clone(), cause.clone());
        news && cache.mark(Scope::Everything)
    });
    if news {
        warn!(api_version = kind.0, kind = kind.1, %cause, "kind is not watched; it is tried again");
        shared.notify();
    }
}

async fn watch_workload(api: Api<Scalable>, shared: Shared, kind: (String, String)) {
    let name = kind.1.clone();
    watch(
        api,
        shared,
        kind.1.clone(),
        move |cache| cache.workloads.get_mut(&kind),
        move |o: &Scalable| Some((key(o), o.replicas(&name))),
    )
    .await;
}
