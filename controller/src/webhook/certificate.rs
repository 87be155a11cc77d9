//! Certificate of the webhook: from a folder, or made and renewed by the leader.
//!
//! Each process reads the certificate again every minute, so that a renewed one needs no restart.
//! A certificate that cannot be read leaves the current one in use.
//!
//! The leader makes an authority and a certificate if the Secret has none, and again after two
//! thirds of the lifetime. The `caBundle` of the `ValidatingWebhookConfiguration` gets the new
//! authority before the Secret gets the new certificate, and keeps the old authority beside it, so
//! that the API server trusts both replicas at any time. A Secret without the annotation
//! [`RENEW_AFTER`] belongs to another issuer, and the leader never changes it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use primetime_core::port::Clock;
use primetime_k8s::call::bounded;
use primetime_k8s::lease::Leadership;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

/// Annotation of a Secret that the leader made: the time from which the leader renews it (RFC
/// 3339).
const RENEW_AFTER: &str = "primetime.dev/renew-after";

/// Annotation with the names in the certificate, separated by commas.
const NAMES: &str = "primetime.dev/names";

/// Lifetime of a certificate that the leader makes: 90 days.
const LIFETIME: TimeDelta = TimeDelta::days(90);

/// Interval between two reads of the certificate.
const INTERVAL: Duration = Duration::from_mins(1);

/// Interval while there is no certificate, and of looks at the leadership.
const SOON: Duration = Duration::from_secs(2);

/// Source of the certificate.
#[derive(Clone, Debug)]
pub enum Source {
    /// Folder with `tls.crt` and `tls.key`.
    Folder(PathBuf),
    /// Secret with `tls.crt` and `tls.key` in the namespace of the operator.
    Secret(Made),
}

/// A Secret that the leader fills, and the webhook configuration that trusts it.
#[derive(Clone, Debug)]
pub struct Made {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Name of the `ValidatingWebhookConfiguration`.
    pub configuration: String,
    /// DNS names of the Service of the webhook.
    pub names: Vec<String>,
}

