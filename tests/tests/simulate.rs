//! Tests of `kubectl surge simulate`, as a user calls the command. The tests only compute, so they run
//! apart from the evenings on real parts, which measure time.

use anyhow::{Context, Result, ensure};
use primetime_tests::process::{command, run};
use primetime_tests::tools::{built, root};
use serde_json::Value;

async fn simulate(args: &[&str]) -> Result<String> {
    run(command(built("kubectl-surge")?).current_dir(root()).arg("simulate").args(args)).await
}

async fn outcome(args: &[&str]) -> Result<Value> {
    let said = simulate(&[args, &["-o", "json"]].concat()).await?;
    serde_json::from_str(&said).with_context(|| said.clone())
}

async fn refused(args: &[&str], why: &str) -> Result<()> {
    let error = simulate(args).await.err().with_context(|| format!("not refused: {args:?}"))?;
    ensure!(format!("{error:#}").contains(why), "expected \"{why}\" in: {error:#}");
    Ok(())
}

/// Writes a file below `target/evenings/simulate`. Returns the path.
fn file(name: &str, text: &str) -> Result<String> {
    let folder = root().join("target/evenings/simulate");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

const CAPITAL: &str = "examples/capital-2014.yaml";
const SHAPED: &str = "examples/capital-shape.yaml";

#[tokio::test]
async fn the_capital_evening_is_kept_and_compared() -> Result<()> {
    let picture = file("capital.svg", "")?;
    let args = [CAPITAL, "--curve", "capital-2014", "--compare", "--svg", &picture];
    let report = outcome(&args).await?;
    let of = |strategy: &str, field: &str| report["strategies"][strategy][field].clone();
    let number = |strategy, field| of(strategy, field).as_i64().unwrap_or(-1);
    ensure!(of("primetime", "readyAtT0") == true, "{report}");
    ensure!(number("primetime", "shortReplicaSeconds") == 0, "{report}");
    ensure!(number("hpa", "shortReplicaSeconds") > 10_000, "HPA alone doubles too late: {report}");
    ensure!(of("hpa", "readyAtT0") == false, "{report}");
    ensure!(number("kedaCron", "excessReplicaSeconds") > number("oracle", "excessReplicaSeconds"));
    let least = number("oracle", "excessReplicaSeconds");
    ensure!(number("primetime", "excessReplicaSeconds") >= least, "no strategy beats the oracle");
    let demand = number("primetime", "demandReplicaSeconds");
    for strategy in ["primetime", "hpa", "kedaCron", "oracle"] {
        ensure!(number(strategy, "demandReplicaSeconds") == demand, "one evening: {report}");
        ensure!(of(strategy, "leftOver") == serde_json::json!([]), "{report}");
    }
    let svg = std::fs::read_to_string(&picture)?;
    for class in ["demand", "floor", "ready", "peer0", "peer1", "machines"] {
        ensure!(svg.contains(&format!("<polyline class=\"{class}\"")), "{class} is not drawn");
    }
    ensure!(svg.ends_with("</svg>\n"));
    let again = outcome(&args).await?;
    ensure!(report == again, "the same seed gives the same evening");
    Ok(())
}

/// Checks that the tables and the picture of the documentation equal the computed ones. `make generate`
/// rewrites them.
#[tokio::test]
async fn the_readme_shows_what_is_computed() -> Result<()> {
    let folder = root().join("target/evenings");
    std::fs::create_dir_all(&folder)?;
    let (committed, drawn) = (root().join("docs/capital.svg"), folder.join("capital-shape.svg"));
    let to = drawn.to_string_lossy();
    let of = ["--curve", "capital-2014", "--compare", "--svg", &to];
    let said = simulate(&[&[SHAPED], &of[..]].concat()).await?;
    shows("README.md", &said)?;
    shows("docs/shapes.md", &said)?;
    if std::env::var_os("PRIMETIME_GENERATE").is_some() {
        std::fs::copy(&drawn, &committed)?;
    }
    let same = std::fs::read(&drawn)? == std::fs::read(&committed).unwrap_or_default();
    ensure!(same, "docs/capital.svg has changed: run `make generate`");
    shows("docs/try.md", &simulate(&[CAPITAL, "--curve", "capital-2014", "--compare"]).await?)
}

/// Compares the table of a document with the table that `simulate --compare` has printed.
fn shows(document: &str, said: &str) -> Result<()> {
    let is_head = |line: &&str| line.contains("primetime ") && line.contains("KEDA cron");
    let table = said.lines().skip_while(|line| !is_head(line)).take_while(|l| !l.is_empty());
    let table = table.map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    ensure!(table.contains("machine hours"), "{said}");
    let file = root().join(document);
    let text = std::fs::read_to_string(&file)?;
    let shown = text.lines().skip_while(|line| !is_head(line)).take_while(|l| !l.is_empty());
    let shown = shown.collect::<Vec<_>>().join("\n");
    ensure!(!shown.is_empty(), "{document} has no such table");
    if std::env::var_os("PRIMETIME_GENERATE").is_some() {
        std::fs::write(&file, text.replace(&shown, &table))?;
        return Ok(());
    }
    ensure!(shown == table, "{document} has changed: run `make generate`; computed is\n{table}");
    Ok(())
}

/// Checks that a plan with a shape is ready and never short, and costs less than the flat plan, and less
/// spare than a cron window. The load is a curve that the shape was not made from.
#[tokio::test]
async fn a_shape_costs_less_than_a_flat_plan() -> Result<()> {
    let shaped = outcome(&[SHAPED, "--curve", "capital-2014", "--compare"]).await?;
    let flat = outcome(&[CAPITAL, "--curve", "capital-2014"]).await?;
    let of = |figures: &Value, who: &str, what: &str| {
        let found = figures.pointer(&format!("/strategies/{who}/{what}")).and_then(Value::as_i64);
        found.with_context(|| format!("no {who}.{what} in {figures}"))
    };
    ensure!(of(&shaped, "primetime", "shortReplicaSeconds")? == 0, "{shaped}");
    for (what, percent) in [("excessReplicaSeconds", 50), ("machineSeconds", 65)] {
        let (shaped, flat) = (of(&shaped, "primetime", what)?, of(&flat, "primetime", what)?);
        ensure!(shaped * 100 < flat * percent, "{what}: {shaped}, and {flat} flat");
    }
    let excess = "excessReplicaSeconds";
    let window = of(&shaped, "kedaCron", excess)?;
    ensure!(of(&shaped, "primetime", excess)? < window, "{shaped}");
    Ok(())
}

#[tokio::test]
async fn an_evening_with_faults_is_told_step_by_step() -> Result<()> {
    let faults = "prometheus@600+1200,operator@-2000+60,cloud@-2100+120";
    let said = simulate(&[CAPITAL, "examples/platform.yaml", "--faults", faults]).await?;
    for line in [
        "T0    Sun 2031-01-12 20:50:00 CET",
        "web: 10 replicas before, 200 of load each",
        "Prometheus out from 20:10:00.000 to 20:30:00.000",
        "machines burst 0 -> 17 of 17",
        "web 10 -> 180: planned to be ready by 19:50:00Z",
        "web: 180 of 180 pods ready",
        "everything was given back",
    ] {
        ensure!(said.contains(line), "expected \"{line}\" in:\n{said}");
    }
    let ready = said.lines().find(|l| l.starts_with("ready at T0")).context("no figures")?;
    ensure!(ready.trim_end().ends_with("yes"), "{said}");
    Ok(())
}

/// Checks that the simulator uses the given objects of the cluster instead of assumptions.
#[tokio::test]
async fn what_is_known_of_the_cluster_is_played() -> Result<()> {
    let known = file(
        "known.yaml",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 12}}\n---\n\
         {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web}, spec: \
         {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 8, maxReplicas: 60}}\n",
    )?;
    let said = simulate(&[CAPITAL, &known, "--compare"]).await?;
    let line = "web: 12 replicas before, 200 of load each, an HPA at 100 % of that from 8 to 60";
    ensure!(said.contains(line), "{said}");
    let left = said.lines().find(|l| l.starts_with("left over")).context("no figures")?;
    ensure!(left.split_whitespace().filter(|w| *w == "nothing").count() == 4, "{said}");

    // A multiplier of 18 on 0 replicas gives 0 replicas.
    let known = file(
        "asleep.yaml",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: search}, spec: {replicas: 0}}",
    )?;
    let said = simulate(&[CAPITAL, &known]).await?;
    let words = ["search: 0 replicas before", "search: 18 times 0 replicas is 0; state replicas"];
    ensure!(words.iter().all(|word| said.contains(word)), "{said}");
    let report = outcome(&[CAPITAL, &known]).await?;
    ensure!(report["strategies"]["primetime"]["readyAtT0"] == false, "{report}");
    Ok(())
}

