//! Machines from EC2. No other crate depends on `aws-*`, and the public API of this crate contains
//! no type of the SDK.
//!
//! Launches use `CreateFleet` with `type=instant`: a synchronous attempt that returns instances and
//! the errors of each pool
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html>). `CreateFleet` does
//! not retry. The planner retries through the ledger (`status.ledger`) of the run.

mod account;
mod errors;
mod inventory;
mod launch;
mod request;
mod terminate;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::types::{Filter, Tag};
use aws_smithy_http_client::tls;
use primetime_core::Instant;
use primetime_core::port::{Answer, Cloud, Inventory};
use primetime_core::state::ledger::Batch;
use primetime_core::state::observed::{LaunchAnswer, Presence};

use self::account::Account;

/// Timeout of a call, including retries.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Names of the tags on every instance.
#[derive(Clone, Debug)]
pub struct TagNames {
    /// Tag with the name of the cluster.
    pub cluster: &'static str,
    /// Tag with the UID of the run.
    pub run: &'static str,
    /// Tag with the token of the ledger entry.
    pub batch: &'static str,
    /// Tag with the expiry time of the instance.
    pub expires: &'static str,
}

/// Region, endpoint and cluster name of the EC2 client.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// AWS region, or `None` for the region from the environment.
    pub region: Option<String>,
    /// Endpoint instead of the endpoints of AWS for EC2 and STS, for example a test server.
    pub endpoint: Option<String>,
    /// Value of the cluster tag. The operator sees only instances with this value.
    pub cluster: String,
}

/// EC2 client, the implementation of [`Cloud`] for AWS.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: aws_sdk_ec2::Client,
    account: Account,
    region: String,
    cluster: String,
    tags: TagNames,
}

impl Ec2 {
    /// Builds the client without a connection.
    ///
    /// The SDK searches for credentials at the first call: environment, web identity, container,
    /// instance.
    pub async fn new(settings: Settings, tags: TagNames) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(TIMEOUT)
            .operation_attempt_timeout(TIMEOUT / 2)
            .connect_timeout(Duration::from_secs(5))
            .build();
        // The SDK makes two attempts. The planner makes further attempts through the ledger, with a
        // longer backoff and with messages to people.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(timeouts);
        if let Some(region) = settings.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        Self {
            client: aws_sdk_ec2::Client::new(&config),
            account: Account::of(&config),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            cluster: settings.cluster,
            tags,
        }
    }

    fn tagged(key: &str, value: &str) -> Filter {
        Filter::builder().name(format!("tag:{key}")).values(value).build()
    }

    /// Filters for the instances of a run of this cluster.
    fn of_run(&self, run_uid: &str) -> Vec<Filter> {
        vec![Self::tagged(self.tags.cluster, &self.cluster), Self::tagged(self.tags.run, run_uid)]
    }
}

fn tag(key: &str, value: String) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// Formats the value of the expiry tag.
fn stamp(at: Instant) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

impl Cloud for Ec2 {
    fn show(&self) -> Answer<'_, Result<Inventory, String>> {
        Box::pin(self.inventory())
    }

    fn launch<'a>(&'a self, run_uid: &'a str, batch: &'a Batch) -> Answer<'a, LaunchAnswer> {
        Box::pin(self.launch_once(run_uid, batch))
    }

    fn ask<'a>(
        &'a self,
        ids: &'a [String],
    ) -> Answer<'a, Result<BTreeMap<String, Presence>, String>> {
        Box::pin(self.presence(ids))
    }

    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<BTreeMap<String, String>, String>> {
        Box::pin(self.terminate_ours(run_uid, ids))
    }

    fn renew<'a>(&'a self, ids: &'a [String], expires: Instant) -> Answer<'a, Result<(), String>> {
        Box::pin(self.prolong(ids, expires))
    }
}
