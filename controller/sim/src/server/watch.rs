//! Watches: what has happened since a resourceVersion, and what happens from now on.

use std::convert::Infallible;
use std::time::Duration;

use futures::stream;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::time::Instant;

use super::kinds::Kind;
use super::path::{self, Path, parameter};
use super::{Answer, Asked, Server, status};

/// As often as kube-apiserver sends bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);

/// A watch that is going on.
struct Watch {
    server: Server,
    kind: Kind,
    namespace: String,
    /// Everything up to here was told.
    told: u64,
    ends: Instant,
    changed: tokio::sync::watch::Receiver<u64>,
}

impl Server {
    pub(super) fn watch(&self, asked: &Asked) -> Response<Answer> {
        let Path::Objects(place) = path::read(&asked.path) else {
            return status(404, "NotFound", &asked.path);
        };
        let number = |name| parameter(&asked.query, name).and_then(|v| v.parse::<u64>().ok());
        let timeout = Duration::from_secs(number("timeoutSeconds").unwrap_or(1800));
        let watch = Watch {
            server: self.clone(),
            kind: place.kind,
            namespace: place.namespace,
            told: number("resourceVersion").unwrap_or_else(|| self.with(|s| s.version())),
            ends: Instant::now() + timeout,
            changed: self.changed.subscribe(),
        };
        let lines = stream::unfold(watch, |mut watch| async {
            let line = watch.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), watch))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

impl Watch {
    /// The next lines, or nothing when the watch has reached its end.
    async fn next(&mut self) -> Option<String> {
        loop {
            self.changed.borrow_and_update();
            let (lines, version) = self.server.with(|store| {
                let ours = |key: &super::Key| {
                    key.0 == self.kind && (self.namespace.is_empty() || key.1 == self.namespace)
                };
                let events = store.since(self.told).filter(|e| ours(&e.key));
                let mut lines = String::new();
                for event in events {
                    lines += &json!({"type": event.what, "object": event.object}).to_string();
                    lines.push('\n');
                }
                (lines, store.version())
            });
            self.told = version;
            if !lines.is_empty() {
                return Some(lines);
            }
            if Instant::now() >= self.ends {
                return None;
            }
            let pause = BOOKMARK.min(self.ends - Instant::now());
            match tokio::time::timeout(pause, self.changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) if Instant::now() >= self.ends => return None,
                Err(_) => return Some(format!("{}\n", self.bookmark())),
            }
        }
    }

    fn bookmark(&self) -> serde_json::Value {
        json!({"type": "BOOKMARK", "object": {
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": self.told.to_string()},
        }})
    }
}
