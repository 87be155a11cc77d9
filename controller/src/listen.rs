//! Accept loop for the HTTP servers of the operator: bounded connections, and a timeout for each
//! handshake and each request header.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Timeout of the TLS handshake, and of each request header: 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest time of a connection: 10 min. A client of a probe, a scrape or a review opens another.
const LONGEST: Duration = Duration::from_mins(10);

/// Maximum number of open connections of a server. A connection beyond is closed.
const CONNECTIONS: usize = 512;

/// Maximum number of open connections of one address, so that a client cannot take the places of
/// the kubelet or of the API server.
const OF_A_PEER: usize = 64;

/// Open connections by address.
type Peers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Place of a connection. Dropping the value frees the place.
struct Place {
    peers: Peers,
    peer: IpAddr,
}

impl Place {
    /// Takes a place, or returns `None` if the server or the address has too many connections.
    fn take(peers: &Peers, peer: IpAddr) -> Option<Self> {
        let mut open = peers.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.entry(peer).or_default();
        if all >= CONNECTIONS || *own >= OF_A_PEER {
            return None;
        }
        *own += 1;
        Some(Self { peers: peers.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.peer) {
            *own = own.saturating_sub(1);
        }
        open.retain(|_, own| *own > 0);
    }
}

/// Serves a router forever, over TLS if `tls` is given. Each connection uses the certificate that is
/// current at the handshake.
pub async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<Option<TlsAcceptor>>>,
    router: Router,
) {
    let peers = Peers::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = Place::take(&peers, peer.ip()) else {
            debug!(%peer, "too many connections: closed");
            continue;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_only_its_share_of_the_places() {
        let peers = Peers::default();
        let take = |n: u8| Place::take(&peers, IpAddr::from([10, 0, 0, n]));
        let own: Vec<_> = (0..OF_A_PEER).map(|_| take(1)).collect();
        assert!(own.iter().all(Option::is_some) && take(1).is_none() && take(2).is_some());
        drop(own);
        assert!(take(1).is_some());
        let all: Vec<_> = (0..9).flat_map(|n| (0..OF_A_PEER).map(move |_| n)).map(take).collect();
        assert_eq!(all.iter().flatten().count(), CONNECTIONS);
    }
}
