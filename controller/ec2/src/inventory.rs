//! What EC2 shows: all instances of the cluster, and single ids.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{self, Filter, InstanceStateName};
use primetime_core::Instant;
use primetime_core::port::Inventory;
use primetime_core::state::observed::{Instance, InstanceState, Presence};
use primetime_core::state::place::Place;

use crate::{Ec2, errors, stamp, tag};

/// Largest number of values that a filter of `DescribeInstances` takes
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>).
pub(crate) const VALUES: usize = 200;

impl Ec2 {
    /// Returns all instances with the tag of the cluster, by UID of the run.
    pub(crate) async fn inventory(&self) -> Result<Inventory, String> {
        let seen = self.described(vec![Self::tagged(self.tags.cluster, &self.cluster)]).await?;
        let (cluster, region) = (self.cluster.clone(), self.region.clone());
        let place = Place { cluster, region, account: self.account.id().await };
        let mut all = Inventory { place, fleets: BTreeMap::new() };
        for seen in seen {
            let run = value(&seen, self.tags.run).unwrap_or_default().to_owned();
            let fleet = all.fleets.entry(run).or_default();
            fleet.instances.extend(self.instance(&seen));
        }
        // The order of the answer is not stated, and equal looks must be equal.
        for fleet in all.fleets.values_mut() {
            fleet.instances.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Ok(all)
    }

    /// Returns what EC2 knows of each id, without regard to tags.
    ///
    /// The ids stand in a filter, because one unknown id in `InstanceIds` fails the whole call.
    pub(crate) async fn presence(
        &self,
        ids: &[String],
    ) -> Result<BTreeMap<String, Presence>, String> {
        // An answer about an id means something only with the account that has answered.
        self.account.confirm().await?;
        let mut known = BTreeMap::new();
        for some in ids.chunks(VALUES) {
            let seen = self.described(vec![of_ids(some)]).await?;
            for id in some {
                let found = seen.iter().find(|i| i.instance_id() == Some(id));
                let presence = match found.map(state) {
                    None => Presence::NotKnown,
                    Some(InstanceState::Terminated) => Presence::Terminated,
                    Some(InstanceState::Living | InstanceState::Stopped) => Presence::Untagged,
                };
                known.insert(id.clone(), presence);
            }
        }
        Ok(known)
    }

    /// Writes the expiry tag of instances.
    pub(crate) async fn prolong(&self, ids: &[String], expires: Instant) -> Result<(), String> {
        for some in ids.chunks(VALUES) {
            self.client
                .create_tags()
                .set_resources(Some(some.to_vec()))
                .tags(tag(self.tags.expires, stamp(expires)))
                .send()
                .await
                .map_err(|error| errors::sentence(&error))?;
        }
        Ok(())
    }

    /// Returns all instances that match the filters, through all pages of `DescribeInstances`.
    pub(crate) async fn described(
        &self,
        filters: Vec<Filter>,
    ) -> Result<Vec<types::Instance>, String> {
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

    fn instance(&self, seen: &types::Instance) -> Option<Instance> {
        let reason = seen.state_reason().and_then(|why| why.message().or_else(|| why.code()));
        Some(Instance {
            id: seen.instance_id()?.to_owned(),
            token: value(seen, self.tags.batch).unwrap_or_default().to_owned(),
            state: state(seen),
            expires: value(seen, self.tags.expires).and_then(|text| text.parse().ok()),
            reason: reason.map(str::to_owned),
        })
    }
}

fn value<'a>(seen: &'a types::Instance, key: &str) -> Option<&'a str> {
    seen.tags().iter().find(|t| t.key() == Some(key))?.value()
}

pub(crate) fn of_ids(ids: &[String]) -> Filter {
    Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build()
}

fn state(seen: &types::Instance) -> InstanceState {
    match seen.state().and_then(|s| s.name()) {
        Some(InstanceStateName::Terminated) => InstanceState::Terminated,
        Some(InstanceStateName::Stopped | InstanceStateName::Stopping) => InstanceState::Stopped,
        _ => InstanceState::Living,
    }
}
