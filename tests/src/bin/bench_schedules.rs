//! Cost of schedules: 10,000 recurring surges in all time zones.
//!
//! The benchmark measures the next occurrences of all surges, a single edit, and a plan of the
//! whole namespace. The comparison is the same number of bare lookups in the time zone data in the
//! same run.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant as Watch};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use jiff::civil::DateTime as Clock;
use jiff::tz::TimeZoneDatabase;
use primetime_api::ScheduledSurge;
use primetime_core::Instant;
use primetime_core::plan::plan;
use primetime_core::schedule::Schedule;
use primetime_core::state::surge::{SurgeRecord, SurgeSpec};
use primetime_core::state::world::World;
use serde_json::{Value, json};

/// Surges of the benchmark.
const SURGES: usize = 10_000;
/// Upcoming occurrences per surge (`spec.upcomingLimit`).
const UPCOMING: usize = 3;
/// Rounds per measurement; `time` returns the median.
const ROUNDS: usize = 7;

fn written(n: usize, zone: &str) -> Value {
    let (minute, hour) = (n % 60, n / 60 % 24);
    let days = ["* * *", "* * SUN", "* * MON-FRI", "1 * *", "* MAR,OCT SUN"];
    let days = days.get(n % days.len()).copied().unwrap_or("* * *");
    json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
        "metadata": {"name": format!("surge-{n}"), "namespace": "shop", "uid": format!("uid-{n}")},
        "spec": {
            "schedule": {
                "cron": format!("{minute} {hour} {days}"), "timeZone": zone, "durationSeconds": 3600,
                "exclude": [{"date": "2026-12-24", "lastDate": "2026-12-26"}],
            },
            "upcomingLimit": UPCOMING,
            "targets": [{
                "name": "web", "replicas": 10,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": format!("web-{n}")},
            }],
        },
    })
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

fn time(mut what: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let watch = Watch::now();
        what();
        watch.elapsed()
    });
    median(rounds.collect())
}

fn spec(written: &Value) -> Result<SurgeSpec> {
    let surge: ScheduledSurge = serde_json::from_value(written.clone())?;
    let record = primetime_api::surge_record(&surge);
    record.spec.map_err(|why| anyhow::anyhow!(why.join("; ")))
}

fn next(schedule: &Schedule, now: Instant) -> usize {
    schedule.upcoming(now, UPCOMING, now).len()
}

fn main() -> Result<()> {
    let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse()?;
    let database = TimeZoneDatabase::bundled();
    let zones: Vec<String> = database
        .available()
        .map(|name| name.to_string())
        .filter(|name| name.contains('/'))
        .collect();
    let all: Vec<Value> =
        zones.iter().cycle().take(SURGES).enumerate().map(|(n, zone)| written(n, zone)).collect();
    let specs = all.iter().map(spec).collect::<Result<Vec<_>>>()?;

    // The minimum cost is a conversion of a wall clock time to an instant per occurrence.
    let clocks: BTreeMap<&str, jiff::tz::TimeZone> =
        zones.iter().filter_map(|z| Some((z.as_str(), database.get(z).ok()?))).collect();
    let clock: Clock = "2026-11-23T20:50:00".parse()?;
    let bare = time(|| {
        for zone in clocks.values().cycle().take(SURGES * UPCOMING) {
            black_box(zone.to_ambiguous_timestamp(black_box(clock)).compatible().ok());
        }
    });

    let upcoming = time(|| {
        let found: usize = specs.iter().map(|spec| next(&spec.schedule, now)).sum();
        black_box(found);
    });
    let years = now + TimeDelta::days(731);
    let mut occurrences = 0;
    let two_years = time(|| {
        occurrences = specs.iter().map(|spec| spec.schedule.between(now, years).len()).sum();
    });
    let one = all.first().context("a surge")?;
    let edit = time(|| {
        for _ in 0..1_000 {
            let found = spec(black_box(one)).map(|spec| next(&spec.schedule, now));
            black_box(found.ok());
        }
    }) / 1_000;

    let mut world = World { cluster: "bench".to_owned(), ..World::default() };
    for (n, spec) in specs.iter().enumerate() {
        let name = format!("surge-{n}");
        let record = SurgeRecord {
            name: name.clone(),
            uid: format!("uid-{n}"),
            generation: 1,
            deleting: false,
            spec: Ok(spec.clone()),
            status: primetime_core::state::surge::SurgeStatus::default(),
        };
        world.surges.insert(name, record.into());
    }
    let mut records = 0;
    let planned = time(|| records = plan(&world, now).records.len());

    let ratio = |time: Duration| time.as_secs_f64() / bare.as_secs_f64();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "bench: schedules of {SURGES} surges in {} zones, one core, median of {ROUNDS} rounds",
        zones.len()
    );
    println!(
        "  {} bare questions to the time zone data: {:.1} ms",
        SURGES * UPCOMING,
        milliseconds(bare)
    );
    println!(
        "  the next {UPCOMING} occurrences of each: {:.1} ms (goal 100), {:.1} x bare",
        milliseconds(upcoming),
        ratio(upcoming)
    );
    println!(
        "  a plan of the whole namespace, with {records} records: {:.1} ms, {:.1} x bare",
        milliseconds(planned),
        ratio(planned)
    );
    println!("  one edit, read and understood: {:.1} us (goal 50)", edit.as_secs_f64() * 1e6);
    println!(
        "  all {occurrences} occurrences of two years: {:.0} ms, {:.0} ns each",
        milliseconds(two_years),
        two_years.as_secs_f64() * 1e9 / f64::from(u32::try_from(occurrences)?)
    );
    Ok(())
}
