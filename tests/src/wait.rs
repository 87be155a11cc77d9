//! Waits with a timeout. The error of each wait names the awaited state.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};

/// Calls `look` every 100 ms until `look` returns a value.
///
/// # Errors
///
/// Returns an error if `look` returns no value within `at_most`. The error contains the last error
/// of `look`, or "not yet".
pub async fn wait_for<T, F>(what: &str, at_most: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + at_most;
    loop {
        let last = match look().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if tokio::time::Instant::now() >= deadline {
            bail!("waited {} s for {what}: {last}", at_most.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Calls `look` every 100 ms until `look` returns true.
///
/// # Errors
///
/// Returns an error if `look` does not return true within `at_most`. The error contains the last
/// observation or error of `look`.
pub async fn wait_until<S, F>(
    what: &str,
    at_most: Duration,
    mut look: impl FnMut() -> F,
) -> Result<()>
where
    S: Display,
    F: Future<Output = Result<(bool, S)>>,
{
    let deadline = tokio::time::Instant::now() + at_most;
    loop {
        let last = match look().await {
            Ok((true, _)) => return Ok(()),
            Ok((false, seen)) => seen.to_string(),
            Err(error) => format!("{error:#}"),
        };
        if tokio::time::Instant::now() >= deadline {
            bail!("waited {} s for {what}; last seen: {last}", at_most.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
