//! Reader for files with Kubernetes objects, in the formats of kubectl.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// Returns the text of a file, or of standard input if the file is `-`.
pub fn contents(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))
}

/// File name extensions that kubectl reads in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Returns the named files. The function replaces a folder with the YAML and JSON files in the
/// folder, sorted by name.
///
/// # Errors
///
/// The function returns an error if a folder is unreadable or contains no YAML or JSON file.
pub fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let place = || path.display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).with_context(place)? {
            let file = entry.with_context(place)?.path();
            let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if ENDINGS.contains(&ending) && file.is_file() {
                found.push(file);
            }
        }
        anyhow::ensure!(!found.is_empty(), "{}: no {} file", place(), ENDINGS.join(", "));
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Parses the objects of a file. A list counts as the objects in `items`.
pub fn objects(file: &Path) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&contents(file)?) {
        let value = Value::deserialize(document).with_context(|| format!("{}", file.display()))?;
        match value.get("items").and_then(Value::as_array) {
            Some(items) => objects.extend(items.iter().cloned()),
            None if value.is_null() => {}
            None => objects.push(value),
        }
    }
    Ok(objects)
}
