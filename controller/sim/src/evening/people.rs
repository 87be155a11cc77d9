//! People, and tools that are not ours: what they do in an evening.

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::Value;

use crate::server::kinds::Kind;
use crate::server::object::Key;
use crate::server::refusal::Refusal;
use crate::server::store::{Part, Store};

/// What a person, or a tool that is not ours, does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Creates an object: `apiVersion`, `kind`, `metadata`, `spec`.
    Create(Value),
    /// Merges a change into an object: `apiVersion`, `kind`, `metadata` say which; the manager is whose name is on it.
    Change {
        /// The change.
        object: Value,
        /// Who does it.
        manager: &'static str,
    },
    /// Deletes an object.
    Delete(Value),
    /// Replaces a field, whatever the schema says: another version of the definitions, or a disk that forgets.
    Corrupt {
        /// Which object.
        object: Value,
        /// Which field.
        pointer: &'static str,
        /// What it says from then on.
        value: Value,
    },
    /// The cloud takes so many instances away.
    Reclaim(usize),
}

/// Something that happens in the middle of an evening.
#[derive(Clone, Debug)]
pub struct Deed {
    /// When.
    pub at: Instant,
    /// What.
    pub act: Act,
}

impl Deed {
    /// Creates an object at an instant.
    #[must_use]
    pub fn create(at: Instant, object: Value) -> Self {
        Self { at, act: Act::Create(object) }
    }
}

/// A tool that has its own idea of an object, and does not give up.
#[derive(Clone, Debug)]
pub struct Insist {
    /// What it merges into the object as soon as that is otherwise: `apiVersion`, `kind`, `metadata`, `spec`.
    pub object: Value,
    /// Whose name is on it.
    pub manager: &'static str,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// How long it takes to notice.
    pub after: TimeDelta,
}

/// Which object a person means.
fn key_of(object: &Value) -> Result<Key, Refusal> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::of(text("/apiVersion"), text("/kind"))
        .ok_or_else(|| Refusal::Unserved(text("/kind").to_owned()))?;
    Ok((kind, text("/metadata/namespace").to_owned(), text("/metadata/name").to_owned()))
}

/// Whether an object that is there is not as a tool wants it.
pub(super) fn differs(store: &Store, insist: &Insist) -> bool {
    let Ok(key) = key_of(&insist.object) else { return false };
    store.get(&key).is_some_and(|there| {
        let mut wanted = there.clone();
        json_patch::merge(&mut wanted, &insist.object);
        wanted != *there
    })
}

pub(super) fn perform(store: &mut Store, act: &Act) -> Result<(), Refusal> {
    let (Act::Create(object)
    | Act::Delete(object)
    | Act::Change { object, .. }
    | Act::Corrupt { object, .. }) = act
    else {
        return Ok(());
    };
    let key = key_of(object)?;
    let (kind, namespace) = (key.0, key.1.clone());
    match act {
        Act::Reclaim(_) => Ok(()),
        Act::Corrupt { pointer, value, .. } => store.corrupt(&key, pointer, value),
        Act::Create(object) => store.create(kind, &namespace, object.clone()).map(|_| ()),
        // Who finds nothing to delete is content.
        Act::Delete(_) if store.get(&key).is_none() => Ok(()),
        Act::Delete(_) => store.delete(&key, None, None).map(|_| ()),
        Act::Change { object, manager } => store
            .change(&key, Part::Main, |there| {
                json_patch::merge(there, object);
                crate::server::scale::owned_by(there, manager);
                Ok(())
            })
            .map(|_| ()),
    }
}
