//! Rules on the planned replicas: compared with the usual replicas, and with the lead time.

use crate::preflight::finding::{Finding, Subject};
use crate::state::announcement::{MOST_REPLICAS, Want};
use crate::state::condition::Rule;

/// Shortest start of a pod, in seconds, that the rule takes for plausible: pulling the image,
/// starting, and the first probe. A lead that leaves less for each pod of a `StatefulSet` is a
/// risk. 32 pods took 30 minutes in <https://github.com/kubernetes/kubernetes/issues/124408>.
const ONE_POD_SECONDS: i64 = 20;

/// `NothingMultiplied`, `PlanTooLarge`, `PlanBelowUsual` and `OneByOne`.
pub(super) fn find(subject: &Subject<'_>) -> Vec<Finding> {
    let rules = [
        multiplies_nothing(subject),
        too_large(subject),
        below_usual(subject),
        one_by_one(subject),
    ];
    rules.into_iter().flatten().collect()
}

/// A plan above [`MOST_REPLICAS`] is a typing error more often than an event: `multiplier: "180"`
/// on a target of 400 replicas.
fn too_large(subject: &Subject<'_>) -> Option<Finding> {
    let want = subject.target.want;
    let usual = subject.usual.map_or(0, |usual| usual.replicas);
    let (asked, most) = (want.unclipped(usual), subject.target.max_replicas);
    (asked > MOST_REPLICAS && most.is_none_or(|most| most > MOST_REPLICAS)).then(|| {
        let found =
            format!("the plan is {asked} replicas, and a target gets {MOST_REPLICAS} at most");
        subject.finds(Rule::PlanTooLarge, found)
    })
}

/// A multiple of no replicas is none: the verdict would be Ready with no pod.
fn multiplies_nothing(subject: &Subject<'_>) -> Option<Finding> {
    let Want::Multiplier(by) = subject.target.want else { return None };
    let nothing = subject.usual?.replicas == 0;
    nothing.then(|| subject.finds(Rule::NothingMultiplied, format!("{by} times 0 replicas is 0")))
}

fn below_usual(subject: &Subject<'_>) -> Option<Finding> {
    let (usual, planned) = (subject.usual?, subject.planned()?);
    let live = subject.seen.known().filter(|_| !subject.raised).map_or(0, |live| live.replicas);
    let runs = usual.replicas.max(usual.min).max(live);
    (0 < planned && planned < runs).then(|| {
        let found = format!("{planned} replicas are planned, and {runs} are there on usual days");
        subject.finds(Rule::PlanBelowUsual, found)
    })
}

fn one_by_one(subject: &Subject<'_>) -> Option<Finding> {
    // After the first write the count of ready pods tells more than an assumption.
    let live = subject.seen.known().filter(|_| !subject.raised)?;
    let there = live.ready.max(subject.usual.map_or(0, |usual| usual.replicas));
    let pods = i64::from(subject.planned()?.saturating_sub(there));
    let seconds = subject.time.num_seconds();
    if !live.pods.one_by_one || pods < 2 || seconds <= 0 || seconds / pods >= ONE_POD_SECONDS {
        return None;
    }
    let each = seconds / pods;
    Some(subject.finds(
        Rule::OneByOne,
        format!(
            "{pods} pods start one after another (podManagementPolicy OrderedReady), and {seconds} s \
             leave {each} s for each"
        ),
    ))
}
