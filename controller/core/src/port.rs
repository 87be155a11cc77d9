//! Interfaces of the shell to clouds, metrics sources, feeds and the clock.
//!
//! Each interface has a real implementation and a simulated implementation.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::Instant;
use crate::state::ledger::Batch;
use crate::state::observed::{Fleet, LaunchAnswer, Presence};
use crate::state::place::Place;
use crate::state::sample::Sample;

/// A future that can be sent to another thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A clock. The core has no access to a clock and receives instants as arguments.
pub trait Clock: Send + Sync {
    /// Returns the present instant.
    fn now(&self) -> Instant;
}

/// All instances of this cluster in the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Account, region and cluster tag of the look.
    pub place: Place,
    /// Instances with the tag of the cluster, by run UID, including terminated instances that the
    /// cloud still lists.
    pub fleets: BTreeMap<String, Fleet>,
}

/// A cloud that starts machines. Every call returns within a bounded time.
pub trait Cloud: Send + Sync {
    /// Returns all instances with the tag of the cluster.
    fn show(&self) -> Answer<'_, Result<Inventory, String>>;

    /// Starts the instances of a ledger entry and returns the answer of the cloud.
    ///
    /// The implementation searches for the tag of the entry first, and then calls the cloud with
    /// the token and the parameters of the entry, unchanged. A repeated call therefore starts no
    /// second set of instances.
    fn launch<'a>(&'a self, run_uid: &'a str, batch: &'a Batch) -> Answer<'a, LaunchAnswer>;

    /// Returns what the cloud knows of each id, whatever the tags.
    fn ask<'a>(
        &'a self,
        ids: &'a [String],
    ) -> Answer<'a, Result<BTreeMap<String, Presence>, String>>;

    /// Terminates the instances of `ids` that carry the tags of this cluster and of the run.
    /// Ignores all other instances.
    ///
    /// Returns the error of each instance that could not be terminated. An instance keeps no other
    /// instance.
    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<BTreeMap<String, String>, String>>;

    /// Writes the expiry tag of the instances.
    fn renew<'a>(&'a self, ids: &'a [String], expires: Instant) -> Answer<'a, Result<(), String>>;
}

/// A value of a header or of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The text itself. `{namespace}` in a header stands for the namespace of the run.
    Plain(String),
    /// A key of a Secret in the namespace of the operator.
    Secret {
        /// Name of the Secret.
        name: String,
        /// Key in the Secret.
        key: String,
    },
}

/// Credentials of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// A bearer token in a key of a Secret.
    Bearer {
        /// Name of the Secret.
        name: String,
        /// Key in the Secret.
        key: String,
    },
    /// The keys `username` and `password` of a Secret.
    Basic {
        /// Name of the Secret.
        name: String,
    },
}

/// What a `MetricsSource` needs beyond the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Credentials of each request.
    pub authorization: Option<Authorization>,
    /// Secret with `tls.crt` and `tls.key`, with which the client proves who it is.
    pub client_certificate: Option<String>,
    /// PEM of the authorities that the client trusts, instead of the public ones.
    pub authority: Option<Value>,
    /// Further headers, the tenant included.
    pub headers: Vec<(String, Value)>,
    /// Field of the request for the tenant, with `{namespace}` for the namespace of the run.
    pub tenant_field: Option<(String, String)>,
}

/// Secrets in the namespace of the operator.
pub trait Secrets: Send + Sync {
    /// Returns the keys of a Secret. The values are at most a minute old.
    ///
    /// An error is a sentence that contains no value.
    fn read<'a>(&'a self, name: &'a str) -> Answer<'a, Result<BTreeMap<String, Vec<u8>>, String>>;
}

/// Address and limits of a `MetricsSource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address of the Prometheus server.
    pub url: String,
    /// Timeout of a request, in seconds.
    pub timeout_seconds: u32,
    /// Maximum age of a sample, in seconds.
    pub max_age_seconds: u32,
    /// Credentials, authorities and tenancy.
    pub access: Access,
}

/// Answer of the server at the address of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The feed is the same as the version with the sent tag.
    Unchanged,
    /// The text of the feed, and the tag of that version if the server sent a tag.
    Text {
        /// Bytes of the text.
        bytes: Vec<u8>,
        /// Tag of the version.
        tag: Option<String>,
    },
}

/// Feeds at addresses. Every fetch has a bound on the time and on the size of the answer.
pub trait Feeds: Send + Sync {
    /// Fetches the text of a feed. `tag` is the tag of the version that the operator already has.
    ///
    /// An error is a sentence for the status of the calendar.
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        tag: Option<&'a str>,
    ) -> Answer<'a, Result<Fetched, String>>;
}

/// A source of load samples. An implementation never fails: a doubtful result is a
/// [`Sample::Unknown`].
pub trait Metrics: Send + Sync {
    /// Returns a sample for each query of a namespace, in the order of the queries.
    ///
    /// The implementation sends as few requests as the source allows. A request never combines
    /// queries of two namespaces, because a faulty query could otherwise change the result of
    /// another team.
    fn samples<'a>(
        &'a self,
        source: &'a Source,
        namespace: &'a str,
        queries: &'a [String],
        now: Instant,
    ) -> Answer<'a, Vec<Sample>>;
}
