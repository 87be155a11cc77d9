//! Removal of everything that an interrupted evening left in the cluster of
//! `PRIMETIME_TEST_CONTEXT`.

use anyhow::{Context, Result};
use primetime_tests::evening::folder;
use primetime_tests::plane::{Existing, sweep};
use primetime_tests::tools::Tools;

#[tokio::main]
async fn main() -> Result<()> {
    let existing = Existing::from_env().context(
        "PRIMETIME_TEST_CONTEXT names no context; a control plane of our own leaves nothing to sweep",
    )?;
    let swept = sweep(&Tools::ensure().await?, &folder("sweep"), &existing)?;
    let context = existing.context;
    println!(
        "context {context}: {}",
        if swept { "swept" } else { "nothing of an evening is there" }
    );
    Ok(())
}
