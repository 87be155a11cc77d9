//! Overrides in force that a new override overrules, or that overrule a part of it.

use primetime_core::state::overrides::{Action, Boost, Override};

/// Returns a sentence for each override in force that contradicts the new override.
///
/// `in_force` is sorted by age, oldest first. The newest of `Hold`, `Extend` and `Release` counts. A
/// `Release` cancels earlier boosts. The largest boost and the newest `Degrade` of a step count.
pub fn of(asked: &Action, in_force: &[Override]) -> Vec<String> {
    let on_lowering =
        |action: &Action| matches!(action, Action::Hold | Action::Extend | Action::Release);
    let released = in_force.iter().rposition(|o| o.action == Action::Release);
    let newest = in_force.iter().rfind(|o| on_lowering(&o.action));
    let mut said = Vec::new();
    if on_lowering(asked)
        && let Some(old) = newest.filter(|o| o.action != *asked)
    {
        // An extension moves the end for good. Only a release overrules it.
        let stays = old.action == Action::Extend && *asked != Action::Release;
        if old.action == Action::Release && *asked == Action::Extend {
            said.push(format!("a release that has begun continues: {}", old.describe()));
        } else if !stays {
            said.push(format!(
                "overruled: {}. The newest of hold, extend and release counts",
                old.describe()
            ));
        }
    }
    for (age, old) in in_force.iter().enumerate() {
        let counts = released.is_none_or(|at| age > at);
        match (asked, &old.action) {
            (Action::Release, Action::Boost { .. }) if counts => {
                said.push(format!("overruled: {}", old.describe()));
            }
            (Action::Boost { target, amount }, Action::Boost { target: other, amount: higher })
                if counts
                    && meets(target.as_ref(), other.as_ref())
                    && exceeds(*higher, *amount) =>
            {
                said.push(format!(
                    "stays in force, and the higher boost counts: {}",
                    old.describe()
                ));
            }
            (Action::Degrade { step, on }, Action::Degrade { step: other, on: was })
                if on != was && meets(step.as_ref(), other.as_ref()) =>
            {
                said.push(format!("overruled: {}", old.describe()));
            }
            _ => {}
        }
    }
    said
}

/// True if two selections have an element in common. An absent name selects all elements.
fn meets(one: Option<&String>, other: Option<&String>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// True if the old boost is higher. Replicas and percent cannot be compared without a plan.
fn exceeds(old: Boost, new: Boost) -> bool {
    match (old, new) {
        (Boost::Replicas(old), Boost::Replicas(new))
        | (Boost::Percent(old), Boost::Percent(new)) => old > new,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn by(action: Action) -> Override {
        Override {
            name: "o".into(),
            surge: "capital".into(),
            action,
            reason: "before".into(),
            author: "bob".into(),
            created: DateTime::UNIX_EPOCH,
            expires: DateTime::UNIX_EPOCH,
        }
    }

    fn boost(target: Option<&str>, n: u32) -> Action {
        Action::Boost { target: target.map(str::to_owned), amount: Boost::Replicas(n) }
    }

    fn step(name: Option<&str>, on: bool) -> Action {
        Action::Degrade { step: name.map(str::to_owned), on }
    }

    #[test]
    fn what_contradicts_is_said_with_its_author() {
        let cases = [
            (Action::Hold, vec![by(Action::Release)], 1),
            (Action::Hold, vec![by(Action::Hold)], 0),
            (Action::Hold, vec![by(Action::Extend)], 0),
            (Action::Extend, vec![by(Action::Hold)], 1),
            (Action::Release, vec![by(Action::Hold), by(boost(None, 240))], 2),
            (Action::Release, vec![by(boost(None, 240)), by(Action::Release)], 0),
            (boost(Some("web"), 200), vec![by(boost(None, 240))], 1),
            (boost(Some("web"), 300), vec![by(boost(None, 240))], 0),
            (boost(Some("web"), 200), vec![by(boost(Some("search"), 240))], 0),
            (step(None, true), vec![by(step(Some("queue"), false))], 1),
            (step(Some("queue"), true), vec![by(step(Some("page"), false))], 0),
        ];
        for (asked, in_force, count) in cases {
            let said = of(&asked, &in_force);
            assert_eq!(said.len(), count, "{asked:?} after {in_force:?}: {said:?}");
            assert!(said.iter().all(|line| line.contains("by bob")), "{said:?}");
        }
    }
}
