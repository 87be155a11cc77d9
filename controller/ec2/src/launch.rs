//! The launch of a ledger entry with `CreateFleet`.

use std::collections::BTreeMap;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::types::{
    DefaultTargetCapacityType, FleetLaunchTemplateConfigRequest,
    FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest,
    FleetOnDemandAllocationStrategy, FleetType, OnDemandOptionsRequest, ResourceType,
    TagSpecification, TargetCapacitySpecificationRequest,
};
use chrono::TimeDelta;
use primetime_core::state::ledger::Batch;
use primetime_core::state::observed::{LaunchAnswer, Refusal, RefusalClass};

use crate::request::Request;
use crate::{Ec2, errors, stamp, tag};

/// Life of an instance whose entry names no expiry: an entry of a version before 0.2.
const LIFE: TimeDelta = TimeDelta::hours(48);

impl Ec2 {
    pub(crate) async fn launch_once(&self, run_uid: &str, batch: &Batch) -> LaunchAnswer {
        // An earlier call may have launched the instances although the answer was lost. The client
        // therefore searches for instances with the token's tag first.
        let filters = vec![
            Self::tagged(self.tags.cluster, &self.cluster),
            Self::tagged(self.tags.batch, &batch.token),
        ];
        let there = match self.described(filters).await {
            Ok(there) => there,
            Err(error) => return LaunchAnswer::Unheard(error),
        };
        if there.len() >= batch.count as usize {
            let ids = there.into_iter().filter_map(|i| i.instance_id).collect();
            return LaunchAnswer::Came { ids, shortfall: None };
        }
        // `DescribeInstances` may lag behind. The same client token ensures that EC2 launches no
        // instance twice.
        self.create_fleet(run_uid, batch).await
    }

    fn our_tags(&self, run_uid: &str, batch: &Batch) -> TagSpecification {
        let expires = batch.expires_time.unwrap_or(batch.time + LIFE);
        TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag(self.tags.cluster, self.cluster.clone()))
            .tags(tag(self.tags.run, run_uid.to_owned()))
            .tags(tag(self.tags.batch, batch.token.clone()))
            .tags(tag(self.tags.expires, stamp(expires)))
            .tags(tag("Name", format!("primetime-{}", batch.group)))
            .build()
    }

    /// Sends `CreateFleet` for a batch and converts the answer. The builders of the SDK make the
    /// function long.
    async fn create_fleet(&self, run_uid: &str, batch: &Batch) -> LaunchAnswer {
        let launch = match Request::of(&batch.launch) {
            Ok(launch) => launch,
            Err(message) => {
                let refusal = Refusal { class: RefusalClass::Invalid, message };
                return LaunchAnswer::Refused(refusal);
            }
        };
        let template =
            FleetLaunchTemplateSpecificationRequest::builder().version(&launch.template_version);
        let template = if is_id(&launch.template) {
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
            .tag_specifications(self.our_tags(run_uid, batch))
            .customize()
            // A second attempt of the SDK would hide that the first one may have had an effect.
            .config_override(aws_sdk_ec2::Config::builder().retry_config(RetryConfig::disabled()))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return errors::answer(&error),
        };
        let ids: Vec<_> = answer
            .instances()
            .iter()
            .flat_map(aws_sdk_ec2::types::CreateFleetInstance::instance_ids)
            .cloned()
            .collect();
        let shortfall = (ids.len() < batch.count as usize).then(|| shortfall(&answer));
        LaunchAnswer::Came { ids, shortfall }
    }
}

/// True if the text is the id of a launch template and not a name, which may begin in the same way.
fn is_id(template: &str) -> bool {
    let digits = template.strip_prefix("lt-").unwrap_or_default();
    matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Summarises the errors of the pools without instances, the most frequent first. The class of the
/// refusal is the class of the most frequent error.
fn shortfall(answer: &CreateFleetOutput) -> Refusal {
    let said = answer.errors().iter().map(|e| {
        (e.error_code().unwrap_or("Unknown"), e.error_message().unwrap_or("no reason given"))
    });
    summary(said)
}

fn summary<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> Refusal {
    let mut codes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (code, message) in said {
        codes.entry(code).or_insert((0, message)).0 += 1;
    }
    let mut codes: Vec<_> = codes.into_iter().collect();
    codes.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let Some((first, _)) = codes.first() else {
        let message = "the fleet came incomplete without a reason".to_owned();
        return Refusal { class: RefusalClass::Capacity, message };
    };
    let class = errors::class(first);
    let each = codes.iter().map(|(code, (_, message))| format!("{code}: {message}"));
    Refusal { class, message: each.collect::<Vec<_>>().join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_error_of_the_pools_decides() {
        let none = ("InsufficientInstanceCapacity", "none left");
        let said = [("Ec2InvalidSubnet", "no such type"), none, none];
        let refusal = summary(said.into_iter());
        assert_eq!(refusal.class, RefusalClass::Capacity);
        assert!(refusal.message.starts_with("InsufficientInstanceCapacity: none left; Ec2"));
        let quota = [none, ("VcpuLimitExceeded", "32"), ("VcpuLimitExceeded", "32")];
        assert_eq!(summary(quota.into_iter()).class, RefusalClass::Quota);
    }

    #[test]
    fn a_template_may_be_named_like_an_id() {
        assert!(is_id("lt-0123456789abcdef0") && is_id("lt-01234567"));
        assert!(!is_id("lt-burst") && !is_id("burst") && !is_id("lt-"));
    }
}
