//! Output of `kubectl surge` in a cluster without the operator, a right, a name, a namespace or the
//! kinds.

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use primetime_core::state::run::Verdict;
use primetime_tests::capital;
use primetime_tests::evening::{Evening, SHOP};
use primetime_tests::operator::RELEASE;
use primetime_tests::plane::Options;
use primetime_tests::process::{command, run};
use primetime_tests::tools::built;

/// Returns the exit code, and the standard output followed by the standard error.
async fn surge(evening: &Evening, who: &str, args: &[&str]) -> Result<(i32, String)> {
    let mut plugin = command(built("kubectl-surge")?);
    plugin.arg("--kubeconfig").arg(evening.plane.kubeconfig(who));
    let output = plugin.args(args).output().await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

async fn says(
    evening: &Evening,
    who: &str,
    args: &[&str],
    code: i32,
    words: &[&str],
) -> Result<()> {
    let (exit, said) = surge(evening, who, args).await?;
    ensure!(exit == code, "{who} {args:?}: exit code {exit}, not {code}: {said}");
    for word in words {
        ensure!(said.contains(word), "{who} {args:?}: expected \"{word}\" in: {said}");
    }
    Ok(())
}

/// A kind with a scale subresource that is missing in `scalableKinds` of the chart.
const ROLLOUTS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {kind: Rollout, plural: rollouts, singular: rollout}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
";

/// Tests a target of kind `Rollout` with the default values of the chart. The run is at risk from
/// the start, and the message names the missing right.
async fn a_kind_that_may_not_be_listed(evening: &Evening, show: DateTime<Utc>) -> Result<()> {
    evening.plane.apply(ROLLOUTS).await?;
    let established = ["wait", "--for=condition=Established", "crd/rollouts.argoproj.io"];
    run(evening.plane.kubectl().args(established)).await?;
    let mut surge = capital::web_only("rollout", show, 60, 60)?;
    for target in &mut surge.spec.event.targets {
        target.scale_target_ref.api_version = "argoproj.io/v1alpha1".into();
        target.scale_target_ref.kind = "Rollout".into();
    }
    evening.announce(&surge).await?;
    evening
        .until("the run to name the right that is missing", 40, |e| async move {
            let status = e.status("rollout").await;
            let named = status.as_ref().is_ok_and(|status| {
                let words = ["scalableKinds", "rollouts.argoproj.io is forbidden"];
                status.verdict == Verdict::AtRisk
                    && words.iter().all(|word| status.message.contains(word))
            });
            Ok((named, format!("{:?}", status.map(|s| (s.verdict, s.message)))))
        })
        .await
}

/// Returns a quota of six pods. The API server enforces the quota, and the quota controller fills its
/// status.
fn six_pods(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: {name}, namespace: {SHOP}}}, \
         spec: {{hard: {{pods: \"6\"}}}}}}"
    )
}

/// Tests a `ResourceQuota` that refuses pods of the plan. The run is at risk an hour before T0, and
/// the condition `PreflightPassed` names the finding until the quota is gone.
async fn a_quota_that_is_too_small(evening: &Evening) -> Result<()> {
    evening.plane.apply(&six_pods("six")).await?;
    let told = async |fine: bool| -> Result<(bool, String)> {
        let status = evening.status("capital").await?;
        let found = status.conditions.iter().find(|c| c.type_ == "PreflightPassed");
        let told = found.is_some_and(|found| {
            let named = found.message.contains("ResourceQuota six allows 6 pods");
            found.holds() == fine && named != fine
        });
        let at_risk = status.verdict == Verdict::AtRisk;
        Ok((
            told && at_risk != fine,
            format!("{:?}", (status.verdict, status.message, status.conditions)),
        ))
    };
    evening.until("the run to name the quota", 40, |_| told(false)).await?;
    let delete = ["-n", SHOP, "delete", "resourcequota", "six"];
    run(evening.plane.kubectl().args(delete)).await?;
    evening.until("the run to be on track again", 40, |_| told(true)).await
}

/// Tests that the status of a run repeats why Kubernetes starts no pods: nodes without room, then a
/// quota that appears after the first write. 20 nodes of four CPUs carry 200 pods of 400m.
async fn why_pods_are_missing(evening: &Evening) -> Result<()> {
    let show = Utc::now() + TimeDelta::seconds(45);
    evening.announce(&capital::web_only("tonight", show, 3_600, 240)?).await?;
    let told = async |words: &[&str]| -> Result<(bool, String)> {
        let status = evening.status("tonight").await?;
        let all = words.iter().all(|word| status.message.contains(word));
        Ok((all && status.verdict == Verdict::AtRisk, format!("{:?}", status.message)))
    };
    let room = ["web misses ", "Unschedulable: 0/20 nodes are available: ", "Insufficient cpu"];
    evening.until("the run to repeat the words of the scheduler", 90, |_| told(&room)).await?;
    evening.plane.apply(&six_pods("missing-pods")).await?;
    let boost = ["boost", "tonight", "--target", "web", "--replicas", "260", "--for", "10m"];
    let boost = [&["-n", SHOP], &boost[..], &["--reason", "more than the quota allows"]].concat();
    says(evening, "alice", &boost, 0, &["obeyed: web ", " -> 260"]).await?;
    let quota = ["web misses ", "no pod can be created: ", "exceeded quota: missing-pods"];
    evening.until("the run to repeat the words of the quota", 60, |_| told(&quota)).await?;
    let delete = ["-n", SHOP, "delete", "resourcequota/missing-pods", "scheduledsurge/tonight"];
    run(evening.plane.kubectl().args(delete)).await?;
    let delete = ["-n", SHOP, "delete", "surgeoverrides", "--all"];
    run(evening.plane.kubectl().args(delete)).await.map(drop)
}

/// Tests that each override is answered with its effect, its contradictions and an exit code. The
/// run of `capital` begins in an hour.
async fn overrides_are_answered(evening: &Evening) -> Result<()> {
    let asks = |args: &[&'static str]| {
        [&["-n", SHOP], args, &["capital", "--for", "5m", "--reason", "a rehearsal"]].concat()
    };
    let held = ["obeyed: no replicas are lowered and no machines end before "];
    says(evening, "alice", &asks(&["hold"]), 0, &held).await?;
    let early = ["not obeyed yet: web is first raised at ", ", after the expiry of the override"];
    says(evening, "alice", &asks(&["boost", "--replicas", "80"]), 4, &early).await?;
    let lower =
        ["note: stays in force, and the higher boost counts: boost all targets to 80 by alice"];
    says(evening, "alice", &asks(&["boost", "--replicas", "70"]), 4, &lower).await?;
    let longer = ["note: overruled: hold by alice", "obeyed: the end stays "];
    says(evening, "alice", &asks(&["extend"]), 0, &longer).await?;
    let undo = ["-n", SHOP, "undo", "capital"];
    says(evening, "admin", &undo, 1, &["is not yours: extend by alice", "--any-author"]).await?;
    says(evening, "alice", &undo, 0, &["undone: extend by alice"]).await?;
    ensure!(evening.overrides().await?.len() == 3, "only the newest is deleted");
    let all = ["-n", SHOP, "undo", "capital", "--any-author"];
    for _ in 0..3 {
        says(evening, "alice", &all, 0, &["undone: "]).await?;
    }
    says(evening, "alice", &all, 1, &["has no override in force"]).await
}

/// Tests `check` in a healthy cluster, and `check --pre` with and without the rights of an admin.
async fn checks_pass(evening: &Evening) -> Result<()> {
    let healthy = [
        "√ api-server: Kubernetes v1.",
        "√ kinds: all 8 kinds are served",
        "√ kinds-version: ",
        "√ leader: operator ",
        "√ webhook: ",
        "√ surge: shop/capital: Scheduled",
        "√ run: shop/capital-",
    ];
    let check = ["-n", SHOP, "--operator-namespace", RELEASE, "check"];
    for who in ["alice", "admin"] {
        says(evening, who, &check, 0, &healthy).await?;
    }
    let forbidden = ["- not asked: operator-pods: you may not list deployments"];
    says(evening, "alice", &check, 0, &forbidden).await?;
    let json = [&check[..], &["-o", "json"]].concat();
    says(evening, "admin", &json, 0, &["\"schema\": \"primetime.dev/check/v1\""]).await?;
    let pre = ["check", "--pre"];
    says(evening, "admin", &pre, 0, &["√ install-rights: ", "warning: kinds-before: "]).await?;
    says(evening, "alice", &pre, 1, &["× wrong: install-rights: you may not create "]).await
}

/// Tests the commands for an event that was not announced in a file, from the announcement to the
/// report.
async fn an_event_from_flags(evening: &Evening) -> Result<()> {
    let of_shop = |more: &[&'static str]| [&["-n", SHOP], more].concat();
    let alice = |more: &[&'static str]| of_shop(more);
    let sale = ["create", "sale", "--in", "10s", "--for", "15s", "--target", "search=20"];
    let sale = [&sale[..], &["--lead-seconds", "5", "--step-seconds", "1"]].concat();
    let dry = [&sale[..], &["--dry-run"]].concat();
    says(evening, "alice", &alice(&dry), 0, &["accepted, not stored: shop/sale"]).await?;
    says(evening, "alice", &alice(&["status", "sale"]), 1, &["there is no surge \"sale\""]).await?;
    let print = [&sale[..], &["--print"]].concat();
    says(evening, "alice", &print, 0, &["kind: ScheduledSurge", "stepSeconds: 1"]).await?;
    says(evening, "alice", &alice(&sale), 0, &["announced: shop/sale starts at "]).await?;
    let wait = |what, time| ["wait", "sale", "--for", what, "--timeout", time];
    says(evening, "alice", &alice(&wait("done", "1s")), 1, &["not Done within 1 s: "]).await?;
    says(evening, "alice", &alice(&wait("ready", "60s")), 0, &["sale-", "Ready"]).await?;
    let why = ["target search", "the largest of:", "20  the plan", "not lowered: the event lasts"];
    says(evening, "alice", &alice(&["status", "sale", "search"]), 0, &why).await?;
    let absent = ["surge sale has no target \"web\"; it has search"];
    says(evening, "alice", &alice(&["status", "sale", "web"]), 1, &absent).await?;
    let json = ["\"schema\": \"primetime.dev/status/v1\"", "\"state\": \"leads\"", "\"floor\": 20"];
    says(evening, "alice", &alice(&["status", "sale", "-o", "json"]), 0, &json).await?;
    let name = ["surgerun.primetime.dev/sale-"];
    says(evening, "alice", &alice(&["status", "sale", "-o", "name"]), 0, &name).await?;
    says(evening, "alice", &alice(&wait("done", "120s")), 0, &["sale-", "Done"]).await?;
    let report = ["## sale-", "- Result: ready ", "| search | 5 | 20 | 20 | 5 s | "];
    says(evening, "alice", &alice(&["report", "sale"]), 0, &report).await?;
    says(evening, "alice", &alice(&["suspend", "sale"]), 0, &["shop/sale is suspended"]).await?;
    says(evening, "alice", &alice(&["resume", "sale"]), 0, &["shop/sale is resumed"]).await?;
    let version = ["plugin      0.", "kubernetes  v1.", "you may not list deployments"];
    says(evening, "alice", &["--operator-namespace", RELEASE, "version"], 1, &version).await?;
    let delete = ["-n", SHOP, "delete", "scheduledsurge/sale"];
    run(evening.plane.kubectl().args(delete)).await.map(drop)
}

const HOLD: [&str; 7] = ["-n", SHOP, "hold", "capital", "--for", "5m", "--reason"];

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_says_what_is_so() -> Result<()> {
    let mut evening = Evening::begin("truth", &Options::own(), |what| eprintln!("{what}")).await?;
    let edit = ["create", "rolebinding", "alice-edits", "--clusterrole=edit", "--group=oncall"];
    run(evening.plane.kubectl().args(["-n", SHOP]).args(edit)).await?;
    let show = Utc::now() + TimeDelta::seconds(3600);
    evening.announce(&capital::web_only("capital", show, 60, 60)?).await?;
    evening
        .until("the surge to be planned", 20, |e| async move {
            let targets = e.status("capital").await.map(|status| status.targets.len());
            Ok((targets.as_ref().is_ok_and(|n| *n == 1), format!("{targets:?}")))
        })
        .await?;

    // The operator leads. The plugin checks the names of surges and namespaces.
    let of_shop = |more: &[&'static str]| [&["-n", SHOP], more].concat();
    for who in ["alice", "admin"] {
        let leads = ["leads, seen ", "shop/capital  Planned", "PLANNED"];
        says(&evening, who, &of_shop(&["status"]), 0, &leads).await?;
        says(&evening, who, &of_shop(&["next"]), 0, &["capital"]).await?;
    }
    let unknown = ["there is no surge \"capitol\" in namespace shop; there are: capital"];
    says(&evening, "alice", &of_shop(&["status", "capitol"]), 1, &unknown).await?;
    let hold = ["hold", "capitol", "--for", "5m", "--reason", "a typing error"];
    says(&evening, "alice", &of_shop(&hold), 1, &unknown).await?;
    for what in ["status", "next"] {
        let nowhere = ["there is no namespace \"shpo\""];
        says(&evening, "admin", &["-n", "shpo", what], 1, &nowhere).await?;
    }
    let elsewhere = ["there is none; it is in namespace shop"];
    says(&evening, "admin", &["-n", "default", "status", "capital"], 1, &elsewhere).await?;
    let odd = ["is not the name of an object"];
    says(&evening, "admin", &["-n", "../x", "status"], 1, &odd).await?;

    overrides_are_answered(&evening).await?;
    an_event_from_flags(&evening).await?;
    checks_pass(&evening).await?;
    a_kind_that_may_not_be_listed(&evening, show).await?;
    let check = of_shop(&["check"]);
    says(&evening, "alice", &check, 1, &["× wrong: run: shop/rollout-", "scalableKinds"]).await?;
    a_quota_that_is_too_small(&evening).await?;
    why_pods_are_missing(&evening).await?;

    // The test kills the operator, which does not release the Lease. The Lease expires after 15 s.
    evening.operator.kill().await?;
    evening
        .until("the plugin to miss the operator", 40, |e| async move {
            let (code, said) = surge(e, "alice", &["-n", SHOP, "status"]).await?;
            Ok((code == 3, format!("{code}: {said}")))
        })
        .await?;
    let dead = ["NO OPERATOR LEADS: ", " ago and not since"];
    for who in ["alice", "admin"] {
        says(&evening, who, &of_shop(&["status"]), 3, &dead).await?;
        says(&evening, who, &of_shop(&["status", "capital"]), 3, &dead).await?;
        says(&evening, who, &of_shop(&["next"]), 3, &dead).await?;
        says(&evening, who, &of_shop(&["next", "-o", "json"]), 3, &dead).await?;
    }
    let unheard = ["not obeyed yet: ", dead[0]];
    says(&evening, "alice", &[&HOLD[..], &["is it obeyed?"]].concat(), 3, &unheard).await?;
    says(&evening, "alice", &of_shop(&["check"]), 1, &["× wrong: leader: NO OPERATOR"]).await?;
    ensure!(evening.overrides().await?.len() == 1, "it is on record all the same");
    let later = capital::web_only("later", show, 60, 60)?;
    run(evening.plane.kubectl().args(["delete", "validatingwebhookconfigurations", "--all"]))
        .await?;
    evening.announce(&later).await?;
    let unplanned = ["shop/later  announced, and no operator has planned it yet"];
    says(&evening, "alice", &of_shop(&["status"]), 3, &unplanned).await?;

    // The plugin does not report a missing operator to a user who may not read the Lease.
    let lease = ["delete", "rolebinding", "primetime-leader-view"];
    run(evening.plane.kubectl().args(["-n", RELEASE]).args(lease)).await?;
    let (code, said) = surge(&evening, "alice", &["-n", SHOP, "status"]).await?;
    let known = said.contains("LEADER NOT KNOWN: you may not read Lease primetime");
    ensure!(code == 1 && known && !said.contains("NO OPERATOR"), "{code}: {said}");
    let hold = [&HOLD[..], &["who leads?"]].concat();
    says(&evening, "alice", &hold, 4, &["not obeyed yet: ", "LEADER NOT KNOWN"]).await?;
    says(&evening, "alice", &of_shop(&["check"]), 1, &["? unknown: leader: "]).await?;
    // The namespace `default` has no Lease. The plugin still finds the Lease of the operator for an
    // admin.
    let elsewhere = ["-n", SHOP, "--operator-namespace", "default", "status"];
    says(&evening, "admin", &elsewhere, 3, &dead).await?;

    // Primetime counts as not installed if the kinds are missing.
    let kind = ["delete", "crd", "surgeoverrides.primetime.dev"];
    run(evening.plane.kubectl().args(kind)).await?;
    let absent = ["Primetime is not installed in this cluster", "context "];
    says(&evening, "admin", &of_shop(&["status"]), 1, &absent).await?;
    let kinds = ["× wrong: kinds: SurgeOverride not served"];
    says(&evening, "admin", &of_shop(&["check"]), 1, &kinds).await?;
    evening.end()
}
