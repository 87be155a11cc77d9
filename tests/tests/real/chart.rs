//! Tests of the Helm chart: the chart names missing values, and grants exactly the rights that the
//! operator needs.

use anyhow::{Result, ensure};
use primetime_tests::process::{command, run};
use primetime_tests::tools::{Tools, root};

async fn template(tools: &Tools, more: &[&str]) -> Result<String> {
    let chart = root().join("charts/primetime");
    run(command(tools.path("helm"))
        .arg("template")
        .arg("primetime")
        .arg(chart)
        .args(["-n", "primetime"])
        .args(more))
    .await
}

/// Checks that the simulated API server grants the same rights as the chart.
#[tokio::test]
async fn the_simulator_grants_what_the_chart_grants() -> Result<()> {
    let tools = Tools::ensure().await?;
    let committed = root().join("controller/sim/src/server/granted.yaml");
    let committed = std::fs::read_to_string(committed)?;
    let (_, committed) = committed.split_once('\n').unwrap_or_default();
    let chart = root().join("charts/primetime");
    let mut helm = command(tools.path("helm"));
    helm.arg("template").arg("primetime").arg(chart).args(["-n", "primetime-system"]);
    let everything = "clusterName=x,image.repository=x,jobs.enabled=true,degrade.configMaps={shop-flags},degrade.httpRoutes={shop},machines.enabled=true";
    let all = ["--set", everything, "-s", "templates/rbac.yaml"];
    let rendered = run(helm.args(all)).await?;
    ensure!(rendered.trim() == committed.trim(), "it has changed: run `make generate`");
    Ok(())
}

#[tokio::test]
async fn the_chart_renders_and_refuses_what_is_missing() -> Result<()> {
    let tools = Tools::ensure().await?;
    let refused = template(&tools, &[]).await;
    ensure!(refused.is_err_and(|e| format!("{e:#}").contains("clusterName is required")));
    let imageless = template(&tools, &["--set", "clusterName=x"]).await;
    ensure!(imageless.is_err_and(|e| format!("{e:#}").contains("image.repository is required")));
    let without = template(&tools, &["--set", "clusterName=x,replicas=0"]).await?;
    ensure!(without.contains("image: \"primetime:"), "an operator outside needs no image");
    let all = [
        "--set",
        "clusterName=x,image.repository=registry.example/primetime",
        "--set",
        "prometheusRule.enabled=true",
        "--set",
        "podMonitor.enabled=true",
    ];
    let rendered = template(&tools, &all).await?;
    ensure!(!rendered.contains("\"batch\""), "Jobs are created only where the chart says so");
    let configmaps = rendered.split("resources: [configmaps]").nth(1).unwrap_or_default();
    ensure!(configmaps.trim_start().starts_with("verbs: [get]"), "and ConfigMaps are written");
    ensure!(!rendered.contains("httproutes"), "and HTTPRoutes");
    for kind in [
        "Deployment",
        "ServiceAccount",
        "ClusterRole",
        "ValidatingWebhookConfiguration",
        "PrometheusRule",
        "PodMonitor",
    ] {
        ensure!(rendered.contains(&format!("kind: {kind}\n")), "no {kind}");
    }
    ensure!(rendered.contains("grafana_dashboard: \"1\"") && rendered.contains("tonight.json"));
    ensure!(rendered.contains("alert: SurgeNotReady"));
    let lease = rendered.split("name: primetime-leader-view\n").nth(3).unwrap_or_default();
    ensure!(
        lease.contains("name: system:authenticated"),
        "an app team may know which operator leads: {lease}"
    );
    let elsewhere = [all.as_slice(), &["--set", "prometheusRule.runbookURL=https://x.example/r"]];
    let elsewhere = template(&tools, &elsewhere.concat()).await?;
    ensure!(elsewhere.contains("runbook_url: https://x.example/r#surgenotready"));
    ensure!(!elsewhere.contains("primetime.dev/docs/runbooks"));
    ensure!(!rendered.contains("\"*\"") && !rendered.contains("- '*'"), "no wildcard is granted");
    ensure!(!rendered.contains("MutatingAdmissionPolicy\n"), "not where it is not served");
    let newer = [
        all.as_slice(),
        &["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"],
    ]
    .concat();
    ensure!(template(&tools, &newer).await?.contains("kind: MutatingAdmissionPolicy\n"));
    Ok(())
}

