//! Files with Kubernetes objects, as kubectl takes them.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// The text of a file, or of standard input where it is named `-`.
pub fn contents(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))
}

/// The objects of a file, those of lists one by one.
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
