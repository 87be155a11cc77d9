//! Certificates of the tests' own servers.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A certificate for loopback and the authority that signed it.
#[derive(Clone, Debug)]
pub struct Loopback {
    /// PEM of the authority.
    pub ca: String,
    /// PEM of the certificate.
    pub cert: String,
    /// PEM of its key.
    pub key: String,
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key_der: Vec<u8>,
}

impl Loopback {
    /// Makes one, good for loopback and for the address by which others reach this machine.
    ///
    /// # Errors
    ///
    /// If the keys cannot be made.
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

    /// A server configuration.
    ///
    /// # Errors
    ///
    /// If certificate and key do not fit together.
    pub fn server(&self) -> Result<Arc<rustls::ServerConfig>> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()));
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)?;
        Ok(Arc::new(config))
    }
}

/// Answers over TLS, for ever.
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
