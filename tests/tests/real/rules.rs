//! Tests of the alerts: each alert fires under the defined condition and never otherwise.

use anyhow::Result;
use primetime_tests::process::{command, run};
use primetime_tests::tools::{Tools, root};

/// Checks that each alert links to an existing section of the runbooks.
#[test]
fn each_alert_has_its_runbook() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let (rules, runbooks) =
        (read("charts/primetime/rules/primetime.yaml"), read("docs/runbooks.md"));
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 7, "{alerts:?}");
    for alert in alerts {
        let url =
            format!("runbook_url: https://primetime.dev/docs/runbooks#{}", alert.to_lowercase());
        // An alert with two severities has a rule for each, and a single section.
        let rules_of = rules.matches(&format!("- alert: {alert}\n")).count();
        assert_eq!(rules.matches(&format!("{url}\n")).count(), rules_of, "{alert}");
        assert_eq!(runbooks.matches(&format!("\n## {alert}\n")).count(), 1, "{alert}");
    }
}

#[tokio::test]
async fn alerts_do_what_their_tests_say() -> Result<()> {
    let tools = Tools::ensure().await?;
    let tests = root().join("tests/rules/primetime_test.yaml");
    let said = run(command(tools.path("promtool")).args(["test", "rules"]).arg(tests)).await?;
    anyhow::ensure!(said.contains("SUCCESS"), "{said}");
    Ok(())
}
