//! Tests of the deletion of a run, or of the surge of a run, during the event.

use super::*;
use crate::state::surge::Follows;

/// Returns a live evening with a load that needs all planned replicas. The planner lowers nothing
/// for two minutes after a deletion.
fn live() -> Evening {
    let mut evening = Evening::new();
    evening.world.delete_grace = seconds(120);
    evening.load = Box::new(sessions(36_000.0));
    evening.pass(start() + seconds(600), seconds(10));
    assert_eq!((evening.run().status.stage, evening.web().0), (Stage::Live, 180));
    evening
}

/// Returns the surge that a person creates again: another uid, and an empty status.
fn again(change: impl FnOnce(&mut SurgeSpec)) -> SurgeRecord {
    let mut surge = SurgeRecord { uid: "uid-again".into(), ..capital() };
    change(surge.spec.as_mut().unwrap());
    surge
}

#[test]
fn a_surge_that_is_replaced_keeps_its_run_and_all_that_is_on_record() {
    let mut evening = live();
    let before = evening.run().clone();
    evening.world.surges.clear();
    evening.pass(evening.now + seconds(20), seconds(1));
    let said = evening.run().status.message.clone();
    assert!(said.contains("surge capital was deleted: the way down begins at 20:12:"), "{said}");
    assert!(evening.log().contains("SurgeDeleted"), "{}", evening.log());

    evening.world.surges.insert("capital".into(), again(|_| {}).into());
    evening.pass(evening.now + seconds(600), seconds(10));
    let run = evening.run();
    assert_eq!((run.owner.as_deref(), run.surge_generation), (Some("uid-again"), Some(1)));
    assert_eq!((&run.uid, &run.status.ledger), (&before.uid, &before.status.ledger));
    assert_eq!((run.status.stage, run.status.deletion_time), (Stage::Live, None));
    assert!(evening.written.iter().filter(|(at, _)| *at > start()).all(|(_, n)| *n >= 180));
    let surge = &evening.world.surges["capital"];
    assert_eq!(surge.status.run.as_ref(), Some(&evening.run().name));
    assert_eq!(surge.status.scheduled_times, [start()]);

    evening.load = Box::new(sessions(100.0));
    evening.pass(end() + seconds(4 * 3600), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done);
    assert_eq!((evening.run().guarded, evening.run().collected), (false, true));
    assert_eq!(evening.web(), (10, 10, 60));
}

#[test]
fn what_a_changed_surge_asks_for_does_not_change_what_has_begun() {
    let mut evening = live();
    let other = again(|spec| spec.announcement.targets[0].want = Want::Replicas(20));
    evening.world.surges.insert("capital".into(), other.into());
    evening.pass(evening.now + seconds(300), seconds(10));
    let run = evening.run();
    assert_eq!((run.owner.as_deref(), run.surge_generation), (Some("uid-again"), None));
    assert_eq!(evening.web().0, 180);
}

#[test]
fn a_surge_that_stays_deleted_is_asked_for_by_name_and_then_given_back() {
    let mut evening = live();
    let deleted = evening.now;
    evening.world.surges.clear();
    evening.pass(deleted + seconds(119), seconds(1));
    assert_eq!((evening.run().status.stage, evening.web().0), (Stage::Live, 180));
    assert_eq!(evening.world.surge_looks["capital"], None, "it was asked for");
    evening.pass(deleted + seconds(130), seconds(1));
    assert_eq!(evening.run().status.stage, Stage::Releasing);
    let way = evening.run().status.release.as_ref().map(|way| way.cause);
    assert_eq!(way, Some(ReleaseCause::Deleted));
    evening.load = Box::new(sessions(100.0));
    evening.pass(deleted + seconds(2 * 3600), seconds(10));
    assert!(
        evening.world.runs.is_empty(),
        "a run that is over goes with its surge: {}",
        evening.log()
    );
    assert!(evening.world.holds.is_empty());
    assert_eq!(evening.web(), (10, 10, 60));
}

#[test]
fn a_list_that_lacks_the_surge_proves_nothing() {
    let mut evening = live();
    let hidden = evening.world.surges.remove("capital").unwrap();
    let mut asked = 0;
    for _ in 0..90 {
        let Plan { records, acts, .. } = plan(&evening.world, evening.now);
        for record in records {
            evening.persist(record);
        }
        for act in acts {
            if matches!(act, Act::LookForSurge { .. }) {
                asked += 1;
                evening.world.surge_looks.insert("capital".into(), Some(hidden.uid.clone()));
            } else {
                evening.act(act);
            }
        }
        evening.settle();
        evening.now += seconds(10);
    }
    assert!(asked > 70, "{asked}");
    assert_eq!((evening.run().status.stage, evening.web().0), (Stage::Live, 180));
    evening.world.surges.insert("capital".into(), hidden);
    evening.look();
    assert_eq!(evening.run().status.deletion_time, None);
}

