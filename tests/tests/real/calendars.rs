//! Events from calendar feeds on a real API server: the feeds move, extend, break and shrink.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use primetime_api::{ScheduledSurge, SurgeCalendar, SurgeRun};
use primetime_core::state::run::Stage;
use primetime_tests::capital::web_only;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::plane::Options;
use primetime_tests::process::run;
use serde_json::json;

/// Answer of the feed server for a path.
#[derive(Clone, Debug)]
enum Answers {
    Text(String),
    Status(u16),
    Redirect,
    Bytes(Vec<u8>),
    Never,
}

/// A server of feeds, with a count of the 304 answers.
#[derive(Clone, Default)]
struct Broadcaster {
    says: Arc<Mutex<BTreeMap<String, Answers>>>,
    unchanged: Arc<Mutex<u32>>,
}

impl Broadcaster {
    fn say(&self, feed: &str, answer: Answers) {
        self.says.lock().unwrap().insert(feed.to_owned(), answer);
    }

    async fn open(&self, port: u16) -> Result<()> {
        let app = Router::new()
            .route("/feeds/{name}", axum::routing::get(answer))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(())
    }
}

async fn answer(
    State(broadcaster): State<Broadcaster>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let says = broadcaster.says.lock().unwrap().get(&name).cloned();
    match says {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answers::Status(code)) => {
            StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY).into_response()
        }
        Some(Answers::Redirect) => {
            (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:1/feeds/")]).into_response()
        }
        Some(Answers::Bytes(bytes)) => bytes.into_response(),
        Some(Answers::Never) => std::future::pending().await,
        Some(Answers::Text(text)) => {
            let tag = format!("\"{}-{}\"", text.len(), text.bytes().map(u64::from).sum::<u64>());
            if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str()) {
                *broadcaster.unchanged.lock().unwrap() += 1;
                return StatusCode::NOT_MODIFIED.into_response();
            }
            ([(header::ETAG, tag)], text).into_response()
        }
    }
}

fn ics(events: &[(&str, DateTime<Utc>, DateTime<Utc>)]) -> Answers {
    let stamp = |at: &DateTime<Utc>| at.format("%Y%m%dT%H%M%SZ").to_string();
    let event = |(id, start, end): &(&str, DateTime<Utc>, DateTime<Utc>)| {
        format!(
            "BEGIN:VEVENT\r\nUID:{id}\r\nSUMMARY:Capital\r\nDTSTART:{}\r\nDTEND:{}\r\nEND:VEVENT\r\n",
            stamp(start),
            stamp(end)
        )
    };
    let events: Vec<String> = events.iter().map(event).collect();
    Answers::Text(format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n", events.concat()))
}

/// Returns a surge on `web` that follows a calendar (`spec.schedule.calendarRef`).
fn following(name: &str, calendar: &str) -> Result<ScheduledSurge> {
    let mut surge = web_only(name, Utc::now(), 15, 40)?;
    surge.spec.event.hold = None;
    surge.spec.schedule = serde_json::from_value(json!({"calendarRef": {"name": calendar}}))?;
    Ok(surge)
}

async fn follow(evening: &Evening, name: &str, spec: serde_json::Value) -> Result<()> {
    let object = json!({
        "apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeCalendar",
        "metadata": {"name": name, "namespace": SHOP}, "spec": spec,
    });
    evening.plane.apply(&serde_yaml::to_string(&object)?).await?;
    Ok(())
}

/// Waits until the condition `Ready` of a calendar has the given reason and message.
async fn until_said(evening: &Evening, calendar: &str, reason: &str, said: &str) -> Result<()> {
    let api: Api<SurgeCalendar> = Api::namespaced(evening.client(), SHOP);
    evening
        .until(&format!("{calendar} {reason}: {said}"), 60, |_| {
            let api = api.clone();
            async move {
                let status = api.get(calendar).await?.status.unwrap_or_default();
                let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
                let there = ready.is_some_and(|c| c.reason == reason && c.message.contains(said));
                Ok((there, format!("{ready:?}")))
            }
        })
        .await
}

/// Returns start and end of all unfinished runs of a surge, sorted.
async fn windows(evening: &Evening, surge: &str) -> Result<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
    let runs = evening.runs().await?;
    let of = |run: &&SurgeRun| {
        let over = run.status.as_ref().is_some_and(|s| s.completion_time.is_some());
        run.spec.surge_name.as_deref() == Some(surge) && !over
    };
    let mut windows: Vec<_> =
        runs.iter().filter(of).map(|run| (run.spec.start_time, run.spec.end_time)).collect();
    windows.sort();
    Ok(windows)
}

