//! Effect of an override on the runs of a surge, from the status that the operator has written.

use primetime_api::{SurgeRun, Target};
use primetime_core::state::overrides::{Action, Boost, Override};
use primetime_core::state::run::{RunStatus, Stage};
use primetime_core::state::status::TargetStatus;

use crate::wall::Wall;

/// Answer of the operator to an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The operator has obeyed. The text says what has changed, or why nothing has to change.
    Obeyed(String),
    /// The status does not show the effect. The text says what is still missing.
    NotYet(String),
}

impl Effect {
    /// True if the operator has obeyed.
    pub fn is_obeyed(&self) -> bool {
        matches!(self, Self::Obeyed(_))
    }
}

/// Compares a run before and after the creation of an override.
///
/// `before` is the status from before the creation. An override that an active run does not list in
/// `status.overrides` is not obeyed.
pub fn of(asked: &Override, before: &RunStatus, run: &SurgeRun) -> Effect {
    let nothing = RunStatus::default();
    let after = run.status.as_ref().unwrap_or(&nothing);
    let wall = Wall::of(run.spec.time_zone.as_deref());
    if !after.overrides.contains(&asked.name) {
        return Effect::NotYet("the operator has not seen the override".to_owned());
    }
    match &asked.action {
        Action::Hold => Effect::Obeyed(format!(
            "no replicas are lowered and no machines end before {}",
            wall.time(asked.expires)
        )),
        Action::Extend => extended(asked, before, after, &wall),
        Action::Release => {
            moved(before, after, after.release.is_some() || after.stage >= Stage::Releasing)
        }
        Action::Start => moved(before, after, after.started_time.is_some()),
        Action::Degrade { step, on } => steps(step.as_deref(), *on, after),
        Action::Boost { target, amount } => {
            let specs = run.spec.event.targets.iter();
            let boosted =
                specs.filter(|spec| target.as_ref().is_none_or(|name| *name == spec.name));
            let effects = boosted.map(|spec| {
                let shaped = spec.shape.is_some() || run.spec.event.shape.is_some();
                boost((spec, shaped), *amount, asked, (before, after), &wall)
            });
            all(effects.collect(), "the run has no such target; it began before the last edit")
        }
    }
}

/// Joins the effects on several targets or steps. The whole is obeyed if every part is obeyed. Without
/// a part nothing has happened, for the reason `nothing`.
fn all(effects: Vec<Effect>, nothing: &str) -> Effect {
    if effects.is_empty() {
        return Effect::NotYet(nothing.to_owned());
    }
    let obeyed = effects.iter().all(Effect::is_obeyed);
    let texts = effects.into_iter().map(|effect| match effect {
        Effect::Obeyed(text) | Effect::NotYet(text) => text,
    });
    let text = texts.collect::<Vec<_>>().join("; ");
    if obeyed { Effect::Obeyed(text) } else { Effect::NotYet(text) }
}

fn extended(asked: &Override, before: &RunStatus, after: &RunStatus, wall: &Wall<'_>) -> Effect {
    if after.release.is_some() {
        return Effect::NotYet("the release has begun: hold stops it, boost raises floors".into());
    }
    let Some(end) = after.end_time else {
        return Effect::NotYet("the status has no end of the event".to_owned());
    };
    match before.end_time {
        Some(old) if old < end => {
            Effect::Obeyed(format!("end {} -> {}", wall.time(old), wall.time(end)))
        }
        _ if end >= asked.expires => Effect::Obeyed(format!(
            "the end stays {}, which is not before the expiry of the override",
            wall.time(end)
        )),
        _ => Effect::NotYet(format!("the end is still {}", wall.time(end))),
    }
}

/// Describes the change of stage that a release or a start asks for.
fn moved(before: &RunStatus, after: &RunStatus, done: bool) -> Effect {
    let (old, new) = (before.stage.as_str(), after.stage.as_str());
    match (done, old == new) {
        (true, false) => Effect::Obeyed(format!("{old} -> {new}")),
        (true, true) => Effect::Obeyed(format!("the stage was {old} already")),
        (false, _) => Effect::NotYet(format!("the stage is still {new}")),
    }
}

fn steps(step: Option<&str>, on: bool, after: &RunStatus) -> Effect {
    let asked = after.degrade.iter().filter(|s| step.is_none_or(|name| name == s.name));
    let word = if on { "on" } else { "off" };
    let effects = asked
        .map(|step| {
            if step.engaged == on {
                Effect::Obeyed(format!("step {} is {word}", step.name))
            } else {
                Effect::NotYet(format!("step {} is not {word} yet", step.name))
            }
        })
        .collect();
    all(effects, "the run has no such step, or has not begun: steps turn when it has")
}

