//! First contact with the real parts.

use anyhow::Result;
use primetime_tests::evening::Evening;
use primetime_tests::plane::Options;

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_up() -> Result<()> {
    let evening = Evening::begin("smoke", &Options::default(), |what| eprintln!("{what}")).await?;
    evening.everything_is_back().await
}
