//! The evening of `examples/capital-2014.yaml`, with the clock shifted and all durations divided by
//! the same factor.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use primetime_api::ScheduledSurge;

use crate::tools::root;

/// Sessions on a normal evening (practice: A Little Market, 2014).
pub const USUAL_SESSIONS: f64 = 2_000.0;
/// Sessions at the forecast peak.
pub const PEAK_SESSIONS: f64 = 36_000.0;
/// Sessions above the forecast.
pub const BREAKING_SESSIONS: f64 = 45_000.0;

/// Reads `examples/capital-2014.yaml`.
///
/// # Errors
///
/// Returns an error if the file cannot be read, or is not a valid `ScheduledSurge`.
pub fn example() -> Result<ScheduledSurge> {
    let file = root().join("examples/capital-2014.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(serde_yaml::from_str(&text)?)
}

/// Returns the example with the show at `start` and every duration divided by `speed`. The minimum
/// of each duration is one second.
///
/// # Errors
///
/// Returns an error if the example cannot be read, or a duration is out of range.
pub fn shifted(start: DateTime<Utc>, speed: u32) -> Result<ScheduledSurge> {
    let mut surge = example()?;
    let faster = |seconds: u32| (seconds / speed).max(1);
    let spec = &mut surge.spec;
    spec.schedule.start_time = Some(start.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let duration = u32::try_from(spec.schedule.duration_seconds.unwrap_or_default())?;
    spec.schedule.duration_seconds = Some(i32::try_from(faster(duration))?);
    spec.ready_before_seconds = faster(spec.ready_before_seconds);
    for target in &mut spec.event.targets {
        target.lead_seconds = faster(target.lead_seconds);
    }
    if let Some(hold) = &mut spec.event.hold {
        hold.for_seconds = faster(hold.for_seconds);
        hold.max_seconds = faster(hold.max_seconds);
    }
    spec.event.release.step_seconds = faster(spec.event.release.step_seconds);
    Ok(surge)
}

/// Returns a surge on `web` only, without machines, with `spec.readyBeforeSeconds` of 5.
///
/// # Errors
///
/// Returns an error if the example cannot be read, or a duration is out of range.
pub fn web_only(
    name: &str,
    show: DateTime<Utc>,
    seconds: i32,
    replicas: i32,
) -> Result<ScheduledSurge> {
    let mut surge = shifted(show, 60)?;
    surge.metadata.name = Some(name.to_owned());
    let spec = &mut surge.spec;
    spec.schedule.duration_seconds = Some(seconds);
    spec.ready_before_seconds = 5;
    spec.event.machines.clear();
    spec.event.targets.truncate(1);
    for target in &mut spec.event.targets {
        target.replicas = Some(replicas);
        target.lead_seconds = 10;
    }
    Ok(surge)
}

/// Returns a surge as YAML.
///
/// # Errors
///
/// Returns an error if the surge cannot be serialized.
pub fn yaml(surge: &ScheduledSurge) -> Result<String> {
    Ok(serde_yaml::to_string(surge)?)
}