#[tokio::test]
async fn loads_of_the_users_own_are_played() -> Result<()> {
    let curve = file("own.csv", "seconds,load\n0,2000\n60,45000\n1200,45000\n1800,2000\n")?;
    let report = outcome(&[CAPITAL, "--curve", &curve]).await?;
    let short = &report["strategies"]["primetime"]["shortReplicaSeconds"];
    ensure!(
        short.as_i64() > Some(0),
        "45,000 sessions at once are more than was announced: {report}"
    );
    ensure!(report["strategies"].get("hpa").is_none(), "nothing to compare was asked for");

    // The history has the same evening of the week before, with a peak of 30,000 sessions.
    let start = 1_926_014_400 - 7 * 86_400;
    let values: Vec<String> = (-1800..7200)
        .step_by(60)
        .map(|n| {
            format!("[{},\"{}\"]", start + n, if (0..3600).contains(&n) { 30_000 } else { 2_000 })
        })
        .collect();
    let history = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#,
        values.join(",")
    );
    let history = file("history.json", &history)?;
    let report = outcome(&[CAPITAL, "--history", &history]).await?;
    let figures = &report["strategies"]["primetime"];
    ensure!(figures["shortReplicaSeconds"] == 0, "36,000 were announced: {report}");
    ensure!(figures["demandReplicaSeconds"].as_i64() > Some(3_600 * 225), "{report}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_played_is_refused_with_a_reason() -> Result<()> {
    let surge = std::fs::read_to_string(root().join(CAPITAL))?;
    let typo = file("typo.yaml", &surge.replace("maxReplicas", "maxReplica"))?;
    refused(&[&typo], "spec.targets[0].maxReplica: unknown field").await?;
    let nothing = file("nothing.yaml", "")?;
    refused(&[&nothing], "0 ScheduledSurges; one evening at a time").await?;
    refused(&[CAPITAL, CAPITAL], "2 ScheduledSurges; one evening at a time").await?;
    let word = file(
        "override.yaml",
        "{apiVersion: primetime.dev/v1alpha1, kind: SurgeOverride, metadata: {name: boost}}",
    )?;
    refused(&[&word], "SurgeOverride boost: not understood here").await?;
    refused(&["nowhere.yaml"], "nowhere.yaml").await?;
    refused(&[CAPITAL, "--curve", "loft"], "neither a file nor one of capital-2014").await?;
    let csv = file("bad.csv", "0,2000\n60;1\n")?;
    refused(&[CAPITAL, "--curve", &csv], "line 2: \"60;1\" is not seconds,load").await?;
    refused(&[CAPITAL, "--faults", "disk@0"], "\"disk\" is none of operator, api").await?;
    refused(&[CAPITAL, "--replicas", "shop=3"], "\"shop\" is not a target of capital").await?;
    refused(&[CAPITAL, "--faults", "api@999999+10"], "never happens; the evening is played from")
        .await?;
    let typo = file("wbe.yaml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: wbe}}")?;
    refused(&[CAPITAL, &typo], "Deployment wbe: no target of the surge is Deployment \"wbe\"")
        .await?;
    let platform = std::fs::read_to_string(root().join("examples/platform.yaml"))?;
    let class = file("class.yaml", &platform.replace("instanceTypes", "instanceType"))?;
    refused(
        &[CAPITAL, &class],
        "InstanceClass paris-burst: spec.ec2.instanceTypes: Required value",
    )
    .await?;
    let long =
        file("long.yaml", &surge.replace("durationSeconds: 7200", "durationSeconds: 2592000"))?;
    refused(&[&long], "durationSeconds in body should be less than or equal to 604800").await?;
    let set = file("set.yaml", &surge.replace("kind: Deployment", "kind: StatefulSet"))?;
    refused(&[&set], "simulate plays Deployments, not a StatefulSet").await
}

