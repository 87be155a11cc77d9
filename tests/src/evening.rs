//! A test evening: all real parts together, with the shop of the example on 20 base Nodes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};
use primetime_api::{ScheduledSurge, SurgeHold, SurgeOverride, SurgeRun};
use primetime_core::state::run::RunStatus;
use tokio::task::JoinSet;

use crate::ec2::Ec2;
use crate::operator::Operator;
use crate::plane::{Existing, LABEL, Options, Plane};
use crate::process::{Process, free_port, run};
use crate::prometheus::Prometheus;
use crate::site::Site;
use crate::tls::Loopback;
use crate::tools::{Tools, root};
use crate::wait::wait_until;

/// Namespace of the shop.
pub const SHOP: &str = "shop";

/// Number of base Nodes. The shop owns the base Nodes, and the operator never removes a base Node.
pub const BASE_NODES: usize = 20;

/// All parts of an evening.
///
/// The field order is the drop order. The background tasks, the operator and Prometheus stop before
/// the plane removes the evening from a borrowed cluster.
pub struct Evening {
    background: JoinSet<()>,
    /// The operator under test.
    pub operator: Operator,
    /// The Prometheus that scrapes the shop and the operator.
    pub prometheus: Prometheus,
    /// The shop under load.
    pub site: Site,
    /// The EC2 API.
    pub ec2: Ec2,
    /// The Kubernetes control plane.
    pub plane: Plane,
    /// Paths of the programs.
    pub tools: Tools,
    _moto: Process,
}

/// Returns the folder for the logs and files of an evening: `target/evenings/NAME`.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    root().join("target/evenings").join(name)
}

impl Evening {
    /// Starts all parts and opens the shop. Calls `say` with each step of the start.
    ///
    /// # Errors
    ///
    /// Returns an error if a part does not become ready, or the shop does not serve 10 and 5 pods
    /// within 60 s.
    pub async fn begin(name: &str, options: &Options, say: impl Fn(&str)) -> Result<Self> {
        let folder = folder(name);
        let tools = Tools::ensure().await?;
        let ours = "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok";
        let theirs = |e: &Existing| format!("borrowing the cluster of context {}", e.context);
        say(&options.existing.as_ref().map_or_else(|| ours.to_owned(), theirs));
        let plane = Plane::start(&tools, &folder, options).await?;
        say("starting the EC2 API, the shop and Prometheus");
        let tls = Loopback::new(&plane.callback)?;
        let (ec2, moto) = Ec2::start(&tools, &folder).await?;
        let site = Site::open(&tls, plane.listen()).await?;
        let http_port = free_port()?;
        let prometheus = Prometheus::start(&tools, &folder, site.port, http_port).await?;
        say("opening the shop on 20 base nodes");
        let mut background = JoinSet::new();
        background.spawn(join_machines(plane.client.clone(), ec2.clone()));
        open_shop(&plane, &site).await?;
        background.spawn(site.clone().serve(plane.client.clone(), SHOP, "web"));
        say("installing the chart with Helm and starting the operator with its account");
        let operator = Operator::install(&plane, &tls, &ec2.url, http_port).await?;
        platform(&plane, &ec2, &prometheus).await?;
        let evening =
            Self { background, operator, prometheus, site, ec2, plane, tools, _moto: moto };
        evening
            .until("the shop to serve 10 and 5 pods", 60, |e| async move {
                let (web, search) = (e.ready("web").await?, e.ready("search").await?);
                Ok(((web, search) == (10, 5), format!("{web} and {search}")))
            })
            .await?;
        Ok(evening)
    }

    /// Stops all parts and removes the evening from a borrowed cluster.
    ///
    /// # Errors
    ///
    /// Returns an error if a process of the plane has ended, or objects remain in the borrowed
    /// cluster.
    pub fn end(self) -> Result<()> {
        let Self { background, operator, prometheus, site: _, ec2: _, mut plane, tools: _, _moto } =
            self;
        drop((background, operator, prometheus));
        plane.alive()?;
        plane.end()
    }

