//! Machines from EC2. No other crate depends on `aws-*`, and the public API of this crate contains
//! no type of the SDK.
//!
//! Launches use `CreateFleet` with `type=instant`: a synchronous attempt that returns instances and
//! the errors of each pool
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html>). `CreateFleet` does
//! not retry. The planner retries through the ledger (`status.ledger`) of the run.

mod errors;
mod request;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::types::{
    DefaultTargetCapacityType, Filter, FleetLaunchTemplateConfigRequest,
    FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest,
    FleetOnDemandAllocationStrategy, FleetType, InstanceStateName, OnDemandOptionsRequest,
    ResourceType, Tag, TagSpecification, TargetCapacitySpecificationRequest,
};
use aws_smithy_http_client::tls;
use primetime_core::Instant;
use primetime_core::port::{Answer, Cloud};
use primetime_core::state::ledger::Batch;
use primetime_core::state::observed::{Instance, LaunchAnswer, Refusal, RefusalClass};

use self::request::Request;

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
    /// Endpoint instead of the endpoint of AWS, for example a proxy or a test server.
    pub endpoint: Option<String>,
    /// Value of the cluster tag. The operator sees only instances with this value.
    pub cluster: String,
}

/// EC2 client, the implementation of [`Cloud`] for AWS.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: aws_sdk_ec2::Client,
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
        Self { client: aws_sdk_ec2::Client::new(&config), cluster: settings.cluster, tags }
    }

    fn our_tags(&self, run_uid: &str, batch: &Batch, expires: Instant) -> TagSpecification {
        let tag = |key: &str, value: String| Tag::builder().key(key).value(value).build();
        TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag(self.tags.cluster, self.cluster.clone()))
            .tags(tag(self.tags.run, run_uid.to_owned()))
            .tags(tag(self.tags.batch, batch.token.clone()))
            .tags(tag(
                self.tags.expires,
                expires.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            ))
            .tags(tag("Name", format!("primetime-{}", batch.group)))
            .build()
    }

    /// Sends `CreateFleet` for a batch and converts the answer. The builders of the SDK make the
    /// function long.
    async fn create_fleet(
        &self,
        run_uid: &str,
        batch: &Batch,
        expires: Instant,
    ) -> Result<LaunchAnswer, String> {
        let launch = match Request::of(&batch.launch) {
            Ok(launch) => launch,
            Err(message) => {
                let refusal = Refusal { class: RefusalClass::Invalid, message };
                return Ok(LaunchAnswer::Refused(refusal));
            }
        };
        let template =
            FleetLaunchTemplateSpecificationRequest::builder().version(&launch.template_version);
        let template = if launch.template.starts_with("lt-") {
            template.launch_template_id(&launch.template)
        } else {
            template.launch_template_name(&launch.template)
        };
        // The pools are ordered by instance type. All subnets of a type have the same priority.
        let overrides: Vec<_> = launch
            .instance_types
            .iter()
            .enumerate()
            .flat_map(|(rank, instance_type)| {
                launch.subnets.iter().map(move |subnet| {
                    #[expect(clippy::cast_precision_loss, reason = "at most 20 types")]
                    FleetLaunchTemplateOverridesRequest::builder()
                        .instance_type(instance_type.as_str().into())
                        .subnet_id(subnet)
                        .priority(rank as f64)
                        .build()
                })
            })
            .collect();
        let answer = self
            .client
            .create_fleet()
            .r#type(FleetType::Instant)
            .client_token(&batch.token)
            .launch_template_configs(
                FleetLaunchTemplateConfigRequest::builder()
                    .launch_template_specification(template.build())
                    .set_overrides(Some(overrides))
                    .build(),
            )
            .target_capacity_specification(
                TargetCapacitySpecificationRequest::builder()
                    .total_target_capacity(i32::try_from(batch.count).unwrap_or(i32::MAX))
                    .default_target_capacity_type(DefaultTargetCapacityType::OnDemand)
                    .build(),
            )
            .on_demand_options(
                OnDemandOptionsRequest::builder()
                    .allocation_strategy(FleetOnDemandAllocationStrategy::Prioritized)
                    .build(),
            )
            .tag_specifications(self.our_tags(run_uid, batch, expires))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return errors::refusal(&error).map(LaunchAnswer::Refused),
        };
        let ids: Vec<_> = answer
            .instances()
            .iter()
            .flat_map(aws_sdk_ec2::types::CreateFleetInstance::instance_ids)
            .cloned()
            .collect();
        let shortfall = (ids.len() < batch.count as usize).then(|| shortfall(&answer));
        Ok(LaunchAnswer::Came { ids, shortfall })
    }

    /// Returns all instances that match the filters, through all pages of `DescribeInstances`.
    async fn described(
        &self,
        filters: Vec<Filter>,
    ) -> Result<Vec<aws_sdk_ec2::types::Instance>, String> {
        let pages = self
            .client
            .describe_instances()
            .set_filters(Some(filters))
            .max_results(500)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|e| errors::sentence(&e))?;
        Ok(pages.into_iter().flat_map(|r| r.instances.unwrap_or_default()).collect())
    }

    fn tagged(key: &str, value: &str) -> Filter {
        Filter::builder().name(format!("tag:{key}")).values(value).build()
    }

    async fn of_run(&self, run_uid: &str) -> Result<Vec<Instance>, String> {
        let filters = vec![
            Self::tagged(self.tags.cluster, &self.cluster),
            Self::tagged(self.tags.run, run_uid),
        ];
        let seen = self.described(filters).await?;
        Ok(seen.iter().filter_map(|i| self.instance(i)).collect())
    }

    fn instance(&self, seen: &aws_sdk_ec2::types::Instance) -> Option<Instance> {
        let token =
            seen.tags().iter().find(|t| t.key() == Some(self.tags.batch))?.value()?.to_owned();
        let state = seen.state().and_then(|s| s.name());
        Some(Instance {
            id: seen.instance_id()?.to_owned(),
            token,
            terminated: state == Some(&InstanceStateName::Terminated),
        })
    }

    async fn launch_once(
        &self,
        run_uid: &str,
        batch: &Batch,
        expires: Instant,
    ) -> Result<LaunchAnswer, String> {
        // An earlier call may have launched the instances although the answer was lost. The client
        // therefore searches for instances with the token's tag first.
        let filters = vec![
            Self::tagged(self.tags.cluster, &self.cluster),
            Self::tagged(self.tags.batch, &batch.token),
        ];
        let there: Vec<_> = self
            .described(filters)
            .await?
            .iter()
            .filter_map(|i| self.instance(i))
            .map(|i| i.id)
            .collect();
        if there.len() >= batch.count as usize {
            return Ok(LaunchAnswer::Came { ids: there, shortfall: None });
        }
        // `DescribeInstances` may lag behind. The same client token ensures that EC2 launches no
        // instance twice.
        self.create_fleet(run_uid, batch, expires).await
    }

    async fn terminate_ours(&self, run_uid: &str, ids: &[String]) -> Result<(), String> {
        let ours: Vec<_> = self
            .of_run(run_uid)
            .await?
            .into_iter()
            .filter(|i| !i.terminated && ids.contains(&i.id))
            .map(|i| i.id)
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        self.client
            .terminate_instances()
            .set_instance_ids(Some(ours))
            .send()
            .await
            .map(|_| ())
            .map_err(|e| errors::sentence(&e))
    }
}

