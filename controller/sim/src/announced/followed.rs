//! Calendars in the same files as the surge that follows them, each with its `ConfigMap`.

use primetime_api::{Place, SurgeCalendar, calendar_record, how_to_read};
use primetime_core::schedule::Schedule;
use primetime_core::state::calendar::{CalendarStatus, Reading};
use primetime_core::state::surge::SurgeSpec;
use primetime_core::{Instant, calendar};
use serde_json::Value;

use crate::announced::objects::text;
use crate::announced::surge::strict;

/// Returns the schedule of a surge. If the surge has a `spec.schedule.calendarRef`, the schedule
/// comes from the calendar among the documents, read at `now`.
///
/// # Errors
///
/// Returns an error if the documents lack the `SurgeCalendar`, the `ConfigMap` or its key. A
/// calendar fails if its spec is invalid, if its source is a URL, or if the feed cannot be parsed.
pub fn schedule(
    spec: &SurgeSpec,
    namespace: &str,
    documents: &[Value],
    now: Instant,
) -> Result<Followed, Vec<String>> {
    let Some(follows) = &spec.follows else {
        return Ok(Followed { schedule: spec.schedule.clone(), ..Followed::default() });
    };
    let (status, left_out) = read(&follows.calendar, namespace, documents, now)?;
    let schedule = status.schedule(&spec.schedule, follows.duration);
    let events = status.left_out.unwrap_or_default();
    Ok(Followed { schedule, status: Some(status), left_out, events_left_out: events })
}

/// Schedule of a surge, and what the reader of its calendar left out.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Schedule of the surge.
    pub schedule: Schedule,
    /// Status of the calendar, if the surge follows one.
    pub status: Option<CalendarStatus>,
    /// Messages about lines, properties and events that the reader left out, each with the reason.
    /// At most 20.
    pub left_out: Vec<String>,
    /// Number of events and rules that the reader left out.
    pub events_left_out: u64,
}

fn find<'a>(documents: &'a [Value], kind: &str, namespace: &str, name: &str) -> Option<&'a Value> {
    documents.iter().find(|object| {
        let there = text(object, "/metadata/namespace");
        let there = if there.is_empty() { "default" } else { there };
        text(object, "/kind") == kind
            && text(object, "/metadata/name") == name
            && there == namespace
    })
}

fn read(
    name: &str,
    namespace: &str,
    documents: &[Value],
    now: Instant,
) -> Result<(CalendarStatus, Vec<String>), Vec<String>> {
    let said = |why: String| vec![format!("SurgeCalendar {name}: {why}")];
    let object = find(documents, "SurgeCalendar", namespace, name)
        .ok_or_else(|| said(format!("is not among these files, in namespace {namespace}")))?;
    let (calendar, _) = strict::<SurgeCalendar>(object)?;
    let how = how_to_read(&calendar.spec).map_err(|why| said(why.join("; ")))?;
    let at = match &how.place {
        Place::ConfigMap(at) => at,
        Place::Url(url) => {
            return Err(said(format!(
                "{url} is not asked here; put a copy of it into a ConfigMap"
            )));
        }
    };
    let map = find(documents, "ConfigMap", namespace, &at.name)
        .ok_or_else(|| said(format!("ConfigMap {} is not among these files", at.name)))?;
    let feed = map.get("data").and_then(|data| data.get(&at.key)).and_then(Value::as_str);
    let feed = feed.ok_or_else(|| said(format!("ConfigMap {} has no key {}", at.name, at.key)))?;
    let found = how.read(feed.as_bytes(), now).map_err(said)?;
    let left_out =
        found.problems.iter().map(|why| format!("SurgeCalendar {name}: left out: {why}"));
    let left_out = left_out.collect();
    let reading = Reading { what: how.words(), at: now, found: Ok(found) };
    Ok((calendar::read(&calendar_record(&calendar), Some(&reading), false, now), left_out))
}
