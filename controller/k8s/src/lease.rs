//! Leader election by a Lease: reads and writes the Lease as [`primetime_core::lease`] decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use primetime_core::Instant;
use primetime_core::lease::{self, Memory, Move, Terms};
use primetime_core::port::Clock;
use tracing::{info, warn};

use crate::call::{CallError, bounded};

/// Leadership of this process. The reconciler checks the leadership at every write, not only at the
/// start of the process.
///
/// The check uses monotonic time, so a change of the wall clock neither prolongs nor ends a
/// leadership.
#[derive(Clone, Debug)]
pub struct Leadership {
    origin: tokio::time::Instant,
    /// End of the leadership in milliseconds since `origin`. The value is 0 while this process does
    /// not lead.
    until: Arc<AtomicU64>,
    /// Wall-clock time at which this process became leader, in milliseconds since the Unix epoch.
    since: Arc<AtomicI64>,
    /// Monotonic time at which this process became leader, in milliseconds since `origin`.
    began: Arc<AtomicU64>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            until: Arc::default(),
            since: Arc::default(),
            began: Arc::default(),
        }
    }
}

impl Leadership {
    /// True if this process leads at the time of the call.
    #[must_use]
    pub fn leads(&self) -> bool {
        milliseconds(self.passed()) < self.until.load(Ordering::Acquire)
    }

    /// Returns the wall-clock time at which this process became leader.
    #[must_use]
    pub fn since(&self) -> Instant {
        chrono::DateTime::from_timestamp_millis(self.since.load(Ordering::Acquire))
            .unwrap_or_default()
    }

    /// Returns the monotonic time at which this process became leader.
    #[must_use]
    pub fn began(&self) -> tokio::time::Instant {
        self.origin + Duration::from_millis(self.began.load(Ordering::Acquire))
    }

    /// Returns a leadership that never ends, for a single process without election.
    #[must_use]
    pub fn alone(now: Instant) -> Self {
        let leadership = Self::default();
        leadership.until.store(u64::MAX, Ordering::Release);
        leadership.since.store(now.timestamp_millis(), Ordering::Release);
        leadership
    }

    fn passed(&self) -> Duration {
        self.origin.elapsed()
    }

    fn renewed(&self, at: Duration, wall: Instant, terms: Terms) {
        if self.until.load(Ordering::Acquire) == 0 {
            // The store to `until` comes last: a reader that sees the leadership also sees the
            // start times.
            self.since.store(wall.timestamp_millis(), Ordering::Release);
            // mutate: begins-lead-believes-watches
            self.began.store(milliseconds(self.passed()), Ordering::Release);
        }
        self.until.store(milliseconds(at + terms.renew_deadline), Ordering::Release);
    }

    pub(crate) fn lost(&self) {
        self.until.store(0, Ordering::Release);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Location of the Lease, and identity of this process.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Identity of this process in `spec.holderIdentity`: the name of the pod.
    pub identity: String,
}

/// Converts an instant to the API type `MicroTime`. Returns `None` if the instant is out of range.
pub(crate) fn micro_time(at: Instant) -> Option<MicroTime> {
    Timestamp::from_microsecond(at.timestamp_micros()).ok().map(MicroTime)
}

/// Takes part in the election until this process loses a Lease that the process held. The process
/// must exit then, so that no plan of a deposed leader survives.
pub async fn run(
    client: Client,
    candidate: Candidate,
    leadership: Leadership,
    clock: Arc<dyn Clock>,
    changed: impl Fn(),
) {
    let api = Api::<Lease>::namespaced(client, &candidate.namespace);
    let terms = Terms::default();
    let mut memory = Memory::default();
    let mut led = false;
    loop {
        let wall = clock.now();
        match turn(&api, &candidate, &mut memory, terms, &leadership, wall).await {
            Ok(Some(sent)) => {
                memory.wrote(sent);
                let before = leadership.leads();
                leadership.renewed(sent, wall, terms);
                if !led {
                    info!(identity = candidate.identity, "leads");
                    led = true;
                }
                // The callback notifies the tasks that depend on the leadership, at the first
                // renewal and after a reply that arrived after the expiry.
                if !before {
                    changed();
                }
            }
            Ok(None) => {
                memory.lost();
                leadership.lost();
                if led {
                    warn!("another operator holds the lease");
                    return;
                }
            }
            Err(error) => warn!(%error, "the lease could not be renewed"),
        }
        if led && !memory.leads(terms, leadership.passed()) {
            leadership.lost();
            warn!("the lease could not be renewed in time");
            return;
        }
        tokio::time::sleep(terms.retry).await;
    }
}

/// Limits a call to half of the renew deadline (5 s). A lost reply then costs an attempt, not the
/// Lease.
async fn soon<T>(
    terms: Terms,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    let call = tokio::time::timeout(terms.renew_deadline / 2, bounded(call)).await;
    call.unwrap_or(Err(CallError::TimedOut))
}

/// Reads the Lease and, if necessary, writes the Lease. Returns the monotonic time before the write
/// if this process leads afterwards. Returns `None` if another process holds the Lease.
async fn turn(
    api: &Api<Lease>,
    candidate: &Candidate,
    memory: &mut Memory,
    terms: Terms,
    leadership: &Leadership,
    wall: Instant,
) -> Result<Option<Duration>, CallError> {
    let current = soon(terms, api.get_opt(&candidate.name)).await?;
    let now = leadership.passed();
    let seen = current.as_ref().map_or_else(lease::Lease::default, |l| lease::Lease {
        holder: l.spec.as_ref().and_then(|s| s.holder_identity.clone()),
        version: l.metadata.resource_version.clone().unwrap_or_default(),
    });
    let step = memory.look(&seen, &candidate.identity, terms, now);
    if step == Move::Wait {
        return Ok(None);
    }
    let before = current.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
    let taking = step == Move::Take;
    let spec = LeaseSpec {
        holder_identity: Some(candidate.identity.clone()),
        lease_duration_seconds: i32::try_from(terms.duration.as_secs()).ok(),
        renew_time: micro_time(wall),
        acquire_time: if taking { micro_time(wall) } else { before.acquire_time },
        lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(taking)),
        ..LeaseSpec::default()
    };
    let metadata = current.map_or_else(
        || ObjectMeta { name: Some(candidate.name.clone()), ..ObjectMeta::default() },
        |l| l.metadata,
    );
    let fresh = metadata.resource_version.is_none();
    let lease = Lease { metadata, spec: Some(spec) };
    let written = if fresh {
        soon(terms, api.create(&PostParams::default(), &lease)).await
    } else {
        soon(terms, api.replace(&candidate.name, &PostParams::default(), &lease)).await
    };
    // If another candidate was faster, the write fails, and the next read shows the holder.
    written.map(|_| Some(now))
}

/// Releases the Lease at shutdown, so that a successor does not have to wait for the expiry of the
/// Lease.
pub async fn give_up(client: Client, candidate: &Candidate, leadership: &Leadership) {
    if leadership.until.load(Ordering::Acquire) == 0 {
        return;
    }
    leadership.lost();
    let api = Api::<Lease>::namespaced(client, &candidate.namespace);
    let Ok(Some(mut lease)) = bounded(api.get_opt(&candidate.name)).await else {
        return;
    };
    if let Some(spec) = lease.spec.as_mut()
        && spec.holder_identity.as_deref() == Some(&candidate.identity)
    {
        spec.holder_identity = None;
        let given_up = bounded(api.replace(&candidate.name, &PostParams::default(), &lease)).await;
        if let Err(error) = given_up {
            warn!(%error, "the lease could not be given up; it runs out by itself");
        }
    }
}
