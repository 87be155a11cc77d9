//! `kubectl surge`: tonight at a glance, and one command to overrule everything.

mod cluster;
mod overrule;
mod simulate;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cluster::Where;
use crate::overrule::{Boost, Overrule};
use primetime_api::OverrideAction;

/// Surges for people: what is coming, what is going on, and how to overrule it.
#[derive(Debug, Parser)]
#[command(name = "kubectl surge", bin_name = "kubectl surge", version)]
struct Args {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stage, T0, pods, machines, verdict and overrides of every run that is not over.
    Status(status::Args),
    /// Lower nothing until the override expires.
    Hold(Overrule),
    /// Raise the floor until the override expires, up to maxReplicas.
    Boost {
        #[command(flatten)]
        overrule: Overrule,
        #[command(flatten)]
        boost: Boost,
    },
    /// Let the event end when the override expires, if that is later.
    Extend(Overrule),
    /// Come down now, step by step.
    Release(Overrule),
    /// Play the evening of a surge in virtual time, without a cluster: what will happen when, and what it is worth.
    Simulate(Box<simulate::Args>),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Command::Simulate(what) = &args.command {
        return ended(simulate::run(what));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    ended(runtime.block_on(run(args)))
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = args.place.connect().await?;
    let none = Boost::default();
    match &args.command {
        Command::Status(which) => status::show(&cluster, which).await,
        Command::Hold(o) => overrule::send(&cluster, OverrideAction::Hold, o, &none).await,
        Command::Boost { overrule, boost } => {
            overrule::send(&cluster, OverrideAction::Boost, overrule, boost).await
        }
        Command::Extend(o) => overrule::send(&cluster, OverrideAction::Extend, o, &none).await,
        Command::Release(o) => overrule::send(&cluster, OverrideAction::Release, o, &none).await,
        Command::Simulate(what) => simulate::run(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
