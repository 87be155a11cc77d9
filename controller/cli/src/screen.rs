//! Output of the plugin: formats, standard output, and text for the terminal.

use std::io::{IsTerminal, Write};

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

/// Words that a terminal shows in a colour: SGR code, and the words. The colour repeats the word and
/// says nothing by itself.
const COLOURS: [(&str, &[&str]); 3] = [
    (
        "31;1",
        &["NO OPERATOR LEADS", "LEADER NOT KNOWN", "NOT KNOWN:", "AtRisk", "× wrong:", "OLD:"],
    ),
    ("33", &["‼ warning:", "? unknown:", "Holding", "Releasing"]),
    ("32", &["√", "OnTrack"]),
];

/// Colours the words of [`COLOURS`] if standard output is a terminal and `NO_COLOR` is not set
/// (<https://no-color.org>).
pub fn painted(text: &str) -> String {
    let no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if no || dumb || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    coloured(text)
}

fn coloured(text: &str) -> String {
    COLOURS.iter().fold(text.to_owned(), |text, (code, words)| {
        words
            .iter()
            .fold(text, |text, word| text.replace(word, &format!("\x1b[{code}m{word}\x1b[0m")))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_repeats_a_word() {
        assert_eq!(coloured("shop/x  AtRisk"), "shop/x  \x1b[31;1mAtRisk\x1b[0m");
        assert_eq!(painted("AtRisk"), "AtRisk", "tests have no terminal");
    }
}
