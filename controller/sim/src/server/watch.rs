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
use crate::gate::Gate;
use crate::script::Part;

/// As often as kube-apiserver sends bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);

/// As often a watch looks whether the script has taken something away, or given it back.
const SCRIPTED: Duration = Duration::from_millis(250);

/// A watch that is going on.
struct Watch {
    server: Server,
    kind: Kind,
    namespace: String,
    /// Everything up to here was told.
    told: u64,
    ends: Instant,
    /// When something was said last.
    said: Instant,
    gate: Gate,
    changed: tokio::sync::watch::Receiver<u64>,
}

impl Server {
    pub(super) fn watch(&self, asked: &Asked, gate: Gate) -> Response<Answer> {
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
            said: Instant::now(),
            gate,
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
            if Instant::now() >= self.ends || self.gate.is_out(Part::Api) {
                return None;
            }
            if !self.gate.is_out(Part::WatchesSilent) {
                let mut lines = self.lines();
                if self.gate.is_out(Part::WatchesLossy) {
                    lines.clear();
                }
                if self.gate.is_out(Part::WatchesReversed) {
                    lines.reverse();
                }
                if self.gate.is_out(Part::WatchesDoubled) {
                    lines.extend(lines.clone());
                }
                if !lines.is_empty() {
                    return Some(lines.concat());
                }
            }
            let left = self.ends - Instant::now();
            match tokio::time::timeout(self.look_again().min(left), self.changed.changed()).await {
                Ok(Err(_)) => return None,
                Err(_) if Instant::now() - self.said >= BOOKMARK && Instant::now() < self.ends => {
                    self.said = Instant::now();
                    return Some(format!("{}\n", self.bookmark()));
                }
                _ => {}
            }
        }
    }

    /// Without a script nothing but an event or a bookmark is to be waited for.
    fn look_again(&self) -> Duration {
        if self.gate.is_scripted() { SCRIPTED } else { BOOKMARK }
    }

    /// What has happened since the last look.
    fn lines(&mut self) -> Vec<String> {
        let (lines, version) = self.server.with(|store| {
            let ours = |key: &super::Key| {
                key.0 == self.kind && (self.namespace.is_empty() || key.1 == self.namespace)
            };
            let events = store.since(self.told).filter(|e| ours(&e.key));
            let line = |e: &super::store::Event| {
                format!("{}\n", json!({"type": e.what, "object": e.object}))
            };
            (events.map(line).collect::<Vec<_>>(), store.version())
        });
        self.told = version;
        if !lines.is_empty() {
            self.said = Instant::now();
        }
        lines
    }

    fn bookmark(&self) -> serde_json::Value {
        json!({"type": "BOOKMARK", "object": {
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": self.told.to_string()},
        }})
    }
}
