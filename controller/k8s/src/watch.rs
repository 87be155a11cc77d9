//! Watches that fill the cache.
//!
//! # Guarantees
//!
//! - The watch task retries a failed watch forever, with backoff. A failed watch neither ends the
//!   process nor empties the cache.
//! - The watch task relists every kind every four to five minutes, and `SurgeOverride` every 30
//!   seconds, independently of watch events.
//! - If a list lacks more than a fifth of the known objects, the cache waits for confirmation by a
//!   second list after 30 seconds.
//! - A new leader relists every kind that the leader acts on, because the watch of a standby may
//!   have missed events. The planner neither lowers nor terminates before the relist.
//! - An object that cannot be decoded does not stop the watch of the kind. The planner leaves the
//!   target of such a hold unchanged.
//!
//! # Assumptions
//!
//! `resourceVersion`s of the same kind are increasing numbers (KEP-5504; true of every API server
//! so far). A version that is not a number counts as newer.
//!
//! # Caveats
//!
//! The cache accepts the first list of a new process without confirmation, because the cache has no
//! earlier rows.

mod probe;
mod stream;
mod workloads;

use futures::{FutureExt, StreamExt};
use kube::ResourceExt;

use futures::stream::FuturesUnordered;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{LimitRange, Node, ResourceQuota};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::{Client, Resource};
use primetime_api::{
    InstanceClass, MetricsSource, ScheduledSurge, SurgeBudget, SurgeCalendar, SurgeHold,
    SurgeOverride, SurgeRun, hold_record, run_record, surge_record, undecoded_run,
};
use primetime_core::port;
use primetime_core::row::Row;
use primetime_core::state::announcement::TemplateKind;
use primetime_core::state::calendar::{CalendarRecord, CalendarStatus};
use primetime_core::state::run::RunRecord;
use primetime_core::state::surge::{SurgeRecord, SurgeStatus};
use tracing::{info, warn};

use crate::cache::store::{Calendar, Source};
use crate::kinds::job::{self, Job};
use crate::kinds::scaled_object::{self, ScaledObject};
use crate::kinds::{bounds, hpa, node};
use crate::shared::Shared;
use crate::watch::probe::PROBE_INTERVAL;
pub use crate::watch::probe::probe;
use crate::watch::stream::{key, watch};
use crate::watch::workloads::workloads;

/// Returns the decoded object. Logs an error and returns `None` if the object cannot be decoded.
/// The cache keeps the last decoded row until a later list drops the row.
fn readable<K: Resource>(object: &DeserializeGuard<K>) -> Option<&K> {
    let name = object.name_any();
    object
        .0
        .as_ref()
        .inspect_err(
            |error| warn!(name, %error, "object cannot be decoded; its new version is ignored"),
        )
        .ok()
}

/// Decodes a surge. A surge that cannot be decoded becomes a refused record, and the watch
/// continues.
fn read_surge(object: &DeserializeGuard<ScheduledSurge>) -> SurgeRecord {
    match &object.0 {
        Ok(surge) => surge_record(surge),
        Err(error) => SurgeRecord {
            name: object.name_any(),
            uid: object.meta().uid.clone().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or_default(),
            deleting: object.meta().deletion_timestamp.is_some(),
            spec: Err(vec![error.to_string()]),
            status: SurgeStatus::default(),
        },
    }
}

/// Decodes a run. A run that cannot be decoded keeps the occurrence, so the surge neither cancels
/// nor recreates the run.
fn read_run(object: &DeserializeGuard<SurgeRun>) -> RunRecord {
    match &object.0 {
        Ok(run) => run_record(run),
        Err(error) => undecoded_run(object.meta(), error.to_string()),
    }
}

/// Decodes a calendar. A calendar that cannot be decoded becomes a refused record.
fn read_calendar(object: &DeserializeGuard<SurgeCalendar>) -> Calendar {
    match &object.0 {
        Ok(calendar) => calendar.into(),
        Err(error) => Calendar {
            record: CalendarRecord {
                name: object.name_any(),
                generation: object.meta().generation.unwrap_or_default(),
                spec: Err(vec![error.to_string()]),
                status: CalendarStatus::default(),
            }
            .into(),
            how: None,
        },
    }
}

fn read_source(source: &MetricsSource) -> Source {
    let spec = &source.spec;
    Source {
        source: spec.into(),
        asked: port::Source {
            url: spec.url.trim_end_matches('/').to_owned(),
            timeout_seconds: spec.timeout_seconds,
            max_age_seconds: spec.max_sample_age_seconds,
            access: spec.access(),
        },
        interval_seconds: spec.interval_seconds,
    }
}

