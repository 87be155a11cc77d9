//! Access to a Prometheus: credentials, headers, authorities and tenancy.
//!
//! Secrets are read anew for each round of queries, from a cache that is a minute old at most, so
//! that a rotated Secret needs no restart. No message contains a value of a Secret.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use primetime_core::port::{Access, Authorization, Secrets, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// HTTP client of a source.
pub(crate) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Most clients that are kept, one per set of certificates. More sources share no connections.
const CLIENTS: usize = 64;

/// HTTP clients by their certificates.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_certificates: Mutex<HashMap<u64, Http>>,
}

/// What a request to a source needs, with the values of the Secrets.
pub(crate) struct Opened {
    pub(crate) client: Http,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Field of the form for the tenant, such as `namespace` for prom-label-proxy.
    pub(crate) field: Option<(String, String)>,
}

/// PEM of the authority, and of the client's certificate and key.
#[derive(Hash)]
struct Certificates {
    authority: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Clients {
    fn of(&self, certificates: &Certificates) -> Result<Http, String> {
        let mut hasher = DefaultHasher::new();
        certificates.hash(&mut hasher);
        let key = hasher.finish();
        let mut clients = self.by_certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = open(certificates)?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn open(certificates: &Certificates) -> Result<Http, String> {
    let mut roots = RootCertStore::empty();
    let builder = match &certificates.authority {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|why| format!("the authority: {why}"))?;
                roots.add(certificate).map_err(|why| format!("the authority: {why}"))?;
            }
            if roots.is_empty() {
                return Err("the authority holds no certificate".to_owned());
            }
            Some(ClientConfig::builder().with_root_certificates(roots))
        }
        None => None,
    };
    let connector = HttpsConnectorBuilder::new();
    let connector = match (builder, &certificates.client) {
        (None, None) => connector.with_webpki_roots(),
        (builder, client) => {
            let builder = builder.unwrap_or_else(|| {
                let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
                ClientConfig::builder().with_root_certificates(RootCertStore { roots })
            });
            let config = match client {
                None => builder.with_no_client_auth(),
                Some((chain, key)) => {
                    let chain = CertificateDer::pem_slice_iter(chain)
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(|why| format!("tls.crt: {why}"))?;
                    let key = PrivateKeyDer::from_pem_slice(key)
                        .map_err(|why| format!("tls.key: {why}"))?;
                    builder.with_client_auth_cert(chain, key).map_err(|why| why.to_string())?
                }
            };
            connector.with_tls_config(config)
        }
    };
    let connector = connector.https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// Reads the Secrets of an access, and returns what a request for a namespace needs.
///
/// # Errors
///
/// Returns a sentence that names the Secret and the key, and no value.
pub(crate) async fn opened(
    clients: &Clients,
    secrets: &dyn Secrets,
    access: &Access,
    namespace: &str,
) -> Result<Opened, String> {
    let mut headers = Vec::new();
    for (name, value) in &access.headers {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|why| format!("{name}: {why}"))?;
        let value = match value {
            Value::Plain(text) => text.replace("{namespace}", namespace).into_bytes(),
            Value::Secret { name, key } => of(secrets, name, key).await?,
        };
        headers.push((name.clone(), header(name.as_str(), &value)?));
    }
    match &access.authorization {
        None => {}
        Some(Authorization::Bearer { name, key }) => {
            let token = of(secrets, name, key).await?;
            let value = [b"Bearer ", token.trim_ascii()].concat();
            headers.push((AUTHORIZATION, header(&format!("Secret {name}, key {key}"), &value)?));
        }
        Some(Authorization::Basic { name }) => {
            let user = of(secrets, name, "username").await?;
            let password = of(secrets, name, "password").await?;
            let pair = [user.trim_ascii(), b":", password.trim_ascii_end()].concat();
            let value = format!("Basic {}", STANDARD.encode(pair));
            headers.push((AUTHORIZATION, header(&format!("Secret {name}"), value.as_bytes())?));
        }
    }
    let authority = match &access.authority {
        None => None,
        Some(Value::Plain(pem)) => Some(pem.clone().into_bytes()),
        Some(Value::Secret { name, key }) => Some(of(secrets, name, key).await?),
    };
    let client = match &access.client_certificate {
        None => None,
        Some(name) => {
            let chain = of(secrets, name, "tls.crt").await?;
            Some((chain, of(secrets, name, "tls.key").await?))
        }
    };
    let certificates = Certificates { authority, client };
    let field = access.tenant_field.as_ref();
    let field = field.map(|(name, value)| (name.clone(), value.replace("{namespace}", namespace)));
    Ok(Opened { client: clients.of(&certificates)?, headers, field })
}

