//! Tests of the degradation ladder.

use super::*;
use crate::output::SwitchAct;
use crate::state::ladder::{self, Object, Trigger};

fn place(key: &str) -> Place {
    Place::ConfigMap { name: "shop-flags".into(), key: key.into() }
}

fn write(key: &str, value: &str) -> ladder::Action {
    ladder::Action::Write { place: place(key), value: value.into() }
}

pub(super) fn sessions_above(line: &str, below: &str) -> Trigger {
    let (above, below) = (line.parse().unwrap(), below.parse().unwrap());
    Trigger::Signal { signal: "sessions".into(), above, below }
}

pub(super) fn step(name: &str, condition: Trigger, key: &str, value: &str) -> ladder::Step {
    ladder::Step {
        name: name.into(),
        when: ladder::When { condition, for_time: seconds(30) },
        minimum: seconds(300),
        action: write(key, value),
    }
}

impl Evening {
    /// Applies a read or write of a place as the API server would. The world stores the present
    /// value as the answer to the act.
    pub(super) fn switch_act(&mut self, act: SwitchAct) {
        let (place, write) = match act {
            SwitchAct::Read { place } => (place, None),
            SwitchAct::Write { place, from, to } => (place, Some((from, to))),
        };
        let seen = self.flags.get(&place).cloned().unwrap_or(Ok(None));
        let refused = self.world.places.get(&place).and_then(|seen| seen.refused.clone());
        let value = match (seen, write) {
            (Ok(is), Some((from, _))) if is == from && self.refused.contains(&place) => {
                if let Some(seen) = self.world.places.get_mut(&place) {
                    seen.refused = Some("it is immutable".into());
                }
                return;
            }
            (Ok(is), Some((from, to))) if is == from => {
                self.switched.push((self.now, place.clone(), to.clone()));
                self.flags.insert(place.clone(), Ok(to.clone()));
                Ok(to)
            }
            (seen, _) => seen,
        };
        self.world.places.insert(place, ladder::Seen { found: value, refused, at: self.now });
    }

    pub(super) fn flag(&self, key: &str) -> Option<&str> {
        self.flags.get(&place(key))?.as_ref().ok()?.as_deref()
    }

    pub(super) fn says(&self) -> &str {
        &self.run().status.message
    }
}

fn with(steps: Vec<ladder::Step>) -> Evening {
    let mut evening = Evening::new();
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    spec.announcement.degrade = steps;
    evening.world.may_degrade.insert(Object::ConfigMap("shop-flags".into()));
    evening.flags.insert(place("checkout"), Ok(Some("normal".into())));
    evening
}

pub(super) fn capture() -> ladder::Step {
    step("order-capture", sessions_above("45000", "40000"), "checkout", "capture")
}

pub(super) fn load(evening: &mut Evening, value: f64) {
    evening.load = Box::new(sessions(value));
}

