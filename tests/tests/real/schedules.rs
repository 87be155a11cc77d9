//! Recurring surges on a real API server: the runs of the next occurrences, and changes by users.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use primetime_api::{ScheduledSurge, SurgeRun};
use primetime_core::state::run::Stage;
use primetime_tests::capital::web_only;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::{built, root};
use serde_json::{Value, json};

/// Returns `examples/every-sunday.yaml` with an exclusion of the days around `now`. A test on a
/// Sunday evening would otherwise begin during the event.
fn sundays(now: DateTime<Utc>) -> Result<String> {
    let text = std::fs::read_to_string(root().join("examples/every-sunday.yaml"))?;
    let mut surge: Value = serde_yaml::from_str(&text)?;
    let day = |days: i64| (now + TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    let exclude = surge["spec"]["schedule"]["exclude"].as_array_mut().context("days")?;
    exclude.push(json!({"date": day(-1), "lastDate": day(2)}));
    Ok(serde_yaml::to_string(&surge)?)
}

/// Returns the output of `kubectl surge next` as JSON.
async fn next(args: &[&str], kubeconfig: Option<&std::path::Path>) -> Result<Vec<Value>> {
    let mut plugin = command(built("kubectl-surge")?);
    plugin.current_dir(root()).args(["next", "-o", "json", "--days", "60"]).args(args);
    plugin.env("KUBECONFIG", kubeconfig.unwrap_or(std::path::Path::new("/dev/null")));
    Ok(serde_json::from_str(&run(&mut plugin).await?)?)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Returns the unfinished runs of a surge, sorted by name.
async fn planned(evening: &Evening, surge: &str) -> Result<Vec<SurgeRun>> {
    let mut runs = evening.runs().await?;
    runs.retain(|run| {
        let over = run.status.as_ref().is_some_and(|s| s.completion_time.is_some());
        run.spec.surge_name.as_deref() == Some(surge) && !over
    });
    runs.sort_by_key(ResourceExt::name_any);
    Ok(runs)
}

async fn until_planned(evening: &Evening, surge: &str, names: &[String]) -> Result<()> {
    let what = format!("the runs {names:?}");
    evening
        .until(&what, 30, |e| async move {
            let there = planned(e, surge).await?;
            let there: Vec<_> = there.iter().map(ResourceExt::name_any).collect();
            Ok((there == names, format!("{there:?}")))
        })
        .await
}

async fn until_accepted(evening: &Evening, reason: &str, said: &str) -> Result<()> {
    let api: Api<ScheduledSurge> = Api::namespaced(evening.client(), SHOP);
    evening
        .until(&format!("{reason}: {said}"), 20, |_| {
            let api = api.clone();
            async move {
                let status = api.get("every-sunday").await?.status.unwrap_or_default();
                let accepted = status.conditions.iter().find(|c| c.type_ == "Accepted");
                let there =
                    accepted.is_some_and(|c| c.reason == reason && c.message.contains(said));
                Ok((there, format!("{accepted:?}")))
            }
        })
        .await
}

async fn patch(evening: &Evening, spec: Value) -> Result<()> {
    let api: Api<ScheduledSurge> = Api::namespaced(evening.client(), SHOP);
    let change = Patch::Merge(json!({"spec": spec}));
    api.patch("every-sunday", &PatchParams::default(), &change).await?;
    Ok(())
}

/// Returns a surge that recurs daily, and the first start. The start is a full minute that leaves
/// the pods time to become ready.
fn daily(now: DateTime<Utc>) -> Result<(ScheduledSurge, DateTime<Utc>)> {
    let soon = now + TimeDelta::seconds(100);
    let show = soon.with_second(0).and_then(|t| t.with_nanosecond(0)).context("a full minute")?;
    let mut surge = web_only("daily", show, 15, 40)?;
    surge.spec.event.hold = None;
    surge.spec.schedule.start_time = None;
    surge.spec.schedule.cron = Some(format!("{} {} * * *", show.minute(), show.hour()));
    surge.spec.schedule.time_zone = Some("UTC".to_owned());
    surge.spec.upcoming_limit = 1;
    Ok((surge, show))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_recurs_is_planned_ahead_cancelled_suspended_moved_and_done() -> Result<()> {
    let evening =
        Evening::begin("schedules", &Options::default(), |what| eprintln!("{what}")).await?;
    let (daily, show) = daily(Utc::now())?;
    evening.announce(&daily).await?;
    let sundays = sundays(Utc::now())?;
    evening.plane.apply(&sundays).await?;

    // `kubectl surge next` shows the same occurrences offline as the runs in the cluster.
    let file = evening.plane.folder.join("every-sunday.yaml");
    std::fs::write(&file, &sundays)?;
    let file = std::path::absolute(file)?.display().to_string();
    let calendar = next(&["-f", &file], None).await?;
    let names: Vec<String> =
        calendar.iter().map(|line| text(line, "run").to_owned()).take(5).collect();
    let four = names.get(..4).context("four runs")?;
    until_planned(&evening, "every-sunday", four).await?;
    for (run, line) in planned(&evening, "every-sunday").await?.iter().zip(&calendar) {
        let start = line["start"].as_str().context("a start")?.parse::<DateTime<Utc>>()?;
        ensure!(run.spec.start_time == start, "{run:?} and {line}");
        ensure!(run.spec.ready_time == start - TimeDelta::minutes(10), "{run:?}");
    }
    evening
        .until("starts in local time", 20, |e| async move {
            let runs = planned(e, "every-sunday").await?;
            let local = runs.iter().map(|r| r.status.clone().unwrap_or_default().start_local);
            let local: Vec<_> = local.map(Option::unwrap_or_default).collect();
            let fits = |t: &String| {
                (t.starts_with("Sun") && t.contains("20:50:00 CE"))
                    || (t.starts_with("Mon") && t.contains("08:00:00 CE"))
            };
            Ok((local.iter().all(fits), format!("{local:?}")))
        })
        .await?;

    // The planner cancels the occurrence whose run a person deletes. The occurrence after the last
    // then gets a run.
    let (first, rest) = names.split_first().context("five runs")?;
    let runs: Api<SurgeRun> = Api::namespaced(evening.client(), SHOP);
    runs.delete(first, &DeleteParams::default()).await?;
    until_accepted(&evening, "Scheduled", "is cancelled: its run was deleted").await?;
    until_planned(&evening, "every-sunday", rest).await?;
    let admin = evening.plane.kubeconfig("admin");
    let shown = next(&["-n", SHOP], Some(&admin)).await?;
    let cancelled = shown.iter().find(|line| text(line, "run") == first).context("shown")?;
    ensure!(cancelled["warnings"][0] == json!("cancelled: its run was deleted"), "{cancelled}");

    // The planner plans the runs again when `spec.suspend` becomes false. The cancelled occurrence
    // gets no run.
    patch(&evening, json!({"suspend": true})).await?;
    until_accepted(&evening, "Suspended", "nothing new is planned").await?;
    until_planned(&evening, "every-sunday", &[]).await?;
    patch(&evening, json!({"suspend": false})).await?;
    until_planned(&evening, "every-sunday", rest).await?;

    // The planner replaces the runs that have not begun after an edit, and an Event names the edit.
    let later = json!([
        {"name": "evening", "cron": "0 22 * * SUN", "durationSeconds": 7200},
        {"name": "morning", "cron": "0 8 * * MON", "durationSeconds": 3600},
    ]);
    patch(&evening, json!({"schedule": {"windows": later}})).await?;
    evening
        .until("the later evenings", 30, |e| async move {
            let runs = planned(e, "every-sunday").await?;
            let local = runs.iter().map(|r| r.status.clone().unwrap_or_default().start_local);
            let evenings =
                local.flatten().filter(|t| t.starts_with("Sun") && t.contains("22:00:00"));
            Ok((runs.len() >= 4 && evenings.count() >= 2, format!("{runs:?}")))
        })
        .await?;
    let events = evening.events().await?;
    ensure!(events.contains("is not planned any more: surge every-sunday was edited"), "{events}");

    // Today's run of the daily surge is ready and finished in time, and the planner plans
    // tomorrow's run.
    let today = primetime_core::occurrences::run_name("daily", show);
    evening
        .until("tonight's run to be over, and tomorrow's to be planned", 240, |e| {
            let today = &today;
            async move {
                let runs = e.runs().await?;
                let of = |name: &str| runs.iter().find(|run| run.name_any() == *name);
                let status = of(today).and_then(|run| run.status.clone()).unwrap_or_default();
                let tomorrow =
                    of(&primetime_core::occurrences::run_name("daily", show + TimeDelta::days(1)));
                let done = status.stage == Stage::Done && tomorrow.is_some();
                Ok((done, format!("{:?} {}", status.stage, status.message)))
            }
        })
        .await?;
    let said = evening.runs().await?;
    let done = said.iter().find(|run| run.name_any() == today).context("the run is kept")?;
    let message = done.status.clone().unwrap_or_default().message;
    ensure!(message.contains("everything was given back"), "{message}");
    evening.end()
}
