//! Names that appear in more than one place.

/// The API group.
pub const GROUP: &str = "primetime.dev";

/// The version.
pub const VERSION: &str = "v1alpha1";

/// Keeps a run, or a hold, until everything was given back.
pub const FINALIZER: &str = "primetime.dev/give-back";

/// Annotation of a run: the uid of the surge that announced it. A run that has begun outlives a surge that is replaced, so this
/// is no owner reference, which the garbage collector would follow.
pub const SURGE_UID: &str = "primetime.dev/surge-uid";

/// The field manager of every write to an object that is not ours.
pub const APP_FIELD_MANAGER: &str = "primetime";

/// Tags on every instance. An instance is terminated only if it is in the ledger *and* carries these.
pub mod tags {
    /// Which cluster started it.
    pub const CLUSTER: &str = "primetime.dev/cluster";
    /// Uid of the run.
    pub const RUN: &str = "primetime.dev/run";
    /// Token of the ledger entry.
    pub const BATCH: &str = "primetime.dev/batch";
    /// It is not needed after this instant (RFC 3339).
    pub const EXPIRES: &str = "primetime.dev/expires";
}
