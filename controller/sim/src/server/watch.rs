//! Watches: past events since a `resourceVersion`, followed by new events.

use http_body_util::BodyExt;
use std::convert::Infallible;
use std::time::Duration;

use futures::stream;
use http::Response;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::time::Instant;

use crate::gate::Gate;
use crate::script::Part;
use crate::server::kinds::Kind;
use crate::server::object::{Event, Key};
use crate::server::path::{self, Path, parameter};
use crate::server::request::{Answer, Asked};
use crate::server::{Server, status};

/// Interval between bookmarks, as in kube-apiserver.
const BOOKMARK: Duration = Duration::from_mins(1);

/// State of an open watch.
struct Watch {
    server: Server,
    kind: Kind,
    namespace: String,
    /// `resourceVersion` up to which the watch has sent events.
    told: u64,
    ends: Instant,
    /// Time of the last line that the watch sent.
    said: Instant,
    gate: Gate,
    /// True until the watch has sent the existing objects and the final bookmark
    /// (`sendInitialEvents`).
    initial: bool,
    /// True if the watch resumes from a `resourceVersion` that the server has discarded.
    gone: bool,
}

impl Server {
    pub(super) fn watch(&self, asked: &Asked, gate: Gate) -> Response<Answer> {
        let Path::Objects(place) = path::read(&asked.path) else {
            return status(404, "NotFound", &asked.path);
        };
        let number = |name| parameter(&asked.query, name).and_then(|v| v.parse::<u64>().ok());
        let version = self.with(|s| s.version());
        let asked_from = number("resourceVersion").filter(|from| *from > 0);
        let initial = parameter(&asked.query, "sendInitialEvents").as_deref() == Some("true");
        let timeout = Duration::from_secs(number("timeoutSeconds").unwrap_or(1800));
        let watch = Watch {
            server: self.clone(),
            kind: place.kind,
            namespace: place.namespace,
            told: asked_from.filter(|_| !initial).unwrap_or(version),
            ends: Instant::now() + timeout,
            said: Instant::now(),
            gone: asked_from.is_some_and(|from| from < version) && gate.is_out(Part::WatchesGone),
            gate,
            initial,
        };
        let lines = stream::unfold(watch, |mut watch| async {
            let line = watch.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), watch))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

impl Watch {
    /// Waits for the next lines. Returns `None` at the end of the watch.
    async fn next(&mut self) -> Option<String> {
        let server = self.server.clone();
        let bell = server.bell(self.kind)?;
        loop {
            let changed = bell.notified();
            if Instant::now() >= self.ends || self.gate.is_out(Part::Api) {
                return None;
            }
            if std::mem::take(&mut self.gone) {
                self.ends = Instant::now();
                return Some(format!("{}\n", expired()));
            }
            if std::mem::take(&mut self.initial) {
                return Some(self.everything());
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
            let rung = tokio::time::timeout(self.look_again().min(left), changed).await.is_ok();
            if !rung && Instant::now() - self.said >= BOOKMARK && Instant::now() < self.ends {
                self.said = Instant::now();
                return Some(format!("{}\n", self.bookmark()));
            }
        }
    }

    /// Returns the maximum wait until the next check: the interval of bookmarks, or the next change
    /// of the script's faults.
    fn look_again(&self) -> Duration {
        self.gate.next_turn().map_or(BOOKMARK, |turn| turn.min(BOOKMARK))
    }

    /// Returns the events since the last call as lines.
    fn lines(&mut self) -> Vec<String> {
        let (lines, version) = self.server.with(|store| {
            let ours = |key: &Key| {
                key.0 == self.kind && (self.namespace.is_empty() || key.1 == self.namespace)
            };
            let events = store.since(self.told).filter(|e| ours(&e.key));
            let line =
                |e: &Event| format!("{{\"type\":\"{}\",\"object\":{}}}\n", e.what, e.object.text());
            (events.map(line).collect::<Vec<_>>(), store.version())
        });
        self.told = version;
        if !lines.is_empty() {
            self.said = Instant::now();
        }
        lines
    }

    /// Returns all existing objects as `ADDED` events, followed by the bookmark with the annotation
    /// `k8s.io/initial-events-end`.
    fn everything(&mut self) -> String {
        let (lines, version) = self.server.with(|store| {
            let there = store.list(self.kind, &self.namespace);
            let line = |object| format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n");
            (there.map(|(_, object)| line(object)).collect::<String>(), store.version())
        });
        self.told = version;
        let mut bookmark = self.bookmark();
        bookmark["object"]["metadata"]["annotations"] =
            json!({"k8s.io/initial-events-end": "true"});
        format!("{lines}{bookmark}\n")
    }

    fn bookmark(&self) -> serde_json::Value {
        json!({"type": "BOOKMARK", "object": {
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": self.told.to_string()},
        }})
    }
}

fn expired() -> serde_json::Value {
    json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    }})
}
