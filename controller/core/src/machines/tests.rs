//! Tests of the ledger over several steps, and fixtures for the tests of each step.

use super::*;
use crate::machines::join::launched;
use crate::machines::launch::{
    MOST, Offer, STRIKE_AFTER, record_intent, record_results, retry_after, token,
};
use crate::seconds;
use crate::state::announcement::{MachineGroup, Window};
use crate::state::ledger::Launch;
use crate::state::observed::{
    Asked, CloudLook, Fleet, InstanceState, Presence, Refusal, RefusalClass,
};
use crate::state::place::Place;
use crate::state::run::RunStatus;
use chrono::TimeZone;

const CLUSTER: &str = "paris";

pub(crate) fn now() -> Instant {
    chrono::Utc.with_ymd_and_hms(2014, 1, 12, 19, 0, 0).unwrap()
}

pub(crate) fn group() -> MachineGroup {
    MachineGroup { name: "burst".into(), class: "paris-burst".into(), count: 17 }
}

pub(crate) fn launch() -> Launch {
    let block = [("template".to_owned(), "lt-1".into())].into();
    Launch { provider: None, block }
}

pub(crate) fn run() -> RunRecord {
    RunRecord {
        name: "capital-1".into(),
        uid: "0f5c3b9e-1111-2222-3333-444455556666".into(),
        surge: "capital".into(),
        owner: None,
        surge_generation: None,
        deletion_time: None,
        collected: false,
        guarded: true,
        time_zone: None,
        event: None,
        decoded: true,
        window: Window { ready_by: now(), start: now(), end: now() },
        announcement: Err("not needed here".into()),
        status: RunStatus::default(),
    }
}

/// Returns a run with the given persisted status.
pub(crate) fn recorded(status: &RunStatus) -> RunRecord {
    RunRecord { status: status.clone(), ..run() }
}

/// Returns the place of all tests.
pub(crate) fn place() -> Place {
    let (cluster, region) = (CLUSTER.into(), "eu-west-3".into());
    Place { cluster, region, account: "111111111111".into() }
}

/// Returns a world in which a look at `at` has shown the instances of the run.
pub(crate) fn shown(instances: Vec<Instance>, at: Instant) -> World {
    let cloud = CloudLook { place: Some(place()), at: Some(at), ..CloudLook::default() };
    let fleets = [(run().uid, Fleet { instances }.into())].into();
    World { cluster: CLUSTER.into(), cloud, fleets, may_launch: true, ..World::default() }
}

pub(crate) fn instance(id: &str, token: &str, state: InstanceState) -> Instance {
    let (id, token) = (id.to_owned(), token.to_owned());
    Instance { id, token, state, expires: Some(Instant::MAX_UTC), reason: None }
}

/// Returns the terms of a run that is not in release.
pub(crate) fn terms() -> Terms {
    Terms { spare: BTreeMap::new(), way: Way::Stay, expires: now() }
}

/// Returns the acts for a status that is persisted.
pub(crate) fn acts(run: &RunRecord, world: &World, at: Instant) -> Vec<MachineAct> {
    let way = if run.status.release.is_some() { Way::Go } else { Way::Stay };
    super::acts(run, world, &Terms { way, ..terms() }, at)
}

pub(crate) fn intend(status: &mut RunStatus, group: &MachineGroup, world: &World, at: Instant) {
    let launch = launch();
    let offer = Offer { launch: &launch, wanted: group.count, most: u32::MAX, expires: now() };
    record_intent(status, &run(), group, offer, world, at);
}

pub(crate) fn intended(status: &mut RunStatus, at: Instant) {
    intend(status, &group(), &shown(Vec::new(), at), at);
}

fn ids(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("i-{i:03}")).collect()
}

fn answered(world: &mut World, status: &RunStatus, answer: LaunchAnswer) {
    world.launches.insert(status.ledger.last().unwrap().token.clone(), answer);
}

fn refusal(class: RefusalClass) -> Refusal {
    Refusal { class, message: "InsufficientInstanceCapacity: none left".into() }
}

#[test]
fn tokens_are_stable_distinct_and_short_enough() {
    let uid = &run().uid;
    let one = token(CLUSTER, uid, "burst", 1);
    assert_eq!(one, token(CLUSTER, uid, "burst", 1));
    assert_ne!(one, token(CLUSTER, uid, "burst", 2));
    assert_ne!(one, token("london", uid, "burst", 1));
    assert!(token(CLUSTER, uid, "burst", 9_999_999).len() <= 64);
}

