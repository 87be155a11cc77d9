//! Every wait has an upper bound and says what it waited for.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};

/// Looks until `look` gives a value; the error of the last look, or what it saw, is in the message when time is up.
///
/// # Errors
///
/// When the time is up.
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

/// Looks until `look` says yes; what it saw last is in the message when time is up.
///
/// # Errors
///
/// When the time is up.
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
