//! What people and programs read.

use std::io::Write;

use anyhow::Result;
use chrono::TimeDelta;
use clap::ValueEnum;

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Writes to standard output. A reader (`| head -1`) that has enough closes it: that is no failure, see [`is_closed`].
pub fn show(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Text from outside, with nothing in it that moves the cursor or sets colours.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A length of time as people say it: `42 s`, `2m10s`, `3h05m`, `2d07h`.
pub fn length(time: TimeDelta) -> String {
    match time.num_seconds().max(0) {
        n @ 0..60 => format!("{n} s"),
        n @ 60..3_600 => format!("{}m{:02}s", n / 60, n % 60),
        n @ 3_600..86_400 => format!("{}h{:02}m", n / 3_600, n % 3_600 / 60),
        n => format!("{}d{:02}h", n / 86_400, n % 86_400 / 3_600),
    }
}

/// Standard output was closed.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
