//! Names that several crates use.

/// The API group.
pub const GROUP: &str = "primetime.dev";

/// The version.
pub const VERSION: &str = "v1alpha1";

/// Finalizer of runs and holds. The finalizer keeps the object until the operator has restored all
/// targets.
pub const FINALIZER: &str = "primetime.dev/give-back";

/// Annotation of a run with the uid of the surge that announced the run.
///
/// The uid is not an owner reference, because the garbage collector would delete the run with a
/// replaced surge. A run that has begun outlives a replaced surge.
pub const SURGE_UID: &str = "primetime.dev/surge-uid";

/// Field manager of every write to an object of another API group.
pub const APP_FIELD_MANAGER: &str = "primetime";

/// Tags of every EC2 instance. The operator terminates an instance only if the ledger lists the
/// instance *and* the tags match.
pub mod tags {
    /// Name of the cluster that launched the instance (`--cluster-name`).
    pub const CLUSTER: &str = "primetime.dev/cluster";
    /// Uid of the run.
    pub const RUN: &str = "primetime.dev/run";
    /// Token of the ledger entry.
    pub const BATCH: &str = "primetime.dev/batch";
    /// Time after which the run no longer needs the instance (RFC 3339).
    pub const EXPIRES: &str = "primetime.dev/expires";
}