#[test]
fn order_capture_is_on_at_45_000_and_leaves_by_itself() {
    let mut evening = with(vec![capture()]);
    evening.pass(start() + seconds(60), seconds(30));
    assert_eq!(evening.flag("checkout"), Some("normal"));
    load(&mut evening, 47_200.0);
    evening.pass(start() + seconds(85), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "30 s without a break");
    evening.pass(start() + seconds(100), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"), "{}", evening.log());
    assert!(evening.says().contains("degraded: order-capture since 20:01:"), "{}", evening.says());
    let log = evening.log();
    assert!(log.contains("order-capture on: 47200 sessions, above 45000 for 30 s"), "{log}");
    assert!(log.contains("checkout in ConfigMap shop-flags \"normal\" -> \"capture\""), "{log}");

    // The step stays on while the load lies between the two thresholds and while the minimum time
    // has not passed.
    load(&mut evening, 42_000.0);
    evening.pass(start() + seconds(600), seconds(10));
    assert_eq!(evening.flag("checkout"), Some("capture"));
    load(&mut evening, 39_000.0);
    evening.pass(start() + seconds(620), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"));
    evening.pass(start() + seconds(660), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
    assert_eq!(evening.run().status.stage, Stage::Live);
    load(&mut evening, 500.0);
    evening.pass(end() + seconds(3600), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    assert_eq!(evening.switched.len(), 2, "{:?}", evening.switched);
}

#[test]
fn an_unknown_signal_turns_nothing_on_and_nothing_off() {
    let mut evening = with(vec![capture()]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(20), seconds(5));
    evening.load = Box::new(|_| Sample::Unknown(Why::Empty));
    evening.pass(start() + seconds(70), seconds(10));
    assert_eq!(evening.flag("checkout"), Some("normal"));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(75), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"), "above before and after a gap");
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(1_300), seconds(10));
    evening.load = Box::new(|_| Sample::Unknown(Why::Empty));
    evening.state("web").ready = 180;
    let log = evening.log();
    assert_eq!(evening.flag("checkout"), Some("normal"), "{log}");
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(1_400), seconds(10));
    evening.load = Box::new(|_| Sample::Unknown(Why::Empty));
    evening.pass(start() + seconds(4_000), seconds(30));
    assert_eq!(evening.flag("checkout"), Some("capture"));
}

#[test]
fn steps_go_back_in_reverse_order() {
    let page = step("static-page", sessions_above("48000", "47000"), "page", "static");
    let mut evening = with(vec![capture(), page]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    assert_eq!((evening.flag("checkout"), evening.flag("page")), (Some("capture"), Some("static")));
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(1_000), seconds(5));
    let back: Vec<_> =
        evening.switched.iter().skip(2).map(|(_, p, to)| (p, to.as_deref())).collect();
    let (page, checkout) = (place("page"), place("checkout"));
    assert_eq!(back, [(&page, None), (&checkout, Some("normal"))], "a key that was not there goes");
}

#[test]
fn two_steps_at_one_place_give_it_back_to_each_other_and_then_to_what_was_there() {
    let further = step("closed", sessions_above("48000", "47000"), "checkout", "closed");
    let mut evening = with(vec![capture(), further]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 46_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(120), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("closed"), "{}", evening.log());
    load(&mut evening, 46_000.0);
    evening.pass(start() + seconds(600), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"), "{}", evening.log());
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(1_200), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
}

#[test]
fn pods_that_are_missing_turn_a_step_on_from_t0_and_a_clip_is_missing_too() {
    let behind = Trigger::Behind { target: "web".into(), replicas: 20 };
    let mut evening = with(vec![step("light", behind, "checkout", "light")]);
    evening.pass(t0() - seconds(60), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "what is on its way is not behind");
    evening.pass(start(), seconds(30));
    // The maximum (`maxReplicas`) is 260, and the load needs 300 pods.
    load(&mut evening, 60_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("light"), "{}", evening.log());
    assert!(evening.log().contains("light on: web is 40 of 300 pods behind"), "{}", evening.log());
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(600), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
}

#[test]
fn a_person_turns_steps_on_and_off_and_somebody_elses_value_is_theirs() {
    let mut evening = with(vec![capture()]);
    evening.pass(t0() - seconds(100), seconds(30));
    let on = Action::Degrade { step: Some("order-capture".into()), on: true };
    evening.world.overrides.push(person(on, 10, &evening));
    evening.pass(evening.now + seconds(5), seconds(1));
    assert_eq!(evening.flag("checkout"), Some("capture"), "a rehearsal: {}", evening.log());
    evening.pass(evening.now + seconds(700), seconds(10));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());

    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"));
    let off = Action::Degrade { step: None, on: false };
    evening.world.overrides.push(person(off, 5, &evening));
    evening.pass(evening.now + seconds(5), seconds(1));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
    evening.pass(evening.now + seconds(400), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"), "their word is over");

    evening.flags.insert(place("checkout"), Ok(Some("off".into())));
    evening.pass(evening.now + seconds(60), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("off"), "it is not fought over");
    assert!(evening.says().contains("was set to \"off\" by another writer"), "{}", evening.says());
    load(&mut evening, 500.0);
    evening.pass(end() + seconds(3600), seconds(30));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    assert_eq!(evening.flag("checkout"), Some("off"));
}

#[test]
fn whatever_is_on_at_the_end_is_given_back_whoever_dies_in_between() {
    for crash_every in [usize::MAX, 2, 3, 5] {
        let mut evening = with(vec![capture()]);
        evening.crash_every = crash_every;
        evening.pass(start(), seconds(30));
        // The planner also turns off a step that a person turned on, at the end of the event.
        let on = Action::Degrade { step: None, on: true };
        evening.world.overrides.push(person(on, 24 * 60, &evening));
        evening.pass(start() + seconds(60), seconds(5));
        assert_eq!(evening.flag("checkout"), Some("capture"), "{}", evening.log());
        load(&mut evening, 500.0);
        evening.pass(end() + seconds(3600), seconds(30));
        assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
        assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
        assert_eq!(evening.switched.len(), 2, "{:?}", evening.switched);
    }
    let mut evening = with(vec![capture()]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    let name = evening.run().name.clone();
    evening.world.runs.get_mut(&name).unwrap().deletion_time = Some(start());
    evening.pass(start() + seconds(120), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
}

#[test]
fn a_signal_that_is_only_looked_at_raises_nothing_and_holds_nothing_up() {
    let mut evening = with(vec![capture()]);
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    for signal in &mut spec.announcement.signals {
        signal.raises = None;
    }
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    assert_eq!((evening.flag("checkout"), evening.web().1), (Some("capture"), 180));
    evening.load = Box::new(|_| Sample::Unknown(Why::Empty));
    evening.pass(start() + seconds(600), seconds(30));
    let log = evening.log();
    assert!(log.contains("selects nothing): nothing is turned on or off by it"), "{log}");
    load(&mut evening, 500.0);
    evening.pass(end() + seconds(3 * 3600), seconds(30));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}

#[test]
fn what_a_step_cannot_do_is_said_days_before() {
    let mut evening = with(vec![capture()]);
    evening.flags.insert(
        place("checkout"),
        Err(Trouble::Gone("ConfigMap shop-flags does not exist".into())),
    );
    evening.pass(evening.now + seconds(10), seconds(5));
    let said = "; degrade step order-capture: ConfigMap shop-flags does not exist";
    assert!(evening.says().ends_with(said), "{}", evening.says());
    evening.world.may_degrade.clear();
    evening.pass(evening.now + seconds(10), seconds(5));
    assert!(evening.says().ends_with("(chart value degrade.configMaps)"), "{}", evening.says());
}

fn closed() -> ladder::Step {
    step("closed", sessions_above("48000", "47000"), "checkout", "closed")
}

#[test]
fn of_two_steps_that_go_on_together_the_one_further_down_stands() {
    let mut evening = with(vec![capture(), closed()]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(300), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("closed"), "{}", evening.log());
    assert!(!evening.says().contains("by another writer"), "{}", evening.says());
    load(&mut evening, 46_000.0);
    evening.pass(start() + seconds(700), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("capture"), "{}", evening.log());
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(1_200), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
}

#[test]
fn what_somebody_wrote_between_two_steps_is_theirs() {
    let mut evening = with(vec![capture(), closed()]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 46_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    evening.flags.insert(place("checkout"), Ok(Some("v2".into())));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(120), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("closed"), "{}", evening.log());
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(1_200), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("v2"), "{}", evening.log());
}

#[test]
fn an_edit_of_a_run_does_not_lose_what_was_written() {
    type Edit = fn(&mut Vec<ladder::Step>);
    let edits: [Edit; 3] = [
        |steps| steps[0].action = write("checkout", "capture2"),
        |steps| steps[0].action = write("page", "capture"),
        Vec::clear,
    ];
    for edit in edits {
        let mut evening = with(vec![capture()]);
        evening.pass(start(), seconds(30));
        load(&mut evening, 50_000.0);
        evening.pass(start() + seconds(60), seconds(5));
        let name = evening.run().name.clone();
        let run = evening.world.runs.get_mut(&name).unwrap();
        edit(&mut run.announcement.as_mut().unwrap().degrade);
        evening.pass(start() + seconds(600), seconds(30));
        load(&mut evening, 500.0);
        evening.pass(end() + seconds(3600), seconds(30));
        assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
        assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
    }
}

#[test]
fn what_cannot_be_given_back_keeps_nothing_else_from_it() {
    let page = step("static-page", sessions_above("48000", "47000"), "page", "static");
    let mut evening = with(vec![capture(), page]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    evening.refused.insert(place("page"));
    load(&mut evening, 500.0);
    evening.pass(start() + seconds(1_000), seconds(5));
    assert_eq!((evening.flag("checkout"), evening.flag("page")), (Some("normal"), Some("static")));
    assert!(evening.says().contains("it is immutable"), "{}", evening.says());

    // The operator also loses the write permission. A person restores the value by hand.
    evening.world.may_degrade.clear();
    evening.pass(end() + seconds(3600), seconds(30));
    assert_ne!(evening.run().status.stage, Stage::Done);
    evening.flags.insert(place("page"), Ok(None));
    evening.pass(evening.now + seconds(120), seconds(10));
    assert_eq!(evening.run().status.stage, Stage::Done, "{}", evening.log());
}

#[test]
fn a_rehearsal_ends_with_the_word_that_began_it() {
    let mut evening = with(vec![capture()]);
    evening.pass(t0() - seconds(100), seconds(30));
    evening.load = Box::new(|_| Sample::Unknown(Why::NotANumber));
    let on = Action::Degrade { step: None, on: true };
    evening.world.overrides.push(person(on, 1, &evening));
    evening.pass(evening.now + seconds(5), seconds(1));
    assert_eq!(evening.flag("checkout"), Some("capture"));
    evening.pass(evening.now + seconds(70), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
}

#[test]
fn a_long_value_is_neither_kept_nor_written_over() {
    let mut evening = with(vec![capture()]);
    let long = "x".repeat(5_000);
    evening.flags.insert(place("checkout"), Ok(Some(long.clone())));
    evening.pass(start(), seconds(30));
    assert!(evening.says().contains("holds more than 4096 bytes"), "{}", evening.says());
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    assert_eq!(evening.flag("checkout"), Some(long.as_str()));
}

#[test]
fn a_latency_counts_also_where_no_pod_is_left_to_say_how_many_are_needed() {
    let mut evening = with(vec![capture()]);
    let spec = evening.world.surges.get_mut("capital").unwrap().spec.as_mut().unwrap();
    for raises in spec.announcement.signals.iter_mut().filter_map(|s| s.raises.as_mut()) {
        raises.carries = Carries::Threshold("44000".parse().unwrap());
    }
    evening.pass(start(), seconds(30));
    load(&mut evening, 50_000.0);
    for _ in 0..12 {
        evening.state("web").ready = 0;
        evening.look();
        evening.now += seconds(6);
    }
    assert_eq!(evening.flag("checkout"), Some("capture"), "{}", evening.log());
}

#[test]
fn whoever_goes_off_first_leaves_nothing_of_its_own_behind() {
    let mut evening = with(vec![capture(), closed()]);
    evening.pass(start(), seconds(30));
    load(&mut evening, 46_000.0);
    evening.pass(start() + seconds(60), seconds(5));
    load(&mut evening, 50_000.0);
    evening.pass(start() + seconds(120), seconds(5));
    let off = Action::Degrade { step: Some("order-capture".into()), on: false };
    evening.world.overrides.push(person(off, 600, &evening));
    evening.pass(start() + seconds(300), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("closed"), "{}", evening.log());
    load(&mut evening, 1_000.0);
    evening.pass(start() + seconds(1_200), seconds(5));
    assert_eq!(evening.flag("checkout"), Some("normal"), "{}", evening.log());
}