/// Summarises the errors of the pools without instances. The class of the refusal is the class of
/// the first error in alphabetical order.
fn shortfall(answer: &aws_sdk_ec2::operation::create_fleet::CreateFleetOutput) -> Refusal {
    let mut said: Vec<_> = answer
        .errors()
        .iter()
        .map(|e| {
            (e.error_code().unwrap_or("Unknown"), e.error_message().unwrap_or("no reason given"))
        })
        .collect();
    said.sort_unstable();
    said.dedup();
    let class = said.first().map_or(RefusalClass::Capacity, |(code, _)| errors::class(code));
    let message = said
        .iter()
        .map(|(code, message)| format!("{code}: {message}"))
        .collect::<Vec<_>>()
        .join("; ");
    let message = if message.is_empty() {
        "the fleet came incomplete without a reason".to_owned()
    } else {
        message
    };
    Refusal { class, message }
}

impl Cloud for Ec2 {
    fn launch<'a>(
        &'a self,
        run_uid: &'a str,
        batch: &'a Batch,
        expires: Instant,
    ) -> Answer<'a, Result<LaunchAnswer, String>> {
        Box::pin(self.launch_once(run_uid, batch, expires))
    }

    fn instances<'a>(&'a self, run_uid: &'a str) -> Answer<'a, Result<Vec<Instance>, String>> {
        Box::pin(self.of_run(run_uid))
    }

    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<(), String>> {
        Box::pin(self.terminate_ours(run_uid, ids))
    }
}
