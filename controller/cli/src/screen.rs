//! Output of the plugin: formats, standard output, and text for the terminal.

use std::io::Write;

use anyhow::Result;
use chrono::TimeDelta;
use clap::ValueEnum;

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Table for people.
    Table,
    /// JSON for programs.
    Json,
}

/// Writes a text to standard output. If a reader such as `head -1` has closed the pipe, the error
/// is no failure, see [`is_closed`].
pub fn show(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Replaces control characters with spaces, because text of other programs could move the cursor or
/// set colours.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Formats a duration: `42 s`, `2m10s`, `3h05m`, `2d07h`.
pub fn length(time: TimeDelta) -> String {
    match time.num_seconds().max(0) {
        n @ 0..60 => format!("{n} s"),
        n @ 60..3_600 => format!("{}m{:02}s", n / 60, n % 60),
        n @ 3_600..86_400 => format!("{}h{:02}m", n / 3_600, n % 3_600 / 60),
        n => format!("{}d{:02}h", n / 86_400, n % 86_400 / 3_600),
    }
}

/// True if the error means that the reader has closed standard output.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
