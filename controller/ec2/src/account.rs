//! The AWS account of the credentials.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::errors;

/// Time for which the account of an earlier answer counts. Credentials that belong to another account
/// are noticed after this time at the latest.
const FRESH: Duration = Duration::from_mins(10);

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

    /// Returns the account id.
    ///
    /// # Errors
    ///
    /// Returns a sentence if STS does not answer, or answers without an account.
    pub(crate) async fn id(&self) -> Result<String, String> {
        let mut known = self.known.lock().await;
        if let Some((id, at)) = known.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(id.clone());
        }
        let answer = self.client.get_caller_identity().send().await;
        let answer = answer.map_err(|error| errors::sentence(&error))?;
        let id = answer.account().ok_or("sts:GetCallerIdentity names no account")?.to_owned();
        *known = Some((id.clone(), Instant::now()));
        Ok(id)
    }
}
