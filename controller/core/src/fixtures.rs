//! Fixtures that the unit tests of several modules share.

use crate::machines::gate;
use crate::output::{PlannedRun, Record};
use crate::state::announcement::{
    Announcement, OnUnknown, ReleasePace, Start, Target, Want, Workload,
};
use crate::state::hold::HoldRecord;
use crate::state::observed::TargetState;
use crate::state::run::{RunRecord, RunStatus};
use crate::state::world::World;

/// Returns a target without an autoscaler whose pods are all ready.
pub(crate) fn plain(replicas: u32) -> TargetState {
    TargetState {
        replicas,
        ready: replicas,
        rolling: false,
        written_by: None,
        autoscaler: None,
        paused: false,
        kept_at: None,
        created: replicas,
        never_scales_down: false,
        bounds_written_by: None,
        pods: std::sync::Arc::default(),
        failure: None,
    }
}

/// Returns a Deployment.
pub(crate) fn workload(name: &str) -> Workload {
    Workload { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() }
}

/// Returns an announcement of nothing.
pub(crate) fn announcement() -> Announcement {
    Announcement {
        targets: Vec::new(),
        machines: Vec::new(),
        jobs: Vec::new(),
        signals: Vec::new(),
        degrade: Vec::new(),
        on_unknown: OnUnknown::Hold,
        hold: None,
        release: ReleasePace { step_percent: 20, step_time: crate::seconds(120) },
        start: Start::Automatic,
    }
}

/// Returns the target `web` of the surge "Capital" with `planned` replicas.
pub(crate) fn web(planned: u32) -> Target {
    Target {
        name: "web".into(),
        workload: workload("web"),
        want: Want::Replicas(planned),
        max_replicas: Some(260),
        rungs: vec![],
        max_step: None,
        lead: crate::seconds(360),
        shape: None,
    }
}

/// Applies a record to the world, as the API server would: a test double without conflicts or
/// delays.
///
/// The function is a long `match`, so that each kind of record stands beside the effect of the
/// record.
pub(crate) fn persist(world: &mut World, record: Record) {
    match record {
        Record::CreateRun(PlannedRun {
            name: run,
            surge,
            owner,
            generation,
            window,
            event,
            ..
        }) => {
            let spec = world.surges[&surge].spec.clone().unwrap();
            let record = RunRecord {
                name: run.clone(),
                uid: format!("uid-{run}"),
                surge,
                owner: Some(owner),
                surge_generation: Some(generation),
                deletion_time: None,
                collected: true,
                guarded: false,
                time_zone: spec.schedule.zone_name().map(str::to_owned),
                event,
                decoded: true,
                window,
                announcement: Ok(spec.announcement),
                status: RunStatus::default(),
            };
            assert!(world.runs.insert(run, record.into()).is_none(), "a name is created once");
        }
        Record::StretchRun { run, window, .. } => world.runs.get_mut(&run).unwrap().window = window,
        Record::CalendarStatus { calendar, status } => {
            world.calendars.get_mut(&calendar).unwrap().status = *status;
        }
        Record::ReplanRun(PlannedRun { name: run, surge, generation, window, .. }) => {
            let spec = world.surges[&surge].spec.clone().unwrap();
            let record = world.runs.get_mut(&run).unwrap();
            record.surge_generation = Some(generation);
            record.window = window;
            record.announcement = Ok(spec.announcement);
        }
        Record::DeleteRun { run, .. } => {
            assert!(!world.runs[&run].guarded);
            world.runs.remove(&run);
        }
        Record::AddFinalizer { run } => {
            let record = world.runs.get_mut(&run).unwrap();
            (record.guarded, record.collected) = (true, false);
        }
        Record::AdoptRun { run, owner, generation } => {
            let record = world.runs.get_mut(&run).unwrap();
            (record.owner, record.surge_generation) = (Some(owner), generation);
        }
        Record::RemoveFinalizer { run, owner } => {
            let record = world.runs.get_mut(&run).unwrap();
            (record.guarded, record.collected) = (false, owner.is_some());
            if record.deleting() {
                world.runs.remove(&run);
            }
        }
        Record::RunStatus { run, status, .. } => {
            world.runs.get_mut(&run).unwrap().status = *status;
        }
        Record::SurgeStatus { surge, status } => {
            world.surges.get_mut(&surge).unwrap().status = *status;
        }
        Record::Reserve { class, reservation } => {
            let class = world.classes.get_mut(&class).unwrap();
            class.reservations = gate::with(&class.reservations, &reservation);
        }
        Record::CreateHold { name, hold } => {
            let record = HoldRecord { name: name.clone(), hold: *hold, deleting: false };
            assert!(
                world.holds.insert(name, record.into()).is_none(),
                "a baseline is written once"
            );
        }
        Record::UpdateHold { name, hold } => {
            let record = world.holds.get_mut(&name).unwrap();
            assert_eq!(record.hold.baseline, hold.baseline, "a baseline is never changed");
            record.hold = *hold;
        }
        Record::DeleteHold { name } => {
            world.holds.remove(&name);
        }
    }
}
