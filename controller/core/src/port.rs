//! What the shell reaches the outside through: everything here has a real and a simulated side.

use std::future::Future;
use std::pin::Pin;

use crate::Instant;
use crate::state::ledger::Batch;
use crate::state::observed::{Instance, LaunchAnswer};
use crate::state::sample::Sample;

/// A future that can be sent to another thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A clock. The core never sees it: it gets instants.
pub trait Clock: Send + Sync {
    /// The instant now.
    fn now(&self) -> Instant;
}

/// A cloud that starts machines. Every call has an upper bound on its time.
pub trait Cloud: Send + Sync {
    /// Starts the instances of a ledger entry. Looks by tag first, then calls with the entry's token: repeated calls
    /// start them once. An error means that the effect is unknown.
    fn launch<'a>(
        &'a self,
        run_uid: &'a str,
        batch: &'a Batch,
        expires: Instant,
    ) -> Answer<'a, Result<LaunchAnswer, String>>;

    /// All instances with the tag of a run, terminated ones included while the cloud shows them.
    fn instances<'a>(&'a self, run_uid: &'a str) -> Answer<'a, Result<Vec<Instance>, String>>;

    /// Terminates those of `ids` that carry the tags of this cluster and the run; leaves all others alone.
    fn terminate<'a>(
        &'a self,
        run_uid: &'a str,
        ids: &'a [String],
    ) -> Answer<'a, Result<(), String>>;
}

/// How a metrics source is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address of the Prometheus.
    pub url: String,
    /// Seconds until no answer is no answer.
    pub timeout_seconds: u32,
    /// Older samples are not looked at.
    pub max_age_seconds: u32,
}

/// What the address of a feed answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The same as when its tag was given.
    Unchanged,
    /// A text, and the tag of this version of it where there is one.
    Text {
        /// The text.
        bytes: Vec<u8>,
        /// The tag.
        tag: Option<String>,
    },
}

/// Feeds at addresses. Every look has an upper bound on its time and size.
pub trait Feeds: Send + Sync {
    /// Fetches a text; `tag` is that of the version that is known already. An error is a sentence for people.
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        tag: Option<&'a str>,
    ) -> Answer<'a, Result<Fetched, String>>;
}

/// A source of live load. Never fails: doubt is a [`Sample::Unknown`].
pub trait Metrics: Send + Sync {
    /// Asks the queries of one namespace for a number each, in as few requests as the source allows; in the order of the
    /// queries. Queries of two namespaces are never part of one request: a query that answers for its neighbours would answer
    /// for another team.
    fn samples<'a>(
        &'a self,
        source: &'a Source,
        namespace: &'a str,
        queries: &'a [String],
        now: Instant,
    ) -> Answer<'a, Vec<Sample>>;
}
