//! Tests of targets that the operator cannot observe or raise: the run is `AtRisk` while a person
//! can still act.

use super::*;
use crate::state::observed::Cause;

/// Returns an evening a day before T0, at a time when the planner has no step to start.
fn days_before() -> Evening {
    let mut evening = Evening::new();
    evening.now = t0() - seconds(86_400);
    evening
}

fn word(evening: &mut Evening) -> (Verdict, String) {
    for _ in 0..3 {
        let Plan { records, .. } = plan(&evening.world, evening.now);
        for record in records {
            evening.persist(record);
        }
    }
    let status = &evening.run().status;
    (status.verdict, status.message.clone())
}

#[test]
fn a_target_of_which_nothing_is_known_is_at_risk_days_before() {
    let mut evening = days_before();
    assert_eq!(word(&mut evening).0, Verdict::OnTrack);
    for cause in [Cause::NotListed("Rollout".into()), Cause::NotScalable("Deployment".into())] {
        let why = cause.to_string();
        for name in ["web", "search"] {
            let mut blind = days_before();
            blind.world.targets.insert(workload(name), Seen::Unknown(cause.clone()));
            let (verdict, said) = word(&mut blind);
            assert_eq!(verdict, Verdict::AtRisk, "{said}");
            assert!(said.contains(&why) && said.contains(name) && said.contains("known"), "{said}");
        }
    }
    evening.world.targets.clear();
    assert_eq!(word(&mut evening).0, Verdict::AtRisk, "not looked at");
}

#[test]
fn a_multiple_of_nothing_is_at_risk_days_before() {
    let mut evening = days_before();
    evening.state("search").replicas = 0;
    let (verdict, said) = word(&mut evening);
    assert_eq!(verdict, Verdict::AtRisk);
    assert!(said.contains("search: 18 times 0 replicas is 0; state replicas"), "{said}");
    evening.state("search").replicas = 1;
    assert_eq!(word(&mut evening).0, Verdict::OnTrack);
    // A target with an absolute number of replicas can be raised from 0.
    evening.state("web").replicas = 0;
    assert_eq!(word(&mut evening).0, Verdict::OnTrack);
}

#[test]
fn a_multiple_of_nothing_is_not_called_ready_either() {
    let mut evening = Evening::new();
    evening.state("search").replicas = 0;
    evening.state("search").ready = 0;
    evening.pass(start() + seconds(60), seconds(10));
    let status = &evening.run().status;
    assert_eq!(
        (status.stage, status.verdict),
        (Stage::Live, Verdict::AtRisk),
        "{}",
        status.message
    );
    assert_eq!(status.ready_time, None);
}