#[test]
fn the_intent_stands_in_the_ledger_before_the_call_and_only_once() {
    let on = shown(Vec::new(), now());
    let mut status = RunStatus::default();
    assert!(acts(&recorded(&status), &World::default(), now()).is_empty());
    intended(&mut status, now());
    intended(&mut status, now());
    assert_eq!(status.ledger.len(), 1);
    assert!(matches!(
        acts(&recorded(&status), &on, now()).as_slice(),
        [MachineAct::Launch { batch, .. }] if batch.count == 17 && batch.launch == launch()
    ));
}

#[test]
fn partial_success_is_kept_and_only_the_rest_is_asked_for_again() {
    let mut status = RunStatus::default();
    let mut world = World::default();
    intended(&mut status, now());
    let shortfall = Some(refusal(RefusalClass::Capacity));
    answered(&mut world, &status, LaunchAnswer::Came { ids: ids(10), shortfall });
    record_results(&mut status, &world, &run(), now());
    assert_eq!(launched(&status, "burst"), 10);
    intended(&mut status, now() + seconds(1));
    assert_eq!(status.ledger.len(), 1, "it waits before it asks again");
    intended(&mut status, now() + seconds(2));
    assert_eq!(status.ledger.last().map(|b| (b.attempt, b.count)), Some((2, 7)));
}

#[test]
fn a_lost_answer_is_found_by_its_tag() {
    let mut status = RunStatus::default();
    intended(&mut status, now());
    let token = status.ledger.last().unwrap().token.clone();
    let instances = ids(17).into_iter();
    let instances = instances.map(|id| instance(&id, &token, InstanceState::Living));
    let world = shown(instances.collect(), now());
    record_results(&mut status, &world, &run(), now());
    assert_eq!(launched(&status, "burst"), 17);
    assert!(acts(&recorded(&status), &world, now()).is_empty());
}

#[test]
fn quota_is_not_asked_again_as_soon_as_capacity() {
    assert!(retry_after(RefusalClass::Quota, 1) > retry_after(RefusalClass::Capacity, 1));
    assert_eq!(retry_after(RefusalClass::Capacity, 40), seconds(60));
}

/// Throttled, expired credentials, a mismatch, no readable answer: an earlier call may have
/// started all of them.
#[test]
fn an_answer_that_says_nothing_leaves_the_entry_open_and_the_same_token_is_sent_again() {
    let mut status = RunStatus::default();
    intended(&mut status, now());
    let sent = status.ledger.clone();
    let mut world = shown(Vec::new(), now());
    answered(&mut world, &status, LaunchAnswer::Unheard("RequestLimitExceeded: slowly".into()));
    // Where no call can have had an effect, the same token is sent for as long as it takes.
    for second in [1, 60, 599, 7_200] {
        let at = now() + seconds(second);
        record_results(&mut status, &world, &run(), at);
        intended(&mut status, at);
        let again = acts(&recorded(&status), &world, at);
        assert!(
            matches!(again.as_slice(), [MachineAct::Launch { batch, .. }]
                if batch.token == sent[0].token && batch.expires_time == sent[0].expires_time),
            "{again:?}"
        );
    }
    assert_eq!(status.ledger.len(), 1);
    assert_eq!(status.ledger[0].shortfall.as_deref(), Some("RequestLimitExceeded: slowly"));
}

#[test]
fn an_open_entry_ends_after_a_quarter_of_an_hour_in_which_the_cloud_could_have_shown_it() {
    let mut status = RunStatus::default();
    intended(&mut status, now());
    status.ledger[0].unsure = true;
    let after = launch::RESENT_FOR + STRIKE_AFTER;
    for (at, settled) in [(after - seconds(1), false), (after, true)] {
        let world = World { may_lower_from: now(), ..shown(Vec::new(), now() + at) };
        record_results(&mut status, &world, &run(), now() + at);
        assert_eq!(status.ledger[0].settled, settled);
    }
}

