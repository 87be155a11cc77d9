//! Leading operator, according to the Lease. If no operator leads, the status is old and no
//! override takes effect.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::{Deserialize, Serialize};

use crate::ask::{self, Answer};
use crate::cluster::{Cluster, now};
use crate::screen;

/// Name of the Lease of the leader election.
const LEASE: &str = "primetime";

/// Exit code if no operator leads.
pub const NO_OPERATOR: u8 = 3;

/// Result of the search for the leading operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Leader {
    /// Leading operator.
    Leads {
        /// Name of the operator (`spec.holderIdentity` of the Lease).
        name: String,
        /// Time since the last renewal of the Lease.
        #[serde(rename = "renewedSecondsAgo", serialize_with = "seconds")]
        renewed: TimeDelta,
    },
    /// Absence of a leader, with the reason.
    None {
        /// Reason.
        why: String,
    },
    /// Unknown leader, with the reason.
    Unknown {
        /// Reason.
        why: String,
    },
}

fn seconds<S: serde::Serializer>(time: &TimeDelta, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(time.num_seconds())
}

/// Items of a list of Leases.
#[derive(Deserialize)]
struct Leases {
    items: Vec<Lease>,
}

/// Reads the Lease in the namespace of the operator. If the Lease is missing there or the API
/// server refuses the read, the function searches all namespaces.
pub async fn look(cluster: &Cluster) -> Leader {
    let namespace = &cluster.operator_namespace;
    let one = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}");
    let all = format!("/apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.name%3D{LEASE}");
    let refused = match ask::get(cluster, &one).await {
        Ok(Answer::Body(body, at)) => {
            return serde_json::from_slice::<Lease>(&body)
                .map_or_else(|why| unknown(&why), |l| judge(&l, at.unwrap_or_else(now)));
        }
        Ok(Answer::Refused(status)) => status,
        Err(why) => return unknown(&format!("{why:#}")),
    };
    let told = match ask::get(cluster, &all).await {
        Ok(Answer::Body(body, at)) => match serde_json::from_slice::<Leases>(&body) {
            Ok(leases) => return newest(&leases.items, at.unwrap_or_else(now)),
            Err(why) => return unknown(&why),
        },
        Ok(Answer::Refused(_)) => refused,
        Err(why) => return unknown(&format!("{why:#}")),
    };
    let hint = "--operator-namespace names the namespace of the operator";
    let why = match told {
        StatusCode::NOT_FOUND => format!(
            "namespace {namespace} has no Lease {LEASE}, and you may not look in others; {hint}"
        ),
        StatusCode::FORBIDDEN => {
            format!("you may not read Lease {LEASE} in namespace {namespace}; {hint}")
        }
        status => format!("the API server answers {status} to the question for Lease {LEASE}"),
    };
    Leader::Unknown { why }
}

fn unknown(why: &dyn std::fmt::Display) -> Leader {
    Leader::Unknown { why: why.to_string() }
}

fn newest(leases: &[Lease], at: DateTime<Utc>) -> Leader {
    let renewed = |lease: &&Lease| lease.spec.as_ref().and_then(|s| s.renew_time.clone());
    match leases.iter().max_by_key(renewed) {
        Some(lease) => judge(lease, at),
        None => Leader::None {
            why: format!("no namespace has a Lease {LEASE}: none has ever led here"),
        },
    }
}

/// Derives the leader from a Lease, at the time `at` of the API server's clock.
fn judge(lease: &Lease, at: DateTime<Utc>) -> Leader {
    let Some(spec) = &lease.spec else { return unknown(&format!("Lease {LEASE} says nothing")) };
    let instant = |at: &MicroTime| DateTime::from_timestamp_micros(at.0.as_microsecond());
    let renewed = spec.renew_time.as_ref().and_then(instant);
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let name = screen::plain(holder);
    let Some(ago) = renewed.map(|renewed| (at - renewed).max(TimeDelta::zero())) else {
        return Leader::None { why: format!("Lease {LEASE} was never renewed") };
    };
    // The `Date` header has whole seconds, so the check allows a further second.
    let lasts = TimeDelta::seconds(i64::from(spec.lease_duration_seconds.unwrap_or(15)) + 1);
    if holder.is_empty() {
        let ago = screen::length(ago);
        return Leader::None { why: format!("the last one gave Lease {LEASE} up {ago} ago") };
    }
    if ago > lasts {
        let ago = screen::length(ago);
        return Leader::None {
            why: format!("{name} renewed Lease {LEASE} {ago} ago and not since"),
        };
    }
    Leader::Leads { name, renewed: ago }
}

impl Leader {
    /// Returns the first line of the status, with the leader.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Leads { name, renewed } => {
                format!("operator {name} leads, seen {} ago", screen::length(*renewed))
            }
            Self::None { why } => format!(
                "NO OPERATOR LEADS: {why}. What is shown is old; nothing is planned, raised, obeyed or given back"
            ),
            Self::Unknown { why } => format!("LEADER NOT KNOWN: {why}. What is shown may be old"),
        }
    }

    /// Prints a warning to standard error if no operator leads or the leader is unknown. Standard
    /// output stays free for programs.
    pub fn warn(&self) {
        if !matches!(self, Self::Leads { .. }) {
            eprintln!("{}", screen::plain(&self.line()));
        }
    }

    /// Returns the exit code of a successful command: 0 with a leader, [`NO_OPERATOR`] without a
    /// leader, 1 if the leader is unknown.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Leads { .. } => ExitCode::SUCCESS,
            Self::None { .. } => ExitCode::from(NO_OPERATOR),
            Self::Unknown { .. } => ExitCode::FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(spec: &Value) -> Leader {
        let lease = json!({"metadata": {"name": "primetime"}, "spec": spec});
        judge(&serde_json::from_value(lease).unwrap(), "2026-11-22T20:50:30Z".parse().unwrap())
    }

    #[test]
    fn a_lease_that_is_not_renewed_has_no_leader() {
        let held = |at: &str| json!({"holderIdentity": "primetime-0", "leaseDurationSeconds": 15, "renewTime": at});
        let leads = said(&held("2026-11-22T20:50:28.000000Z"));
        assert_eq!(leads.line(), "operator primetime-0 leads, seen 2 s ago");
        assert!(matches!(said(&held("2026-11-22T20:50:31.000000Z")), Leader::Leads { .. }));
        let dead = said(&held("2026-11-22T20:48:20.000000Z"));
        assert!(matches!(&dead, Leader::None { why } if why.contains("2m10s ago")), "{dead:?}");
        let up = said(&json!({"holderIdentity": "", "renewTime": "2026-11-22T20:50:29.000000Z"}));
        assert!(
            matches!(&up, Leader::None { why } if why.contains("gave Lease primetime up")),
            "{up:?}"
        );
        assert!(matches!(said(&json!({})), Leader::None { .. }));
        assert!(matches!(newest(&[], now()), Leader::None { .. }));
    }

    #[test]
    fn a_name_in_a_lease_moves_no_cursor() {
        let odd =
            json!({"holderIdentity": "a\u{1b}[2J", "renewTime": "2026-11-22T20:50:29.000000Z"});
        assert!(!said(&odd).line().contains('\u{1b}'));
    }
}
