//! The queries of the dashboards in the chart.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tools::root;

/// Returns title and query of every panel, with the variables `$namespace` and `$surge` replaced by
/// `.*`.
///
/// # Errors
///
/// Returns an error if a dashboard cannot be read, is not JSON, or has a panel target without a
/// query.
pub fn queries() -> Result<Vec<(String, String)>> {
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(root().join("charts/primetime/dashboards"))? {
        let file = entry?.path();
        let text = std::fs::read_to_string(&file)?;
        let dashboard: Value =
            serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap_or_default();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr =
                    target["expr"].as_str().with_context(|| format!("{title} has no query"))?;
                queries.push((
                    title.to_owned(),
                    expr.replace("$namespace", ".*").replace("$surge", ".*"),
                ));
            }
        }
    }
    Ok(queries)
}