/// Compares the keys of the values with those of the schema. A schema without properties is open: the
/// keys are labels, or belong to Kubernetes.
fn same_keys(values: &serde_yaml::Value, schema: &serde_json::Value, path: &str) {
    let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) else { return };
    assert_eq!(schema["additionalProperties"], false, "{path}: the schema is open");
    let values = values.as_mapping().unwrap_or_else(|| panic!("{path} is no map"));
    let keys: Vec<&str> = values.keys().filter_map(|key| key.as_str()).collect();
    for key in &keys {
        assert!(properties.contains_key(*key), "{path}.{key} is not in values.schema.json");
        same_keys(&values[*key], &properties[*key], &format!("{path}.{key}"));
    }
    let probe = path.starts_with(".probes.");
    for key in properties.keys().filter(|key| !probe && *key != "global") {
        assert!(keys.contains(&key.as_str()), "{path}.{key} is not in values.yaml");
    }
}

/// Checks that the schema has exactly the keys of the values, and that Helm refuses any other key and
/// each value that would end the operator at its start.
#[tokio::test]
async fn a_value_that_the_chart_does_not_know_is_refused() -> Result<()> {
    let tools = Tools::ensure().await?;
    let read = |file: &str| std::fs::read_to_string(root().join("charts/primetime").join(file));
    let values: serde_yaml::Value = serde_yaml::from_str(&read("values.yaml")?)?;
    let schema: serde_json::Value = serde_json::from_str(&read("values.schema.json")?)?;
    same_keys(&values, &schema, "");
    let needed = ["--set", "clusterName=x,image.repository=registry.example/primetime"];
    let wrong = [
        ("prometheusrule.enabled=true", "'prometheusrule' not allowed"),
        ("replica=3", "'replica' not allowed"),
        ("image.repo=x", "'repo' not allowed"),
        ("jobs.enabled=yes", "got string, want boolean"),
        ("settleSeconds=2m", "got string, want integer"),
        ("log.format=pretty", "must be one of"),
        ("clusterName=my cluster", "does not match pattern"),
        ("degrade.configMaps=shop-flags", "got string, want array"),
        ("degrade.configMaps={}", "minLength"),
        ("calendars.urls={guide.example.com}", "does not match pattern"),
        ("scalableKinds[0].kind=Rollout", "missing properties"),
        ("probes.liveness.path=/x", "'path' not allowed"),
        ("podLabels.app\\.kubernetes\\.io/name=other", "app.kubernetes.io/name"),
        ("prometheusRule.runbookURL=", "minLength"),
        ("podMonitor.interval=15 s", "does not match pattern"),
    ];
    for (value, words) in wrong {
        let refused = template(&tools, &[&needed[..], &["--set", value]].concat()).await;
        let said = refused.map_or_else(|why| format!("{why:#}"), |_| "accepted".to_owned());
        ensure!(said.contains(words), "{value}: expected {words} in: {said}");
    }
    Ok(())
}

