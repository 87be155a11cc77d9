//! Tests of the ceilings of a `SurgeBudget`.

use super::*;
use crate::state::budget::{Budget, Ceilings};
use crate::state::condition::{ConditionType, condition};

fn limited(limits: Ceilings) -> Evening {
    let mut evening = Evening::new();
    evening.world.budgets = vec![Budget { name: "team-a".into(), limits }];
    evening
}

fn another_surge(evening: &mut Evening, name: &str) {
    let surge = SurgeRecord { name: name.into(), uid: format!("uid-{name}"), ..capital() };
    evening.world.surges.insert(name.into(), surge.into());
}

#[test]
fn a_run_above_the_replicas_of_a_budget_does_not_begin_and_says_so() {
    let mut evening = limited(Ceilings { replicas: Some(200), ..Ceilings::default() });
    evening.pass(t0() - seconds(3_000), seconds(30));
    let status = &evening.run().status;
    assert_eq!(status.verdict, Verdict::AtRisk);
    let said = "exceeds SurgeBudget \"team-a\": replicas 270 > 200 (reserved 0)";
    assert!(status.message.contains(said), "{}", status.message);
    evening.pass(t0(), seconds(30));
    assert!(evening.world.holds.is_empty() && evening.cloud.is_empty());
    evening.world.budgets.clear();
    evening.pass(t0() + seconds(60), seconds(30));
    assert_eq!(evening.web().0, 180, "the ceiling was lifted");
}

#[test]
fn a_run_that_has_begun_is_not_lowered_by_a_budget() {
    let mut evening = Evening::new();
    evening.pass(t0() - seconds(200), seconds(10));
    assert_eq!(evening.web().0, 180);
    let limits = Ceilings { replicas: Some(1), machines: Some(1), ..Ceilings::default() };
    evening.world.budgets = vec![Budget { name: "team-a".into(), limits }];
    evening.pass(start() + seconds(600), seconds(30));
    assert_eq!((evening.web().0, evening.cloud.len()), (180, 17));
    assert_ne!(evening.run().status.verdict, Verdict::AtRisk, "{}", evening.run().status.message);
}

#[test]
fn the_first_surges_of_a_namespace_are_kept_and_one_more_is_refused() {
    let mut evening = limited(Ceilings { surges: Some(1), ..Ceilings::default() });
    evening.pass(t0() - seconds(3_500), seconds(30));
    another_surge(&mut evening, "a-later-one");
    evening.pass(t0() - seconds(3_300), seconds(30));
    let accepted = |name: &str| {
        let surge = &evening.world.surges[name];
        let word = condition(&surge.status.conditions, ConditionType::Accepted).unwrap();
        (word.reason.clone(), word.message.clone())
    };
    assert_eq!(accepted("capital").0, "Scheduled");
    let (reason, said) = accepted("a-later-one");
    assert_eq!(reason, "BudgetExceeded");
    assert!(said.contains("surges 1 > 1 (reserved 1)"), "{said}");
    assert_eq!(evening.world.runs.len(), 1);
}

#[test]
fn no_more_runs_are_created_than_a_budget_allows() {
    let mut evening = limited(Ceilings { runs: Some(1), ..Ceilings::default() });
    another_surge(&mut evening, "launch");
    evening.pass(t0() - seconds(3_300), seconds(30));
    assert_eq!(evening.world.runs.len(), 1);
    let surge = &evening.world.surges["launch"];
    let word = condition(&surge.status.conditions, ConditionType::Accepted).unwrap();
    assert_eq!(word.reason, "BudgetExceeded", "{}", word.message);
}
