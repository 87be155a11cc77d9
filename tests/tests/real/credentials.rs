//! Credentials for a real Prometheus with TLS and basic auth (`--web.config.file`), and tenants
//! behind a proxy.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use primetime_core::port::{Access, Answer, Authorization, Metrics, Secrets, Source, Value};
use primetime_core::state::sample::{Sample, Why};
use primetime_prom::Prometheus as Client;
use primetime_tests::evening::folder;
use primetime_tests::process::{Process, command, free_port};
use primetime_tests::prometheus::Prometheus;
use primetime_tests::tls::Loopback;
use primetime_tests::tools::Tools;
use primetime_tests::wait::wait_for;
use serde_json::json;

/// bcrypt of `shop-password` and of `rotated`, cost 4.
const HASHES: [&str; 2] = [
    "$2a$04$i5RuItNE5C.YtNxMcuHU4OOc6zSUbgyXue88WRLakwi1rzg4OZzyG",
    "$2a$04$EeTg.RzlgZObzELVOAJgG.XIqSkr6Ii8pIILCB7i5VSBSrY4hMzyq",
];

/// Secrets that a test changes.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Kept {
    fn set(&self, key: &str, value: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.to_owned(), value.as_bytes().to_vec());
    }
}

impl Secrets for Kept {
    fn read<'a>(&'a self, _: &'a str) -> Answer<'a, Result<BTreeMap<String, Vec<u8>>, String>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { Ok(all) })
    }
}

fn web_config(folder: &Path, tls: &Loopback, hash: &str, mutual: bool) -> Result<()> {
    std::fs::write(folder.join("tls.crt"), &tls.cert)?;
    std::fs::write(folder.join("tls.key"), &tls.key)?;
    std::fs::write(folder.join("ca.crt"), &tls.ca)?;
    let mut config = json!({
        "tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"},
        "basic_auth_users": {"primetime": hash},
    });
    if mutual {
        config["tls_server_config"]["client_auth_type"] = json!("RequireAndVerifyClientCert");
        config["tls_server_config"]["client_ca_file"] = json!("ca.crt");
    }
    Ok(std::fs::write(folder.join("web.yaml"), serde_yaml::to_string(&config)?)?)
}

/// Starts a Prometheus that scrapes nothing and demands TLS and basic auth.
fn secured(folder: &Path, tools: &Tools) -> Result<(Process, String)> {
    std::fs::write(folder.join("prometheus.yaml"), "{}")?;
    let port = free_port()?;
    let mut program = command(tools.path("prometheus"));
    program
        .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.config.file={}", folder.join("web.yaml").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let process = Process::start(folder, "prometheus-secured", &mut program)?;
    Ok((process, format!("https://127.0.0.1:{port}")))
}

async fn ask(client: &Client, url: &str, access: &Access) -> Result<Sample> {
    let source = Source {
        url: url.to_owned(),
        timeout_seconds: 5,
        max_age_seconds: 60,
        access: access.clone(),
    };
    let queries = ["vector(7)".to_owned()];
    let samples = client.samples(&source, "shop", &queries, chrono::Utc::now()).await;
    samples.into_iter().next().context("a sample")
}

fn known(sample: &Sample, value: f64) -> bool {
    matches!(sample, Sample::Known { value: is, .. } if (is - value).abs() < f64::EPSILON)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_with_tls_and_basic_auth_is_asked_and_a_rotated_secret_needs_no_restart()
-> Result<()> {
    let tools = Tools::ensure().await?;
    let folder = folder("credentials");
    std::fs::create_dir_all(&folder)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = Loopback::new("127.0.0.1")?;
    web_config(&folder, &tls, HASHES[0], false)?;
    let (_process, url) = secured(&folder, &tools)?;
    let secrets = Kept::default();
    secrets.set("username", "primetime");
    secrets.set("password", "shop-password\n");
    let client = Client::new(Arc::new(secrets.clone()));
    let access = Access {
        authorization: Some(Authorization::Basic { name: "prometheus".into() }),
        authority: Some(Value::Plain(tls.ca.clone())),
        ..Access::default()
    };
    wait_for("Prometheus with TLS", Duration::from_secs(30), || async {
        Ok(Some(ask(&client, &url, &access).await?).filter(|sample| known(sample, 7.0)))
    })
    .await?;

    let public = Access { authority: None, ..access.clone() };
    let said = format!("{:?}", ask(&client, &url, &public).await?);
    ensure!(said.contains("UnknownIssuer"), "{said}");

    web_config(&folder, &tls, HASHES[1], false)?;
    let said = ask(&client, &url, &access).await?;
    ensure!(matches!(&said, Sample::Unknown(Why::NoAnswer(why)) if why == "HTTP 401"), "{said:?}");
    secrets.set("password", "rotated");
    ensure!(known(&ask(&client, &url, &access).await?, 7.0));

    // A certificate of the client, signed by the same authority.
    web_config(&folder, &tls, HASHES[1], true)?;
    let said = format!("{:?}", ask(&Client::new(Arc::new(secrets.clone())), &url, &access).await?);
    ensure!(said.contains("NoAnswer"), "{said}");
    secrets.set("tls.crt", &tls.cert);
    secrets.set("tls.key", &tls.key);
    let mutual = Access { client_certificate: Some("prometheus".into()), ..access };
    ensure!(known(&ask(&client, &url, &mutual).await?, 7.0));
    Ok(())
}

/// Answers each tenant from the real Prometheus with a number of its own, as a proxy that enforces
/// a label does. A request without a tenant is refused.
async fn by_tenant(
    State(prometheus): State<Arc<Prometheus>>,
    headers: HeaderMap,
    form: String,
) -> (StatusCode, String) {
    let header = headers.get("X-Scope-OrgID").and_then(|value| value.to_str().ok());
    let tenant =
        header.or_else(|| form.split('&').find_map(|pair| pair.strip_prefix("namespace=")));
    let Some(tenant) = tenant else { return (StatusCode::UNAUTHORIZED, "no tenant".to_owned()) };
    let query = format!("vector({})", tenant.len());
    match prometheus.query(&query).await {
        Ok(result) => {
            let answer =
                json!({"status": "success", "data": {"resultType": "vector", "result": result}});
            (StatusCode::OK, answer.to_string())
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_namespace_is_a_tenant_behind_a_proxy() -> Result<()> {
    let tools = Tools::ensure().await?;
    let (site, operator) = (free_port()?, free_port()?);
    let prometheus = Prometheus::start(&tools, &folder("tenants"), site, operator).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
    let router =
        Router::new().route("/api/v1/query", post(by_tenant)).with_state(Arc::new(prometheus));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::default();
    let template = || "{namespace}".to_owned();
    let header = Access {
        headers: vec![("X-Scope-OrgID".to_owned(), Value::Plain(template()))],
        ..Access::default()
    };
    let field =
        Access { tenant_field: Some(("namespace".to_owned(), template())), ..Access::default() };
    for access in [header, field] {
        ensure!(known(&ask(&client, &url, &access).await?, 4.0), "shop has four letters");
    }
    let said = ask(&client, &url, &Access::default()).await?;
    ensure!(matches!(&said, Sample::Unknown(Why::NoAnswer(why)) if why == "HTTP 401"), "{said:?}");
    Ok(())
}
