//! Queries of many signals to a real Prometheus, and the checks of the answers.

use anyhow::{Context, Result, ensure};
use primetime_core::port::{Access, Metrics, Source};
use primetime_core::state::sample::{Sample, Why};
use primetime_prom::Prometheus as Client;
use primetime_tests::evening::folder;
use primetime_tests::process::free_port;
use primetime_tests::prometheus::{Prometheus, fetch};
use primetime_tests::tools::Tools;

/// Returns the number of query requests that Prometheus has served.
async fn requests(prometheus: &Prometheus) -> Result<u64> {
    let page = fetch(&format!("{}/metrics", prometheus.url)).await?;
    let asked = page.lines().filter(|line| {
        line.starts_with("prometheus_http_requests_total{")
            && line.contains("handler=\"/api/v1/query\"")
    });
    asked
        .map(|line| {
            let count = line.rsplit(' ').next().context("a number")?;
            count.parse::<u64>().context(line.to_owned())
        })
        .sum()
}

async fn prometheus(name: &str) -> Result<(Prometheus, Source)> {
    let tools = Tools::ensure().await?;
    let prometheus = Prometheus::start(&tools, &folder(name), free_port()?, free_port()?).await?;
    let url = prometheus.url.clone();
    Ok((
        prometheus,
        Source { url, timeout_seconds: 5, max_age_seconds: 60, access: Access::default() },
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_targets_are_ten_requests_a_round() -> Result<()> {
    let (prometheus, source) = prometheus("signals-thousand").await?;
    let queries: Vec<String> = (0..1_000).map(|n| format!("sum(vector({n}))")).collect();
    let now = chrono::Utc::now();
    let samples = Client::default().samples(&source, "shop", &queries, now).await;
    for (n, sample) in (0..).zip(&samples) {
        ensure!(*sample == Sample::Known { value: f64::from(n), at: now }, "{n}: {sample:?}");
    }
    ensure!(samples.len() == 1_000 && requests(&prometheus).await? == 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_odd_spoils_no_other_and_is_asked_apart_from_then_on() -> Result<()> {
    let (prometheus, source) = prometheus("signals-odd").await?;
    let client = Client::default();
    let forged = r#"vector(1)), "primetime_query", "0", "", "") or label_replace((vector(0)"#;
    let odd = [
        "sum(vector(42400)) # sessions",
        "sum(\n\tvector(42400)\n)",
        "scalar(vector(7))",
        "sum(",
        "nothing_is_called_this",
        "vector(0) / 0",
        "vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")",
        "up[5m]",
        forged,
    ];
    let plain = (0..91).map(|n| format!("vector({n})"));
    let queries: Vec<String> = odd.iter().map(ToString::to_string).chain(plain).collect();
    for round in 0..2 {
        let before = requests(&prometheus).await?;
        let now = chrono::Utc::now();
        let samples = client.samples(&source, "shop", &queries, now).await;
        let reasons: Vec<String> = samples
            .iter()
            .take(odd.len())
            .map(|sample| match sample {
                Sample::Known { value, .. } => value.to_string(),
                Sample::Unknown(why) => why.reason().as_str().to_owned(),
            })
            .collect();
        let expected = [
            "NotSent",
            "42400",
            "7",
            "NoAnswer",
            "Empty",
            "NotANumber",
            "ManySeries",
            "Malformed",
            "NoAnswer",
        ];
        ensure!(reasons == expected, "{reasons:?}");
        let Some(Sample::Unknown(Why::NoAnswer(said))) = samples.get(3) else {
            anyhow::bail!("{samples:?}")
        };
        ensure!(said.contains("parse error"), "Prometheus' own words: {said}");
        for (n, sample) in (0..).zip(samples.iter().skip(odd.len())) {
            ensure!(*sample == Sample::Known { value: f64::from(n), at: now }, "{n}: {sample:?}");
        }
        let asked = requests(&prometheus).await? - before;
        // Four queries need separate requests: two cannot be part of another query, and two have
        // unbalanced parentheses. All others share a request.
        ensure!(round == 0 || asked == 5, "{asked} requests in round {round}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_answers_for_another_namespace() -> Result<()> {
    let (prometheus, source) = prometheus("signals-forged").await?;
    let client = Client::default();
    let load = vec!["sum(vector(12000))".to_owned()];
    let marks = "primetime_query";
    let forged: Vec<String> = (0..3)
        .flat_map(|n| {
            let end =
                format!("), \"{marks}\", \"{n}\", \"\", \"\") or label_replace((vector(70000)");
            // Prometheus ends a comment at a carriage return.
            ["#\r", "#\n", "\r", "# \u{85}", "`\n", ""]
                .map(|before| format!("vector(70000) {before}{end}"))
        })
        // The query is valid `PromQL`, so no parser refuses the query. The answer has the mark of
        // another query.
        .chain([format!("label_replace(vector(70000), \"{marks}\", \"0\", \"\", \"\")")])
        .chain(load.clone())
        .collect();
    for _ in 0..2 {
        let now = chrono::Utc::now();
        let (mine, theirs) = futures::join!(
            client.samples(&source, "shop", &load, now),
            client.samples(&source, "attacker", &forged, now)
        );
        ensure!(mine == [Sample::Known { value: 12_000.0, at: now }], "{mine:?}");
        let own = theirs.last().context("an answer each")?;
        ensure!(*own == Sample::Known { value: 12_000.0, at: now }, "{own:?}");
        for (query, sample) in forged.iter().zip(&theirs).take(forged.len() - 2) {
            ensure!(matches!(sample, Sample::Unknown(_)), "{query:?}: {sample:?}");
        }
    }
    // The client does not send a query that contains a comment.
    let before = requests(&prometheus).await?;
    let comments: Vec<String> = ["a # b", "a\rb", "#"].map(str::to_owned).into();
    let samples = client.samples(&source, "shop", &comments, chrono::Utc::now()).await;
    ensure!(samples.iter().all(|s| matches!(s, Sample::Unknown(Why::NotSent(_)))), "{samples:?}");
    ensure!(requests(&prometheus).await? == before);
    Ok(())
}
