//! `kubectl surge check`: rules on the cluster, the installation and the surges, with a hint for each
//! finding.

mod cluster;
mod finding;
mod installation;
mod surges;
mod webhook;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;

use self::finding::{Finding, Rule, State};
use crate::cluster::Cluster;
use crate::screen::{self, Output};

/// Selection and format of the checks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check whether Primetime can be installed, before the installation.
    #[arg(long)]
    pre: bool,
    /// Repeat the checks until nothing is wrong or unknown, at most for this time: 90s, 5m.
    #[arg(long, value_parser = crate::duration::duration)]
    wait: Option<TimeDelta>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Interval between two rounds of `--wait`.
const INTERVAL: Duration = Duration::from_secs(2);

/// Prints the findings. The exit code is 1 if something is wrong or unknown.
pub async fn show(cluster: &Cluster, args: &Args) -> Result<ExitCode> {
    let began = tokio::time::Instant::now();
    let patience = args.wait.and_then(|wait| wait.to_std().ok()).unwrap_or_default();
    let findings = loop {
        let findings = look(cluster, args).await;
        if finding::passes(&findings) || began.elapsed() >= patience {
            break findings;
        }
        tokio::time::sleep(INTERVAL).await;
    };
    let text = match args.output {
        Output::Table => screen::painted(&finding::table(&findings)),
        Output::Json => finding::json(&findings)?,
    };
    screen::show(&text)?;
    Ok(if finding::passes(&findings) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Applies all rules. Rules on surges apply only if the API server serves the kinds.
async fn look(cluster: &Cluster, args: &Args) -> Vec<Finding> {
    let mut findings = cluster::look(cluster).await;
    if findings.iter().any(|f| f.rule == Rule::ApiServer && f.state != State::Ok) {
        return findings;
    }
    if args.pre {
        findings.extend(cluster::before_the_installation(cluster).await);
        return findings;
    }
    findings.extend(installation::look(cluster).await);
    if findings.iter().any(|f| f.rule == Rule::Kinds && f.state == State::Wrong) {
        return findings;
    }
    findings.extend(surges::look(cluster).await);
    findings
}
