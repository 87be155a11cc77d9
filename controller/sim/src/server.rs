//! A model of the API server, as far as this operator can tell: one global resourceVersion, lists and watches with
//! bookmarks, finalizers, owner references, subresources, merge and JSON patches, conflicts.
//!
//! It answers the same `kube::Client` as a real one, without sockets. Every request passes the [`Gate`], which may make
//! it fail, or the process behind it.

pub mod kinds;
mod path;
pub mod scale;
pub mod store;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use primetime_core::port::Clock;
use serde_json::{Value, json};

use self::kinds::{Kind, discovery};
use self::path::{Path, Place, parameter};
use self::store::{Key, Part, Refusal, Store};
use crate::clock::VirtualClock;
use crate::gate::{Door, Gate, No};

/// The body of an answer: whole, or a watch that goes on.
type Answer = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Whoever writes without saying who they are.
const SOMEBODY: &str = "somebody";

/// The model. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Server {
    store: Arc<Mutex<Store>>,
    changed: Arc<tokio::sync::watch::Sender<u64>>,
    clock: VirtualClock,
}

/// What a request asks for, read.
struct Asked {
    method: Method,
    path: String,
    query: String,
    content_type: String,
    body: Value,
}

impl Server {
    /// An empty one.
    #[must_use]
    pub fn new(clock: VirtualClock) -> Self {
        let (changed, _) = tokio::sync::watch::channel(0);
        Self { store: Arc::default(), changed: Arc::new(changed), clock }
    }

