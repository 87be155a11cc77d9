//! Tests of `examples/`: the API accepts every document.

use primetime_api::{
    InstanceClass, MetricsSource, ScheduledSurge, SurgeBudget, SurgeCalendar, how_to_read,
    surge_spec, validate,
};
use primetime_tests::tools::root;

#[test]
fn every_example_is_understood() {
    let mut documents = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        for document in text.split("\n---\n") {
            let object: serde_json::Value = serde_yaml::from_str(document).unwrap();
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let place = format!("{}: {kind}", file.display());
            match kind.as_str() {
                "ScheduledSurge" => {
                    let surge: ScheduledSurge = serde_json::from_value(object).expect(&place);
                    let spec = surge_spec(&surge.spec).expect(&place);
                    // The start of each example lies in the future, so a user can apply the example
                    // unchanged.
                    let now = "2030-12-31T00:00:00Z".parse().unwrap();
                    validate::not_in_the_past(&spec.schedule, now).expect(&place);
                }
                "SurgeCalendar" => {
                    let calendar: SurgeCalendar = serde_json::from_value(object).expect(&place);
                    how_to_read(&calendar.spec).expect(&place);
                }
                "ConfigMap" | "CronJob" | "HTTPRoute" => {}
                "InstanceClass" => {
                    serde_json::from_value::<InstanceClass>(object).expect(&place);
                }
                "SurgeBudget" => {
                    serde_json::from_value::<SurgeBudget>(object).expect(&place);
                }
                "MetricsSource" => {
                    serde_json::from_value::<MetricsSource>(object).expect(&place);
                }
                _ => panic!("{place} is no kind of ours"),
            }
            documents += 1;
        }
    }
    assert!(documents >= 4);
}

#[test]
fn the_example_is_the_evening_of_the_fixtures() {
    let surge = primetime_tests::capital::example().unwrap();
    let spec = surge_spec(&surge.spec).unwrap();
    let show = spec.schedule.last_once().unwrap();
    assert_eq!(show.start.to_rfc3339(), "2031-01-12T20:00:00+00:00");
    assert_eq!(spec.announcement.targets[0].want.replicas(10), 180);
    assert_eq!(spec.announcement.machines[0].count, 17);
}
