//! Rule on other controllers that write the fields of a run.

use crate::preflight::finding::{Finding, Subject};
use crate::state::condition::Rule;

/// Parts of the names of field managers that apply a Git repository again and again: Argo CD
/// (`argocd-controller`, `argocd-application-controller`), Flux (`kustomize-controller`,
/// `helm-controller`), Fleet, Sveltos, Config Sync (`configsync`), Helm.
const GITOPS: [&str; 8] = [
    "argocd",
    "flux",
    "kustomize-controller",
    "helm",
    "fleetagent",
    "sveltos",
    "configsync",
    "kapp-controller",
];

/// `OtherWriter`.
pub(super) fn find(subject: &Subject<'_>) -> Option<Finding> {
    let live = subject.seen.known()?;
    let (field, writer) = match &live.autoscaler {
        Some(by) => {
            (format!("the minimum of {} {}", by.kind.as_str(), by.name), &live.bounds_written_by)
        }
        None => ("spec.replicas".to_owned(), &live.written_by),
    };
    let writer = writer.as_ref().filter(|manager| is_gitops(manager))?;
    let found = format!("{writer} owns {field} and may write it during the event");
    Some(subject.finds(Rule::OtherWriter, found))
}

fn is_gitops(manager: &str) -> bool {
    let manager = manager.to_ascii_lowercase();
    GITOPS.iter().any(|known| manager.contains(known))
}
