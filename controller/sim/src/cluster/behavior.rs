//! `spec.behavior` of an HPA: scaling policies, `selectPolicy` and `stabilizationWindowSeconds`, as
//! in
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior>.

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::Value;
use std::collections::VecDeque;

use crate::field::{at, number, text};

/// A change of `spec.replicas` by the HPA: time, and replicas added. A negative number means
/// removed replicas.
pub(super) type Change = (Instant, i64);

/// The longest `periodSeconds` that the API server accepts is 1800.
const LONGEST_PERIOD: TimeDelta = TimeDelta::seconds(1800);

/// A direction of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl Direction {
    fn pointer(self) -> &'static str {
        match self {
            Self::Up => "/spec/behavior/scaleUp",
            Self::Down => "/spec/behavior/scaleDown",
        }
    }
}

/// Returns `stabilizationWindowSeconds` of the scale-down, or `None` if the field is absent.
pub(super) fn memory(hpa: &Value) -> Option<TimeDelta> {
    number(hpa, "/spec/behavior/scaleDown/stabilizationWindowSeconds").map(TimeDelta::seconds)
}

/// Drops changes that no period can reach any more.
pub(super) fn forget(changes: &mut VecDeque<Change>, now: Instant) {
    while changes.front().is_some_and(|(at, _)| now - *at > LONGEST_PERIOD) {
        changes.pop_front();
    }
}

/// Returns the replicas that the policies of a direction allow at `now`: the most for
/// [`Direction::Up`], the least for [`Direction::Down`]. `None` if the HPA states no policy for the
/// direction, so the defaults hold.
pub(super) fn limit(
    hpa: &Value,
    direction: Direction,
    current: i64,
    changes: &VecDeque<Change>,
    now: Instant,
) -> Option<i64> {
    let rules = at(hpa, direction.pointer())?;
    let select = text(rules, "/selectPolicy").unwrap_or("Max");
    if select == "Disabled" {
        return Some(current);
    }
    let policies = at(rules, "/policies").and_then(Value::as_array)?;
    let allowed = policies.iter().filter_map(|policy| {
        let value = number(policy, "/value")?;
        let period = TimeDelta::seconds(number(policy, "/periodSeconds")?);
        // Replicas at the begin of the period. Changes within the period are undone.
        let lately = changes.iter().filter(|(at, _)| now - *at < period).map(|(_, change)| *change);
        let began = current - lately.sum::<i64>();
        Some(match direction {
            Direction::Up => {
                began + if in_pods(policy) { value } else { (began * value + 99).div_euclid(100) }
            }
            Direction::Down => {
                if in_pods(policy) {
                    began - value
                } else {
                    began * (100 - value) / 100
                }
            }
        })
    });
    let most = (select == "Max") == (direction == Direction::Up);
    if most { allowed.max() } else { allowed.min() }
}

fn in_pods(policy: &Value) -> bool {
    text(policy, "/type") == Some("Pods")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use serde_json::json;

    fn now() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 20, 0, 0).unwrap()
    }

    fn down(behavior: &Value, current: i64, changes: &[(i64, i64)]) -> Option<i64> {
        let changes =
            changes.iter().map(|(ago, change)| (now() - TimeDelta::seconds(*ago), *change));
        let hpa = json!({"spec": {"behavior": {"scaleDown": behavior}}});
        limit(&hpa, Direction::Down, current, &changes.collect(), now())
    }

    #[test]
    fn a_disabled_direction_keeps_what_there_is() {
        assert_eq!(down(&json!({"selectPolicy": "Disabled"}), 180, &[]), Some(180));
        assert_eq!(down(&json!({}), 180, &[]), None, "the defaults hold");
    }

    #[test]
    fn policies_count_what_their_period_has_removed_already() {
        let ten = json!({"type": "Percent", "value": 10, "periodSeconds": 60});
        let four = json!({"type": "Pods", "value": 4, "periodSeconds": 60});
        let both = |select: &str| json!({"policies": [ten, four], "selectPolicy": select});
        assert_eq!(down(&both("Max"), 100, &[]), Some(90));
        assert_eq!(down(&both("Min"), 100, &[]), Some(96));
        assert_eq!(down(&both("Max"), 95, &[(30, -5)]), Some(90), "5 of 10 are removed");
        assert_eq!(down(&both("Max"), 90, &[(70, -10)]), Some(81), "the period is over");
    }

    #[test]
    fn a_scale_up_is_limited_by_its_policies() {
        let hpa = json!({"spec": {"behavior": {"scaleUp": {"policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 60},
        ]}}}});
        let changes = VecDeque::from([(now() - TimeDelta::seconds(10), 3)]);
        assert_eq!(limit(&hpa, Direction::Up, 13, &changes, now()), Some(14));
    }
}
