//! Tests of runs whose release something keeps from ending, and of pods that an earlier run has
//! left.

use super::*;
use crate::state::announcement::Window;
use crate::state::observed::{Bounds, Cause, Quota};
use crate::state::run::RunStatus;

/// Returns an evening whose HPA never scales down, after the end of the event and with no load.
fn never_down() -> Evening {
    never_down_in(Evening::new())
}

fn never_down_in(mut evening: Evening) -> Evening {
    evening.state("web").never_scales_down = true;
    evening.pass(start() + seconds(60), seconds(30));
    evening.load = Box::new(sessions(500.0));
    evening
}

fn word(evening: &Evening) -> (Verdict, String) {
    let status = &evening.run().status;
    (status.verdict, status.message.clone())
}

#[test]
fn an_hpa_that_never_scales_down_gets_its_maximum_back_after_the_longest_hold_and_it_is_said() {
    let mut evening = never_down();
    // The load has gone: the release begins 15 min after the end and takes five steps of 2 min.
    evening.pass(end() + seconds(900 + 900), seconds(30));
    assert_eq!(evening.web(), (180, 10, 260), "{}", evening.log());
    let (verdict, said) = word(&evening);
    assert_eq!(verdict, Verdict::OnTrack, "there is time");
    assert!(said.contains("keeps 180 pods, 120 above its old maximum of 60"), "{said}");
    assert!(said.contains("selectPolicy is Disabled") && said.contains("scale web down"), "{said}");

    // hold.maxSeconds 7200, six steps of 120 s, and 600 s for others: 00:22:00Z.
    let due = end() + seconds(7200 + 720 + 600);
    assert!(said.contains(&due.format("%H:%M:%SZ").to_string()), "{said}");
    evening.pass(due - seconds(640), seconds(30));
    assert_eq!(word(&evening).0, Verdict::OnTrack);
    evening.pass(due - seconds(590), seconds(10));
    let (verdict, said) = word(&evening);
    assert_eq!(verdict, Verdict::AtRisk, "ten minutes before");
    assert!(said.contains("everything is to be given back by"), "{said}");
    assert!(evening.cloud.values().any(|i| i.state == InstanceState::Living), "pods may run there");

    evening.pass(due + seconds(1800), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    assert_eq!(evening.web(), (60, 10, 60), "the HPA has cut to its maximum");
    assert!(
        evening.cloud.values().all(|i| i.state == InstanceState::Terminated),
        "machines follow"
    );
    assert!(evening.world.holds.is_empty());
}

#[test]
fn a_load_above_the_old_maximum_keeps_the_raised_one() {
    let mut evening = never_down();
    let due = end() + seconds(7200 + 720 + 600);
    evening.pass(end() + seconds(1800), seconds(30));
    evening.load = Box::new(sessions(20_000.0));
    evening.pass(due + seconds(900), seconds(30));
    assert_eq!(evening.web().2, 260, "the load needs 100 pods, the old maximum is 60");
    let (verdict, said) = word(&evening);
    assert_eq!(verdict, Verdict::AtRisk, "{said}");
    assert!(said.contains("goes back once the load fits"), "{said}");
    evening.load = Box::new(sessions(500.0));
    evening.pass(due + seconds(1800), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}

#[test]
fn an_autoscaler_that_follows_slowly_is_waited_for_and_never_cut() {
    let mut evening = Evening::new();
    evening.pass(start() + seconds(60), seconds(30));
    // The load needs 100 pods for hours after the longest hold. The HPA decides how many stay.
    evening.load = Box::new(sessions(20_000.0));
    evening.pass(end() + seconds(7200 + 3600), seconds(60));
    let (replicas, _, max) = evening.web();
    assert_eq!((replicas, max), (100, 260), "{}", evening.log());
    assert_eq!(word(&evening).0, Verdict::AtRisk, "it is said");
}

#[test]
fn an_ordinary_release_is_on_track_until_it_is_done() {
    for cause in ["end", "override"] {
        let mut evening = Evening::new();
        if let Ok(spec) = &mut evening.world.surges.get_mut("capital").unwrap().spec {
            spec.announcement.hold = None;
        }
        evening.pass(start() + seconds(60), seconds(30));
        evening.load = Box::new(sessions(500.0));
        if cause == "override" {
            evening.world.overrides.push(person(Action::Release, 60, &evening));
        }
        while evening.run().status.stage != Stage::Done {
            evening.pass(evening.now + seconds(30), seconds(30));
            if evening.run().status.stage == Stage::Releasing {
                assert_eq!(word(&evening).0, Verdict::OnTrack, "{cause}: {}", word(&evening).1);
            }
            assert!(evening.now < end() + seconds(7200), "{cause}: {}", evening.log());
        }
    }
}

#[test]
fn a_hold_override_keeps_the_raised_maximum() {
    let mut evening = never_down();
    let due = end() + seconds(7200 + 720 + 600);
    evening.pass(due - seconds(300), seconds(30));
    evening.world.overrides.push(person(Action::Hold, 60, &evening));
    evening.pass(due + seconds(900), seconds(30));
    assert_eq!(evening.web(), (180, 10, 260), "{}", evening.log());
    assert_eq!(word(&evening).0, Verdict::OnTrack, "a person keeps it");
    evening.pass(due + seconds(3600 + 900), seconds(30));
    assert_eq!(
        evening.run().status.stage,
        Stage::Done,
        "{} {:?}",
        word(&evening).1,
        evening.world.holds
    );
}

#[test]
fn a_hold_that_no_run_names_gets_its_maximum_back_too() {
    let mut evening = Evening::new();
    evening.without_machines();
    let mut evening = never_down_in(evening);
    evening.pass(end() + seconds(900 + 900), seconds(30));
    // A person has removed the finalizer by hand, and run and surge are gone.
    evening.world.runs.clear();
    evening.world.surges.clear();
    evening.pass(end() + seconds(900 + 900 + 1200), seconds(30));
    assert!(evening.world.holds.is_empty(), "{:?}", evening.world.holds);
    assert_eq!(evening.web(), (60, 10, 60));
}

#[test]
fn a_multiplier_does_not_multiply_what_the_run_before_has_raised() {
    let mut evening = Evening::new();
    if let Some(surge) = evening.world.surges.get_mut("capital")
        && let Ok(spec) = &mut surge.spec
    {
        for target in &mut spec.announcement.targets {
            target.want = Want::Multiplier("5".parse().unwrap());
            target.max_replicas = None;
        }
        spec.announcement.machines.clear();
    }
    evening.pass(start() + seconds(60), seconds(30));
    assert_eq!(evening.web().1, 50, "five times ten");
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(1800), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    let first = evening.run().clone();
    // The HPA still comes down from the event: 50 pods run, and the minimum is 10 again.
    let web = first.announcement.as_ref().unwrap().targets.first().unwrap();
    let usual = |evening: &Evening, now| crate::scaling::usual::replicas(web, &evening.world, now);
    evening.state("web").replicas = 50;
    let done = first.status.completion_time.unwrap();
    assert_eq!(usual(&evening, done + seconds(60)), Some(10), "the baseline of the run before");
    assert_eq!(usual(&evening, done + seconds(3600)), Some(50), "an hour later it is the load's");
    evening.state("web").replicas = 8;
    assert_eq!(usual(&evening, done + seconds(60)), Some(8), "never more than runs");
    evening.state("web").paused = true;
    evening.state("web").replicas = 50;
    assert_eq!(usual(&evening, done + seconds(60)), Some(50), "a paused HPA removes nothing");
    evening.state("web").paused = false;

    // A second run begins within the hour, and holds the target at five times ten.
    evening.load = Box::new(sessions(10_000.0));
    let ready_by = evening.now + seconds(1200);
    let window = Window { ready_by, start: ready_by, end: ready_by + seconds(600) };
    let second = RunRecord {
        name: "encore".into(),
        uid: "uid-encore".into(),
        surge: "encore".into(),
        owner: None,
        surge_generation: None,
        window,
        status: RunStatus::default(),
        ..first.clone()
    };
    evening.world.runs.insert("encore".into(), second.into());
    evening.pass(ready_by, seconds(30));
    let hold = &evening.world.holds["deployment-web"].hold;
    assert_eq!((hold.baseline.replicas, hold.level.min), (10, Some(50)), "not 250");
}

#[test]
fn an_unknown_signal_is_at_risk_in_every_stage_in_which_it_counts() {
    let silent = || Sample::Unknown(Why::NoAnswer("connection refused".into()));
    for (name, at) in [
        ("warming up", t0() - seconds(250)),
        ("ready", t0() - seconds(10)),
        ("live", start() + seconds(600)),
        ("holding", end() + seconds(600)),
    ] {
        let mut evening = Evening::new();
        evening.pass(at - seconds(60), seconds(10));
        evening.load = Box::new(move |_| silent());
        evening.pass(at, seconds(10));
        let (verdict, said) = word(&evening);
        assert_eq!(verdict, Verdict::AtRisk, "{name}: {said}");
        assert!(
            said.contains("signal sessions is unknown (") && said.contains("refused"),
            "{said}"
        );
    }
}

#[test]
fn a_target_that_becomes_unknown_while_releasing_is_at_risk() {
    let mut evening = Evening::new();
    evening.pass(start() + seconds(60), seconds(30));
    evening.load = Box::new(sessions(500.0));
    evening.pass(end() + seconds(200), seconds(30));
    assert_eq!(word(&evening).0, Verdict::OnTrack);
    let cause = Cause::Forbidden {
        kind: "Deployment".into(),
        remedy: "add it to scalableKinds of the Helm chart",
        why: "forbidden".into(),
    };
    evening.world.targets.insert(workload("search"), Seen::Unknown(cause));
    let plan = super::plan(&evening.world, evening.now);
    for record in plan.records {
        evening.persist(record);
    }
    let (verdict, said) = word(&evening);
    assert_eq!(verdict, Verdict::AtRisk, "{said}");
    assert!(said.contains("search stays as it is: Deployment cannot be listed"), "{said}");
}

#[test]
fn a_quota_that_is_too_small_is_at_risk_days_before_and_the_condition_names_the_rule() {
    let mut evening = Evening::new();
    evening.now = t0() - seconds(86_400);
    let one = |n: u64| [("pods".to_owned(), n)].into();
    let quota = Quota { hard: one(100_000), used: one(15_000) };
    let bounds = Bounds { quotas: [("compute".to_owned(), quota)].into(), ..Bounds::default() };
    evening.world.bounds = Seen::Known(bounds.into());
    for _ in 0..3 {
        for record in super::plan(&evening.world, evening.now).records {
            evening.persist(record);
        }
    }
    let (verdict, said) = word(&evening);
    assert_eq!(verdict, Verdict::AtRisk);
    assert!(said.contains("ResourceQuota compute allows 100 pods, 15 are used, and 255"), "{said}");
    let passed = |evening: &Evening| {
        let list = evening.run().status.conditions.clone();
        let found = list.into_iter().find(|c| c.type_ == "PreflightPassed").unwrap();
        (found.status, found.reason)
    };
    assert_eq!(passed(&evening), ("False".to_owned(), "RiskFound".to_owned()));
    evening.world.bounds = Seen::Known(Bounds::default().into());
    for record in super::plan(&evening.world, evening.now).records {
        evening.persist(record);
    }
    assert_eq!(passed(&evening), ("True".to_owned(), "NothingFound".to_owned()));
    assert_eq!(word(&evening).0, Verdict::OnTrack);
}
