//! Store of objects with a global `resourceVersion`, and the history that watches read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use primetime_core::Instant;
use serde_json::{Map, Value, json};

use crate::server::kinds::Kind;
use crate::server::object::{Event, Key, Object};
use crate::server::refusal::Refusal;
use crate::server::schema;

/// All objects of the server, with their history.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Arc<Object>>,
    /// Keys of dependent objects, by uid of the owner.
    owned: BTreeMap<String, BTreeSet<Key>>,
    history: Vec<Event>,
    version: u64,
    changed: BTreeMap<Kind, u64>,
    uids: u64,
    /// Current time of the virtual clock.
    pub now: Instant,
    /// Index of the operator whose request the server answers. The value is `None` for a person or
    /// a controller.
    pub by: Option<usize>,
}

/// Part of an object that a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All fields of the object. If the kind has the subresource `status`, the status is excluded.
    Main,
    /// The status only.
    Status,
}

fn field<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get(name)?.as_str()
}

fn metadata(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut()?.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
}

fn finalizers(object: &Value) -> usize {
    let list = object.get("metadata").and_then(|m| m.get("finalizers"));
    list.and_then(Value::as_array).map_or(0, Vec::len)
}

/// Returns the uids of the owners of an object.
fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object.get("metadata").and_then(|m| m.get("ownerReferences"));
    let owners = owners.and_then(Value::as_array).into_iter().flatten();
    owners.filter_map(|owner| owner.get("uid")?.as_str())
}

fn deleting(object: &Value) -> bool {
    field(object, "deletionTimestamp").is_some()
}

