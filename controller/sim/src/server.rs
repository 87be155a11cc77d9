//! Model of the API server, with the features that the operator uses.
//!
//! The store has a global `resourceVersion`, finalizers, owner references, subresources and
//! conflicts. The server answers lists, watches with bookmarks, merge patches and JSON patches. The
//! server checks the shipped schemas and roles.
//!
//! The model answers a `kube::Client` as a real API server does, without sockets. The file
//! `listen.rs` serves the model on a socket. Every request passes the [`Gate`], which may fail the
//! request or kill the requesting process.

pub mod access;
mod answer;
pub mod kinds;
mod listen;
pub mod object;
mod path;
mod protobuf;
pub mod refusal;
pub mod request;
pub mod scale;
pub mod schema;
pub mod store;
mod watch;

use http_body_util::BodyExt;
use primetime_core::port::Clock;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::DATE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::Service;

use crate::clock::VirtualClock;
use crate::gate::{Door, Gate, No};
use crate::script::Part as Outage;
use crate::server::access::{Access, Asks};
use crate::server::answer::{
    edit, halve, has, is_labelled, read, reply, status, success, unserved, version,
};
use crate::server::kinds::{ALL, Kind, discovery};
use crate::server::object::{Key, Object};
use crate::server::path::{Path, Place, parameter};
use crate::server::refusal::Refusal;
use crate::server::request::{APPLY, Answer, Asked};
use crate::server::store::{Part, Store};

/// Field manager of a write without the parameter `fieldManager`.
const UNNAMED: &str = "unnamed";

/// Model of the API server. All clones share the same store.
#[derive(Clone, Debug)]
pub struct Server {
    store: Arc<Mutex<Store>>,
    /// Notifies the watches of a kind in the order of their registration. A watch channel of tokio
    /// notifies in random order.
    changed: Arc<[Notify; ALL.len()]>,
    clock: VirtualClock,
    /// Verbs and resources that operators requested and were granted.
    used: Arc<Mutex<BTreeSet<Asks>>>,
    /// Requests of operators that the roles did not allow.
    forbidden: Arc<Mutex<Vec<String>>>,
    /// True if KEDA is installed.
    keda: bool,
}

impl Server {
    /// Builds a server without objects.
    #[must_use]
    pub fn new(clock: VirtualClock) -> Self {
        Self {
            store: Arc::default(),
            changed: Arc::new([const { Notify::const_new() }; ALL.len()]),
            clock,
            used: Arc::default(),
            forbidden: Arc::default(),
            keda: false,
        }
    }

    /// Returns the server with or without KEDA.
    #[must_use]
    pub fn with_keda(self, keda: bool) -> Self {
        Self { keda, ..self }
    }

    /// Reads or changes the store, and notifies the watches of every changed kind.
    pub fn with<T>(&self, f: impl FnOnce(&mut Store) -> T) -> T {
        self.by(None, f)
    }

    /// Reads or changes the store as an operator. The value `None` stands for a person or a
    /// controller.
    fn by<T>(&self, operator: Option<usize>, f: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.now = self.clock.now();
        store.by = operator;
        let before = store.version();
        let result = f(&mut store);
        let changed: BTreeSet<Kind> = store.since(before).map(|event| event.key.0).collect();
        drop(store);
        changed.iter().filter_map(|kind| self.bell(*kind)).for_each(Notify::notify_waiters);
        result
    }

    /// Returns the notifier of a kind: the notifier fires when an object of the kind changes.
    fn bell(&self, kind: Kind) -> Option<&Notify> {
        self.changed.get(kind.rank())
    }

    /// Returns a client of the model. Each request of the client passes the gate.
    #[must_use]
    pub fn client(&self, gate: &Gate) -> Client {
        Client::new(self.behind(gate), "default")
    }

