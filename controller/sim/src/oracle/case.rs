//! Input of the rules: the recording of an evening, its promise and its faults.

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::shape::share;
use primetime_core::state::shape::Shape;

use crate::evening::recording::Recording;
use crate::field::text;
use crate::script::Script;
use crate::server::object::Event;

/// Promise of an evening: the expected states and times, without faults.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Time from which all floors are ready.
    pub ready_by: Instant,
    /// Time from which the operator lowers nothing.
    pub window_from: Instant,
    /// Announced end of the event: the operator raises nothing after the end.
    pub end: Instant,
    /// Time until which no workload goes below its floor.
    pub until: Instant,
    /// Time until which a release waits for evidence, for example for the end of a rollout.
    pub patience_ends: Instant,
    /// Floor of each workload, at 100 percent of the shape.
    pub floors: Vec<(&'static str, i64)>,
    /// Start of the event and announced shape, if the plan has a shape: a floor may follow the shape
    /// down.
    pub shape: Option<(Instant, Shape)>,
    /// Expected fields after the evening: kind, name, JSON pointer, value.
    pub afterwards: Vec<(&'static str, &'static str, &'static str, i64)>,
    /// Number of instances that the evening needs.
    pub machines: usize,
    /// Maximum replicas that the operator may request for each workload.
    pub caps: Vec<(&'static str, i64)>,
    /// Times at which people change a plan, or at which an override ends: a floor may fall at such
    /// a time.
    pub edits: Vec<Instant>,
    /// Overrides of on-call: workload, begin, end, replicas.
    pub words: Vec<(&'static str, Instant, Instant, i64)>,
    /// Maximum size of a release step, in percent of the highest held replicas.
    pub step_percent: i64,
    /// Time between two release steps.
    pub step: TimeDelta,
    /// Time after the start of an operator in which the operator lowers nothing.
    pub settle: TimeDelta,
}

impl Promise {
    /// Returns the floors at a time: the share of the shape, or the whole floors.
    #[must_use]
    pub fn floors_at(&self, at: Instant) -> Vec<(&'static str, i64)> {
        let share = self
            .shape
            .as_ref()
            .map_or(100_000, |(start, shape)| i64::from(share(shape, (at - *start).num_seconds())));
        self.floors.iter().map(|(name, floor)| (*name, floor * share / 100_000)).collect()
    }
}

/// A recording with the promise and the script of the evening.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) recording: &'a Recording,
    pub(super) promise: &'a Promise,
    pub(super) script: &'a Script,
    /// T0 as promised, without any allowance for faults.
    pub(super) t0: Instant,
}

impl<'a> Case<'a> {
    pub(super) fn of(self, kind: &'a str) -> impl Iterator<Item = &'a Event> {
        self.recording.history.iter().filter(move |e| e.key.0.kind == kind)
    }

    /// Returns the time by which the operator has recovered from all faults: [`RECOVERY`] after the
    /// last outage, but not before `since` plus [`SETBACK`] per request fault.
    pub(super) fn recovered(self, since: Instant) -> Instant {
        let setbacks = i32::try_from(self.script.faults.len()).unwrap_or(i32::MAX);
        let outage = self.script.last_outage().map_or(since, |last| last + RECOVERY);
        outage.max(since + SETBACK * setbacks)
    }
}

/// Message about a rule that an evening broke.
pub type Broken = String;

/// Time after an outage within which all floors are ready: the restart, the backoff of watches and
/// the boot of machines.
pub(super) const RECOVERY: TimeDelta = TimeDelta::seconds(45);

/// Maximum delay by one request fault: a call that times out after 10 s, and the backoff before the
/// next call.
pub(super) const SETBACK: TimeDelta = TimeDelta::seconds(15);

/// Returns the workload of an event. If the event concerns an autoscaler, the workload is the
/// target in `spec.scaleTargetRef`.
pub(super) fn workload_of(event: &Event) -> &str {
    let scales = match event.key.0.kind {
        "HorizontalPodAutoscaler" if !event.key.2.starts_with("keda-hpa-") => {
            text(&event.object, "/spec/scaleTargetRef/name")
        }
        "ScaledObject" => text(&event.object, "/spec/scaleTargetRef/name"),
        _ => None,
    };
    scales.unwrap_or(&event.key.2)
}
