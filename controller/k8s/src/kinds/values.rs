//! Values that ladder steps write: keys of `ConfigMap`s and backend weights of `HTTPRoute`s. The
//! reconciler reads each value with a quorum read, and writes only if the place still has the
//! observed value.

mod value;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::format::told;
use primetime_core::output::SwitchAct;
use primetime_core::port::Clock;
use primetime_core::state::ladder::{Object, Place, Seen, Trouble};

use crate::call::{CallError, bounded};
use crate::shared::Shared;

/// Reads or writes a value, and stores the value found in the cache.
///
/// # Errors
///
/// Any [`CallError`] except `NotFound`. If the object does not exist, the cache records the place
/// as gone. The cache also records `Refused` and `Invalid`.
pub async fn act(
    client: &Client,
    shared: &Shared,
    clock: &dyn Clock,
    namespace: &str,
    act: &SwitchAct,
    leads: impl Fn() -> bool,
) -> Result<(), CallError> {
    let (SwitchAct::Read { place } | SwitchAct::Write { place, .. }) = act;
    let at = clock.now();
    let result = match act {
        SwitchAct::Read { .. } => {
            read(client, namespace, place).await.map(|there| value::of(place, &there))
        }
        SwitchAct::Write { from, to, .. } => {
            write(client, namespace, place, from.as_ref(), to.as_ref(), leads).await
        }
    };
    shared.with(|cache| {
        let key = (namespace.to_owned(), place.clone());
        let before = cache.places.get(&key);
        let refused = before.and_then(|seen| seen.refused.clone());
        let seen = match &result {
            Ok(found) => {
                let refused = refused.filter(|_| matches!(act, SwitchAct::Read { .. }));
                Seen { found: found.clone(), refused, at }
            }
            Err(CallError::NotFound(_)) => {
                Seen { found: Err(Trouble::Gone(not_there(place))), refused, at }
            }
            Err(error @ (CallError::Refused(_) | CallError::Invalid(_))) => match act {
                SwitchAct::Read { .. } => {
                    Seen { found: Err(Trouble::Failed(error.to_string())), refused, at }
                }
                SwitchAct::Write { .. } => {
                    let Some(before) = before.cloned() else { return };
                    Seen { refused: Some(error.to_string()), ..before }
                }
            },
            // A transient error says nothing about the place, so the cache keeps the previous
            // observation.
            Err(_) => return,
        };
        cache.places.insert(key, seen);
    });
    match result {
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn not_there(place: &Place) -> String {
    match place.object() {
        object @ Object::ConfigMap(_) => format!("{object} does not exist"),
        object @ Object::HttpRoute(_) => {
            format!("{object} does not exist, or the Gateway API is not installed")
        }
    }
}

/// Returns the API for the kind of the place's object, and the name of the object.
fn objects(client: &Client, namespace: &str, place: &Place) -> (Api<DynamicObject>, String) {
    let (kind, name) = match place.object() {
        Object::ConfigMap(name) => (GroupVersionKind::gvk("", "v1", "ConfigMap"), name),
        Object::HttpRoute(name) => {
            (GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"), name)
        }
    };
    let kind = ApiResource::from_gvk(&kind);
    (Api::namespaced_with(client.clone(), namespace, &kind), name)
}

async fn read(client: &Client, namespace: &str, place: &Place) -> Result<DynamicObject, CallError> {
    let (api, name) = objects(client, namespace, place);
    bounded(api.get(&name)).await
}

/// Writes a value if the place still has the observed value.
///
/// Returns the current value without a write if the place has another value. Fails with `Refused`
/// if the API server stores a value other than the written value.
async fn write(
    client: &Client,
    namespace: &str,
    place: &Place,
    from: Option<&String>,
    to: Option<&String>,
    leads: impl Fn() -> bool,
) -> Result<Result<Option<String>, Trouble>, CallError> {
    let there = read(client, namespace, place).await?;
    match value::of(place, &there) {
        Ok(is) if is.as_ref() == from => {}
        other => return Ok(other),
    }
    if !leads() {
        return Err(CallError::Failed("this process does not lead any more".to_owned()));
    }
    let patch = value::patch(place, &there, to);
    let by =
        PatchParams { field_manager: Some(APP_FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let (api, name) = objects(client, namespace, place);
    let is = value::of(place, &bounded(api.patch(&name, &by, &Patch::Merge(patch))).await?);
    match &is {
        Ok(kept) if kept.as_ref() != to => {
            let kept = told(kept.as_deref());
            Err(CallError::Refused(format!("written, and the API server keeps {kept}")))
        }
        _ => Ok(is),
    }
}