/// Describes the effect of a boost on the floor of a target.
fn boost(
    (spec, shaped): (&Target, bool),
    amount: Boost,
    asked: &Override,
    (before, after): (&RunStatus, &RunStatus),
    wall: &Wall<'_>,
) -> Effect {
    let name = &spec.name;
    let of = |status: &RunStatus| -> TargetStatus {
        status.targets.iter().find(|t| t.name == *name).cloned().unwrap_or_default()
    };
    let (old, new) = (of(before), of(after));
    let planned = new.planned.unwrap_or_default();
    let wanted = match amount {
        Boost::Replicas(n) => n,
        Boost::Percent(percent) => {
            let wanted = (u64::from(planned) * u64::from(percent)).div_ceil(100);
            u32::try_from(wanted).unwrap_or(u32::MAX)
        }
    };
    let maximum = spec.max_replicas.and_then(|n| u32::try_from(n).ok());
    let Some(floor) = new.floor else {
        if after.release.is_some() {
            return Effect::NotYet(format!("{name} is returned already: the release has begun"));
        }
        let begin = after.begin_time.map(|at| format!(" at {}", wall.time(at))).unwrap_or_default();
        return match after.begin_time {
            Some(at) if asked.expires <= at => Effect::NotYet(format!(
                "{name} is first raised{begin}, after the expiry of the override"
            )),
            _ => Effect::NotYet(format!("{name} is not raised yet: the run begins{begin}")),
        };
    };
    // Under a shape `planned` is the share of the plan at this time, and the limit is the whole plan.
    let whole =
        if shaped { spec.replicas.and_then(|n| u32::try_from(n).ok()) } else { Some(planned) };
    let limit =
        maximum.or(whole).map_or(u32::MAX, |limit| limit.max(old.floor.unwrap_or_default()));
    let clipped = if wanted <= limit {
        String::new()
    } else if maximum.is_some() {
        format!(", not {wanted}: maxReplicas is {limit}")
    } else {
        format!(", not {wanted}: without maxReplicas the plan is the limit")
    };
    if floor < wanted.min(limit) {
        return Effect::NotYet(format!("the floor of {name} is {floor} of {}", wanted.min(limit)));
    }
    Effect::Obeyed(match old.floor {
        Some(old) if old != floor => format!("{name} {old} -> {floor}{clipped}"),
        None => format!("{name} none -> {floor}{clipped}"),
        Some(_) if clipped.is_empty() => format!("{name} stays {floor}, which is enough already"),
        Some(_) => format!("{name} stays {floor}{clipped}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use serde_json::{Value, json};

    fn asked(action: Action) -> Override {
        let at = |text: &str| text.parse::<chrono::DateTime<Utc>>().unwrap();
        Override {
            name: "o".into(),
            surge: "capital".into(),
            action,
            reason: "tests".into(),
            author: "alice".into(),
            created: at("2031-01-12T20:00:00Z"),
            expires: at("2031-01-12T22:00:00Z"),
        }
    }

    fn run(maximum: Option<u32>, status: &Value) -> SurgeRun {
        let target = json!({"name": "web", "replicas": 180, "maxReplicas": maximum,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
        let run = json!({
            "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeRun",
            "metadata": {"name": "capital-1", "namespace": "shop"},
            "spec": {"startTime": "2031-01-12T20:00:00Z", "readyTime": "2031-01-12T19:50:00Z",
                "endTime": "2031-01-12T21:00:00Z", "timeZone": "Europe/Paris", "targets": [target]},
            "status": status,
        });
        serde_json::from_value(run).unwrap()
    }

    fn status(floor: Option<u32>, more: &Value) -> Value {
        let mut status = json!({"overrides": ["o"], "stage": "Live", "endTime": "2031-01-12T21:00:00Z",
            "targets": [{"name": "web", "workload": "Deployment/web", "planned": 180, "floor": floor}]});
        for (key, value) in more.as_object().unwrap() {
            status[key] = value.clone();
        }
        status
    }

    fn told(action: Action, before: &Value, after: &SurgeRun) -> Effect {
        of(&asked(action), &serde_json::from_value(before.clone()).unwrap(), after)
    }

    fn to(n: u32) -> Action {
        Action::Boost { target: None, amount: Boost::Replicas(n) }
    }

    #[test]
    fn a_boost_tells_the_floor_before_and_after_and_what_clips_it() {
        let before = status(Some(180), &json!({}));
        let after =
            |floor, max| run(max, &status(floor, &json!({"beginTime": "2031-01-12T19:20:00Z"})));
        let obeyed = |text: &str| Effect::Obeyed(text.to_owned());
        assert_eq!(told(to(240), &before, &after(Some(240), Some(260))), obeyed("web 180 -> 240"));
        let clipped = obeyed("web 180 -> 260, not 300: maxReplicas is 260");
        assert_eq!(told(to(300), &before, &after(Some(260), Some(260))), clipped);
        let plan = obeyed("web stays 180, not 300: without maxReplicas the plan is the limit");
        assert_eq!(told(to(300), &before, &after(Some(180), None)), plan);
        let enough = obeyed("web stays 180, which is enough already");
        assert_eq!(told(to(100), &before, &after(Some(180), Some(260))), enough);
        let slow = Effect::NotYet("the floor of web is 180 of 240".into());
        assert_eq!(told(to(240), &before, &after(Some(180), Some(260))), slow);
        let percent = Action::Boost { target: Some("web".into()), amount: Boost::Percent(125) };
        assert_eq!(told(percent, &before, &after(Some(225), Some(260))), obeyed("web 180 -> 225"));
    }

    #[test]
    fn a_boost_before_the_run_begins_is_not_obeyed_yet() {
        let early = |begin| run(Some(260), &status(None, &json!({"beginTime": begin})));
        let before = status(None, &json!({}));
        let soon = told(to(240), &before, &early("2031-01-12T20:20:00Z"));
        let words = "web is not raised yet: the run begins at 21:20:00 CET";
        assert_eq!(soon, Effect::NotYet(words.into()));
        let late = told(to(240), &before, &early("2031-01-12T22:20:00Z"));
        let words = "web is first raised at 23:20:00 CET, after the expiry of the override";
        assert_eq!(late, Effect::NotYet(words.into()));
    }

    #[test]
    fn an_override_that_no_status_lists_is_not_obeyed() {
        let unseen = run(Some(260), &status(Some(240), &json!({"overrides": []})));
        for action in [to(240), Action::Hold, Action::Release] {
            assert!(!told(action, &status(Some(180), &json!({})), &unseen).is_obeyed());
        }
    }

    #[test]
    fn an_extension_tells_both_ends() {
        let before = status(Some(180), &json!({}));
        let after = |end: &str| run(None, &status(Some(180), &json!({"endTime": end})));
        let longer = told(Action::Extend, &before, &after("2031-01-12T22:00:00Z"));
        assert_eq!(longer, Effect::Obeyed("end 22:00:00 CET -> 23:00:00 CET".into()));
        assert!(!told(Action::Extend, &before, &after("2031-01-12T21:00:00Z")).is_obeyed());
        let late = status(Some(180), &json!({"endTime": "2031-01-12T23:00:00Z"}));
        let Effect::Obeyed(text) = told(Action::Extend, &late, &after("2031-01-12T23:00:00Z"))
        else {
            unreachable!("the end is later than the expiry")
        };
        assert!(text.starts_with("the end stays 00:00:00 CET"), "{text}");
    }

    #[test]
    fn a_release_and_a_step_are_obeyed_when_the_status_shows_them() {
        let before = status(Some(180), &json!({}));
        let stage = |stage: &str| run(None, &status(Some(180), &json!({"stage": stage})));
        assert_eq!(
            told(Action::Release, &before, &stage("Releasing")),
            Effect::Obeyed("Live -> Releasing".into())
        );
        assert!(!told(Action::Release, &before, &stage("Live")).is_obeyed());
        let steps = json!({"degrade": [{"name": "queue", "engaged": true}, {"name": "page"}]});
        let after = run(None, &status(Some(180), &steps));
        let degrade = |step: Option<&str>, on| {
            told(Action::Degrade { step: step.map(str::to_owned), on }, &before, &after)
        };
        assert_eq!(degrade(Some("queue"), true), Effect::Obeyed("step queue is on".into()));
        assert!(!degrade(None, true).is_obeyed());
        assert!(!degrade(Some("absent"), true).is_obeyed(), "nothing was turned on");
        let planned = run(None, &status(None, &json!({"stage": "Planned"})));
        let rehearsal = Action::Degrade { step: None, on: true };
        assert!(!told(rehearsal, &before, &planned).is_obeyed(), "the run has not begun");
        let away = json!({"stage": "Releasing", "release": {"startTime": "2031-01-12T21:00:00Z",
            "cause": "End", "stepTime": "2031-01-12T21:00:00Z", "floors": []}});
        let releasing = run(Some(260), &status(Some(80), &away));
        assert!(!told(Action::Extend, &before, &releasing).is_obeyed(), "a release goes on");
        assert!(degrade(Some("page"), false).is_obeyed());
    }
}