    /// Returns the tower service behind such a client.
    #[must_use]
    pub fn behind(
        &self,
        gate: &Gate,
    ) -> impl Service<
        Request<Body>,
        Response = Response<Answer>,
        Error = tower::BoxError,
        Future: Send + 'static,
    > + Send
    + 'static {
        let (server, gate) = (self.clone(), gate.clone());
        tower::service_fn(move |request: Request<Body>| {
            let (server, gate) = (server.clone(), gate.clone());
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await?.to_bytes();
                Ok::<_, tower::BoxError>(server.serve(&gate, parts, &bytes).await)
            }
        })
    }

    async fn serve(&self, gate: &Gate, parts: Parts, bytes: &[u8]) -> Response<Answer> {
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let asked = Asked {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: content_type.and_then(|v| v.to_str().ok()).unwrap_or_default().into(),
            body: read(bytes),
            by: gate.operator(),
        };
        let line = format!("{} {}", asked.method, asked.path);
        let refuse = |no| {
            let (code, reason) = match no {
                No::Internal => (500, "InternalError"),
                No::Conflict => (409, "Conflict"),
                No::TooMany => (429, "TooManyRequests"),
                No::Unavailable => (503, "ServiceUnavailable"),
            };
            self.dated(status(code, reason, "the evening says so"))
        };
        let (server, watched) = (self.clone(), gate.clone());
        let effect = move || server.dated(server.done(&asked, watched));
        gate.pass(Door::Api, line, effect, refuse).await
    }

    /// Adds the `Date` header, as Go's HTTP server does.
    fn dated(&self, mut answer: Response<Answer>) -> Response<Answer> {
        let date = self.clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            answer.headers_mut().insert(DATE, date);
        }
        answer
    }

    fn done(&self, asked: &Asked, gate: Gate) -> Response<Answer> {
        let answer = match self.may(asked, &gate) {
            Ok(()) if !self.keda && asked.path.starts_with("/apis/keda.sh") => {
                Err(Refusal::Nowhere)
            }
            Ok(()) if asked.watches() => return self.watch(asked, gate),
            Ok(()) => self.answer(asked, &gate),
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok((code, object)) => reply(code, object.text().to_owned()),
            Err(Refusal::Nowhere) => reply(404, format!("{}\n", Refusal::Nowhere)),
            Err(refusal) => {
                let (code, reason) = refusal.code();
                status(code, reason, &refusal.to_string())
            }
        }
    }

    /// Refuses a request of an operator that the chart's roles do not allow.
    fn may(&self, asked: &Asked, gate: &Gate) -> Result<(), Refusal> {
        let Path::Objects(place) = path::read(&asked.path) else { return Ok(()) };
        if asked.by.is_none() {
            return Ok(());
        }
        let theirs = ["apps", "autoscaling", "keda.sh"].contains(&place.kind.group);
        if theirs && asked.method != Method::GET && gate.is_out(Outage::Forbidden) {
            return Err(Refusal::Forbidden("the right was taken away".to_owned()));
        }
        let part = place.part.as_ref().map(|part| format!("/{part}")).unwrap_or_default();
        let asks = Asks {
            verb: asked.verb(&place),
            group: place.kind.group.to_owned(),
            resource: format!("{}{part}", place.kind.plural),
        };
        let checked = Access::shipped()?.check(&asks, &place.namespace, place.name.as_deref());
        if let Err(refusal) = &checked {
            let mut all = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(refusal.to_string());
        }
        checked?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(asks);
        Ok(())
    }

    /// Returns the verbs and resources that operators requested and were granted.
    #[must_use]
    pub fn used(&self) -> BTreeSet<Asks> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the requests of operators that the chart's roles do not allow.
    #[must_use]
    pub fn forbidden(&self) -> Vec<String> {
        self.forbidden.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, asked: &Asked, gate: &Gate) -> Result<(u16, Arc<Object>), Refusal> {
        match path::read(&asked.path) {
            Path::Objects(place) => self.objects(&place, asked, gate),
            Path::Discovery(group, version) => {
                let found = discovery(&group, &version).ok_or(Refusal::Nowhere)?;
                Ok((200, Arc::new(found.into())))
            }
            Path::Core => {
                Ok((200, Arc::new(json!({"kind": "APIVersions", "versions": ["v1"]}).into())))
            }
            Path::Groups => Ok((200, Arc::new(kinds::groups(self.keda).into()))),
            Path::Version => Ok((200, Arc::new(version().into()))),
            Path::Nowhere => Err(Refusal::Nowhere),
        }
    }

    /// Answers a request for objects. The function is a single table of methods and subresources.
    fn objects(
        &self,
        place: &Place,
        asked: &Asked,
        gate: &Gate,
    ) -> Result<(u16, Arc<Object>), Refusal> {
        let Place { kind, namespace, .. } = place;
        let Some(name) = &place.name else {
            return match asked.method {
                Method::GET => {
                    let mut list = self.list(*kind, namespace, &asked.query, gate);
                    if asked.by.is_some() && gate.is_out(Outage::ListsPartial) {
                        halve(&mut list);
                    }
                    Ok((200, Arc::new(list.into())))
                }
                // The model refuses a body other than JSON or YAML, for example protobuf of an
                // unknown kind.
                Method::POST if !asked.body.is_object() => Err(unserved(asked)),
                Method::POST => self
                    .by(asked.by, |s| s.create(*kind, namespace, asked.body.clone()))
                    .map(|object| (201, object)),
                _ => Err(unserved(asked)),
            };
        };
        let key: Key = (*kind, namespace.clone(), name.clone());
        let not_found = || Refusal::NotFound(format!("{} \"{name}\"", kind.plural));
        let found = || self.with(|s| s.shared(&key)).ok_or_else(not_found);
        match (&asked.method, place.part.as_deref()) {
            (&Method::GET, None | Some("status")) => Ok((200, found()?)),
            (&Method::GET, Some("scale")) if kind.scale => {
                Ok((200, Arc::new(scale::of(found()?.as_ref()).into())))
            }
            (&Method::PATCH, None)
                if asked.content_type == APPLY && self.with(|s| s.get(&key).is_none()) =>
            {
                let mut object = asked.body.clone();
                object["metadata"]["name"] = name.as_str().into();
                Ok((201, self.by(asked.by, |s| s.create(*kind, namespace, object))?))
            }
            (&Method::PUT | &Method::PATCH, None | Some("status")) => {
                let part = if place.part.is_some() { Part::Status } else { Part::Main };
                let manager = parameter(&asked.query, "fieldManager");
                let cordons = asked.body.pointer("/spec/unschedulable").is_some();
                let object = self.by(asked.by, |s| {
                    s.change(&key, part, |object| {
                        edit(object, asked)?;
                        if cordons && let Some(manager) = &manager {
                            scale::owned_by(object, manager, "f:unschedulable");
                        }
                        Ok(())
                    })
                })?;
                Ok((200, object))
            }
            (&Method::PATCH | &Method::PUT, Some("scale")) if kind.scale => {
                let manager = parameter(&asked.query, "fieldManager");
                let manager = manager.as_deref().unwrap_or(UNNAMED);
                let object = self.by(asked.by, |s| {
                    s.change(&key, Part::Main, |object| {
                        let mut scale = scale::of(object);
                        edit(&mut scale, asked)?;
                        scale::into(object, &scale, manager)
                    })
                })?;
                Ok((200, Arc::new(scale::of(&object).into())))
            }
            (&Method::POST, Some("eviction")) if gate.is_out(Outage::Evictions) => {
                Err(Refusal::TooMany("it would violate the pod's disruption budget".to_owned()))
            }
            (&Method::POST, Some("eviction")) => {
                self.by(asked.by, |s| s.delete(&key, None, None))?;
                let done = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
                Ok((201, Arc::new(done.into())))
            }
            (&Method::DELETE, None) => {
                let expected = |field: &str| {
                    asked.body.pointer(&format!("/preconditions/{field}")).and_then(Value::as_str)
                };
                let (uid, version) = (expected("uid"), expected("resourceVersion"));
                let deleted = self.by(asked.by, |s| s.delete(&key, uid, version))?;
                let gone = self.with(|s| s.get(&key).is_none());
                Ok((200, if gone { Arc::new(success(*kind, &deleted).into()) } else { deleted }))
            }
            _ => Err(unserved(asked)),
        }
    }

    fn list(&self, kind: Kind, namespace: &str, query: &str, gate: &Gate) -> Value {
        let fields = parameter(query, "fieldSelector").unwrap_or_default();
        let labels = parameter(query, "labelSelector").unwrap_or_default();
        // The watch cache answers a read with `resourceVersion=0`, even if the cache is stale. The
        // store answers all other reads.
        let any_version = parameter(query, "resourceVersion").as_deref() == Some("0");
        let lags = gate.out_since(Outage::WatchesSilent).filter(|_| any_version);
        let selected = |object: &Value| is_labelled(object, &labels) && has(object, &fields);
        self.with(|store| {
            let (version, there): (u64, Vec<&Value>) = match lags {
                Some(at) => {
                    let (version, there) = store.list_as_of(kind, namespace, at);
                    (version, there.into_values().collect())
                }
                None => (store.version(), store.list(kind, namespace).map(|(_, o)| o).collect()),
            };
            let shown = there.into_iter().filter(|object| selected(object)).cloned();
            let items: Vec<Value> = shown.map(|object| kind.listed(object)).collect();
            json!({
                "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
                "metadata": {"resourceVersion": version.to_string()}, "items": items,
            })
        })
    }
}