async fn until_planned(
    evening: &Evening,
    surge: &str,
    wanted: &[(DateTime<Utc>, DateTime<Utc>)],
) -> Result<()> {
    evening
        .until(&format!("{surge}: {wanted:?}"), 40, |e| async move {
            let there = windows(e, surge).await?;
            Ok((there == wanted, format!("{there:?}")))
        })
        .await
}

fn second(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_moves_moves_its_run_and_one_that_goes_on_lengthens_it() -> Result<()> {
    let evening =
        Evening::begin("calendars", &Options::default(), |what| eprintln!("{what}")).await?;
    let broadcaster = Broadcaster::default();
    broadcaster.open(evening.operator.feeds_port).await?;
    let url = |feed: &str| format!("http://127.0.0.1:{}/feeds/{feed}", evening.operator.feeds_port);
    let by_url =
        |feed: &str| json!({"format": "iCalendar", "url": url(feed), "intervalSeconds": 10});

    // A feed that never answers and a URL that is not allowed must not delay the feed of tonight's
    // show.
    broadcaster.say("hang.ics", Answers::Never);
    follow(&evening, "hangs", by_url("hang.ics")).await?;
    let elsewhere = json!({"format": "iCalendar", "url": "http://127.0.0.1:1/x.ics"});
    follow(&evening, "elsewhere", elsewhere).await?;
    let (show, long) = (second(Utc::now()) + TimeDelta::seconds(75), TimeDelta::seconds(20));
    broadcaster.say("tonight.ics", ics(&[("capital", show, show + long)]));
    follow(&evening, "tonight", by_url("tonight.ics")).await?;
    evening.announce(&following("tonight", "tonight")?).await?;
    until_planned(&evening, "tonight", &[(show, show + long)]).await?;

    // The show starts 12 s late: the run moves to the new start, and no second run appears.
    let late = show + TimeDelta::seconds(12);
    broadcaster.say("tonight.ics", ics(&[("capital", late, late + long)]));
    until_planned(&evening, "tonight", &[(late, late + long)]).await?;
    until_said(&evening, "elsewhere", "Unreadable", "is not allowed; ask the platform team")
        .await?;

    // The feed extends the event while the run is live. The feed is empty afterwards, and the run
    // continues unchanged.
    evening
        .until("pods to be ready for the show", 120, |e| async move {
            let status = e.status("tonight").await?;
            Ok((status.stage == Stage::Live, format!("{:?} {}", status.stage, status.message)))
        })
        .await?;
    ensure!(Utc::now() >= late, "live at its new time, not before");
    let longer = late + TimeDelta::seconds(45);
    broadcaster.say("tonight.ics", ics(&[("capital", late, longer)]));
    until_planned(&evening, "tonight", &[(late, longer)]).await?;
    broadcaster.say("tonight.ics", ics(&[]));
    until_said(&evening, "tonight", "Shrunk", "the feed has 0 of 1 events").await?;
    ensure!(windows(&evening, "tonight").await? == [(late, longer)], "an empty feed");
    until_said(&evening, "hangs", "Unreadable", "has not answered within 30 s").await?;
    evening
        .until("everything to be given back", 180, |e| async move {
            let runs = e.runs().await?;
            let over =
                |run: &&SurgeRun| run.status.as_ref().is_some_and(|s| s.completion_time.is_some());
            let done = runs.iter().filter(over).count();
            Ok((done == 1 && e.replicas("web").await? == 10, format!("{done} over")))
        })
        .await?;
    let events = evening.events().await?;
    ensure!(events.contains("its event was moved or stretched"), "{events}");
    evening.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_breaks_empties_or_shrinks_calls_nothing_off() -> Result<()> {
    let evening = Evening::begin("feeds", &Options::default(), |what| eprintln!("{what}")).await?;
    let broadcaster = Broadcaster::default();
    broadcaster.open(evening.operator.feeds_port).await?;
    let url = format!("http://127.0.0.1:{}/feeds/weekly.ics", evening.operator.feeds_port);
    let spec = json!({"format": "iCalendar", "url": url, "intervalSeconds": 10});
    let week = |n: i64| {
        let start = second(Utc::now()) + TimeDelta::days(3) + TimeDelta::weeks(n);
        (start, start + TimeDelta::hours(2))
    };
    let (one, two, three) = (week(0), week(1), week(2));
    let three_shows = ics(&[("1", one.0, one.1), ("2", two.0, two.1), ("3", three.0, three.1)]);
    broadcaster.say("weekly.ics", three_shows.clone());
    follow(&evening, "weekly", spec.clone()).await?;
    evening.announce(&following("weekly", "weekly")?).await?;
    let planned = [one, two, three];
    until_planned(&evening, "weekly", &planned).await?;

    let mut gzip = vec![0x1f, 0x8b];
    gzip.resize(1_000, 0);
    for (answer, said) in [
        (Answers::Status(500), "answers 500"),
        (Answers::Redirect, "redirects are not followed"),
        (Answers::Text("<!DOCTYPE html><html>Sign in".into()), "is an HTML page and no iCalendar"),
        (Answers::Bytes(gzip), "is compressed"),
        (Answers::Bytes(vec![b' '; 21 << 20]), "at most 20 MiB are read"),
        (Answers::Text("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n".into()), "breaks off in the middle"),
    ] {
        broadcaster.say("weekly.ics", answer);
        until_said(&evening, "weekly", "Unreadable", said).await?;
        ensure!(windows(&evening, "weekly").await? == planned, "{said}");
    }
    // The feed is valid again. The server then answers 304 to the next request, because the feed is
    // unchanged.
    broadcaster.say("weekly.ics", three_shows);
    until_said(&evening, "weekly", "Read", "3 events to come").await?;
    let asked = broadcaster.unchanged.clone();
    primetime_tests::wait::wait_until("a 304", Duration::from_secs(30), || {
        let times = *asked.lock().unwrap();
        async move { Ok((times > 0, format!("{times}"))) }
    })
    .await?;

    // The feed keeps a single event of three. The planner cancels no run until a person sets
    // `spec.acceptDigest`.
    broadcaster.say("weekly.ics", ics(&[("1", one.0, one.1)]));
    until_said(&evening, "weekly", "Shrunk", "the feed has 1 of 3 events").await?;
    ensure!(windows(&evening, "weekly").await? == planned, "a feed that shrank");
    let api: Api<SurgeCalendar> = Api::namespaced(evening.client(), SHOP);
    let pending = api.get("weekly").await?.status.and_then(|s| s.pending_digest);
    let pending = pending.context("a pending digest")?;
    let accept = Patch::Merge(json!({"spec": {"acceptDigest": pending}}));
    api.patch("weekly", &PatchParams::default(), &accept).await?;
    until_planned(&evening, "weekly", &[one]).await?;

    // The second calendar reads a programme guide from a `ConfigMap`.
    let guide = |start: DateTime<Utc>| {
        let start = start.format("%Y%m%d%H%M%S +0000");
        let text = format!(
            "<tv><programme start=\"{start}\" channel=\"m6.fr\"><title>Capital: soir</title></programme>\
             <programme start=\"{start}\" channel=\"tf1.fr\"><title>Capital</title></programme></tv>"
        );
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "guide", "namespace": SHOP},
            "data": {"guide.xml": text},
        })
    };
    evening.plane.apply(&serde_yaml::to_string(&guide(two.0))?).await?;
    let spec = json!({
        "format": "XMLTV", "configMapKeyRef": {"name": "guide", "key": "guide.xml"},
        "match": {"channel": "m6.fr", "title": "capital*"}, "intervalSeconds": 10,
    });
    follow(&evening, "guide", spec).await?;
    evening.announce(&following("guided", "guide")?).await?;
    let hour = TimeDelta::hours(1);
    until_planned(&evening, "guided", &[(two.0, two.0 + hour)]).await?;
    let later = two.0 + TimeDelta::minutes(12);
    evening.plane.apply(&serde_yaml::to_string(&guide(later))?).await?;
    until_planned(&evening, "guided", &[(later, later + hour)]).await?;
    let mut shown = evening.plane.kubectl();
    let shown = run(shown.args(["-n", SHOP, "get", "surgecalendars", "guide"])).await?;
    ensure!(shown.contains("Capital: soir") && shown.contains("Read"), "{shown}");
    let names: Vec<_> = evening.runs().await?.iter().map(ResourceExt::name_any).collect();
    ensure!(names.len() == 2, "{names:?}");
    evening.end()
}
