//! The "Capital" evening in five minutes on a real Kubernetes API.
//!
//! The demo announces the event, scales up before the start, holds, exceeds the forecast, releases,
//! and cleans up.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use primetime_core::state::run::{RunStatus, Stage};
use primetime_tests::capital::{self, BREAKING_SESSIONS, PEAK_SESSIONS, USUAL_SESSIONS};
use primetime_tests::evening::{Evening, SHOP, folder};
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::built;

/// Speed-up of the clock: a minute of 2014 takes a second in the demo.
const SPEED: u32 = 60;

/// The "Capital" evening of 2014 on a real Kubernetes API; a minute of 2014 takes a second.
#[derive(clap::Parser)]
struct Args {
    /// Seconds from the announcement to the show; the operator requests machines 55 seconds before
    /// the show.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(60..))]
    ahead: u32,
}

/// Timeout of the whole demo.
const AT_MOST: Duration = Duration::from_secs(720);

#[tokio::main]
async fn main() -> ExitCode {
    let ahead = TimeDelta::seconds(i64::from(<Args as clap::Parser>::parse().ahead));
    let evening = tokio::time::timeout(AT_MOST, demo(ahead));
    let result = tokio::select! {
        result = evening => result.unwrap_or_else(|_| Err(anyhow::anyhow!("the evening took longer than {} s", AT_MOST.as_secs()))),
        signal = asked_to_stop() => Err(anyhow::anyhow!("{signal}; what was started has been stopped")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}\ndemo: logs are in {}", folder("demo").display());
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGINT, SIGTERM or SIGHUP, and returns the text for the error message.
async fn asked_to_stop() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let asked = async |kind: SignalKind| match signal(kind) {
        Ok(mut signal) => signal.recv().await,
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = asked(SignalKind::interrupt()) => "interrupted",
        _ = asked(SignalKind::terminate()) => "terminated",
        _ = asked(SignalKind::hangup()) => "the terminal is gone",
    }
}

async fn demo(ahead: TimeDelta) -> Result<()> {
    let mut evening =
        Evening::begin("demo", &Options::default(), |what| println!("demo: {what}")).await?;
    let show = Utc::now() + ahead;
    let surge = capital::shifted(show, SPEED)?;
    println!(
        "demo: the API is real; nodes and pods are played by KWOK, so start-up times are drawn"
    );
    println!("demo: look around from another terminal with");
    println!(
        "        export KUBECONFIG={}",
        evening.plane.kubeconfig("admin").canonicalize()?.display()
    );
    println!("        kubectl get surges,runs,holds -n {SHOP}");
    println!(
        "demo: kubectl apply -f examples/capital-2014.yaml, its show moved to {} and every minute made a second",
        show.format("%H:%M:%SZ")
    );
    print!("{}", evening.announce(&surge).await?);
    println!(
        "\n{:>8}  {:<10} {:>9}  {:>11} {:>11} {:>9} {:>9}",
        "", "STAGE", "T0", "WEB", "SEARCH", "MACHINES", "SESSIONS"
    );
    let end = watch(&mut evening, &surge, show).await?;
    evening.site.set_sessions(USUAL_SESSIONS);

    println!();
    let report = run(command(built("kubectl-surge")?)
        .arg("--kubeconfig")
        .arg(evening.plane.kubeconfig("admin"))
        .args(["-n", SHOP, "status", "capital", "--done", "--log", "0"]))
    .await?;
    print!("{report}");
    if end != Stage::Done {
        bail!("the run ended as {}", end.as_str());
    }
    evening.everything_is_back().await.context("not everything was given back")?;
    println!(
        "demo: everything was given back: HPA 10/60, search 5, {} of {} instances terminated, no hold, no finalizer",
        evening.ec2.started() - evening.ec2.living().len(),
        evening.ec2.started()
    );
    evening.end()
}

/// Returns the sessions at `now`: usual before the show, then the forecast peak, then above the
/// forecast, then usual again.
fn sessions(now: DateTime<Utc>, show: DateTime<Utc>, duration: i32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let since = (now - show).num_milliseconds() as f64 / 1000.0;
    let share = since / f64::from(duration);
    let ramp = 300.0 / f64::from(SPEED);
    match share {
        s if s < 0.0 => USUAL_SESSIONS,
        s if s < 0.5 => USUAL_SESSIONS + (PEAK_SESSIONS - USUAL_SESSIONS) * (since / ramp).min(1.0),
        s if s < 0.8 => BREAKING_SESSIONS,
        s if s < 1.05 => PEAK_SESSIONS,
        _ => USUAL_SESSIONS,
    }
}

/// Prints the progress of the evening until `status.completionTime` is set. Returns the final
/// stage.
async fn watch(
    evening: &mut Evening,
    surge: &primetime_api::ScheduledSurge,
    show: DateTime<Utc>,
) -> Result<Stage> {
    let t0 = show - TimeDelta::seconds(i64::from(surge.spec.ready_before_seconds));
    let mut told = BTreeSet::new();
    let mut last = String::new();
    let mut shown_at = Utc::now() - TimeDelta::seconds(60);
    loop {
        let now = Utc::now();
        let seconds = surge.spec.schedule.duration_seconds.unwrap_or_default();
        evening.site.set_sessions(sessions(now, show, seconds));
        evening.plane.alive()?;
        // The run does not exist before the first reconcile of the operator.
        let Ok(status) = evening.status("capital").await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        for d in &status.decisions {
            let line = format!("{} {}", d.time.format("%H:%M:%S"), d.message);
            if told.insert(line.clone()) {
                println!("          {line}");
            }
        }
        let line = line(&status, evening.site.sessions());
        // The demo prints a line at most once a second after a change, and every 15 s without a
        // change.
        if (line != last && now - shown_at >= TimeDelta::seconds(1))
            || now - shown_at >= TimeDelta::seconds(15)
        {
            let seconds = (t0 - now).num_seconds();
            let sign = if seconds >= 0 { '-' } else { '+' };
            let countdown = format!("T{sign}{:02}:{:02}", seconds.abs() / 60, seconds.abs() % 60);
            println!(
                "{:>8}  {:<10} {countdown:>9}  {line}",
                now.format("%H:%M:%S"),
                status.stage.as_str()
            );
            last = line;
            shown_at = now;
        }
        if status.completion_time.is_some() {
            // The operator removes the finalizer after the status update; the pause lets the
            // removal finish.
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Ok(status.stage);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn line(status: &RunStatus, sessions: f64) -> String {
    let target = |name: &str| {
        let t = status.targets.iter().find(|t| t.name == name);
        t.map_or_else(String::new, |t| {
            let ready = t.ready.map_or_else(|| "?".to_owned(), |n| n.to_string());
            let wanted = t.wanted(status.release.is_some());
            format!("{ready}/{}", wanted.map_or_else(|| "?".to_owned(), |n| n.to_string()))
        })
    };
    let machines = status.machine_summary.clone().unwrap_or_default();
    format!("{:>11} {:>11} {machines:>9} {sessions:>9.0}", target("web"), target("search"))
}
