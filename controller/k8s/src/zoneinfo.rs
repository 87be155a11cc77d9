//! Time zone data from a folder, such as `/usr/share/zoneinfo`, instead of the bundled one.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use primetime_core::schedule::Tzdb;

/// What every file of `zic` begins with (RFC 9636).
const MAGIC: &[u8] = b"TZif";

/// Copies of all zones: the same ones, and those that count leap seconds, which no clock on a wall does.
const COPIES: [&str; 2] = ["posix", "right"];

/// Reads all zones of a folder, and lets them count from now on.
///
/// # Errors
///
/// If the folder cannot be read, or a zone in it, or there is none.
pub fn mount(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    read(folder, "", &mut files)?;
    let wrong = |why: String| Error::new(ErrorKind::InvalidData, why);
    Tzdb::read(&version(folder), &files).and_then(Tzdb::mount).map_err(wrong)
}

fn read(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A folder that Kubernetes mounts has `..data` in it.
        if name.starts_with('.') || (prefix.is_empty() && COPIES.contains(&name.as_str())) {
            continue;
        }
        let path = entry.path();
        if fs::metadata(&path)?.is_dir() {
            read(&path, &format!("{prefix}{name}/"), files)?;
            continue;
        }
        let text = fs::read(&path)?;
        if text.starts_with(MAGIC) {
            files.push((format!("{prefix}{name}"), text));
        }
    }
    Ok(())
}

/// What the folder says of its version: `tzdata.zi` begins with it where distributions ship that, `+VERSION` is it elsewhere.
fn version(folder: &Path) -> String {
    let first = |file: &str| {
        let text = fs::read(folder.join(file)).ok()?;
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().next()?.trim_start_matches("# version").trim();
        (1..=16).contains(&line.len()).then(|| line.to_owned())
    };
    let said = first("tzdata.zi").or_else(|| first("+VERSION"));
    said.unwrap_or_else(|| format!("of {}", folder.display()))
}
