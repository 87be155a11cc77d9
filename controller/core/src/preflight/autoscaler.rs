//! Rule on the scale-down of the autoscaler after the event.

use crate::preflight::finding::{Finding, Subject};
use crate::state::condition::Rule;

/// `NeverScalesDown`.
pub(super) fn find(subject: &Subject<'_>) -> Option<Finding> {
    let (live, usual, planned) = (subject.seen.known()?, subject.usual?, subject.planned()?);
    let by = live.autoscaler.as_ref().filter(|_| live.never_scales_down)?;
    if planned <= usual.replicas.max(usual.min) {
        return None;
    }
    let (kind, name) = (by.kind.as_str(), &by.name);
    let after = match usual.max {
        Some(max) if planned > max => format!(
            "after the event it keeps the pods until its maximum goes back to {max}, and then \
             removes {} at once",
            planned - max
        ),
        _ => "after the event it keeps all pods".to_owned(),
    };
    let found = format!(
        "{kind} {name} never scales down (behavior.scaleDown.selectPolicy Disabled): {after}"
    );
    Some(subject.finds(Rule::NeverScalesDown, found))
}
