//! `kubectl surge validate`: the checks of the API server, without an API server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use chrono::TimeDelta;
use primetime_api::validate::not_in_the_past;
use primetime_api::{
    InstanceClass, MetricsSource, SurgeCalendar, SurgeHold, SurgeOverride, SurgeRun, how_to_read,
};
use primetime_core::Instant;
use primetime_sim::announced::surge::{read, strict};
use serde_json::Value;

use crate::cluster::now;
use crate::{files, screen};

/// Files to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File, or folder of .yaml, .yml and .json files, with objects of Primetime; may be given
    /// several times; - is standard input. Other objects are skipped.
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

/// Prints each error on a line. The exit code is 1 if an object has an error.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (mut wrong, mut good) = (0, 0);
    for file in files::files(&args.files)? {
        for object in files::objects(&file)? {
            match errors(&object) {
                None => {}
                Some(errors) if errors.is_empty() => good += 1,
                Some(errors) => {
                    wrong += 1;
                    for error in errors {
                        screen::show(&format!("{}: {error}\n", file.display()))?;
                    }
                }
            }
        }
    }
    if wrong > 0 {
        return Ok(ExitCode::FAILURE);
    }
    anyhow::ensure!(good > 0, "nothing of Primetime in these files");
    screen::show(&format!("{good} valid\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the errors for which the API server would refuse an object, or `None` if the object is
/// no object of Primetime.
fn errors(object: &Value) -> Option<Vec<String>> {
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
