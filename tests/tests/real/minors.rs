//! The short evening on older Kubernetes minors, or on the cluster in `PRIMETIME_TEST_CONTEXT`.

use anyhow::{Result, ensure};
use primetime_tests::plane::{Existing, Options};
use primetime_tests::smoke::smoke;

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_1_33_and_1_34() -> Result<()> {
    if let Some(existing) = Existing::from_env() {
        // An existing cluster has a fixed version, so the test does not select a minor.
        let options = Options { existing: Some(existing), ..Options::own() };
        eprintln!("{}", smoke("minor-existing", &options).await?);
        return Ok(());
    }
    for minor in ["33", "34"] {
        let options = Options { emulated_version: Some(format!("1.{minor}")), ..Options::own() };
        let version = smoke(&format!("minor-1.{minor}"), &options).await?;
        ensure!(version.contains(&format!("\"emulationMinor\": \"{minor}\"")), "{version}");
    }
    Ok(())
}