fn seconds(now: Instant) -> String {
    now.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Store {
    /// Returns the `resourceVersion` of the latest change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the `resourceVersion` of the latest change of a kind.
    #[must_use]
    pub fn changed(&self, kind: Kind) -> u64 {
        self.changed.get(&kind).copied().unwrap_or_default()
    }

    /// Removes the history from the store and returns all events.
    pub fn take_history(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.history)
    }

    /// Returns the events after a `resourceVersion`.
    pub fn since(&self, version: u64) -> impl Iterator<Item = &Event> {
        let from = self.history.partition_point(|e| e.version <= version);
        self.history.iter().skip(from)
    }

    /// Returns the current version of an object. Returns `None` if the object does not exist.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key).map(|object| &***object)
    }

    /// Returns a shared reference to the current version of an object.
    #[must_use]
    pub fn shared(&self, key: &Key) -> Option<Arc<Object>> {
        self.objects.get(key).cloned()
    }

    /// Returns all objects of a kind, in one namespace or, if `namespace` is empty, in all
    /// namespaces.
    pub fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let from = (kind, namespace.to_owned(), String::new());
        let within =
            move |(k, ns, _): &Key| *k == kind && (namespace.is_empty() || ns == namespace);
        self.objects
            .range(from..)
            .take_while(move |(key, _)| within(key))
            .map(|(key, object)| (key, &***object))
    }

    /// Returns shared references to all objects of a kind, in all namespaces.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<(Key, Arc<Object>)> {
        let from = (kind, String::new(), String::new());
        let of_kind = self.objects.range(from..).take_while(|((k, ..), _)| *k == kind);
        of_kind.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// Returns the objects of a kind at an earlier instant, and the `resourceVersion` of that
    /// instant. A stale watch cache shows such a list.
    #[must_use]
    pub fn list_as_of(
        &self,
        kind: Kind,
        namespace: &str,
        at: Instant,
    ) -> (u64, BTreeMap<&Key, &Value>) {
        let (mut version, mut there) = (0, BTreeMap::new());
        for event in self.history.iter().take_while(|event| event.at <= at) {
            version = event.version;
            let (k, ns, _) = &event.key;
            if *k != kind || !(namespace.is_empty() || ns == namespace) {
                continue;
            }
            if event.what == "DELETED" {
                there.remove(&event.key);
            } else {
                there.insert(&event.key, &**event.object);
            }
        }
        (version, there)
    }

    fn remember(&mut self, what: &'static str, key: &Key, mut object: Value) -> Arc<Object> {
        self.version += 1;
        if let Some(meta) = metadata(&mut object) {
            meta.insert("resourceVersion".into(), self.version.to_string().into());
        }
        let (version, at, by) = (self.version, self.now, self.by);
        let object = Arc::new(Object::from(object));
        self.changed.insert(key.0, version);
        self.history.push(Event {
            version,
            what,
            key: key.clone(),
            object: object.clone(),
            at,
            by,
        });
        let before = if what == "DELETED" {
            self.objects.remove(key)
        } else {
            for owner in owners(&object) {
                self.owned.entry(owner.to_owned()).or_default().insert(key.clone());
            }
            self.objects.insert(key.clone(), object.clone())
        };
        let kept: Vec<&str> =
            if what == "DELETED" { Vec::new() } else { owners(&object).collect() };
        for owner in before.iter().flat_map(|before| owners(before)).filter(|o| !kept.contains(o)) {
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.remove(key);
            }
        }
        object
    }

    /// Creates an object.
    ///
    /// # Errors
    ///
    /// Returns `Invalid` if the object has no name or violates the schema. Returns `AlreadyExists`
    /// if the name is in use.
    pub fn create(
        &mut self,
        kind: Kind,
        namespace: &str,
        mut object: Value,
    ) -> Result<Arc<Object>, Refusal> {
        self.uids += 1;
        let number = self.uids;
        let generated = field(&object, "generateName").map(|prefix| format!("{prefix}{number:05}"));
        let name = field(&object, "name").map(str::to_owned).or(generated);
        let name = name.ok_or_else(|| Refusal::Invalid("metadata.name: Required value".into()))?;
        let key = (kind, namespace.to_owned(), name.clone());
        if self.objects.contains_key(&key) {
            return Err(Refusal::AlreadyExists(format!("{} \"{name}\"", kind.plural)));
        }
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.into();
        if kind.status
            && kind.group == "primetime.dev"
            && let Some(all) = object.as_object_mut()
        {
            all.remove("status");
        }
        if let Some(meta) = metadata(&mut object) {
            meta.insert("name".into(), name.into());
            if kind.namespaced {
                meta.insert("namespace".into(), namespace.into());
            }
            meta.insert("uid".into(), format!("00000000-0000-4000-8000-{number:012}").into());
            meta.insert("creationTimestamp".into(), seconds(self.now).into());
            if kind.counts_generations() {
                meta.insert("generation".into(), 1.into());
            }
            meta.remove("deletionTimestamp");
        }
        schema::admit(kind, &mut object, None)?;
        Ok(self.remember("ADDED", &key, object))
    }

    /// Changes an object with the function `edit`.
    ///
    /// The store restores immutable metadata and the part of the object that the request may not
    /// change. A change without a difference produces no event.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the object does not exist. Returns `Conflict` if `edit` sets another
    /// `resourceVersion`. Returns `Invalid` if the result violates the schema. Returns any error of
    /// `edit`.
    pub fn change(
        &mut self,
        key: &Key,
        part: Part,
        edit: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Arc<Object>, Refusal> {
        let (kind, _, name) = key;
        let what = || format!("{} \"{name}\"", kind.plural);
        let before = self.objects.get(key).ok_or_else(|| Refusal::NotFound(what()))?.clone();
        let mut after = Value::clone(&before);
        edit(&mut after)?;
        if field(&after, "resourceVersion") != field(&before, "resourceVersion") {
            return Err(Refusal::Conflict(what()));
        }
        if kind.status {
            // A request changes either the status or all other fields: the store restores the other
            // part.
            if part == Part::Status {
                let status = after.get_mut("status").map_or(Value::Null, Value::take);
                after = Value::clone(&before);
                after["status"] = status;
            } else if let Some(status) = before.get("status") {
                after["status"] = status.clone();
            } else if let Some(all) = after.as_object_mut() {
                all.remove("status");
            }
        }
        let immutable =
            ["uid", "creationTimestamp", "generation", "name", "namespace", "deletionTimestamp"];
        if let Some(meta) = metadata(&mut after) {
            for name in immutable {
                match before.get("metadata").and_then(|m| m.get(name)) {
                    Some(value) => meta.insert(name.into(), value.clone()),
                    None => meta.remove(name),
                };
            }
            meta.retain(|_, value| *value != json!([]) && *value != json!({}));
        }
        schema::admit(*kind, &mut after, Some(&before))?;
        if after == **before {
            return Ok(before);
        }
        if after.get("spec") != before.get("spec")
            && let Some(generation) =
                before.get("metadata").and_then(|m| m.get("generation")).and_then(Value::as_i64)
            && let Some(meta) = metadata(&mut after)
        {
            meta.insert("generation".into(), (generation + 1).into());
        }
        let gone = deleting(&after) && finalizers(&after) == 0;
        Ok(self.remember(if gone { "DELETED" } else { "MODIFIED" }, key, after))
    }

    /// Replaces a field of an object, without validation.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the object or the field does not exist.
    pub fn corrupt(&mut self, key: &Key, pointer: &str, value: &Value) -> Result<(), Refusal> {
        let missing = || Refusal::NotFound(format!("{} \"{}\" {pointer}", key.0.plural, key.2));
        let mut object = self.objects.get(key).ok_or_else(missing)?.value.clone();
        value.clone_into(object.pointer_mut(pointer).ok_or_else(missing)?);
        self.remember("MODIFIED", key, object);
        Ok(())
    }

    /// Deletes an object and its dependents. If the object has finalizers, the store sets
    /// `metadata.deletionTimestamp` only.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the object does not exist. Returns `Conflict` if the uid or the
    /// `resourceVersion` differs from the preconditions.
    pub fn delete(
        &mut self,
        key: &Key,
        uid: Option<&str>,
        version: Option<&str>,
    ) -> Result<Arc<Object>, Refusal> {
        let (kind, namespace, name) = key;
        let what = format!("{} \"{name}\"", kind.plural);
        let Some(there) = self.objects.get(key).cloned() else {
            return Err(Refusal::NotFound(what));
        };
        let differs = |expected: Option<&str>, name| {
            expected.is_some_and(|e| field(&there, name).is_some_and(|is| is != e))
        };
        if differs(uid, "uid") || differs(version, "resourceVersion") {
            return Err(Refusal::Conflict(what));
        }
        let own_uid = field(&there, "uid").unwrap_or_default().to_owned();
        let deleted = if finalizers(&there) == 0 {
            self.remember("DELETED", key, Value::clone(&there))
        } else if deleting(&there) {
            there
        } else {
            let mut object = Value::clone(&there);
            if let Some(meta) = metadata(&mut object) {
                // The deletion request increments `metadata.generation`, as in the real API server.
                if let Some(generation) = meta.get("generation").and_then(Value::as_i64) {
                    meta.insert("generation".into(), (generation + 1).into());
                }
                meta.insert("deletionTimestamp".into(), seconds(self.now).into());
                meta.insert("deletionGracePeriodSeconds".into(), 0.into());
            }
            self.remember("MODIFIED", key, object)
        };
        // The store deletes dependents at once. The real garbage collector does so in the
        // background.
        if !self.objects.contains_key(key) {
            let owned = self.owned.get(&own_uid).into_iter().flatten();
            let dependents: Vec<Key> =
                owned.filter(|(_, ns, _)| ns == namespace).cloned().collect();
            for dependent in dependents {
                self.delete(&dependent, None, None)?;
            }
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::kinds::ALL;

    fn kind(name: &str) -> Kind {
        *ALL.iter().find(|k| k.kind == name).unwrap()
    }

    fn run(store: &mut Store) -> Key {
        let object = json!({
            "metadata": {"name": "capital-1", "finalizers": ["primetime.dev/run"]},
            "spec": {
                "surgeName": "capital", "readyTime": "2031-01-12T19:50:00Z",
                "startTime": "2031-01-12T20:00:00Z", "endTime": "2031-01-12T22:00:00Z",
                "release": {"stepPercent": 20, "stepSeconds": 120},
                "targets": [{
                    "name": "web", "replicas": 180, "leadSeconds": 900,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                }],
            },
            "status": {"stage": "Done"},
        });
        store.create(kind("SurgeRun"), "shop", object).unwrap();
        (kind("SurgeRun"), "shop".into(), "capital-1".into())
    }

    fn set(name: &'static str, value: Value) -> impl FnOnce(&mut Value) -> Result<(), Refusal> {
        move |object| {
            object[name] = value;
            Ok(())
        }
    }

    #[test]
    fn a_status_is_written_through_its_subresource_only() {
        let mut store = Store::default();
        let key = run(&mut store);
        assert_eq!(store.get(&key).unwrap().get("status"), None, "not at creation");
        store.change(&key, Part::Main, set("status", json!({"stage": "Live"}))).unwrap();
        assert_eq!(store.version(), 1, "nothing has changed");
        store.change(&key, Part::Status, set("status", json!({"stage": "Live"}))).unwrap();
        store.change(&key, Part::Status, set("spec", json!({}))).unwrap();
        let object = store.get(&key).unwrap();
        assert_eq!(object["status"]["stage"], "Live");
        assert_eq!(
            (&object["spec"]["readyTime"], &object["metadata"]["generation"]),
            (&json!("2031-01-12T19:50:00Z"), &json!(1))
        );
    }

    #[test]
    fn what_was_there_is_remembered() {
        let mut store = Store::default();
        let key = run(&mut store);
        let then = store.now;
        store.now += chrono::TimeDelta::seconds(1);
        store.change(&key, Part::Status, set("status", json!({"stage": "Live"}))).unwrap();
        store.now += chrono::TimeDelta::seconds(1);
        let stage = |store: &Store, at| {
            let (version, there) = store.list_as_of(kind("SurgeRun"), "shop", at);
            (version, there.get(&key).and_then(|run| run.pointer("/status/stage")).cloned())
        };
        assert_eq!(stage(&store, then), (1, None));
        assert_eq!(stage(&store, store.now), (2, Some("Live".into())));
    }

    #[test]
    fn an_old_version_is_a_conflict() {
        let mut store = Store::default();
        let key = run(&mut store);
        let old = |object: &mut Value| {
            object["metadata"]["resourceVersion"] = "0".into();
            object["spec"] = json!({});
            Ok(())
        };
        assert!(matches!(store.change(&key, Part::Main, old), Err(Refusal::Conflict(_))));
    }

    #[test]
    fn a_finalizer_keeps_an_object_until_it_is_taken_off() {
        let mut store = Store::default();
        let key = run(&mut store);
        store.delete(&key, None, None).unwrap();
        assert!(deleting(store.get(&key).unwrap()));
        let unguard = |object: &mut Value| {
            object["metadata"]["finalizers"] = json!([]);
            Ok(())
        };
        store.change(&key, Part::Main, unguard).unwrap();
        assert_eq!(store.get(&key), None);
        assert_eq!(
            store.since(0).map(|e| e.what).collect::<Vec<_>>(),
            ["ADDED", "MODIFIED", "DELETED"]
        );
    }
}
