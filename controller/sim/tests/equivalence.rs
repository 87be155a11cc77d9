//! Pairs of evenings with equal results: rules E3 to E6 of `docs/invariants.md`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use primetime_sim::evening::people::{Act, Deed};
use primetime_sim::evening::recording::Recording;
use primetime_sim::evening::{SHOP, Scenario, play};
use primetime_sim::oracle::equal::differences;
use primetime_sim::oracle::floors::told as commands;
use primetime_sim::oracle::judge;
use primetime_sim::scenario::shop::{seconds, show};
use primetime_sim::scenario::{elected, plain};
use primetime_sim::script::Script;
use serde_json::{Value, json};

fn played(scenario: &Scenario) -> Recording {
    play(scenario, &Script::default(), 1).unwrap()
}

fn surge(scenario: &mut Scenario) -> &mut Value {
    scenario.objects.iter_mut().find(|o| o["kind"] == "ScheduledSurge").unwrap()
}

/// Returns the edit of the surge by a person 3 s after the beginning of the evening, before any run
/// raises a target.
fn corrected(spec: &Value) -> Deed {
    let object = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
        "metadata": {"name": "capital", "namespace": SHOP}, "spec": spec,
    });
    Deed { at: show() - seconds(77), act: Act::Change { object, manager: "alice" } }
}

fn same(is: &Recording, other: &Recording) {
    assert_eq!(differences(is, other), Vec::<String>::new());
    assert_eq!(commands(is), commands(other));
}

/// E3: a surge that a person edits in time gives the same commands as a surge created with the
/// final spec.
#[test]
fn a_changed_announcement_is_as_good_as_a_new_one() {
    let (scenario, promise) = plain();
    let mut other = scenario.clone();
    let announced = surge(&mut other)["spec"]["targets"].clone();
    surge(&mut other)["spec"]["targets"][0]["replicas"] = 50.into();
    surge(&mut other)["spec"]["targets"][1]["multiplier"] = "3".into();
    surge(&mut other)["spec"]["schedule"]["durationSeconds"] = 600.into();
    let schedule = surge(&mut scenario.clone())["spec"]["schedule"].clone();
    other.deeds.push(corrected(&json!({"targets": announced, "schedule": schedule})));
    let changed = played(&other);
    assert_eq!(judge(&changed, &promise, &Script::default()), Vec::<String>::new());
    same(&changed, &played(&scenario));
}

/// E4: a surge created with an invalid `startTime` and corrected in time gives the same commands as
/// a valid surge.
#[test]
fn a_mended_announcement_is_as_good_as_a_right_one() {
    let (scenario, _) = plain();
    let mut other = scenario.clone();
    let schedule = surge(&mut other)["spec"]["schedule"].clone();
    surge(&mut other)["spec"]["schedule"]["startTime"] = "2014-02-30T20:00:00Z".into();
    other.deeds.push(corrected(&json!({"schedule": schedule})));
    same(&played(&other), &played(&scenario));
}

/// E5: the same evening half a year later gives the same commands.
#[test]
fn the_day_does_not_matter() {
    let (scenario, _) = plain();
    let mut later = scenario.clone();
    let by = TimeDelta::days(182) + TimeDelta::seconds(7);
    later.begin += by;
    let curve = scenario.load.curve.clone();
    later.load.curve = Arc::new(move |at| curve(at - by));
    let start = surge(&mut later)["spec"]["schedule"]["startTime"].as_str().unwrap().to_owned();
    let start: DateTime<Utc> = start.parse().unwrap();
    surge(&mut later)["spec"]["schedule"]["startTime"] =
        (start + by).format("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    assert_eq!(commands(&played(&later)), commands(&played(&scenario)));
}

/// E5: two time zones with the same offset give the same commands.
#[test]
fn the_name_of_the_zone_does_not_matter() {
    let (scenario, _) = plain();
    let in_zone = |zone: &str| {
        let mut other = scenario.clone();
        surge(&mut other)["spec"]["schedule"]["startTime"] = "2014-01-12T21:00:00".into();
        surge(&mut other)["spec"]["schedule"]["timeZone"] = zone.into();
        commands(&played(&other))
    };
    let expected = commands(&played(&scenario));
    assert_eq!(in_zone("Europe/Paris"), expected);
    assert_eq!(in_zone("Africa/Lagos"), expected);
}

/// E5: the order of the targets, and a second surge on another workload, do not change the commands
/// for a target.
#[test]
fn neither_order_nor_neighbours_matter() {
    let (scenario, _) = plain();
    let mut other = scenario.clone();
    surge(&mut other)["spec"]["targets"].as_array_mut().unwrap().reverse();
    other.objects.push(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "forum", "namespace": SHOP}, "spec": {"replicas": 2},
    }));
    let mut beside = surge(&mut other).clone();
    beside["metadata"]["name"] = "beside".into();
    beside["spec"]["machines"] = json!([]);
    beside["spec"]["signals"] = json!([]);
    beside["spec"]["targets"] = json!([{
        "name": "forum", "replicas": 4, "leadSeconds": 15,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "forum"},
    }]);
    other.objects.push(beside);
    let mut commands_there = commands(&played(&other));
    commands_there.retain(|command| !command.starts_with("forum"));
    assert_eq!(commands_there, commands(&played(&scenario)));
}

/// E6: two operators give the same commands as a single operator.
#[test]
fn two_operators_are_one() {
    same(&played(&elected().0), &played(&plain().0));
}
