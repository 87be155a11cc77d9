//! Accept loop for the HTTP servers of the operator: bounded connections, and a timeout for each
//! handshake and each request header.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Timeout of the TLS handshake, and of each request header: 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest time of a connection: 10 min. A client of a probe, a scrape or a review opens another.
const LONGEST: Duration = Duration::from_mins(10);

/// Maximum number of open connections of a server. A connection beyond waits in the backlog of the
/// socket.
const CONNECTIONS: usize = 256;

/// Serves a router forever, over TLS if `tls` is given. Each connection uses the certificate that is
/// current at the handshake.
pub async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<Option<TlsAcceptor>>>,
    router: Router,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The acquisition never fails, because nothing closes the semaphore.
        let place = places.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let _place = place;
            drop(tokio::time::timeout(LONGEST, connection(stream, tls, router)).await);
        });
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<watch::Receiver<Option<TlsAcceptor>>>,
    router: Router,
) {
    let Some(tls) = tls else { return requests(stream, router).await };
    let Some(acceptor) = tls.borrow().clone() else { return };
    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        requests(stream, router).await;
    }
}

async fn requests<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
