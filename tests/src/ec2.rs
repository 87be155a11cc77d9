//! An EC2 API for the tests: moto, and a proxy in front of moto.
//!
//! moto provides the wire format and the state. moto ignores client tokens, has no capacity limits,
//! quotas or throttling, and starts instances immediately. The proxy adds the missing behaviour of
//! EC2. The proxy replays the answer to a known client token, and answers
//! `IdempotentParameterMismatch` if the parameters differ. The proxy can also refuse launches,
//! throttle, lose a reply after the effect, delay the change from `pending` to `running`, and be
//! unavailable.

mod fleet;
mod form;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use crate::process::{Process, command, free_port};
use crate::tools::Tools;
use crate::wait::wait_for;
use form::Form;

/// Behaviour of the simulated region.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Instances that can still be started, by instance type. Types without an entry are unlimited.
    pub capacity: BTreeMap<String, u32>,
    /// vCPUs that can still be started; `None` is unlimited. Every instance counts as 4 vCPUs.
    pub vcpu_quota: Option<u32>,
    /// Number of next `CreateFleet`, `TerminateInstances` and `RunInstances` calls that get the
    /// error `RequestLimitExceeded`.
    pub throttled_calls: u32,
    /// Number of next launches by `CreateFleet` that succeed in moto while the caller gets
    /// `InternalError`.
    pub lost_replies: u32,
    /// Errors of the calls after a lost reply, before the token is looked at: code and number.
    pub after_lost: Option<(&'static str, u32)>,
    /// Error code of every call, such as `RequestExpired` for expired credentials.
    pub refused: Option<&'static str>,
    /// Time for which `DescribeInstances` does not show a new instance.
    pub lag: Duration,
    /// Instances that the account protects from their termination.
    pub protected: BTreeSet<String>,
    /// True if the proxy answers every call with 503 `Unavailable`.
    pub down: bool,
    /// Time from the launch of an instance to the state `running` and to the Node that joins.
    pub boot: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            capacity: BTreeMap::new(),
            vcpu_quota: None,
            throttled_calls: 0,
            lost_replies: 0,
            after_lost: None,
            refused: None,
            lag: Duration::ZERO,
            protected: BTreeSet::new(),
            down: false,
            boot: Duration::from_secs(3),
        }
    }
}

/// An instance that was started through the proxy.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Time of the launch.
    pub launched: Instant,
    /// True if a `TerminateInstances` call for the instance has succeeded.
    pub terminated: bool,
}

#[derive(Debug, Default)]
struct Region {
    behaviour: Behaviour,
    /// Answered `CreateFleet` calls by client token: the encoded parameters and the answer.
    tokens: BTreeMap<String, (String, String)>,
    machines: BTreeMap<String, Machine>,
    calls: BTreeMap<String, u32>,
}

/// A handle on the region.
#[derive(Clone, Debug)]
pub struct Ec2 {
    region: Arc<Mutex<Region>>,
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: String,
    /// URL of the proxy.
    pub url: String,
    /// Id of the launch template that `start` creates in moto.
    pub template: String,
    /// Ids of the default subnets of moto; each zone has a subnet.
    pub subnets: Vec<String>,
}