    /// Looks into the store, or changes it; watches hear of it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.now = self.clock.now();
        let before = store.version();
        let result = f(&mut store);
        let after = store.version();
        drop(store);
        if after != before {
            self.changed.send_replace(after);
        }
        result
    }

    /// A client of this server, each request of which passes a gate.
    #[must_use]
    pub fn client(&self, gate: &Gate) -> Client {
        let (server, gate) = (self.clone(), gate.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, gate) = (server.clone(), gate.clone());
            async move { server.serve(&gate, request).await }
        });
        Client::new(service, "default")
    }

    async fn serve(
        &self,
        gate: &Gate,
        request: Request<Body>,
    ) -> Result<Response<Answer>, tower::BoxError> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let asked = Asked {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: content_type.and_then(|v| v.to_str().ok()).unwrap_or_default().into(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        };
        let line = format!("{} {}", asked.method, asked.path);
        let refuse = |no| {
            let (code, reason) = match no {
                No::Internal => (500, "InternalError"),
                No::Conflict => (409, "Conflict"),
                No::TooMany => (429, "TooManyRequests"),
                No::Unavailable => (503, "ServiceUnavailable"),
            };
            status(code, reason, "the evening says so")
        };
        let (server, watched) = (self.clone(), gate.clone());
        let effect = move || server.done(&asked, watched);
        Ok(gate.pass(Door::Api, line, effect, refuse).await)
    }

    fn done(&self, asked: &Asked, gate: Gate) -> Response<Answer> {
        if parameter(&asked.query, "watch").as_deref() == Some("true") {
            return self.watch(asked, gate);
        }
        match self.answer(asked) {
            Ok((code, value)) => reply(code, value.to_string()),
            Err(Refusal::Nowhere) => reply(404, format!("{}\n", Refusal::Nowhere)),
            Err(refusal) => {
                let (code, reason) = refusal.code();
                status(code, reason, &refusal.to_string())
            }
        }
    }

    fn answer(&self, asked: &Asked) -> Result<(u16, Value), Refusal> {
        match path::read(&asked.path) {
            Path::Objects(place) => self.objects(&place, asked),
            Path::Discovery(group, version) => {
                discovery(&group, &version).map(|found| (200, found)).ok_or(Refusal::Nowhere)
            }
            Path::Nowhere => Err(Refusal::Nowhere),
        }
    }

    fn objects(&self, place: &Place, asked: &Asked) -> Result<(u16, Value), Refusal> {
        let Place { kind, namespace, .. } = place;
        let Some(name) = &place.name else {
            return match asked.method {
                Method::GET => Ok((200, self.list(*kind, namespace, &asked.query))),
                Method::POST => self
                    .with(|s| s.create(*kind, namespace, asked.body.clone()))
                    .map(|object| (201, object)),
                _ => Err(unserved(asked)),
            };
        };
        let key: Key = (*kind, namespace.clone(), name.clone());
        let not_found = || Refusal::NotFound(format!("{} \"{name}\"", kind.plural));
        let found = || self.with(|s| s.get(&key).cloned()).ok_or_else(not_found);
        match (&asked.method, place.part.as_deref()) {
            (&Method::GET, None | Some("status")) => Ok((200, found()?)),
            (&Method::GET, Some("scale")) if kind.scale => Ok((200, scale::of(&found()?))),
            (&Method::PUT | &Method::PATCH, None | Some("status")) => {
                let part = if place.part.is_some() { Part::Status } else { Part::Main };
                let object = self.with(|s| s.change(&key, part, |o| edit(o, asked)))?;
                Ok((200, object))
            }
            (&Method::PATCH | &Method::PUT, Some("scale")) if kind.scale => {
                let manager = parameter(&asked.query, "fieldManager");
                let manager = manager.as_deref().unwrap_or(SOMEBODY);
                let object = self.with(|s| {
                    s.change(&key, Part::Main, |object| {
                        let mut scale = scale::of(object);
                        edit(&mut scale, asked)?;
                        scale::into(object, &scale, manager)
                    })
                })?;
                Ok((200, scale::of(&object)))
            }
            (&Method::POST, Some("eviction")) => {
                self.with(|s| s.delete(&key, None, None))?;
                Ok((201, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})))
            }
            (&Method::DELETE, None) => {
                let expected = |field: &str| {
                    asked.body.pointer(&format!("/preconditions/{field}")).and_then(Value::as_str)
                };
                let (uid, version) = (expected("uid"), expected("resourceVersion"));
                let deleted = self.with(|s| s.delete(&key, uid, version))?;
                let gone = self.with(|s| s.get(&key).is_none());
                Ok((200, if gone { success(*kind, &deleted) } else { deleted }))
            }
            _ => Err(unserved(asked)),
        }
    }

    fn list(&self, kind: Kind, namespace: &str, query: &str) -> Value {
        let on_node = parameter(query, "fieldSelector")
            .and_then(|s| s.strip_prefix("spec.nodeName=").map(str::to_owned));
        self.with(|store| {
            let items: Vec<Value> = store
                .list(kind, namespace)
                .map(|(_, object)| kind.listed(object.clone()))
                .filter(|object| {
                    on_node.as_deref().is_none_or(|node| {
                        object.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node)
                    })
                })
                .collect();
            json!({
                "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
                "metadata": {"resourceVersion": store.version().to_string()}, "items": items,
            })
        })
    }
}

/// What a deletion is answered when the object is gone at once.
fn success(kind: Kind, object: &Value) -> Value {
    let meta = |name: &str| object.pointer(&format!("/metadata/{name}"));
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": meta("name"), "group": Some(kind.group).filter(|g| !g.is_empty()),
            "kind": kind.plural, "uid": meta("uid"),
        },
    })
}

fn unserved(asked: &Asked) -> Refusal {
    Refusal::Unserved(format!("{} {} {}", asked.method, asked.path, asked.content_type))
}

/// Does to an object what a request's body says.
fn edit(object: &mut Value, asked: &Asked) -> Result<(), Refusal> {
    match asked.content_type.as_str() {
        "application/merge-patch+json" => {
            json_patch::merge(object, &asked.body);
            Ok(())
        }
        "application/json-patch+json" => {
            let patch: json_patch::Patch = serde_json::from_value(asked.body.clone())
                .map_err(|e| Refusal::Invalid(e.to_string()))?;
            json_patch::patch(object, &patch).map_err(|e| Refusal::Invalid(e.to_string()))
        }
        _ if asked.method == Method::PUT => {
            *object = asked.body.clone();
            Ok(())
        }
        _ => Err(unserved(asked)),
    }
}

fn reply(code: u16, body: String) -> Response<Answer> {
    let body = Full::new(Bytes::from(body)).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn status(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let said = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    reply(code, said.to_string())
}
