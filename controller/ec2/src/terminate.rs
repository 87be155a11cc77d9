//! Termination of instances: in hundreds, and in halves where EC2 refuses.

use std::collections::BTreeMap;

use aws_sdk_ec2::error::ProvideErrorMetadata;

use crate::inventory::of_ids;
use crate::{Ec2, errors};

/// Instances in a call. EC2 takes at most 1,000, and fails whole zones for one protected instance
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>).
const AT_ONCE: usize = 100;

impl Ec2 {
    /// Terminates those of the ids that carry the tags of the cluster and of the run. Returns the
    /// error of each instance that EC2 refuses to terminate.
    ///
    /// EC2 fails a call for a single bad id, so a refused call is repeated with each half.
    pub(crate) async fn terminate_ours(
        &self,
        run_uid: &str,
        ids: &[String],
    ) -> Result<BTreeMap<String, String>, String> {
        let mut refused = BTreeMap::new();
        for some in ids.chunks(AT_ONCE) {
            let mut filters = self.of_run(run_uid);
            filters.push(of_ids(some));
            let seen = self.described(filters).await?;
            let ours: Vec<_> =
                seen.iter().filter_map(|i| i.instance_id().map(str::to_owned)).collect();
            let mut parts = vec![ours];
            while let Some(part) = parts.pop() {
                let Some(error) = self.terminate_all(&part).await? else { continue };
                match part.as_slice() {
                    [] => {}
                    [id] => drop(refused.insert(id.clone(), error)),
                    many => {
                        let (left, right) = many.split_at(many.len() / 2);
                        parts.extend([right.to_vec(), left.to_vec()]);
                    }
                }
            }
        }
        Ok(refused)
    }

    /// Returns the error of a call, if EC2 refuses the call because of an instance.
    async fn terminate_all(&self, ids: &[String]) -> Result<Option<String>, String> {
        if ids.is_empty() {
            return Ok(None);
        }
        let call = self.client.terminate_instances().set_instance_ids(Some(ids.to_vec()));
        let Err(error) = call.send().await else { return Ok(None) };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let of_an_instance = code.is_some_and(of_an_instance);
        let said = errors::sentence(&error);
        if of_an_instance { Ok(Some(said)) } else { Err(said) }
    }
}

/// True if the code is about single instances. Other errors, such as throttling, are the same for each
/// part of a call.
fn of_an_instance(code: &str) -> bool {
    let one = ["OperationNotPermitted", "IncorrectInstanceState", "UnsupportedOperation"];
    one.contains(&code) || code.starts_with("InvalidInstanceID")
}