/// A lost answer, then a launch template that is gone: the first call may have started all.
#[test]
fn a_fault_of_the_request_does_not_settle_an_entry_whose_first_answer_was_lost() {
    let mut status = RunStatus::default();
    intended(&mut status, now());
    let mut world = shown(Vec::new(), now());
    answered(&mut world, &status, LaunchAnswer::Unknown("no answer in time".into()));
    record_results(&mut status, &world, &run(), now());
    assert!(status.ledger[0].unsure);
    answered(&mut world, &status, LaunchAnswer::Refused(refusal(RefusalClass::Invalid)));
    record_results(&mut status, &world, &run(), now());
    assert!(!status.ledger[0].settled);
    let later = now() + launch::RESENT_FOR;
    assert_eq!(acts(&recorded(&status), &world, later).len(), 0, "the token may be forgotten");
    answered(&mut world, &status, LaunchAnswer::Refused(refusal(RefusalClass::Capacity)));
    record_results(&mut status, &world, &run(), now());
    assert!(status.ledger[0].settled, "capacity is looked at for the token");
    let mut status = RunStatus::default();
    intended(&mut status, now());
    let other = World { leads_since: now() + seconds(1), ..shown(Vec::new(), now()) };
    assert!(launch::is_unsure(&status.ledger[0], &other), "another process may have sent it");
}

#[test]
fn an_instance_that_the_cloud_shows_again_lives_again() {
    let mut status = with_live(1);
    status.ledger[0].instances[0].state = LedgerState::Terminated;
    let token = status.ledger[0].token.clone();
    let world = shown(vec![instance("i-000", &token, InstanceState::Living)], now());
    record_results(&mut status, &world, &run(), now());
    assert_eq!(status.ledger[0].instances[0].state, LedgerState::Live);
}

#[test]
fn an_open_entry_of_another_place_keeps_no_machine_from_this_one() {
    let mut status = RunStatus::default();
    intended(&mut status, now());
    let mut world = shown(Vec::new(), now());
    if let Some(place) = &mut world.cloud.place {
        place.account = "222222222222".into();
    }
    intend(&mut status, &group(), &world, now());
    assert_eq!(status.ledger.iter().map(|b| b.attempt).collect::<Vec<_>>(), [1, 2]);
    let sent = acts(&recorded(&status), &world, now());
    assert!(matches!(sent.as_slice(), [MachineAct::Launch { batch, .. }] if batch.attempt == 2));
}

#[test]
fn instances_of_the_run_with_a_token_of_no_entry_are_entered_and_counted() {
    let mut status = with_live(10);
    let dropped = token(CLUSTER, &run().uid, "burst", 7);
    let late = [instance("i-late", &dropped, InstanceState::Living)];
    let mut record = run();
    record.announcement = Ok(announced());
    let world = shown(late.to_vec(), now());
    record_results(&mut status, &world, &record, now());
    let found = status.ledger.last().unwrap();
    assert_eq!((found.group.as_str(), found.attempt, found.settled), ("burst", 7, true));
    assert_eq!(launched(&status, "burst"), 11);
    intended(&mut status, now());
    assert_eq!(status.ledger.last().map(|b| (b.attempt, b.count)), Some((8, 6)));
}

#[test]
fn instances_that_die_young_are_started_three_times_their_count_and_not_at_once() {
    let mut status = RunStatus::default();
    let (mut at, mut pauses) = (now(), Vec::new());
    for _ in 0..3_600 {
        at += seconds(1);
        let before = status.ledger.len();
        intended(&mut status, at);
        let Some(batch) = status.ledger.get(before) else { continue };
        pauses.push((at - now()).num_seconds());
        let dead = (0..batch.count).map(|n| {
            instance(&format!("i-{}-{n}", batch.attempt), &batch.token, InstanceState::Living)
        });
        let dead: Vec<_> = dead.collect();
        record_results(&mut status, &shown(dead.clone(), at), &run(), at);
        let dead = dead.into_iter().map(|i| Instance {
            state: InstanceState::Terminated,
            reason: Some("Client.VolumeLimitExceeded".into()),
            ..i
        });
        record_results(&mut status, &shown(dead.collect(), at), &run(), at);
    }
    assert_eq!(launch::ever(&status, "burst"), 17 * MOST);
    assert_eq!(pauses, [1, 61, 361], "it waits longer each time");
    let said = launch::exhausted(&status, &group()).unwrap();
    assert!(said.contains("51 machines were started for 17"), "{said}");
    assert!(status.ledger[0].shortfall.as_ref().unwrap().contains("VolumeLimitExceeded"));
}

/// The refusals of an hour use up nothing: capacity that comes back is used.
#[test]
fn a_shortage_is_asked_again_until_the_release() {
    let mut status = RunStatus::default();
    let mut at = now();
    for _ in 0..100 {
        at += seconds(60);
        intended(&mut status, at);
        let mut world = World::default();
        answered(&mut world, &status, LaunchAnswer::Refused(refusal(RefusalClass::Capacity)));
        record_results(&mut status, &world, &run(), at);
    }
    assert_eq!(status.ledger.last().unwrap().attempt, 100);
    assert_eq!(status.ledger.len(), 1, "and the ledger does not grow");
}

