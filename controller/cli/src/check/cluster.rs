//! Rules on the API server, and on an installation that is about to happen.

use anyhow::Result;
use chrono::TimeDelta;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResourceList};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Api;
use kube::api::PostParams;

use super::finding::{Finding, Rule, Section, State};
use crate::ask::{self, Answer};
use crate::cluster::{Cluster, bounded, now};

/// Smallest minor version of Kubernetes 1 that the chart accepts (`kubeVersion`).
const LEAST_MINOR: u32 = 33;

/// Largest difference between the local clock and the `Date` header. The header has whole seconds,
/// and the answer takes time.
const CLOCK: TimeDelta = TimeDelta::seconds(5);

/// Applies the rules `api-server` and `clock`.
pub async fn look(cluster: &Cluster) -> Vec<Finding> {
    let tell = |rule, state, text: String| Finding::new(Section::Kubernetes, rule, state, &text);
    let (body, at) = match ask::get(cluster, "/version").await {
        Ok(Answer::Body(body, at)) => (body, at),
        Ok(Answer::Refused(status)) => {
            return vec![tell(
                Rule::ApiServer,
                State::Unknown,
                format!("/version answers {status}"),
            )];
        }
        Err(why) => {
            return vec![tell(Rule::ApiServer, State::Wrong, format!("no answer: {why:#}"))];
        }
    };
    let version = match serde_json::from_slice::<Info>(&body) {
        Ok(info) => match minor(&info) {
            Some(minor) if minor < LEAST_MINOR => tell(
                Rule::ApiServer,
                State::Wrong,
                format!("Kubernetes {} is older than 1.{LEAST_MINOR}", info.git_version),
            ),
            Some(_) => tell(Rule::ApiServer, State::Ok, format!("Kubernetes {}", info.git_version)),
            None => tell(
                Rule::ApiServer,
                State::Unknown,
                format!("the version {} cannot be read", info.git_version),
            ),
        },
        Err(why) => tell(Rule::ApiServer, State::Unknown, format!("/version is no version: {why}")),
    };
    let clock = if let Some(off) = at.map(|at| at - now()).filter(|off| off.abs() > CLOCK) {
        let text = format!(
            "the clock of this computer differs from the API server by {} s; countdowns are wrong by as much",
            off.num_seconds().abs()
        );
        tell(Rule::Clock, State::Warning, text)
    } else if at.is_none() {
        tell(Rule::Clock, State::Unknown, "the answer of the API server has no Date header".into())
    } else {
        tell(Rule::Clock, State::Ok, "the clock of this computer agrees with the API server".into())
    };
    vec![version, clock]
}

/// Returns the minor version. Some providers append a plus sign.
fn minor(info: &Info) -> Option<u32> {
    let digits: String = info.minor.chars().take_while(char::is_ascii_digit).collect();
    if info.major == "1" { digits.parse().ok() } else { None }
}

/// Kinds that the chart creates: group, resource, and the namespace if the kind has one.
const CREATED: [(&str, &str, bool); 15] = [
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", false),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", false),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", false),
    ("apps", "deployments", true),
    ("policy", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
    ("", "secrets", true),
    ("", "services", true),
    ("", "serviceaccounts", true),
    ("", "configmaps", true),
    ("batch", "jobs", true),
];

/// Applies the rules of `check --pre`: rights of the user, and APIs that the chart needs.
pub async fn before_the_installation(cluster: &Cluster) -> Vec<Finding> {
    let tell = |rule, state, text: String| {
        Finding::new(Section::BeforeTheInstallation, rule, state, &text)
    };
    let mut findings = Vec::new();
    let mut missing = Vec::new();
    let mut unknown = None;
    for (group, resource, namespaced) in CREATED {
        let namespace = namespaced.then_some(cluster.operator_namespace.as_str());
        match may(cluster, "create", group, resource, namespace).await {
            Ok(true) => {}
            Ok(false) => missing.push(resource),
            Err(why) => unknown = Some(why),
        }
    }
    match may(cluster, "escalate", "rbac.authorization.k8s.io", "clusterroles", None).await {
        Ok(true) => {}
        Ok(false) => missing.push("clusterroles with rights that you lack (escalate)"),
        Err(why) => unknown = Some(why),
    }
    findings.push(match (missing.is_empty(), unknown) {
        (_, Some(why)) => tell(Rule::InstallRights, State::Unknown, format!("{why:#}")),
        (true, None) => tell(
            Rule::InstallRights,
            State::Ok,
            format!(
                "you may create the usual objects of the chart in {}",
                cluster.operator_namespace
            ),
        ),
        (false, None) => tell(
            Rule::InstallRights,
            State::Wrong,
            format!("you may not create {}", missing.join(", ")),
        ),
    });
    findings.push(match policies(cluster).await {
        Ok((true, true)) => tell(
            Rule::AdmissionPolicies,
            State::Ok,
            "validating and mutating admission policies are served".into(),
        ),
        Ok((true, false)) => tell(
            Rule::AdmissionPolicies,
            State::Warning,
            "mutating policies are not served: only kubectl surge fills in the author of an override"
                .into(),
        ),
        Ok((false, _)) => tell(
            Rule::AdmissionPolicies,
            State::Wrong,
            "validating admission policies are not served, and the chart has one for overrides"
                .into(),
        ),
        Err(why) => tell(Rule::AdmissionPolicies, State::Unknown, format!("{why:#}")),
    });
    findings.push(match groups(cluster).await {
        Ok(groups) if groups.iter().any(|group| group == primetime_api::GROUP) => tell(
            Rule::KindsBefore,
            State::Warning,
            "kinds of primetime.dev are installed already: this is an upgrade, and Helm leaves them as they are"
                .into(),
        ),
        Ok(_) => tell(Rule::KindsBefore, State::Ok, "no kinds of primetime.dev are in the way".into()),
        Err(why) => tell(Rule::KindsBefore, State::Unknown, format!("{why:#}")),
    });
    findings
}

/// Returns whether validating and mutating admission policies are served in version 1.
async fn policies(cluster: &Cluster) -> Result<(bool, bool)> {
    let path = "/apis/admissionregistration.k8s.io/v1";
    let served: APIResourceList = match ask::decoded(cluster, path).await? {
        Ok(served) => served,
        Err(status) => anyhow::bail!("{path} answers {status}"),
    };
    let has = |name: &str| served.resources.iter().any(|resource| resource.name == name);
    Ok((has("validatingadmissionpolicies"), has("mutatingadmissionpolicies")))
}

async fn groups(cluster: &Cluster) -> Result<Vec<String>> {
    match ask::decoded::<APIGroupList>(cluster, "/apis").await? {
        Ok(list) => Ok(list.groups.into_iter().map(|group| group.name).collect()),
        Err(status) => anyhow::bail!("/apis answers {status}"),
    }
}

/// Asks the API server whether the user has a right.
pub async fn may(
    cluster: &Cluster,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: Option<&str>,
) -> Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = bounded(api.create(&PostParams::default(), &review)).await?;
    let status = answer.status.unwrap_or_default();
    match status.evaluation_error.filter(|_| !status.allowed) {
        Some(why) => anyhow::bail!("the right to {verb} {resource} is not known: {why}"),
        None => Ok(status.allowed),
    }
}