    /// Returns a client with all rights.
    #[must_use]
    pub fn client(&self) -> Client {
        self.plane.client.clone()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), SHOP)
    }

    /// Calls `look` until the result is true, at most `seconds` seconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the time is up. The error contains the last observation and the decision
    /// logs of all runs.
    pub async fn until<'a, F>(
        &'a self,
        what: &str,
        seconds: u64,
        look: impl Fn(&'a Self) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<(bool, String)>>,
    {
        let waited = wait_until(what, Duration::from_secs(seconds), || look(self)).await;
        match waited {
            Ok(()) => Ok(()),
            Err(error) => {
                let runs = self.runs().await.unwrap_or_default();
                let log = runs
                    .iter()
                    .map(|r| format!("{}:\n{}", r.name_any(), decisions(r)))
                    .collect::<Vec<_>>();
                Err(error.context(log.join("\n")))
            }
        }
    }

    /// Announces an event: applies the surge with kubectl. Returns the output of kubectl.
    ///
    /// # Errors
    ///
    /// Returns an error if the surge cannot be serialized, or kubectl fails.
    pub async fn announce(&self, surge: &ScheduledSurge) -> Result<String> {
        self.plane.apply(&crate::capital::yaml(surge)?).await
    }

    /// Returns all runs in the namespace of the shop.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer.
    pub async fn runs(&self) -> Result<Vec<SurgeRun>> {
        Ok(self.api::<SurgeRun>().list(&kube::api::ListParams::default()).await?.items)
    }

    /// Returns the status of the run of a surge.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer, or the surge has no run.
    pub async fn status(&self, surge: &str) -> Result<RunStatus> {
        let runs = self.runs().await?;
        let run = runs.into_iter().find(|r| r.spec.surge_name.as_deref() == Some(surge));
        Ok(run.with_context(|| format!("surge {surge} has no run"))?.status.unwrap_or_default())
    }

    /// Returns the messages of all Events in the namespace of the shop as a single text.
    ///
    /// # Errors
    ///
    /// Returns an error if kubectl fails.
    pub async fn events(&self) -> Result<String> {
        let messages = "jsonpath={.items[*].message}{.items[*].note}";
        run(self.plane.kubectl().args(["-n", SHOP, "get", "events", "-o", messages])).await
    }

    /// Returns all holds in the namespace of the shop.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer.
    pub async fn holds(&self) -> Result<Vec<SurgeHold>> {
        Ok(self.api::<SurgeHold>().list(&kube::api::ListParams::default()).await?.items)
    }

    /// Returns all overrides in the namespace of the shop.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer.
    pub async fn overrides(&self) -> Result<Vec<SurgeOverride>> {
        Ok(self.api::<SurgeOverride>().list(&kube::api::ListParams::default()).await?.items)
    }

    /// Returns `spec.replicas` of a Deployment.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer, or the Deployment does not exist.
    pub async fn replicas(&self, deployment: &str) -> Result<i32> {
        let found = self.api::<Deployment>().get(deployment).await?;
        Ok(found.spec.and_then(|s| s.replicas).unwrap_or(0))
    }

    /// Returns the number of ready pods of a Deployment (`status.readyReplicas`).
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer, or the Deployment does not exist.
    pub async fn ready(&self, deployment: &str) -> Result<i32> {
        let found = self.api::<Deployment>().get(deployment).await?;
        Ok(found.status.and_then(|s| s.ready_replicas).unwrap_or(0))
    }

    /// Returns `spec.minReplicas` and `spec.maxReplicas` of the HPA `web`.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer, or the HPA does not exist.
    pub async fn bounds(&self) -> Result<(i32, i32)> {
        let spec =
            self.api::<HorizontalPodAutoscaler>().get("web").await?.spec.context("no spec")?;
        Ok((spec.min_replicas.unwrap_or(1), spec.max_replicas))
    }

    /// Returns the number of Nodes that belong to instances (names that begin with `burst-`).
    ///
    /// # Errors
    ///
    /// Returns an error if the API server does not answer.
    pub async fn machines(&self) -> Result<usize> {
        let nodes = Api::<Node>::all(self.client()).list(&kube::api::ListParams::default()).await?;
        Ok(nodes.items.iter().filter(|n| n.name_any().starts_with("burst-")).count())
    }

    /// Fails unless the run has returned everything.
    ///
    /// The check covers HPA bounds, replicas, instances, holds, finalizers, labels and annotations.
    ///
    /// # Errors
    ///
    /// Returns an error if the run has not returned a value or object, which the error names, or
    /// the API server does not answer.
    pub async fn everything_is_back(&self) -> Result<()> {
        let bounds = self.bounds().await?;
        ensure!(bounds == (10, 60), "the HPA has bounds {bounds:?}, not (10, 60)");
        let search = self.replicas("search").await?;
        ensure!(search == 5, "search has {search} replicas, not 5");
        let living = self.ec2.living();
        ensure!(living.is_empty(), "instances live: {living:?}");
        let holds = self.holds().await?;
        ensure!(
            holds.is_empty(),
            "holds are left: {:?}",
            holds.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
        );
        for run in self.runs().await? {
            ensure!(
                run.finalizers().is_empty(),
                "run {} has finalizers {:?}",
                run.name_any(),
                run.finalizers()
            );
        }
        for name in ["web", "search"] {
            bears_no_trace(&self.api::<Deployment>().get(name).await?)?;
        }
        bears_no_trace(&self.api::<HorizontalPodAutoscaler>().get("web").await?)
    }
}

