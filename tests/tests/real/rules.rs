//! The alerts fire when they should and only then.

use anyhow::Result;
use primetime_tests::process::{command, run};
use primetime_tests::tools::{Tools, root};

#[tokio::test]
async fn alerts_do_what_their_tests_say() -> Result<()> {
    let tools = Tools::ensure().await?;
    let tests = root().join("tests/rules/primetime_test.yaml");
    let said = run(command(tools.path("promtool")).args(["test", "rules"]).arg(tests)).await?;
    anyhow::ensure!(said.contains("SUCCESS"), "{said}");
    Ok(())
}