/// PEM of a certificate chain and of the key.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn acceptor(&self) -> Result<TlsAcceptor> {
        let chain = CertificateDer::pem_slice_iter(&self.chain)
            .collect::<Result<Vec<_>, _>>()
            .context("tls.crt holds no certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("tls.key holds no key")?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("certificate and key do not fit together")?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Keeps the certificate of the webhook current.
pub struct Keeper {
    source: Source,
    client: Client,
    leadership: Leadership,
    clock: Arc<dyn Clock>,
    current: Option<Pem>,
    acceptor: watch::Sender<Option<TlsAcceptor>>,
}

impl Keeper {
    /// Reads the certificate. Returns the keeper, and the certificate for the server.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder holds no usable certificate. A Secret may still be empty.
    pub async fn open(
        source: Source,
        client: Client,
        leadership: Leadership,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, watch::Receiver<Option<TlsAcceptor>>)> {
        let (acceptor, served) = watch::channel(None);
        let mut keeper = Self { source, client, leadership, clock, current: None, acceptor };
        let read = keeper.read().await;
        match (read, &keeper.source) {
            (Err(why), Source::Folder(folder)) => {
                return Err(why.context(format!("--webhook-cert-dir {}", folder.display())));
            }
            (Err(why), Source::Secret(made)) => {
                info!(secret = made.secret, "no certificate yet: {why:#}");
            }
            (Ok(()), _) => {}
        }
        Ok((keeper, served))
    }

    /// Reads the certificate forever, and makes one if this process leads and the Secret needs one.
    pub async fn run(mut self) {
        let mut next = tokio::time::Instant::now();
        let mut led = false;
        loop {
            let leads = self.leadership.leads();
            // A new leader looks at once: the certificate may be due.
            if tokio::time::Instant::now() >= next || (leads && !led) {
                self.look(leads).await;
                let there = self.current.is_some();
                next = tokio::time::Instant::now() + if there { INTERVAL } else { SOON };
            }
            led = leads;
            tokio::time::sleep(SOON).await;
        }
    }

    async fn look(&mut self, leads: bool) {
        if let Source::Secret(made) = &self.source
            && leads
            && let Err(why) = self.renew(made).await
        {
            warn!("the webhook's certificate could not be renewed: {why:#}");
        }
        if let Err(why) = self.read().await {
            warn!("the webhook's certificate could not be read, the last one stays: {why:#}");
        }
    }

    async fn read(&mut self) -> Result<()> {
        let pem = match &self.source {
            Source::Folder(folder) => Pem {
                chain: tokio::fs::read(folder.join("tls.crt")).await.context("tls.crt")?,
                key: tokio::fs::read(folder.join("tls.key")).await.context("tls.key")?,
            },
            Source::Secret(made) => {
                let data = self.secret(made).await?.data.unwrap_or_default();
                let of = |key: &str| {
                    let value =
                        data.get(key).context(format!("Secret {} has no {key}", made.secret));
                    value.map(|value| value.0.clone())
                };
                Pem { chain: of("tls.crt")?, key: of("tls.key")? }
            }
        };
        if self.current.as_ref() == Some(&pem) {
            return Ok(());
        }
        self.acceptor.send_replace(Some(pem.acceptor()?));
        if self.current.replace(pem).is_some() {
            info!("the webhook serves a new certificate");
        }
        Ok(())
    }

    async fn secret(&self, made: &Made) -> Result<Secret> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &made.namespace);
        bounded(secrets.get(&made.secret)).await.with_context(|| format!("Secret {}", made.secret))
    }

    /// Makes an authority and a certificate if the Secret is empty or is due.
    async fn renew(&self, made: &Made) -> Result<()> {
        let secret = self.secret(made).await?;
        let now = self.clock.now();
        let data = secret.data.clone().unwrap_or_default();
        let old = data.get("ca.crt").map(|ca| String::from_utf8_lossy(&ca.0).into_owned());
        if data.contains_key("tls.crt") && !is_due(&secret, &made.names, now) {
            // A change of the configuration by others, such as an upgrade of the chart, removes the
            // bundle.
            let ours = secret.annotations().contains_key(RENEW_AFTER);
            return self.trust(made, None, old.as_deref().filter(|_| ours)).await;
        }
        let (ca, chain, key) = make(made, now)?;
        self.trust(made, old.as_deref(), Some(&ca)).await?;
        let renew_after = (now + LIFETIME * 2 / 3).to_rfc3339();
        let text = |pem: &str| ByteString(pem.as_bytes().to_vec());
        let patch = json!({
            "metadata": {
                "resourceVersion": secret.metadata.resource_version,
                "annotations": {RENEW_AFTER: renew_after, NAMES: made.names.join(",")},
            },
            "data": {"ca.crt": text(&ca), "tls.crt": text(&chain), "tls.key": text(&key)},
        });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &made.namespace);
        let params = PatchParams::default();
        bounded(secrets.patch(&made.secret, &params, &Patch::Merge(&patch))).await?;
        info!(secret = made.secret, renew_after, "made a certificate for the webhook");
        Ok(())
    }

    /// Writes the authorities into each `caBundle` of the configuration, if one is missing there.
    async fn trust(&self, made: &Made, old: Option<&str>, ca: Option<&str>) -> Result<()> {
        let Some(ca) = ca else { return Ok(()) };
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let name = &made.configuration;
        let found = bounded(api.get(name)).await.with_context(|| format!("webhook {name}"))?;
        let mut webhooks = found.webhooks.clone().unwrap_or_default();
        let trusts = |bundle: &Option<ByteString>| {
            let text = bundle.as_ref().map(|b| String::from_utf8_lossy(&b.0).into_owned());
            text.is_some_and(|text| text.contains(ca.trim()))
        };
        if webhooks.iter().all(|w| trusts(&w.client_config.ca_bundle)) {
            return Ok(());
        }
        let bundle = old.into_iter().chain([ca]).map(str::trim).collect::<Vec<_>>().join("\n");
        for webhook in &mut webhooks {
            webhook.client_config.ca_bundle = Some(ByteString(bundle.clone().into_bytes()));
        }
        let patch = json!({
            "metadata": {"resourceVersion": found.resource_version()}, "webhooks": webhooks,
        });
        bounded(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
        info!(name, "the API server trusts the webhook's authority");
        Ok(())
    }
}

