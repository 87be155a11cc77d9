//! The model API server on a TCP socket, for kubectl and Helm. The tokio runtime provides the time,
//! and the script contains no faults.

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::gate::Gate;
use crate::script::Script;
use crate::server::Server;

impl Server {
    /// Serves every connection without authentication. The caller must listen on the loopback
    /// interface only.
    ///
    /// # Errors
    ///
    /// Returns the error of the listener if the listener cannot accept a connection.
    pub async fn listen(self, listener: TcpListener) -> std::io::Result<()> {
        let gate = Gate::new(Script::default(), self.clock.clone());
        loop {
            let (stream, _) = listener.accept().await?;
            let (server, gate) = (self.clone(), gate.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (server, gate) = (server.clone(), gate.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let bytes = body.collect().await?.to_bytes();
                        Ok::<_, hyper::Error>(server.serve(&gate, parts, &bytes).await)
                    }
                });
                // The server ignores the error of a client that closes the connection.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }
}
