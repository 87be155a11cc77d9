//! Reference-counted records: a snapshot of a namespace shares each record and copies no record.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A shared record. A mutation of a record with other holders copies the record first.
#[derive(Debug, Default)]
pub struct Row<T>(Arc<T>);

impl<T> Clone for Row<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> From<T> for Row<T> {
    fn from(record: T) -> Self {
        Self(Arc::new(record))
    }
}

impl<T> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Row<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}