async fn of(secrets: &dyn Secrets, name: &str, key: &str) -> Result<Vec<u8>, String> {
    let mut data: BTreeMap<String, Vec<u8>> = secrets.read(name).await?;
    data.remove(key).ok_or_else(|| format!("Secret {name} has no key {key}"))
}

/// Returns a header value that no log shows.
fn header(what: &str, value: &[u8]) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_bytes(value);
    let mut value = value.map_err(|_| format!("{what} is not a value for an HTTP header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// No Secret at all, for a client whose sources need none.
#[derive(Debug, Default)]
pub(crate) struct NoSecrets;

impl Secrets for NoSecrets {
    fn read<'a>(
        &'a self,
        name: &'a str,
    ) -> primetime_core::port::Answer<'a, Result<BTreeMap<String, Vec<u8>>, String>> {
        Box::pin(async move { Err(format!("Secret {name} cannot be read here")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primetime_core::port::Answer;

    struct Fixed;

    impl Secrets for Fixed {
        fn read<'a>(
            &'a self,
            name: &'a str,
        ) -> Answer<'a, Result<BTreeMap<String, Vec<u8>>, String>> {
            Box::pin(async move {
                match name {
                    "prom" => Ok([
                        ("token".to_owned(), b"s3cret\n".to_vec()),
                        ("username".to_owned(), b"me".to_vec()),
                        ("password".to_owned(), b"p\xc3\xa4ss".to_vec()),
                        ("odd".to_owned(), b"a\nb".to_vec()),
                    ]
                    .into()),
                    _ => Err(format!("Secret {name} does not exist")),
                }
            })
        }
    }

    async fn headers(access: Access) -> Result<Vec<(String, Vec<u8>)>, String> {
        let opened = opened(&Clients::default(), &Fixed, &access, "shop").await?;
        let each = opened.headers.iter();
        Ok(each.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    #[tokio::test]
    async fn credentials_and_the_tenant_become_headers() {
        let token = Authorization::Bearer { name: "prom".into(), key: "token".into() };
        let bearer = Access { authorization: Some(token), ..Access::default() };
        let sent = headers(bearer).await.unwrap();
        assert_eq!(sent, [("authorization".to_owned(), b"Bearer s3cret".to_vec())]);
        let basic = Authorization::Basic { name: "prom".into() };
        let tenant = ("X-Scope-OrgID".to_owned(), Value::Plain("team-{namespace}".into()));
        let basic =
            Access { authorization: Some(basic), headers: vec![tenant], ..Access::default() };
        let sent = headers(basic).await.unwrap();
        assert_eq!(sent[0], ("x-scope-orgid".to_owned(), b"team-shop".to_vec()));
        assert_eq!(sent[1], ("authorization".to_owned(), b"Basic bWU6cMOkc3M=".to_vec()));
    }

    #[tokio::test]
    async fn a_message_names_the_secret_and_shows_no_value() {
        let bearer = |name: &str, key: &str| Access {
            authorization: Some(Authorization::Bearer { name: name.into(), key: key.into() }),
            ..Access::default()
        };
        let why = headers(bearer("gone", "token")).await.unwrap_err();
        assert_eq!(why, "Secret gone does not exist");
        let why = headers(bearer("prom", "nothing")).await.unwrap_err();
        assert_eq!(why, "Secret prom has no key nothing");
        let why = headers(bearer("prom", "odd")).await.unwrap_err();
        assert_eq!(why, "Secret prom, key odd is not a value for an HTTP header");
        let authority = Some(Value::Secret { name: "prom".into(), key: "token".into() });
        let why = headers(Access { authority, ..Access::default() }).await.unwrap_err();
        assert!(why.contains("authority") && !why.contains("s3cret"), "{why}");
    }
}