/// Fails if an object has a finalizer, or a label or annotation whose key contains `primetime`.
fn bears_no_trace(object: &impl ResourceExt) -> Result<()> {
    let name = object.name_any();
    ensure!(object.finalizers().is_empty(), "{name} has finalizers");
    let keys = object.annotations().keys().chain(object.labels().keys());
    let ours: Vec<_> = keys.filter(|key| key.contains("primetime")).collect();
    ensure!(ours.is_empty(), "{name} carries {ours:?}");
    Ok(())
}

/// Returns the decision log of a run (`status.decisions`), a line per decision.
#[must_use]
pub fn decisions(run: &SurgeRun) -> String {
    let lines = run.status.iter().flat_map(|s| &s.decisions);
    lines
        .map(|d| format!("  {} {}: {}", d.time.format("%H:%M:%S"), d.reason, d.message))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Creates the base Nodes and applies `tests/shop.yaml`: two Deployments, an HPA on live sessions,
/// and the external metrics API.
async fn open_shop(plane: &Plane, site: &Site) -> Result<()> {
    let nodes: Api<Node> = Api::all(plane.client.clone());
    for n in 0..BASE_NODES {
        nodes.create(&PostParams::default(), &node(&format!("base-{n:02}"), None)?).await?;
    }
    let shop = std::fs::read_to_string(root().join("tests/shop.yaml"))?;
    let shop = shop.replace("METRICS_PORT", &site.tls_port.to_string());
    plane.apply(&shop.replace("METRICS_HOST", &plane.callback)).await?;
    // The wait fails here with the cause. A webhook that the API server cannot reach would fail
    // much later, with a vague error.
    let what = format!(
        "the API server to reach {}:{}; if that is not an address by which it reaches this machine, set PRIMETIME_TEST_ADDRESS",
        plane.callback, site.tls_port
    );
    wait_until(&what, Duration::from_secs(30), || async {
        let get = ["get", "apiservice", "v1beta1.external.metrics.k8s.io", "-o"];
        let conditions = r#"jsonpath={.status.conditions[?(@.type=="Available")]}"#;
        let said = run(plane.kubectl().args(get).arg(conditions)).await?;
        Ok((said.contains(r#""status":"True""#), said))
    })
    .await
}

/// Applies `examples/platform.yaml` with the addresses and the shorter intervals of the evening.
async fn platform(plane: &Plane, ec2: &Ec2, prometheus: &Prometheus) -> Result<()> {
    let text = std::fs::read_to_string(root().join("examples/platform.yaml"))?;
    let mut objects = Vec::new();
    for document in text.split("\n---\n") {
        let mut object: serde_json::Value = serde_yaml::from_str(document)?;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let spec = &mut object["spec"];
        if kind == "InstanceClass" {
            spec["ec2"]["launchTemplate"] =
                serde_json::json!({"name": ec2.template, "version": "1"});
            spec["ec2"]["subnets"] = serde_json::json!(ec2.subnets);
            spec["leadSeconds"] = 30.into();
        } else if kind == "MetricsSource" {
            spec["url"] = prometheus.url.clone().into();
            spec["intervalSeconds"] = 1.into();
            spec["timeoutSeconds"] = 2.into();
            spec["maxSampleAgeSeconds"] = 10.into();
        }
        objects.push(serde_yaml::to_string(&object)?);
    }
    plane.apply(&objects.join("\n---\n")).await?;
    Ok(())
}

fn node(name: &str, provider_id: Option<&str>) -> Result<Node> {
    Ok(serde_json::from_value(serde_json::json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, LABEL: "played"},
            "annotations": {LABEL: "played"},
        },
        // The taint keeps other pods of a borrowed cluster off the simulated Nodes. The pods of the
        // shop tolerate the taint.
        "spec": {
            "providerID": provider_id,
            "taints": [{"key": LABEL, "value": "played", "effect": "NoSchedule"}],
        },
    }))?)
}

/// Creates a Node for each booted instance, and deletes the Node of each terminated instance. Never
/// returns.
async fn join_machines(client: Client, ec2: Ec2) {
    let nodes: Api<Node> = Api::all(client);
    let mut joined = std::collections::BTreeSet::new();
    loop {
        let (booted, gone) = ec2.booted_and_gone();
        for id in booted {
            if joined.contains(&id) {
                continue;
            }
            let provider_id = format!("aws:///eu-west-3a/{id}");
            let Ok(node) = node(&format!("burst-{id}"), Some(&provider_id)) else {
                continue;
            };
            match nodes.create(&PostParams::default(), &node).await {
                Ok(_) => {
                    joined.insert(id);
                }
                Err(error) => eprintln!("machine {id} could not join: {error}"),
            }
        }
        for id in gone {
            if joined.contains(&id)
                && nodes.delete(&format!("burst-{id}"), &DeleteParams::default()).await.is_ok()
            {
                joined.remove(&id);
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