/// The example with an HPA of 10 to 60 on `web` that never scales down.
const NEVER_DOWN: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 10}}\n---\n\
     {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web}, spec: {\
     scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 10, \
     maxReplicas: 60, behavior: {scaleDown: {selectPolicy: Disabled}}}}\n";

/// Checks that the simulator obeys `behavior.scaleDown` of a given HPA: the pods stay until the run
/// restores the maximum, and nothing is left over.
#[tokio::test]
async fn an_hpa_that_never_scales_down_is_played_as_it_is() -> Result<()> {
    let known = file("never-down.yaml", NEVER_DOWN)?;
    let said = simulate(&[CAPITAL, "examples/platform.yaml", &known]).await?;
    for part in ["everything is to be given back by", "everything was given back"] {
        ensure!(said.contains(part), "expected \"{part}\" in:\n{said}");
    }
    let report = outcome(&[CAPITAL, "examples/platform.yaml", &known]).await?;
    let left = &report["strategies"]["primetime"]["leftOver"];
    ensure!(*left == serde_json::json!([]), "{report}");
    Ok(())
}

/// Checks that `kubectl surge validate` applies the preflight rules to the objects of its files.
#[tokio::test]
async fn validate_finds_what_will_go_wrong_with_the_objects_of_its_files() -> Result<()> {
    let validate = async |objects: &str| -> Result<(i32, String)> {
        let objects = file("validate.yaml", objects)?;
        let mut plugin = command(built("kubectl-surge")?);
        plugin.current_dir(root()).args(["validate", "-f", CAPITAL, "-f", &objects]);
        let output = plugin.output().await?;
        Ok((output.status.code().unwrap_or(-1), String::from_utf8(output.stdout)?))
    };
    let (deployment, stateful) = ("apps/v1, kind: Deployment", "apps/v1, kind: StatefulSet");
    let workload = |kind: &str, name: &str, replicas: u32| {
        format!(
            "{{apiVersion: {kind}, metadata: {{name: {name}}}, spec: {{replicas: {replicas}, \
             template: {{spec: {{containers: [{{name: c, resources: {{requests: {{cpu: 500m}}}}}}]}}}}}}}}\n"
        )
    };
    let quota = |hard: &str| {
        format!(
            "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: q}}, spec: {{hard: {{{hard}}}}}}}\n"
        )
    };
    let web = workload(deployment, "web", 10);
    let pods = quota("pods: 100");
    let cpu = quota("requests.cpu: \"20\"");
    let silent = web.replace("requests: {cpu: 500m}", "{}");
    let silent = silent.replace("resources: {{}}", "resources: {}");
    let search = workload(deployment, "search", 0);
    let ordered = workload(stateful, "web", 10);
    for (objects, code, part) in [
        (web.clone(), 0, "valid"),
        (format!("{web}---\n{pods}"), 1, "at risk: web: ResourceQuota q allows 100 pods"),
        (format!("{web}---\n{cpu}"), 1, "allows 20 requests.cpu, 0 are used, and 90 more"),
        (format!("{silent}---\n{cpu}"), 1, "a container states none of it; set requests"),
        (search, 1, "at risk: search: 18 times 0 replicas is 0"),
        (ordered, 0, "valid"),
        (NEVER_DOWN.to_owned(), 0, "warning: web: HorizontalPodAutoscaler web never scales down"),
    ] {
        let (exit, said) = validate(&objects).await?;
        ensure!(exit == code && said.contains(part), "{objects}: exit code {exit}: {said}");
    }
    Ok(())
}

