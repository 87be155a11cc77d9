//! Time zone data from a folder, such as `/usr/share/zoneinfo`, in place of the bundled data.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use primetime_core::schedule::Tzdb;

/// First bytes of every file that `zic` compiles (RFC 9636).
const MAGIC: &[u8] = b"TZif";

/// Subfolders with copies of all zones. `posix` repeats the zones. `right` counts leap seconds,
/// which civil clocks do not count.
const COPIES: [&str; 2] = ["posix", "right"];

/// Reads all zones of a folder, and makes the zones valid for the whole process.
///
/// # Errors
///
/// An I/O error if the folder or a file cannot be read. `InvalidData` if a zone is malformed, if
/// the folder has no zone, or if the process has mounted other data.
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
        // A volume that Kubernetes mounts contains hidden entries such as `..data`.
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

/// Returns the version of the data.
///
/// The version stands in the first line of `tzdata.zi`, or of `+VERSION` in a folder without
/// `tzdata.zi`. If the folder has neither file, the version is the path of the folder.
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
