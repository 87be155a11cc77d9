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
) -> Result<(Schedule, Option<CalendarStatus>), Vec<String>> {
    let Some(follows) = &spec.follows else { return Ok((spec.schedule.clone(), None)) };
    let status = read(&follows.calendar, namespace, documents, now)?;
    Ok((status.schedule(&spec.schedule, follows.duration), Some(status)))
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
) -> Result<CalendarStatus, Vec<String>> {
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
    let reading = Reading { what: how.words(), at: now, found: Ok(found) };
    Ok(calendar::read(&calendar_record(&calendar), Some(&reading), false, now))
}
