//! Child processes with logs under `target/`. The children end with the parent process, even after
//! a failure or Ctrl-C.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

/// A program that runs until the value is dropped or the program is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program and appends the output to `FOLDER/NAME.log`.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be opened, or the program cannot be started.
    pub fn start(folder: &Path, name: &str, command: &mut Command) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            // Ctrl-C reaches only the foreground process group. The parent stops the children
            // itself, in a defined order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// Fails if the program has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the program has ended. The error contains the end of the log.
    pub fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended with {status}; the end of {}:\n{}",
                self.name,
                self.log.display(),
                self.tail()
            );
        }
        Ok(())
    }

    /// Returns the last 15 lines of the log.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(15)).copied().collect::<Vec<_>>().join("\n")
    }

    /// Kills the program with SIGKILL, as a crash does, and waits for the exit.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("{} could not be killed", self.name))
    }

    /// Sends SIGTERM to the program and waits at most 15 s for the exit.
    ///
    /// # Errors
    ///
    /// Returns an error if the program does not run, does not exit in time, or exits with a
    /// failure.
    pub async fn terminate(&mut self) -> Result<()> {
        let id = self.id().with_context(|| format!("{} does not run", self.name))?;
        run(Command::new("kill").args(["-TERM", &id.to_string()])).await?;
        let status = self.ended(std::time::Duration::from_secs(15)).await?;
        if status.success() {
            return Ok(());
        }
        bail!("{} stopped with {status}:\n{}", self.name, self.tail());
    }

    /// Waits until the program has exited.
    ///
    /// # Errors
    ///
    /// Returns an error if the program does not exit within `patience`.
    pub async fn ended(&mut self, patience: std::time::Duration) -> Result<ExitStatus> {
        let status = tokio::time::timeout(patience, self.child.wait()).await;
        Ok(status.with_context(|| format!("{} does not stop", self.name))??)
    }

    /// Returns the process id of a running program.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Returns a command for a program.
///
/// If `/usr/bin/setpriv` exists, the kernel kills the program when the parent dies, even after
/// SIGKILL.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if setpriv.exists() {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        return command;
    }
    Command::new(program)
}

/// Runs a program to the end and returns the standard output.
///
/// # Errors
///
/// Returns an error if the program cannot be started, or fails. The error contains the whole
/// output.
pub async fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| shown.clone())?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    bail!("{shown} failed:\n{printed}{}", String::from_utf8_lossy(&output.stderr));
}

/// Ports for servers, below the ports of outgoing connections (Linux from 32768, macOS from 49152).
/// An outgoing connection therefore never takes a port before the server listens.
const PORTS: std::ops::Range<u32> = 20_000..30_000;

/// Returns a free loopback port, a different port for each call.
///
/// # Errors
///
/// Returns an error if no port of the range is free.
pub fn free_port() -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Parallel processes begin at different ports, which makes collisions unlikely.
    let first = std::process::id().wrapping_mul(127);
    let count = PORTS.end - PORTS.start;
    for _ in 0..count {
        let next = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + next % count)?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free on 127.0.0.1", PORTS.start, PORTS.end - 1)
}
