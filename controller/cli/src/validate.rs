//! `kubectl surge validate`: the checks of the API server, without an API server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use chrono::TimeDelta;
use kube::ResourceExt;
use primetime_api::validate::{not_in_the_past, not_too_far, warnings};
use primetime_api::{
    InstanceClass, MetricsSource, ScheduledSurge, SurgeBudget, SurgeCalendar, SurgeHold,
    SurgeOverride, SurgeRun, how_to_read,
};
use primetime_core::Instant;
use primetime_core::state::surge::SurgeSpec;
use primetime_sim::announced::followed;
use primetime_sim::announced::surge::{read, strict};
use serde_json::Value;

use crate::cluster::now;
use crate::preflight::Given;
use crate::{files, screen};

/// Files to check.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these lines are the help text")]
pub struct Args {
    /// File, or folder of .yaml, .yml and .json files, with objects of Primetime; may be given
    /// several times; - is standard input. Deployments, other workloads, HPAs, ScaledObjects,
    /// ResourceQuotas and LimitRanges in the files are used to find risks; other objects are
    /// skipped.
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

/// Prints each error, risk and warning on a line. The exit code is 1 if an object has an error, or
/// a surge is at risk with the workloads, autoscalers, quotas and limits of the files.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut objects = Vec::new();
    for file in files::files(&args.files)? {
        objects.extend(files::objects(&file)?.into_iter().map(|object| (file.clone(), object)));
    }
    let all: Vec<Value> = objects.iter().map(|(_, object)| object.clone()).collect();
    let (mut wrong, mut good, mut at_risk) = (0, 0, 0);
    for (file, object) in &objects {
        let Some(errors) = errors(object) else { continue };
        if !errors.is_empty() {
            wrong += 1;
            for error in errors {
                screen::show(&format!("{}: {error}\n", file.display()))?;
            }
            continue;
        }
        good += 1;
        // The kind was checked above: `read` fails for every other kind.
        let Ok((surge, spec)) = read(object) else { continue };
        let name = surge.name_any();
        let findings = Given::new(&all, object).findings(object, &spec.announcement);
        at_risk += u32::from(findings.iter().any(|finding| finding.rule.is_risk()));
        let risks = findings.into_iter().map(|finding| {
            let kind = if finding.rule.is_risk() { "at risk" } else { "warning" };
            (kind, format!("{finding}"))
        });
        // A file may be written years ahead, and is accepted later.
        let too_far = not_too_far(&spec.schedule, now()).err();
        let warnings = warnings(&spec, now()).into_iter().chain(too_far);
        let warnings = warnings.map(|text| ("warning", text));
        let (lost, left_out) = left_out(&surge, &spec, &all);
        at_risk += u32::from(lost);
        let kind = if lost { "at risk" } else { "warning" };
        let left_out = left_out.into_iter().map(|text| (kind, text));
        for (kind, text) in risks.chain(warnings).chain(left_out) {
            let file = file.display();
            screen::show(&format!("{file}: ScheduledSurge {name}: {kind}: {text}\n"))?;
        }
    }
    if wrong > 0 {
        return Ok(ExitCode::FAILURE);
    }
    anyhow::ensure!(good > 0, "nothing of Primetime in these files");
    if at_risk > 0 {
        screen::show(&format!("{good} valid, {at_risk} at risk\n"))?;
        return Ok(ExitCode::FAILURE);
    }
    screen::show(&format!("{good} valid\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns whether the reader left out events of the calendar that a surge follows, and its
/// messages. A calendar that is not in the files, or a feed at a URL, has none.
fn left_out(surge: &ScheduledSurge, spec: &SurgeSpec, all: &[Value]) -> (bool, Vec<String>) {
    let namespace = surge.namespace().unwrap_or_else(|| "default".to_owned());
    followed::schedule(spec, &namespace, all, now())
        .map(|followed| (followed.events_left_out > 0, followed.left_out))
        .unwrap_or_default()
}

/// Returns the errors for which the API server would refuse an object, or `None` if the object is
/// no object of Primetime.
pub fn errors(object: &Value) -> Option<Vec<String>> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if !text("/apiVersion").starts_with("primetime.dev/") {
        return None;
    }
    let checked = match text("/kind") {
        "ScheduledSurge" => read(object).and_then(|(_, spec)| {
            let late = not_in_the_past(&spec.schedule, now());
            late.map_err(|why| vec![format!("ScheduledSurge {}: {why}", text("/metadata/name"))])
        }),
        "SurgeOverride" => strict::<SurgeOverride>(object).and_then(|(said, _)| {
            let late = expires_in_time(&said, now());
            late.map_err(|why| vec![format!("SurgeOverride {}: {why}", text("/metadata/name"))])
        }),
        "SurgeCalendar" => strict::<SurgeCalendar>(object).and_then(|(calendar, _)| {
            let name = text("/metadata/name");
            let said = |why| format!("SurgeCalendar {name}: {why}");
            let how = how_to_read(&calendar.spec);
            how.map(drop).map_err(|wrong| wrong.into_iter().map(said).collect())
        }),
        "InstanceClass" => strict::<InstanceClass>(object).map(drop),
        "SurgeBudget" => strict::<SurgeBudget>(object).map(drop),
        "MetricsSource" => strict::<MetricsSource>(object).map(drop),
        "SurgeRun" => strict::<SurgeRun>(object).map(drop),
        "SurgeHold" => strict::<SurgeHold>(object).map(drop),
        kind => Err(vec![format!("{kind}: is not a kind of {}", text("/apiVersion"))]),
    };
    Some(checked.err().unwrap_or_default())
}

/// Checks that `spec.expireTime` lies within the next 24 hours.
fn expires_in_time(said: &SurgeOverride, now: Instant) -> Result<(), String> {
    let at = said.spec.expire_time;
    let (shown, day) = (at.format("%Y-%m-%dT%H:%M:%SZ"), TimeDelta::hours(24));
    match at - now {
        left if left <= TimeDelta::zero() => {
            Err(format!("spec.expireTime: {shown} is in the past"))
        }
        left if left > day => Err(format!(
            "spec.expireTime: {shown} is more than 24 hours ahead; an override lasts 24 hours at most"
        )),
        _ => Ok(()),
    }
}
