//! Values that steps of a ladder write: read with a quorum, and written only over what was seen.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use primetime_api::APP_FIELD_MANAGER;
use primetime_core::degrade::{Place, Seen, SwitchAct, Trouble, told};
use primetime_core::port::Clock;
use serde_json::json;

use crate::call::{CallError, bounded};
use crate::watch::Shared;

/// Reads or writes a value, and shows the index what stands there then.
///
/// # Errors
///
/// See [`CallError`]. An object that is not there is no error: it is shown as gone. What is refused is shown too.
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
        SwitchAct::Read { .. } => read(client, namespace, place).await.map(|there| there.value),
        SwitchAct::Write { from, to, .. } => {
            write(client, namespace, place, from.as_ref(), to.as_ref(), leads).await
        }
    };
    shared.with(|index| {
        let key = (namespace.to_owned(), place.clone());
        let before = index.places.get(&key);
        let refused = before.and_then(|seen| seen.refused.clone());
        let seen = match &result {
            Ok(found) => {
                let refused = refused.filter(|_| matches!(act, SwitchAct::Read { .. }));
                Seen { found: Ok(found.clone()), refused, at }
            }
            Err(CallError::NotFound(_)) => Seen { found: Err(Trouble::Gone), refused, at },
            Err(error @ (CallError::Refused(_) | CallError::Invalid(_))) => match act {
                SwitchAct::Read { .. } => {
                    Seen { found: Err(Trouble::Failed(error.to_string())), refused, at }
                }
                SwitchAct::Write { .. } => {
                    let Some(before) = before.cloned() else { return };
                    Seen { refused: Some(error.to_string()), ..before }
                }
            },
            // What may work in a moment says nothing of the place.
            Err(_) => return,
        };
        index.places.insert(key, seen);
    });
    match result {
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What stands at a place, and the resourceVersion it was read at.
struct There {
    value: Option<String>,
    version: Option<String>,
}

async fn read(client: &Client, namespace: &str, place: &Place) -> Result<There, CallError> {
    let Place::ConfigMap { name, key } = place;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = bounded(api.get(name)).await?;
    Ok(There { value: value(&map, key), version: map.meta().resource_version.clone() })
}

fn value(map: &ConfigMap, key: &str) -> Option<String> {
    map.data.as_ref()?.get(key).cloned()
}

/// Writes a value over what was seen, if that still stands there; otherwise says what does.
async fn write(
    client: &Client,
    namespace: &str,
    place: &Place,
    from: Option<&String>,
    to: Option<&String>,
    leads: impl Fn() -> bool,
) -> Result<Option<String>, CallError> {
    let there = read(client, namespace, place).await?;
    if there.value.as_ref() != from {
        return Ok(there.value);
    }
    if !leads() {
        return Err(CallError::Failed("this process does not lead any more".to_owned()));
    }
    let Place::ConfigMap { name, key } = place;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    // Whoever writes in between, at any key, is not overwritten.
    let patch = json!({"metadata": {"resourceVersion": there.version}, "data": {key: to}});
    let by =
        PatchParams { field_manager: Some(APP_FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let map = bounded(api.patch(name, &by, &Patch::Merge(patch))).await?;
    let is = value(&map, key);
    if is.as_ref() != to {
        let kept = told(is.as_deref());
        return Err(CallError::Refused(format!("written, and the API server keeps {kept}")));
    }
    Ok(is)
}
