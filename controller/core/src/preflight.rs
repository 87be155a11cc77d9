//! Preflight: rules that tell days before an event why a target will not be ready, or will not be
//! given back.
//!
//! Each rule is a pure function from [`Facts`] to [`Finding`]s. The run shows the findings in the
//! condition `PreflightPassed`, and a risk in the verdict. `kubectl surge validate` shows the
//! findings for the objects of its files. Each rule has a function in a file of this folder, and a
//! row in [`Rule`].

mod autoscaler;
mod finding;
mod reach;
mod replicas;
mod room;
mod writers;

pub use finding::{Facts, Finding, Subject, Usual};

/// Applies all rules. The findings of a target come in the order of [`Rule::ALL`].
#[must_use]
pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for subject in &facts.subjects {
        found.extend(reach::find(subject));
        found.extend(replicas::find(subject));
        found.extend(autoscaler::find(subject));
        found.extend(writers::find(subject));
    }
    found.extend(room::find(facts));
    found
}

#[cfg(test)]
mod tests;
