//! An evening, what it was meant to be, and what went wrong in it.

use chrono::TimeDelta;
use primetime_core::Instant;

use crate::evening::recording::Recording;
use crate::field::text;
use crate::script::Script;
use crate::server::object::Event;

/// What an evening was meant to be.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Everything is ready from this instant on.
    pub ready_by: Instant,
    /// Nothing is taken away from this instant on.
    pub window_from: Instant,
    /// The end of the event as it was announced: nothing is raised after it.
    pub end: Instant,
    /// Nothing goes below the floors before this instant.
    pub until: Instant,
    /// Until when a release waits for evidence.
    pub patience_ends: Instant,
    /// The floor of each workload.
    pub floors: Vec<(&'static str, i64)>,
    /// What each object has to be like afterwards: kind, name, pointer, value.
    pub afterwards: Vec<(&'static str, &'static str, &'static str, i64)>,
    /// How many instances the evening needs.
    pub machines: usize,
    /// No workload is ever asked for more than this.
    pub caps: Vec<(&'static str, i64)>,
    /// When people change what is planned, and when what they said ends: a floor may fall then.
    pub edits: Vec<Instant>,
    /// What people said: workload, from, until, replicas.
    pub words: Vec<(&'static str, Instant, Instant, i64)>,
    /// How much may be taken away at once, in percent of what there was at the end.
    pub step_percent: i64,
    /// The time between two such steps.
    pub step: TimeDelta,
    /// How long an operator lowers nothing after its start.
    pub settle: TimeDelta,
}

/// An evening, what it was meant to be, and what went wrong in it.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) recording: &'a Recording,
    pub(super) promise: &'a Promise,
    pub(super) script: &'a Script,
    /// The promised T0, whatever has gone wrong.
    pub(super) t0: Instant,
}

impl<'a> Case<'a> {
    pub(super) fn of(self, kind: &'a str) -> impl Iterator<Item = &'a Event> {
        self.recording.history.iter().filter(move |e| e.key.0.kind == kind)
    }

    /// The latest instant at which trouble that cannot be helped has passed.
    pub(super) fn recovered(self, since: Instant) -> Instant {
        let setbacks = i32::try_from(self.script.faults.len()).unwrap_or(i32::MAX);
        let outage = self.script.last_outage().map_or(since, |last| last + RECOVERY);
        outage.max(since + SETBACK * setbacks)
    }
}

/// A rule that an evening broke.
pub type Broken = String;

/// After an outage, everything is ready again within this time: restart, watches that back off, machines that boot.
pub(super) const RECOVERY: TimeDelta = TimeDelta::seconds(45);

/// What one fault at a request may cost: a call that hangs for 10 s, and the pause before the next.
pub(super) const SETBACK: TimeDelta = TimeDelta::seconds(15);

/// The workload that an event is about: of an autoscaler the one that it scales, whatever its own name is.
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
