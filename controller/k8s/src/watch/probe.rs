//! Discovery of a kind: served by the API server, and with a scale subresource.

use std::time::Duration;

use kube::Client;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use primetime_core::reference::{self, GroupVersion};

use crate::call;

/// Asks the API server for a kind. Returns the API resource, and true if the kind has a scale
/// subresource. Returns `None` if the API server does not serve the kind.
///
/// The function sends no request for an invalid `apiVersion` or kind, because the text would become
/// the path of the request.
///
/// # Errors
///
/// A [`call::CallError`] if the discovery request fails.
pub async fn probe(
    client: &Client,
    api_version: &str,
    kind: &str,
) -> Result<Option<(ApiResource, bool)>, call::CallError> {
    let (Ok(GroupVersion { group, version }), Ok(())) =
        (reference::group_version(api_version), reference::kind(kind))
    else {
        return Ok(None);
    };
    let gvk = GroupVersionKind::gvk(group, version, kind);
    match call::bounded(kube::discovery::oneshot::pinned_kind(client, &gvk)).await {
        Ok((resource, capabilities)) => {
            let scales = capabilities.subresources.iter().any(|(r, _)| r.plural.ends_with("scale"));
            Ok(Some((resource, scales)))
        }
        Err(call::CallError::NotFound(_)) => Ok(None),
        // The API server serves the group, but not the kind.
        Err(call::CallError::Failed(why))
            if why.contains("Unable to find") || why.contains("MissingKind") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Interval between two discovery requests for a kind that the API server does not serve. An
/// administrator may install KEDA later.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(30);
