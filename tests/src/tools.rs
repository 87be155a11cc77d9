//! Programs for the tests, found or built once per machine by `tests/tools/ensure.sh`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Folder of the programs.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds or builds the programs. The progress goes to standard error.
    ///
    /// # Errors
    ///
    /// Returns an error if a program is missing and cannot be built. The script prints which
    /// packages to install.
    pub async fn ensure() -> Result<Self> {
        Self::found(&[]).await
    }

    /// Finds or builds the programs and KEDA.
    ///
    /// # Errors
    ///
    /// Returns an error if a program is missing and cannot be built, as in [`Self::ensure`].
    pub async fn with_keda() -> Result<Self> {
        Self::found(&["--keda"]).await
    }

    async fn found(arguments: &[&str]) -> Result<Self> {
        let script = root().join("tests/tools/ensure.sh");
        let output = Command::new("bash")
            .arg(&script)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await
            .with_context(|| script.display().to_string())?;
        if !output.status.success() {
            bail!("{} failed; its last lines are above", script.display());
        }
        let printed = String::from_utf8(output.stdout)?;
        let folder = printed.lines().last().context("ensure.sh printed no folder")?;
        Ok(Self { folder: folder.into() })
    }

    /// Returns the path of a program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Returns the root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns the path of a binary of the workspace, next to the running binary or up to two folders
/// above.
///
/// # Errors
///
/// Returns an error if the binary was not built.
pub fn built(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let found =
        me.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} was not built; run `cargo build --workspace`"))
}