/// True if the leader made the Secret, and two thirds of the lifetime have passed, or the names have
/// changed, or a wrong clock has made the certificate.
fn is_due(secret: &Secret, names: &[String], now: DateTime<Utc>) -> bool {
    let after = secret.annotations().get(RENEW_AFTER);
    after.is_some_and(|text| {
        let after = DateTime::parse_from_rfc3339(text).map(|after| after.to_utc());
        let in_time = after.is_ok_and(|after| now < after && after - now <= LIFETIME);
        let old = secret.annotations().get(NAMES);
        !in_time || old.is_none_or(|old| *old != names.join(","))
    })
}

/// Makes an authority and a certificate for the names of the Service. Returns the PEM of the
/// authority, of the certificate and of the key. The key of the authority is dropped.
fn make(made: &Made, now: DateTime<Utc>) -> Result<(String, String, String)> {
    let day = |at: DateTime<Utc>| -> Result<_> {
        Ok(date_time_ymd(at.year(), u8::try_from(at.month())?, u8::try_from(at.day())?))
    };
    // A clock that is a day behind still accepts the certificate.
    let (from, until) = (day(now - TimeDelta::days(1))?, day(now + LIFETIME)?);
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "primetime-webhook");
    (authority.not_before, authority.not_after) = (from, until);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(made.names.clone())?;
    (params.not_before, params.not_after) = (from, until);
    let certificate = params.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Made {
        Made {
            namespace: "primetime".into(),
            secret: "primetime-webhook".into(),
            configuration: "primetime".into(),
            names: vec!["primetime.primetime.svc".into()],
        }
    }

    #[test]
    fn a_made_certificate_serves_and_is_renewed_after_two_thirds_of_its_lifetime() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let now = "2026-11-22T20:00:00Z".parse().unwrap();
        let (ca, chain, key) = make(&made(), now).unwrap();
        assert!(ca.contains("BEGIN CERTIFICATE"));
        let pem = Pem { chain: chain.into(), key: key.into() };
        assert!(pem.acceptor().is_ok());
        let (_, _, another) = make(&made(), now).unwrap();
        assert!(Pem { key: another.into(), ..pem }.acceptor().is_err());

        let renewed = |after: Option<&str>, now: &str| {
            let names = (NAMES.to_owned(), "a.svc".to_owned());
            let annotations =
                after.map(|at| [(RENEW_AFTER.to_owned(), at.to_owned()), names].into());
            let mut secret = Secret::default();
            secret.metadata.annotations = annotations;
            let due = |name: &str| is_due(&secret, &[name.to_owned()], now.parse().unwrap());
            assert!(after.is_none() || due("b.svc"), "the names have changed");
            due("a.svc")
        };
        let after = Some("2027-01-21T20:00:00Z");
        assert!(!renewed(after, "2027-01-21T19:59:59Z") && renewed(after, "2027-01-21T20:00:00Z"));
        assert!(renewed(Some("2027-06-01T00:00:00Z"), "2026-11-22T20:00:00Z"), "a wrong clock");
        assert!(renewed(Some("soon"), "2026-11-22T20:00:00Z"), "not a time");
        assert!(!renewed(None, "2099-01-01T00:00:00Z"), "made by another issuer");
    }
}
