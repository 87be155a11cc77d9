//! Actions of people and of foreign tools in an evening.

use chrono::TimeDelta;
use primetime_core::Instant;
use serde_json::Value;

use crate::cloud::Fleet;
use crate::server::kinds::Kind;
use crate::server::object::Key;
use crate::server::refusal::Refusal;
use crate::server::store::{Part, Store};

/// An action of a person, of a foreign tool or of the cloud provider.
#[derive(Clone, Debug)]
pub enum Act {
    /// Creates an object with `apiVersion`, `kind`, `metadata` and `spec`.
    Create(Value),
    /// Merges a change into an object. The fields `apiVersion`, `kind` and `metadata` of the change
    /// select the object.
    Change {
        /// The merge patch.
        object: Value,
        /// Field manager of the change.
        manager: &'static str,
    },
    /// Deletes an object.
    Delete(Value),
    /// Replaces a field in spite of the schema, as another version of the definitions or a faulty
    /// disk would do.
    Corrupt {
        /// The object to change.
        object: Value,
        /// JSON pointer of the field.
        pointer: &'static str,
        /// New value of the field.
        value: Value,
    },
    /// Lets the cloud reclaim the given number of instances.
    Reclaim(usize),
    /// Changes instances in the account by hand: protects, stops or strips them of their tags.
    InTheAccount(fn(&mut Fleet)),
}

/// An action at a point in time.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Time of the action.
    pub at: Instant,
    /// The action itself.
    pub act: Act,
}

impl Deed {
    /// Builds an action that creates an object at an instant.
    #[must_use]
    pub fn create(at: Instant, object: Value) -> Self {
        Self { at, act: Act::Create(object) }
    }
}

/// A foreign tool that restores a value in an object whenever the object differs.
#[derive(Clone, Debug)]
pub struct Insist {
    /// Merge patch that the tool applies as soon as the object differs: `apiVersion`, `kind`,
    /// `metadata` and `spec`.
    pub object: Value,
    /// Field manager of the tool's writes.
    pub manager: &'static str,
    /// Begin of the tool's activity.
    pub from: Instant,
    /// End of the tool's activity.
    pub until: Instant,
    /// Delay between a difference and the tool's write.
    pub after: TimeDelta,
}

/// Returns the key of the object that a manifest names.
fn key_of(object: &Value) -> Result<Key, Refusal> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::of(text("/apiVersion"), text("/kind"))
        .ok_or_else(|| Refusal::Unserved(text("/kind").to_owned()))?;
    Ok((kind, text("/metadata/namespace").to_owned(), text("/metadata/name").to_owned()))
}

/// True if the object exists and differs from the values of the tool.
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
        Act::Reclaim(_) | Act::InTheAccount(_) => Ok(()),
        Act::Corrupt { pointer, value, .. } => store.corrupt(&key, pointer, value),
        Act::Create(object) => store.create(kind, &namespace, object.clone()).map(|_| ()),
        // The deletion of a missing object is not an error.
        Act::Delete(_) if store.get(&key).is_none() => Ok(()),
        Act::Delete(_) => store.delete(&key, None, None).map(|_| ()),
        Act::Change { object, manager } => store
            .change(&key, Part::Main, |there| {
                json_patch::merge(there, object);
                crate::server::scale::owned_by(there, manager, "f:replicas");
                Ok(())
            })
            .map(|_| ()),
    }
}
