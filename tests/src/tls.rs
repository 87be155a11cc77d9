//! TLS certificates and servers for the tests.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A certificate for loopback, and the authority that signed the certificate.
#[derive(Clone, Debug)]
pub struct Loopback {
    /// PEM of the authority.
    pub ca: String,
    /// PEM of the certificate.
    pub cert: String,
    /// PEM of the private key.
    pub key: String,
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key_der: Vec<u8>,
}

impl Loopback {
    /// Creates an authority and a certificate for 127.0.0.1 and for `address`, at which others
    /// reach this machine.
    ///
    /// # Errors
    ///
    /// Returns an error if a key or certificate cannot be created.
    pub fn new(address: &str) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), address.to_owned()])?;
        let cert = params.signed_by(&key, &authority)?;
        Ok(Self {
            ca: authority.pem(),
            cert: cert.pem(),
            key: key.serialize_pem(),
            chain: vec![cert.der().clone()],
            key_der: key.serialize_der(),
        })
    }

    /// Returns a TLS server configuration with the certificate.
    ///
    /// # Errors
    ///
    /// Returns an error if certificate and key do not match.
    pub fn server(&self) -> Result<Arc<rustls::ServerConfig>> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()));
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)?;
        Ok(Arc::new(config))
    }
}

/// Serves a router over TLS until the listener fails.
pub async fn serve(listener: TcpListener, server: Arc<rustls::ServerConfig>, router: Router) {
    let acceptor = TlsAcceptor::from(server);
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = TowerToHyperService::new(router);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