/// Watches all kinds forever.
///
/// The function is one table: each kind stands beside the watch of the kind.
pub async fn everything(client: Client, shared: Shared) {
    let all = |what: &str| (shared.clone(), what.to_owned());
    let (s, n) = all("ScheduledSurge");
    let surges = watch(
        Api::<DeserializeGuard<ScheduledSurge>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.surges),
        |o| Some((key(o), read_surge(o))),
    );
    let (s, n) = all("SurgeCalendar");
    let calendars = watch(
        Api::<DeserializeGuard<SurgeCalendar>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.calendars),
        |o| Some((key(o), read_calendar(o))),
    );
    let (s, n) = all("SurgeRun");
    let runs = watch(
        Api::<DeserializeGuard<SurgeRun>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.runs),
        |o| Some((key(o), read_run(o))),
    );
    let (s, n) = all("SurgeHold");
    let holds = watch(
        Api::<DeserializeGuard<SurgeHold>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.holds),
        |o| {
            let read =
                o.0.as_ref().map_err(ToString::to_string).and_then(hold_record).map(Row::from);
            Some((key(o), read))
        },
    );
    let (s, n) = all("SurgeOverride");
    let overrides = watch(
        Api::<DeserializeGuard<SurgeOverride>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.overrides),
        |o| readable(o)?.record().map(|r| (key(o), r)),
    );
    let (s, n) = all("InstanceClass");
    let classes = watch(
        Api::<DeserializeGuard<InstanceClass>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.classes),
        |o| Some((o.name_any(), readable(o)?.into())),
    );
    let (s, n) = all("SurgeBudget");
    let budgets = watch(
        Api::<DeserializeGuard<SurgeBudget>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.budgets),
        |o| {
            let spec = &readable(o)?.spec;
            let namespaces = spec.namespaces.iter().cloned().collect();
            Some((o.name_any(), (namespaces, (&spec.limits).into())))
        },
    );
    let (s, n) = all("MetricsSource");
    let sources = watch(
        Api::<DeserializeGuard<MetricsSource>>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.sources),
        |o| Some((o.name_any(), read_source(readable(o)?))),
    );
    let (s, n) = all("HorizontalPodAutoscaler");
    let hpas = watch(
        Api::<HorizontalPodAutoscaler>::all(client.clone()),
        s,
        n,
        |i| Some(&mut i.hpas),
        |o| hpa::scaler(o).map(|scaler| (key(o), scaler)),
    );
    // `FuturesUnordered` polls only the futures that are ready to proceed. `join!` would poll all
    // futures.
    let all = FuturesUnordered::from_iter([
        surges.boxed(),
        calendars.boxed(),
        runs.boxed(),
        holds.boxed(),
        overrides.boxed(),
        classes.boxed(),
        budgets.boxed(),
        sources.boxed(),
        hpas.boxed(),
        namespace_bounds(client.clone(), shared.clone()).boxed(),
        nodes(client.clone(), shared.clone()).boxed(),
        scaled_objects(client.clone(), shared.clone()).boxed(),
        jobs(client.clone(), shared.clone()).boxed(),
        workloads(client, shared.clone()).boxed(),
    ]);
    all.collect::<()>().await;
}

/// Watches Nodes, if this installation may launch machines.
async fn nodes(client: Client, shared: Shared) {
    if !shared.with(|cache| cache.may_launch) {
        return;
    }
    let api = Api::<Node>::all(client);
    watch(api, shared, "Node".to_owned(), |i| Some(&mut i.nodes), node::machine_node).await;
}

/// Watches `Job`s and `CronJob`s, if this installation may create Jobs.
async fn jobs(client: Client, shared: Shared) {
    if !shared.with(|cache| cache.may_run_jobs) {
        return;
    }
    let of = |kind| Api::<Job>::all_with(client.clone(), &job::resource(kind));
    let jobs = watch(
        of(TemplateKind::Job),
        shared.clone(),
        "Job".to_owned(),
        |i| Some(&mut i.jobs),
        |o: &Job| Some((key(o), job::read(o))),
    );
    let cron_jobs = watch(
        of(TemplateKind::CronJob),
        shared.clone(),
        "CronJob".to_owned(),
        |i| Some(&mut i.cron_jobs),
        |o: &Job| Some((key(o), ())),
    );
    futures::join!(jobs, cron_jobs);
}

/// Watches what bounds the pods of a namespace.
async fn namespace_bounds(client: Client, shared: Shared) {
    let quotas = watch(
        Api::<ResourceQuota>::all(client.clone()),
        shared.clone(),
        "ResourceQuota".to_owned(),
        |i| Some(&mut i.quotas),
        |o| bounds::quota(o).map(|quota| (key(o), quota)),
    );
    let limits = watch(
        Api::<LimitRange>::all(client),
        shared,
        "LimitRange".to_owned(),
        |i| Some(&mut i.limits),
        |o| Some((key(o), bounds::limits(o))),
    );
    futures::join!(quotas, limits);
}

async fn scaled_objects(client: Client, shared: Shared) {
    let resource = scaled_object::resource();
    while !matches!(probe(&client, "keda.sh/v1alpha1", "ScaledObject").await, Ok(Some(_))) {
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    info!("KEDA is installed: ScaledObjects are watched");
    let api = Api::<ScaledObject>::all_with(client, &resource);
    watch(
        api,
        shared,
        "ScaledObject".to_owned(),
        |i| Some(&mut i.scaled_objects),
        |o: &ScaledObject| Some((key(o), o.scaler())),
    )
    .await;
}
