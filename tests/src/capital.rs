//! The evening of `examples/capital-2014.yaml`, with its clock shifted and scaled by one factor.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use primetime_api::ScheduledSurge;

use crate::tools::root;

/// Sessions on a normal evening (practice: A Little Market, 2014).
pub const USUAL_SESSIONS: f64 = 2_000.0;
/// Sessions at the peak that was planned for.
pub const PEAK_SESSIONS: f64 = 36_000.0;
/// Sessions beyond the plan.
pub const BREAKING_SESSIONS: f64 = 45_000.0;

/// The committed example.
///
/// # Errors
///
/// If it cannot be read.
pub fn example() -> Result<ScheduledSurge> {
    let file = root().join("examples/capital-2014.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(serde_yaml::from_str(&text)?)
}

/// The example with its show at `start` and every duration divided by `speed`.
///
/// # Errors
///
/// If the example cannot be read.
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

/// A surge on `web` only, without machines: ready five seconds before its show.
///
/// # Errors
///
/// If the example cannot be read.
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

/// A surge as YAML.
///
/// # Errors
///
/// If it cannot be written.
pub fn yaml(surge: &ScheduledSurge) -> Result<String> {
    Ok(serde_yaml::to_string(surge)?)
}
