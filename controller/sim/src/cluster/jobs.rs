//! Model of the Job controller. An unsuspended Job completes after a while, exceeds its deadline,
//! or fails if the Job carries the annotation [`FAILS`].

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::json;

use crate::cluster::model::{Cluster, kind};
use crate::field::{at, number};
use crate::script::Part as Outage;
use crate::server::refusal::Refusal;
use crate::server::store::Part;

/// Annotation on the template of a Job that lets the Job fail after its retries.
pub const FAILS: &str = "simulated/fails";

/// Annotation on the template of a Job with the duration of the Job in milliseconds.
pub const TAKES: &str = "simulated/takes";

impl Cluster {
    /// Runs a pass over every Job.
    pub(super) fn jobs(&mut self, now: Instant) -> Result<(), Refusal> {
        let jobs = kind("batch/v1", "Job")?;
        let server = self.server.clone();
        if self.load.script.is_out(Outage::Api, now) || server.with(|s| s.changed(jobs)) == 0 {
            return Ok(());
        }
        server.with(|store| {
            let all = store.all(jobs);
            self.done_at.retain(|key, _| all.iter().any(|(there, _)| there == key));
            let (least, most) = self.pace.start_up;
            for (key, job) in all {
                let suspended = at(&job, "/spec/suspend") == Some(&json!(true));
                if suspended || at(&job, "/status/conditions").is_some() {
                    continue;
                }
                let annotations = at(&job, "/metadata/annotations");
                let says = |name: &str| annotations.and_then(|all| all.get(name)?.as_str());
                let drawn = self.random.u64(least..=most * 2);
                let takes = says(TAKES).and_then(|ms| ms.parse().ok()).unwrap_or(drawn);
                let takes = TimeDelta::milliseconds(i64::try_from(takes).unwrap_or(i64::MAX));
                let (began, done) = *self.done_at.entry(key.clone()).or_insert((now, now + takes));
                let limit = number(&job, "/spec/activeDeadlineSeconds").map(TimeDelta::seconds);
                let fails = says(FAILS).is_some();
                let outcome = if limit.is_some_and(|limit| now >= began + limit) {
                    ("Failed", "DeadlineExceeded")
                } else if now < done {
                    continue;
                } else if fails {
                    ("Failed", "BackoffLimitExceeded")
                } else {
                    ("Complete", "CompletionsReached")
                };
                let condition = json!({"type": outcome.0, "status": "True", "reason": outcome.1});
                store.change(&key, Part::Status, |job| {
                    job["status"] = json!({"conditions": [condition]});
                    Ok(())
                })?;
            }
            Ok(())
        })
    }
}