/// Checks that each setting of the pods arrives in the Deployment, and in the Job that runs before an
/// uninstallation where it concerns the Job.
#[tokio::test]
async fn the_usual_settings_arrive_in_the_pods() -> Result<()> {
    let tools = Tools::ensure().await?;
    let values = "
clusterName: x
image: {repository: registry.example/primetime, digest: sha256:0000000000000000000000000000000000000000000000000000000000000000}
imagePullSecrets: [{name: registry}]
serviceAccount: {create: false, name: existing}
nodeSelector: {pool: platform}
tolerations: [{key: platform, operator: Exists}]
priorityClassName: important
podLabels: {team: a}
podAnnotations: {note: b}
deploymentAnnotations: {note: c}
commonLabels: {cost: d}
extraEnv: [{name: HTTPS_PROXY, value: http://proxy.example}]
extraEnvFrom: [{secretRef: {name: aws}}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /ca}]
hostNetwork: true
dnsPolicy: Default
podDisruptionBudget: {enabled: false}
prometheusRule: {enabled: true, ruleLabels: {team: platform, severity: none}}
serviceMonitor: {enabled: true, interval: 30s}
";
    let file = std::env::temp_dir().join(format!("primetime-values-{}.yaml", std::process::id()));
    std::fs::write(&file, values)?;
    let rendered = template(&tools, &["-f", &file.to_string_lossy()]).await;
    std::fs::remove_file(&file)?;
    let rendered = rendered?;
    let documents: Vec<serde_json::Value> = rendered
        .split("\n---\n")
        .filter_map(|document| serde_yaml::from_str(document).ok())
        .collect();
    let of = |kind: &str| documents.iter().find(|d| d["kind"] == kind).cloned().unwrap_or_default();
    let (deployment, job) = (of("Deployment"), of("Job"));
    let (operator, uninstall) =
        (&deployment["spec"]["template"]["spec"], &job["spec"]["template"]["spec"]);
    for pod in [operator, uninstall] {
        ensure!(pod["imagePullSecrets"][0]["name"] == "registry", "{pod}");
        ensure!(pod["nodeSelector"]["pool"] == "platform", "{pod}");
        ensure!(pod["tolerations"][0]["key"] == "platform", "{pod}");
        ensure!(pod["priorityClassName"] == "important", "{pod}");
        let image = pod["containers"][0]["image"].as_str().unwrap_or_default();
        ensure!(image.starts_with("registry.example/primetime@sha256:0"), "{image}");
        let term = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        let term = format!("{term}/nodeSelectorTerms/0/matchExpressions/0/key");
        ensure!(pod.pointer(&term).is_some_and(|key| key == "primetime.dev/machine"), "{pod}");
    }
    ensure!(operator["serviceAccountName"] == "existing" && operator["hostNetwork"] == true);
    ensure!(operator["dnsPolicy"] == "Default", "{operator}");
    let surge = deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"].as_u64();
    ensure!(surge == Some(0), "two pods cannot have the same ports on one node");
    let container = &operator["containers"][0];
    let env = container["env"].as_array().cloned().unwrap_or_default();
    ensure!(env.iter().any(|env| env["name"] == "HTTPS_PROXY"), "{container}");
    ensure!(container["envFrom"][0]["secretRef"]["name"] == "aws", "{container}");
    ensure!(container["volumeMounts"][0]["mountPath"] == "/ca", "{container}");
    ensure!(operator["volumes"][0]["configMap"]["name"] == "ca", "{operator}");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        ensure!(container[probe]["timeoutSeconds"] == 5, "{probe}: {container}");
    }
    let metadata = &deployment["spec"]["template"]["metadata"];
    ensure!(metadata["labels"]["team"] == "a" && metadata["annotations"]["note"] == "b");
    ensure!(deployment["metadata"]["annotations"]["note"] == "c");
    ensure!(deployment["metadata"]["labels"]["cost"] == "d");
    ensure!(of("PodDisruptionBudget").is_null(), "a budget that is off");
    let own = |d: &&serde_json::Value| d["kind"] == "ServiceAccount";
    let accounts: Vec<_> = documents.iter().filter(own).map(|d| &d["metadata"]["name"]).collect();
    ensure!(accounts == ["primetime-uninstall"], "{accounts:?}");
    ensure!(of("ClusterRoleBinding")["subjects"][0]["name"] == "existing");
    ensure!(rendered.contains("system:serviceaccount:primetime:existing"), "the fences");
    ensure!(of("ServiceMonitor")["spec"]["endpoints"][0]["interval"] == "30s");
    let labels = &of("PrometheusRule")["spec"]["groups"][0]["rules"][0]["labels"];
    ensure!(labels["team"] == "platform" && labels["severity"] == "critical", "{labels}");
    Ok(())
}
