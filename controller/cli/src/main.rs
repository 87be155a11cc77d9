//! `kubectl surge`: status of announced events, and overrides of runs.

mod ask;
mod check;
mod cluster;
mod create;
mod duration;
mod files;
mod leader;
mod machines;
mod next;
mod operator;
mod overrule;
mod preflight;
mod report;
mod runs;
mod screen;
mod simulate;
mod status;
mod suspend;
mod validate;
mod version;
mod wait;
mod wall;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

use crate::cluster::Where;
use crate::overrule::{About, Boost, Overrule, Start, Steps, Undo};
use primetime_api::OverrideAction;
use primetime_core::schedule::tzdb_version;
use primetime_k8s::zoneinfo;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Show announced events and the readiness of each event, and override runs.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl surge",
    bin_name = "kubectl surge",
    version = version(),
    after_help = "Exit codes: 0 done, 1 something is wrong or not known, 2 usage, 3 no operator leads, 4 override not obeyed within 5 s"
)]
struct Args {
    #[command(flatten)]
    place: Where,
    /// Folder of time zone data to use instead of the built-in data, such as /usr/share/zoneinfo.
    #[arg(long, global = true, env = "PRIMETIME_ZONEINFO")]
    zoneinfo: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

fn version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{} (tzdb {})", env!("CARGO_PKG_VERSION"), tzdb_version()))
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Online(Online),
    #[command(flatten)]
    Offline(Offline),
}

/// Commands that need a cluster.
#[derive(Debug, Subcommand)]
enum Online {
    /// Show stage, T0, pods, machines, verdict and overrides of every run that is not over.
    Status(status::Args),
    /// List coming events with overlaps and warnings; with -f, events of files instead of a
    /// cluster.
    Next(next::Args),
    /// List the machines of the runs, with state, node and run; with --idle, nodes that serve no pod.
    Machines(machines::Args),
    /// Check the cluster, the installation, and the surges of the namespace; with --pre, whether
    /// Primetime can be installed.
    Check(check::Args),
    /// Lower no replicas and release no machines until the override expires.
    Hold(Overrule),
    /// Raise the floor until the override expires, up to maxReplicas.
    Boost {
        #[command(flatten)]
        overrule: Overrule,
        #[command(flatten)]
        boost: Boost,
    },
    /// Extend the event to the expiry of the override, if the expiry is later than the end.
    Extend(Overrule),
    /// Release all floors and machines now, step by step.
    Release(Overrule),
    /// Turn degradation steps on until the override expires; also for a rehearsal.
    Degrade {
        #[command(flatten)]
        overrule: Overrule,
        #[command(flatten)]
        steps: Steps,
    },
    /// Turn degradation steps off until the override expires.
    Restore {
        #[command(flatten)]
        overrule: Overrule,
        #[command(flatten)]
        steps: Steps,
    },
    /// Start the event of a surge with startPolicy Manual now; a second start changes nothing.
    Start(Start),
    /// Delete the newest override of a surge that is in force.
    Undo(Undo),
    /// Announce an event from flags, without a file.
    Create(create::Args),
    /// Plan no further occurrence of a surge. A run that has begun continues.
    Suspend(suspend::Suspend),
    /// Plan the occurrences of a surge again.
    Resume(suspend::Suspend),
    /// Call off a single run.
    Cancel(suspend::Cancel),
    /// Wait until the next run of a surge is ready, live or done.
    Wait(wait::Args),
    /// Print the report of a finished run, as Markdown for a ticket.
    Report(report::Args),
    /// Print the versions of plugin, operator and Kubernetes.
    Version,
}

/// Commands that need no cluster.
#[derive(Debug, Subcommand)]
enum Offline {
    /// Check files as the API server would, without an API server.
    Validate(validate::Args),
    /// Simulate the event of a surge in virtual time, without a cluster, with a timeline of
    /// decisions and with figures.
    Simulate(Box<simulate::Args>),
    /// Print the completion script of a shell: source <(kubectl surge completion bash).
    Completion {
        /// Shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// Folder, which must exist.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mounted = args.zoneinfo.as_deref().map_or(Ok(()), |folder| {
        zoneinfo::mount(folder).with_context(|| format!("--zoneinfo {}", folder.display()))
    });
    let result = mounted.and_then(|()| match &args.command {
        Command::Offline(Offline::Simulate(what)) => {
            simulate::run(what).map(|()| ExitCode::SUCCESS)
        }
        Command::Offline(Offline::Validate(what)) => validate::run(what),
        Command::Offline(Offline::Completion { shell }) => completion(*shell),
        Command::Offline(Offline::Man { folder }) => {
            let pages = clap_mangen::generate_to(Args::command(), folder);
            pages.map(|()| ExitCode::SUCCESS).with_context(|| folder.display().to_string())
        }
        Command::Online(what) => online(&args.place, what).map_err(|why| args.place.named(why)),
    });
    result.unwrap_or_else(|error| {
        if screen::is_closed(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {}", screen::plain(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}

/// Prints the completion script for the binary `kubectl-surge`.
fn completion(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "kubectl-surge", &mut script);
    screen::show(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn online(place: &Where, command: &Online) -> Result<ExitCode> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let many = matches!(
        command,
        Online::Status(_)
            | Online::Next(_)
            | Online::Machines(_)
            | Online::Check(_)
            | Online::Version
    );
    if !many && place.all() {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        Args::command().error(kind, "-A: this command concerns a single namespace").exit();
    }
    let started;
    let (action, overrule, about) = match command {
        Online::Status(which) => {
            let cluster = place.connect().await?;
            return match (&which.surge, &which.target) {
                (Some(surge), Some(target)) => why::show(&cluster, surge, target, which.utc).await,
                _ => status::show(&cluster, which).await,
            };
        }
        Online::Next(what) => return next::show(place, what).await,
        Online::Machines(what) => return machines::show(&place.connect().await?, what).await,
        Online::Check(what) => return check::show(&place.connect().await?, what).await,
        Online::Hold(overrule) => (OverrideAction::Hold, overrule, About::default()),
        Online::Boost { overrule, boost } => {
            (OverrideAction::Boost, overrule, About { boost: Some(boost), steps: None })
        }
        Online::Degrade { overrule, steps } => {
            (OverrideAction::Degrade, overrule, About { boost: None, steps: Some(steps) })
        }
        Online::Restore { overrule, steps } => {
            (OverrideAction::Restore, overrule, About { boost: None, steps: Some(steps) })
        }
        Online::Extend(overrule) => (OverrideAction::Extend, overrule, About::default()),
        Online::Release(overrule) => (OverrideAction::Release, overrule, About::default()),
        Online::Start(start) => {
            started = Overrule::from(start);
            (OverrideAction::Start, &started, About::default())
        }
        Online::Create(what) => return create::announce(place, what).await,
        Online::Suspend(what) => {
            return suspend::suspend(&place.connect().await?, what, true).await;
        }
        Online::Resume(what) => {
            return suspend::suspend(&place.connect().await?, what, false).await;
        }
        Online::Cancel(what) => return suspend::cancel(&place.connect().await?, what).await,
        Online::Wait(what) => return wait::until(&place.connect().await?, what).await,
        Online::Report(what) => return report::show(&place.connect().await?, what).await,
        Online::Version => return version::show(&place.connect().await?, version()).await,
        Online::Undo(what) => return overrule::undo(&place.connect().await?, what).await,
    };
    overrule::send(&place.connect().await?, action, overrule, about).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
