//! The README of the chart: a table of all values, generated from `values.yaml` by
//! `PRIMETIME_GENERATE=1`. The descriptions are the comments above the keys.

use std::fmt::Write;

use primetime_tests::tools::root;
use serde_yaml::Value;

/// A key of `values.yaml`, with its path, its comment and its default.
struct Key {
    path: String,
    told: String,
    default: String,
}

/// Returns the value at a path.
fn at<'a>(values: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(values, |value, key| &value[key.as_str()])
}

/// Formats a default on a single line, as JSON. Maps with keys of their own have no default.
fn default(value: &Value, has_keys: bool) -> String {
    if has_keys {
        return String::new();
    }
    let json = serde_json::to_string(value).expect("a value");
    format!("`{}`", json.replace('|', "\\|"))
}

/// Reads the keys in the order of the file. A comment belongs to the key below it.
fn keys(text: &str) -> Vec<Key> {
    let values: Value = serde_yaml::from_str(text).expect("values.yaml");
    let (mut path, mut told, mut found) = (Vec::new(), String::new(), Vec::<Key>::new());
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix('#') {
            if !told.is_empty() {
                told.push(' ');
            }
            told.push_str(comment.trim());
            continue;
        }
        let depth = (line.len() - trimmed.len()) / 2;
        let key = trimmed.split_once(':').map(|(key, rest)| (key.to_owned(), rest));
        let is_key = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric());
        let Some((key, rest)) = key.filter(|(key, _)| !key.is_empty() && is_key(key)) else {
            told.clear();
            continue;
        };
        path.truncate(depth);
        path.push(key);
        // Keys of an object of Kubernetes, such as an affinity, are no values of the chart.
        let open = found.iter().any(|key| {
            let inside = path.join(".").starts_with(&format!("{}.", key.path));
            inside && ["affinity", "leaderViewers", "scalableKinds"].contains(&key.path.as_str())
        });
        if open || path.len() != depth + 1 {
            told.clear();
            continue;
        }
        let beside = rest.split_once(" #").map(|(_, comment)| comment.trim());
        let value = at(&values, &path);
        let inline = rest.trim_start().starts_with(['{', '[']);
        let has_keys = value.as_mapping().is_some_and(|map| !map.is_empty()) && !inline;
        let has_keys = has_keys && path.first().is_some_and(|key| key != "affinity");
        let told = std::mem::take(&mut told);
        let told = beside.map_or(told, str::to_owned).replace('|', "\\|");
        found.push(Key { path: path.join("."), told, default: default(value, has_keys) });
    }
    found
}

/// Returns the README of the chart.
fn readme(text: &str) -> String {
    let mut page = "# primetime\n\n\
        The operator of Primetime: pods, machines and caches ready at the hour of an announced event.\n\n\
        Generated from `values.yaml` by `make generate`; a test compares. `values.schema.json` refuses every other key.\n\n\
        \x20   helm install primetime charts/primetime -n primetime --create-namespace \\\n\
        \x20     --set clusterName=CLUSTER --set image.repository=REGISTRY/primetime\n\n\
        Kubernetes 1.33 or later. To uninstall, see [docs/uninstall.md](../../docs/uninstall.md): Helm refuses while anything is raised.\n\n\
        ## Values\n\n| Key | Default | Description |\n|---|---|---|\n"
        .to_owned();
    for Key { path, told, default } in keys(text) {
        writeln!(page, "| {path} | {default} | {told} |").expect("a string");
    }
    page
}

#[test]
fn the_readme_of_the_chart_lists_every_value() {
    let folder = root().join("charts/primetime");
    let text = std::fs::read_to_string(folder.join("values.yaml")).expect("values.yaml");
    let page = readme(&text);
    if std::env::var_os("PRIMETIME_GENERATE").is_some() {
        std::fs::write(folder.join("README.md"), &page).expect("README.md");
    }
    let committed = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    assert!(committed == page, "charts/primetime/README.md has changed: run `make generate`");
    for expected in ["| clusterName |", "| image.repository |", "| uninstall.release | `false` |"] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    assert!(!page.contains("| affinity.nodeAffinity"), "a key of Kubernetes");
}