impl Ec2 {
    /// Starts moto and the proxy.
    ///
    /// # Errors
    ///
    /// Returns an error if moto does not answer within 60 s, has no images, or creates no launch
    /// template.
    pub async fn start(tools: &Tools, folder: &Path) -> Result<(Self, Process)> {
        let port = free_port()?;
        let moto = Process::start(
            folder,
            "moto",
            command(tools.path("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]),
        )?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let mut ec2 = Self {
            region: Arc::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            upstream: format!("http://127.0.0.1:{port}/"),
            url: format!("http://{}", listener.local_addr()?),
            template: String::new(),
            subnets: Vec::new(),
        };
        let subnets = wait_for("moto", Duration::from_secs(60), || {
            ec2.described("DescribeSubnets", "subnetId")
        });
        ec2.subnets = subnets.await?;
        let image =
            ec2.described("DescribeImages", "imageId").await?.context("moto has no images")?;
        let made = ec2
            .forward(
                &Form::new(&[
                    ("Action", "CreateLaunchTemplate"),
                    ("Version", "2016-11-15"),
                    ("LaunchTemplateName", "burst"),
                    ("LaunchTemplateData.ImageId", image.first().context("no image")?),
                    ("LaunchTemplateData.InstanceType", "m6i.xlarge"),
                ]),
                &HeaderMap::new(),
            )
            .await?;
        ec2.template = form::all(&made.1, "launchTemplateId")
            .into_iter()
            .next()
            .context("no launch template")?;
        let router = Router::new().fallback(answer).with_state(ec2.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((ec2, moto))
    }

    fn region<T>(&self, f: impl FnOnce(&mut Region) -> T) -> T {
        f(&mut self.region.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the behaviour of the region.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.region(|r| change(&mut r.behaviour));
    }

    /// Returns the instances that are pending or running, by instance id.
    #[must_use]
    pub fn living(&self) -> BTreeMap<String, Machine> {
        self.region(|r| {
            r.machines
                .iter()
                .filter(|(_, m)| !m.terminated)
                .map(|(id, m)| (id.clone(), m.clone()))
                .collect()
        })
    }

    /// Returns the ids of the booted instances and the ids of the terminated instances.
    #[must_use]
    pub fn booted_and_gone(&self) -> (Vec<String>, Vec<String>) {
        self.region(|r| {
            let boot = r.behaviour.boot;
            let booted =
                r.machines.iter().filter(|(_, m)| !m.terminated && m.launched.elapsed() >= boot);
            let gone = r.machines.iter().filter(|(_, m)| m.terminated);
            (booted.map(|(id, _)| id.clone()).collect(), gone.map(|(id, _)| id.clone()).collect())
        })
    }

    /// Returns the number of instances that were ever started through `CreateFleet`.
    #[must_use]
    pub fn started(&self) -> usize {
        self.region(|r| r.machines.len())
    }

    /// Starts an instance that no run has launched, with the given tags. Returns the instance id.
    ///
    /// # Errors
    ///
    /// Returns an error if moto does not answer, has no images, or starts no instance.
    pub async fn start_foreign(&self, tags: &[(&str, String)]) -> Result<String> {
        let images =
            self.described("DescribeImages", "imageId").await?.context("moto has no images")?;
        let numbered = tags.iter().zip(1..).flat_map(|((key, value), n)| {
            let field = |part| format!("TagSpecification.1.Tag.{n}.{part}");
            [(field("Key"), (*key).to_owned()), (field("Value"), value.clone())]
        });
        let numbered: Vec<_> = numbered.collect();
        let mut pairs = vec![
            ("Action", "RunInstances"),
            ("Version", "2016-11-15"),
            ("ImageId", images.first().context("no image")?),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        if !tags.is_empty() {
            pairs.push(("TagSpecification.1.ResourceType", "instance"));
        }
        pairs.extend(numbered.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let (_, body) = self.forward(&Form::new(&pairs), &HeaderMap::new()).await?;
        form::all(&body, "instanceId").into_iter().next().context("no instance was started")
    }

    /// Returns the state name of an instance, as moto reports the state.
    ///
    /// # Errors
    ///
    /// Returns an error if moto does not answer, or knows no instance with the id.
    pub async fn state(&self, id: &str) -> Result<String> {
        let form = Form::new(&[
            ("Action", "DescribeInstances"),
            ("Version", "2016-11-15"),
            ("InstanceId.1", id),
        ]);
        let (_, body) = self.forward(&form, &HeaderMap::new()).await?;
        let state = form::all(&body, "instanceState").into_iter().next().context("no state")?;
        form::all(&state, "name").into_iter().next().context("no name")
    }

    /// Returns the actions of all calls through the proxy.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        self.region(|r| r.calls.keys().cloned().collect())
    }

    /// Returns the number of calls of an action through the proxy.
    #[must_use]
    pub fn calls(&self, action: &str) -> u32 {
        self.region(|r| r.calls.get(action).copied().unwrap_or(0))
    }

    async fn described(&self, action: &str, tag: &str) -> Result<Option<Vec<String>>> {
        let (_, body) = self
            .forward(
                &Form::new(&[("Action", action), ("Version", "2016-11-15")]),
                &HeaderMap::new(),
            )
            .await?;
        let found = form::all(&body, tag);
        Ok((!found.is_empty()).then_some(found))
    }

    async fn forward(&self, form: &Form, headers: &HeaderMap) -> Result<(StatusCode, String)> {
        let anonymous = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-3/ec2/aws4_request, SignedHeaders=host, Signature=0";
        let authorization =
            headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or(anonymous);
        let request = http::Request::post(&self.upstream)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form.encode())))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>test</RequestID></Response>"
    );
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

/// Handles a request in a separate task, so that a started launch completes even if the client
/// disconnects. EC2 does the same.
async fn answer(State(ec2): State<Ec2>, headers: HeaderMap, body: Bytes) -> Response {
    match tokio::spawn(handle(ec2, headers, body)).await {
        Ok(response) => response,
        Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &why.to_string()),
    }
}

async fn handle(ec2: Ec2, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::parse(&body);
    let action = form.get("Action").unwrap_or_default().to_owned();
    let down = ec2.region(|r| {
        *r.calls.entry(action.clone()).or_default() += 1;
        r.behaviour.down
    });
    if down {
        return error(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "the service is down");
    }
    if let Some(code) = ec2.region(|r| r.behaviour.refused) {
        return error(StatusCode::FORBIDDEN, code, "the proxy refuses every call");
    }
    let changes = matches!(action.as_str(), "CreateFleet" | "TerminateInstances" | "RunInstances");
    let throttled = ec2.region(|r| {
        let throttled = changes && r.behaviour.throttled_calls > 0;
        r.behaviour.throttled_calls -= u32::from(throttled);
        throttled
    });
    if throttled {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "RequestLimitExceeded",
            "Request limit exceeded.",
        );
    }
    if action == "GetCallerIdentity" {
        return caller();
    }
    if action == "TerminateInstances"
        && let Some(kept) = ec2.region(|r| {
            let kept = |id: &&str| r.behaviour.protected.contains(*id);
            form.values("InstanceId.").find(kept).map(str::to_owned)
        })
    {
        let said = format!("The instance '{kept}' may not be terminated.");
        return error(StatusCode::BAD_REQUEST, "OperationNotPermitted", &said);
    }
    if action == "CreateFleet" {
        return fleet::create(&ec2, &form, &headers).await;
    }
    match ec2.forward(&form, &headers).await {
        Ok((status, body)) => {
            if action == "TerminateInstances" && status.is_success() {
                ec2.region(|r| {
                    for id in form.values("InstanceId.") {
                        if let Some(machine) = r.machines.get_mut(id) {
                            machine.terminated = true;
                        }
                    }
                });
            }
            let body = if action == "DescribeInstances" {
                still_pending(&ec2, &without_the_new(&ec2, body))
            } else {
                body
            };
            xml(status, body)
        }
        Err(why) => error(StatusCode::BAD_GATEWAY, "Unavailable", &why.to_string()),
    }
}

/// Answers `GetCallerIdentity` of STS.
fn caller() -> Response {
    let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
        <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/test</Arn>\
        <UserId>test</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
        <ResponseMetadata><RequestId>test</RequestId></ResponseMetadata>\
        </GetCallerIdentityResponse>";
    xml(StatusCode::OK, body.to_owned())
}

/// Removes the reservations whose instances are younger than the lag from a `DescribeInstances`
/// answer. A reservation holds the instances of one launch.
fn without_the_new(ec2: &Ec2, body: String) -> String {
    let lag = ec2.region(|r| r.behaviour.lag);
    let new: Vec<String> = ec2
        .living()
        .into_iter()
        .filter(|(_, machine)| machine.launched.elapsed() < lag)
        .map(|(id, _)| id)
        .collect();
    if new.is_empty() {
        return body;
    }
    let mut kept = String::new();
    let mut rest = body.as_str();
    while let Some(at) = rest.find("<reservationId>") {
        // The item of the reservation begins before its id, and ends after the set of instances.
        let begin = rest.get(..at).and_then(|before| before.rfind("<item>")).unwrap_or(at);
        let set = "</instancesSet>";
        let end = rest.find(set).map_or(rest.len(), |end| end + set.len());
        let end = rest
            .get(end..)
            .and_then(|after| after.find("</item>"))
            .map_or(end, |more| end + more + "</item>".len());
        let (before, item) = (rest.get(..begin), rest.get(begin..end));
        kept.push_str(before.unwrap_or_default());
        let item = item.unwrap_or_default();
        if !new.iter().any(|id| item.contains(&format!("<instanceId>{id}</instanceId>"))) {
            kept.push_str(item);
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}

/// Replaces `running` by `pending` in a `DescribeInstances` answer for instances that are still
/// booting.
fn still_pending(ec2: &Ec2, body: &str) -> String {
    let (booted, _) = ec2.booted_and_gone();
    let living = ec2.living();
    let mut parts = body.split("<instanceId>");
    let mut rewritten = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let id = part.split('<').next().unwrap_or_default();
        rewritten.push_str("<instanceId>");
        if living.contains_key(id) && !booted.iter().any(|b| b == id) {
            let running = "<code>16</code><name>running</name>";
            rewritten.push_str(&part.replacen(running, "<code>0</code><name>pending</name>", 1));
        } else {
            rewritten.push_str(part);
        }
    }
    rewritten
}