#[test]
fn a_surge_that_comes_back_on_the_way_down_is_raised_again() {
    let mut evening = live();
    evening.world.surges.clear();
    evening.pass(evening.now + seconds(400), seconds(10));
    assert!(evening.run().status.release.is_some());
    evening.world.surges.insert("capital".into(), again(|_| {}).into());
    evening.pass(evening.now + seconds(120), seconds(10));
    assert_eq!((evening.run().status.stage, evening.web().0), (Stage::Live, 180));
}

#[test]
fn a_release_by_on_call_does_not_wait() {
    let mut evening = live();
    evening.world.surges.clear();
    evening.pass(evening.now + seconds(5), seconds(1));
    let (created, expires) = (evening.now, evening.now + seconds(3600));
    evening.world.overrides.push(Override {
        name: "o".into(),
        surge: "capital".into(),
        action: Action::Release,
        reason: "called off".into(),
        author: "alice".into(),
        created,
        expires,
    });
    evening.pass(evening.now + seconds(1), seconds(1));
    assert_eq!(evening.run().status.stage, Stage::Releasing);
}

#[test]
fn a_run_that_is_deleted_waits_too() {
    let mut evening = live();
    let deleted = evening.now;
    evening.world.runs.values_mut().for_each(|run| run.deletion_time = Some(deleted));
    evening.pass(deleted + seconds(110), seconds(10));
    assert_eq!((evening.run().status.stage, evening.web().0), (Stage::Live, 180));
    evening.pass(deleted + seconds(130), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Releasing);
}

#[test]
fn a_run_of_before_is_let_outlive_its_surge() {
    let mut evening = live();
    evening.world.runs.values_mut().for_each(|run| run.collected = true);
    evening.look();
    assert!(!evening.run().collected);
}

#[test]
fn a_run_that_has_not_begun_goes_with_a_surge_that_is_gone() {
    let mut evening = Evening::new();
    evening.world.delete_grace = seconds(120);
    evening.look();
    assert!(!evening.run().guarded);
    evening.world.runs.values_mut().for_each(|run| run.collected = false);
    evening.world.surges.clear();
    evening.pass(evening.now + seconds(200), seconds(10));
    assert!(evening.world.runs.is_empty());
}

#[test]
fn a_run_that_a_person_created_has_no_surge_to_miss() {
    let mut evening = live();
    evening.world.runs.values_mut().for_each(|run| run.owner = None);
    evening.world.surges.clear();
    evening.pass(evening.now + seconds(600), seconds(10));
    assert_eq!(
        (evening.run().status.stage, evening.run().status.deletion_time),
        (Stage::Live, None)
    );
}

#[test]
fn a_surge_that_is_replaced_by_one_that_cannot_be_understood_yet_lowers_nothing() {
    for unread in [true, false] {
        let mut evening = live();
        let new = again(|spec| {
            spec.follows = Some(Follows { calendar: "guide".into(), duration: seconds(7200) });
        });
        let new =
            SurgeRecord { spec: if unread { new.spec } else { Err(vec!["?".into()]) }, ..new };
        evening.world.surges.insert("capital".into(), new.into());
        evening.world.surge_looks.insert("capital".into(), Some("uid-again".into()));
        evening.pass(evening.now + seconds(900), seconds(10));
        assert_eq!((evening.run().status.stage, evening.web().0), (Stage::Live, 180));
        assert_eq!(evening.run().status.deletion_time, None);
    }
}

#[test]
fn a_release_by_on_call_stays_one_when_the_surge_is_deleted_and_comes_back() {
    let mut evening = live();
    let (created, expires) = (evening.now, evening.now + seconds(60));
    evening.world.overrides.push(Override {
        name: "o".into(),
        surge: "capital".into(),
        action: Action::Release,
        reason: "called off".into(),
        author: "alice".into(),
        created,
        expires,
    });
    evening.pass(evening.now + seconds(30), seconds(10));
    evening.world.surges.clear();
    evening.pass(evening.now + seconds(200), seconds(10));
    evening.world.surges.insert("capital".into(), again(|_| {}).into());
    evening.pass(evening.now + seconds(60), seconds(10));
    let way = evening.run().status.release.as_ref().map(|way| way.cause);
    assert_eq!(way, Some(ReleaseCause::Override));
}
