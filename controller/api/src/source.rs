//! `MetricsSource`: a Prometheus for live metrics. The platform team writes the object, and a surge
//! refers to the object by name.

#![expect(clippy::struct_field_names, reason = "references end in Ref (API conventions)")]

use chrono::TimeDelta;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use primetime_core::state::observed;
use primetime_core::{port, reference};

use crate::object_ref::ObjectRef;

/// A Prometheus for live metrics.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "MetricsSource",
    shortname = "msource",
    category = "primetime",
    derive = "PartialEq",
    doc = "A Prometheus that surges may ask for live load. Written by the platform team; a surge can only name it.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Interval", type_ = "integer", json_path = ".spec.intervalSeconds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.auth) || self.url.startsWith('https://')")
        .message("spec.auth: credentials are sent over https only"),
    validation = Rule::new("!has(self.headers) || self.url.startsWith('https://') || self.headers.all(h, !has(h.valueRef))")
        .message("spec.headers: the value of a Secret is sent over https only")
)]
pub struct MetricsSourceSpec {
    /// URL of the Prometheus, without `/api/v1`. The URL must not contain credentials, a query or a
    /// fragment.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')")
            .message("spec.url: must begin with https:// or http://"),
        validation = Rule::new("!self.contains('@') && !self.contains('#') && !self.contains('?')")
            .message("spec.url: must not carry credentials, a query or a fragment"),
        validation = Rule::new("!self.matches('(?i)^https?://(169[.]254[.]|\\\\[(fe80|fd00:ec2):|metadata[.]google[.]|0[xX]|[0-9]+(:|/|$)|0[0-9]+[.]|[0-9]+[.][0-9]+(:|/|$))')")
            .message("spec.url: host not allowed: it is link-local, a metadata service, or an address in another notation than 10.0.0.1")
    )]
    pub url: String,
    /// Time in seconds between two rounds of queries. Defaults to 10. Range 1 to 300.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = 1, max = 300))]
    pub interval_seconds: u32,
    /// Timeout of a query in seconds. Defaults to 5. Range 1 to 30.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 30))]
    pub timeout_seconds: u32,
    /// Maximum age of a sample in seconds. A signal with an older sample is unknown. Defaults to
    /// 60. Range 1 to 3600.
    #[serde(default = "default_max_sample_age_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_sample_age_seconds: u32,
    /// Credentials of the operator. All Secrets are in the namespace of the operator, and the chart
    /// value `metrics.secrets` must list the names. A changed Secret takes effect within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Authorities that the operator trusts for this URL, instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// Headers of each request. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub headers: Vec<Header>,
    /// Tenant of each request, so that the queries of a namespace read the metrics of the namespace
    /// only. If absent, an author who may use the source may read every metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<Tenancy>,
}

/// Credentials for a Prometheus.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.bearerTokenRef) && has(self.basicRef))")
        .message("spec.auth: at most one of bearerTokenRef and basicRef"),
    validation = Rule::new("has(self.bearerTokenRef) || has(self.basicRef) || has(self.clientCertificateRef)")
        .message("spec.auth: one of bearerTokenRef, basicRef and clientCertificateRef")
)]
pub struct Auth {
    /// Key of a Secret with a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_ref: Option<SecretKeyRef>,
    /// Secret with the keys `username` and `password`, as of type `kubernetes.io/basic-auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_ref: Option<ObjectRef>,
    /// Secret with the keys `tls.crt` and `tls.key`, as of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<ObjectRef>,
}

/// Authorities, as PEM. Exactly one of `pem` and `secretRef` is required.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.pem) != has(self.secretRef)")
        .message("spec.authority: exactly one of pem and secretRef")
)]
pub struct Authority {
    /// PEM of the certificates. Maximum 65536 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub pem: Option<String>,
    /// Key of a Secret with the PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// Header of each request. Exactly one of `value` and `valueRef` is required.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueRef)")
        .message("spec.headers: exactly one of value and valueRef"),
    validation = Rule::new("!(self.name.lowerAscii() in ['authorization', 'host', 'content-type', 'content-length', 'transfer-encoding', 'connection'])")
        .message("spec.headers: Primetime sets this header itself; credentials stand in spec.auth")
)]
pub struct Header {
    /// Name of the header, such as X-Scope-OrgID.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// Value of the header. `{namespace}` stands for the namespace of the run. Maximum 1024
    /// printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^[ -~]*$"))]
    pub value: Option<String>,
    /// Key of a Secret with the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_ref: Option<SecretKeyRef>,
}

/// Tenant of a request. Exactly one of `header` and `parameter` is required.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.header) != has(self.parameter)")
        .message("spec.tenancy: exactly one of header and parameter"),
    validation = Rule::new("self.value.contains('{namespace}')")
        .message("spec.tenancy.value: must contain {namespace}, or all namespaces are one tenant")
)]
pub struct Tenancy {
    /// Header for the tenant, such as X-Scope-OrgID of Mimir and Thanos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub header: Option<String>,
    /// Parameter for the tenant, such as namespace of prom-label-proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub parameter: Option<String>,
    /// Tenant, with `{namespace}` for the namespace of the run. Defaults to `{namespace}`.
    #[serde(default = "default_tenant")]
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[ -~]*$"))]
    pub value: String,
}

fn default_tenant() -> String {
    "{namespace}".to_owned()
}

/// Key of a Secret in the namespace of the operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::KEY))]
    pub key: String,
}

impl MetricsSourceSpec {
    /// Returns what a request to the source needs beyond the URL.
    #[must_use]
    pub fn access(&self) -> port::Access {
        let secret =
            |at: &SecretKeyRef| port::Value::Secret { name: at.name.clone(), key: at.key.clone() };
        let value = |plain: &Option<String>, at: &Option<SecretKeyRef>| {
            let plain = plain.clone().map(port::Value::Plain);
            plain.or_else(|| at.as_ref().map(secret))
        };
        let auth = self.auth.clone().unwrap_or_default();
        let bearer = auth
            .bearer_token_ref
            .map(|at| port::Authorization::Bearer { name: at.name, key: at.key });
        let basic = auth.basic_ref.map(|at| port::Authorization::Basic { name: at.name });
        let tenancy = self.tenancy.clone().unwrap_or_default();
        let tenant = port::Value::Plain(tenancy.value.clone());
        let headers = self.headers.iter().filter_map(|header| {
            Some((header.name.clone(), value(&header.value, &header.value_ref)?))
        });
        port::Access {
            authorization: bearer.or(basic),
            client_certificate: auth.client_certificate_ref.map(|at| at.name),
            authority: self.authority.as_ref().and_then(|a| value(&a.pem, &a.secret_ref)),
            headers: headers.chain(tenancy.header.map(|name| (name, tenant))).collect(),
            tenant_field: tenancy.parameter.map(|name| (name, tenancy.value)),
        }
    }
}

fn default_interval_seconds() -> u32 {
    10
}

fn default_timeout_seconds() -> u32 {
    5
}

fn default_max_sample_age_seconds() -> u32 {
    60
}

impl From<&MetricsSourceSpec> for observed::MetricsSource {
    fn from(spec: &MetricsSourceSpec) -> Self {
        Self { max_age: TimeDelta::seconds(i64::from(spec.max_sample_age_seconds)) }
    }
}
