//! Tests of the reasons for missing pods: the words of Kubernetes are in the status.

use super::*;
use crate::state::observed::{Obstacle, Obstacles};

/// Returns the evening a minute after the first write, with 30 of 180 pods ready. The given reasons were
/// seen for 45 s, or the look failed.
fn stuck(why: Result<Vec<Obstacle>, String>) -> Evening {
    let mut evening = Evening::new();
    evening.without_machines();
    evening.pass(t0() - seconds(299), seconds(5));
    evening.state("web").ready = 30;
    evening.now = t0() - seconds(240);
    evening.world.may_look_at_pods = true;
    let (first, now) = (evening.now - seconds(45), evening.now);
    let seen = match why {
        Ok(all) => Obstacles::seen(Some(&Obstacles::seen(None, all.clone(), first)), all, now),
        Err(error) => Obstacles::failed(None, error, now),
    };
    evening.world.obstacles.insert(workload("web"), seen);
    evening
}

/// Returns the status that the next plan writes for the run.
fn said(evening: &Evening) -> (Verdict, String) {
    let records = plan(&evening.world, evening.now).records;
    let status = records.into_iter().find_map(|record| match record {
        Record::RunStatus { status, .. } => Some(status),
        _ => None,
    });
    let status = status.map_or_else(|| evening.run().status.clone(), |status| *status);
    (status.verdict, status.message)
}

fn asks(evening: &Evening) -> bool {
    let acts = plan(&evening.world, evening.now).acts;
    acts.iter().any(|act| matches!(act, Act::LookAtPods { .. }))
}

#[test]
fn missing_pods_are_looked_at_every_15_seconds_and_complete_ones_never() {
    let mut evening = stuck(Ok(Vec::new()));
    assert!(!asks(&evening), "just looked");
    evening.now += seconds(15);
    assert!(asks(&evening));
    evening.world.may_look_at_pods = false;
    assert!(!asks(&evening), "the chart grants no list of pods");
    evening.world.may_look_at_pods = true;
    evening.state("web").ready = 180;
    assert!(!asks(&evening));
}

#[test]
fn what_does_not_pass_by_itself_is_a_risk_at_once_in_the_words_of_kubernetes() {
    let message = "Back-off pulling image \"web:7\"";
    let evening = stuck(Ok(vec![Obstacle::new("ImagePullBackOff", message, 150)]));
    let (verdict, message) = said(&evening);
    assert_eq!(verdict, Verdict::AtRisk);
    let words = "web misses 150 of 180 pods: 150 pods: ImagePullBackOff: Back-off pulling image";
    assert!(message.contains(words), "{message}");
}

#[test]
fn pods_that_wait_for_a_node_are_said_and_are_no_risk_yet() {
    let message = "0/3 nodes are available: 3 Insufficient cpu.";
    let evening = stuck(Ok(vec![Obstacle::new("Unschedulable", message, 150)]));
    let (verdict, said) = said(&evening);
    assert_eq!(verdict, Verdict::OnTrack, "{said}");
    assert!(said.contains("web 30/180 pods (150 pods: Unschedulable: 0/3 nodes"), "{said}");
}

#[test]
fn a_controller_that_cannot_create_pods_is_heard_without_a_look() {
    let mut evening = stuck(Ok(Vec::new()));
    let web = evening.state("web");
    (web.created, web.failure) = (30, Some("exceeded quota: pods, limited: pods=30".into()));
    let (verdict, said) = said(&evening);
    assert_eq!(verdict, Verdict::AtRisk);
    assert!(said.contains("no pod can be created: exceeded quota"), "{said}");
}

#[test]
fn a_look_that_fails_says_so_and_what_was_known_stays_known() {
    let evening = stuck(Err("pods is forbidden".into()));
    let (_, message) = said(&evening);
    assert!(message.contains("why is not known: its pods cannot be read"), "{message}");
    let mut evening = stuck(Ok(vec![Obstacle::new("ImagePullBackOff", "no such image", 150)]));
    let before = evening.world.obstacles.remove(&workload("web"));
    let failed = Obstacles::failed(before, "429".into(), evening.now);
    evening.world.obstacles.insert(workload("web"), failed);
    let (verdict, message) = said(&evening);
    assert_eq!(verdict, Verdict::AtRisk);
    assert!(message.contains("ImagePullBackOff"), "{message}");
}

#[test]
fn what_has_just_begun_may_pass() {
    let mut evening = stuck(Ok(Vec::new()));
    let all = vec![Obstacle::new("ImagePullBackOff", "throttled", 150)];
    let now = evening.now;
    evening.world.obstacles.insert(workload("web"), Obstacles::seen(None, all, now));
    let (verdict, said) = said(&evening);
    assert_eq!(verdict, Verdict::OnTrack, "{said}");
    assert!(said.contains("(150 pods: ImagePullBackOff: throttled)"), "{said}");
}

#[test]
fn an_old_refusal_does_not_count_once_all_pods_are_created() {
    let refused = || Ok(vec![Obstacle::new("FailedCreate", "denied by webhook", 0)]);
    let mut evening = stuck(refused());
    let (_, message) = said(&evening);
    assert!(!message.contains("denied"), "{message}");
    evening.state("web").created = 30;
    let (verdict, message) = said(&evening);
    assert_eq!(verdict, Verdict::AtRisk);
    assert!(message.contains("FailedCreate: denied by webhook"), "{message}");
}