/// Checks that `next` and `validate` tell what the reader of a calendar left out, and why.
#[tokio::test]
async fn what_a_calendar_leaves_out_is_told() -> Result<()> {
    let feed = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nSUMMARY:Show\nDTSTART;TZID=Nowhere:20261122T200000\nDURATION:PT1H\nEND:VEVENT\nEND:VCALENDAR\n";
    let objects = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "primetime.dev/v1alpha1", "kind": "ScheduledSurge",
         "metadata": {"name": "capital", "namespace": "shop"},
         "spec": {"schedule": {"calendarRef": {"name": "m6"}}, "targets": [{"name": "web", "replicas": 10,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}]}},
        {"apiVersion": "primetime.dev/v1alpha1", "kind": "SurgeCalendar",
         "metadata": {"name": "m6", "namespace": "shop"},
         "spec": {"format": "iCalendar", "configMapKeyRef": {"name": "m6", "key": "m6.ics"}}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m6", "namespace": "shop"},
         "data": {"m6.ics": feed}},
    ]});
    let objects = file("calendar.json", &objects.to_string())?;
    let why = "SurgeCalendar m6: left out: \"Show\": DTSTART TZID \"Nowhere\" is neither";
    for args in [
        vec!["next", "-f", &objects, "--from", "2026-11-20T00:00:00Z"],
        vec!["next", "-f", &objects, "--from", "2026-11-20T00:00:00Z", "-o", "json"],
        vec!["validate", "-f", &objects],
    ] {
        let output = command(built("kubectl-surge")?).args(&args).output().await?;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        ensure!(said.contains(why), "{args:?}: {said}");
        let expected = i32::from(args.first() == Some(&"validate"));
        ensure!(output.status.code() == Some(expected), "{args:?}: {said}");
    }
    Ok(())
}
