//! The AWS account of the credentials.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::errors;

/// Time for which the account of an earlier answer counts. Credentials of another account are noticed
/// after this time at the latest.
const FRESH: Duration = Duration::from_mins(1);

/// Client of STS, with the last answer. `GetCallerIdentity` needs no permission
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>).
#[derive(Clone, Debug)]
pub(crate) struct Account {
    client: aws_sdk_sts::Client,
    known: Arc<Mutex<Option<(String, Instant)>>>,
}

impl Account {
    pub(crate) fn of(config: &aws_config::SdkConfig) -> Self {
        Self { client: aws_sdk_sts::Client::new(config), known: Arc::default() }
    }

    /// Returns the account id, or the last known one if STS does not answer. The text is empty if STS
    /// has never answered: a private network may have no way to STS.
    pub(crate) async fn id(&self) -> String {
        let mut known = self.known.lock().await;
        if let Some((id, at)) = known.as_ref()
            && at.elapsed() < FRESH
        {
            return id.clone();
        }
        if let Ok(id) = self.ask().await {
            *known = Some((id, Instant::now()));
        }
        known.as_ref().map(|(id, _)| id.clone()).unwrap_or_default()
    }

    /// Asks STS whether the account is still the last known one.
    ///
    /// # Errors
    ///
    /// Returns a sentence if STS does not answer, or names another account. The next look then shows
    /// the other account.
    pub(crate) async fn confirm(&self) -> Result<(), String> {
        let id = self.ask().await?;
        let mut known = self.known.lock().await;
        let before = known.replace((id.clone(), Instant::now()));
        match before {
            Some((before, _)) if before != id => {
                Err(format!("the credentials are of account {id}, no longer of {before}"))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self) -> Result<String, String> {
        let answer = self.client.get_caller_identity().send().await;
        let answer = answer.map_err(|error| errors::sentence(&error))?;
        Ok(answer.account().ok_or("sts:GetCallerIdentity names no account")?.to_owned())
    }
}