#[test]
fn what_no_look_shows_is_asked_by_id_and_is_gone_only_if_its_own_place_says_so() {
    let mut status = with_live(1);
    let id = "i-000".to_owned();
    let later = now() + STRIKE_AFTER;
    let look = |at| shown(Vec::new(), at);
    assert_eq!(acts(&recorded(&status), &look(now() + seconds(119)), now()), []);
    let asked = acts(&recorded(&status), &look(now() + seconds(120)), now());
    assert_eq!(asked, [MachineAct::Ask { ids: vec![id.clone()] }]);
    let answered = |presence, at| {
        let mut world = look(at);
        world.asked.insert(id.clone(), Asked { presence, since: now(), at });
        world
    };
    let live = status.clone();
    let state = |world: &World| {
        let mut after = live.clone();
        record_results(&mut after, world, &run(), later);
        after.ledger[0].instances[0].state
    };
    assert_eq!(state(&answered(Presence::Untagged, later)), LedgerState::Live);
    let early = later - seconds(1);
    assert_eq!(state(&answered(Presence::NotKnown, early)), LedgerState::Live, "it may lag");
    assert_eq!(state(&answered(Presence::NotKnown, later)), LedgerState::Terminated);
    assert_eq!(state(&answered(Presence::Terminated, now())), LedgerState::Terminated);
    let mut world = answered(Presence::NotKnown, later);
    world.asked.get_mut(&id).unwrap().since = now() + seconds(1);
    assert_eq!(state(&world), LedgerState::Live, "not for a quarter of an hour");
    let mut world = answered(Presence::NotKnown, later);
    world.cloud.place.as_mut().unwrap().account = String::new();
    assert_eq!(state(&world), LedgerState::Live, "an account that is not known proves nothing");
    for change in [
        |place: &mut Place| place.account = "222222222222".into(),
        |place: &mut Place| place.region = "eu-west-1".into(),
        |place: &mut Place| place.cluster = "london".into(),
    ] {
        let mut world = answered(Presence::NotKnown, later);
        change(world.cloud.place.as_mut().unwrap());
        assert_eq!(state(&world), LedgerState::Live, "another place knows nothing of it");
        assert!(!world.cloud.place.as_ref().unwrap().is(&place()));
        status.ledger[0].instances[0].state = LedgerState::Terminating;
        assert_eq!(acts(&recorded(&status), &world, later), [], "and ends nothing");
        status.ledger[0].instances[0].state = LedgerState::Live;
    }
}

#[test]
fn a_stopped_instance_is_ended_and_another_one_started() {
    let mut status = with_live(17);
    status.ledger[0].instances[3].join_time = Some(now());
    let token = status.ledger[0].token.clone();
    let stopped = vec![instance("i-003", &token, InstanceState::Stopped)];
    let world = shown(stopped, now() + seconds(10));
    record_results(&mut status, &world, &run(), now() + seconds(10));
    intended(&mut status, now() + seconds(10));
    assert_eq!(status.ledger.last().map(|b| b.count), Some(1));
    let ended = acts(&recorded(&status), &world, now());
    assert!(
        ended.iter().any(|act| matches!(act,
        MachineAct::Terminate { ids, .. } if ids == &["i-003"])),
        "{ended:?}"
    );
}

#[test]
fn a_tag_that_would_end_a_run_that_goes_on_is_renewed() {
    let status = with_live(1);
    let token = &status.ledger[0].token;
    let due = |expires| {
        let seen = Instance { expires, ..instance("i-000", token, InstanceState::Living) };
        !acts(&recorded(&status), &shown(vec![seen], now()), now()).is_empty()
    };
    assert!(!due(Some(now() - RENEW_SLACK)));
    assert!(due(Some(now() - RENEW_SLACK - seconds(1))) && due(None));
}

/// Returns an announcement with the group of all tests.
fn announced() -> crate::state::announcement::Announcement {
    let mut all = crate::fixtures::announcement();
    all.machines = vec![group()];
    all
}

pub(crate) fn with_live(n: usize) -> RunStatus {
    let mut status = RunStatus::default();
    let mut world = World::default();
    intended(&mut status, now());
    answered(&mut world, &status, LaunchAnswer::Came { ids: ids(n), shortfall: None });
    record_results(&mut status, &world, &run(), now());
    status
}
