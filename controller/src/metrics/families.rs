//! Gauges of runs and calendars: names, help texts and labels.

/// A gauge: name, help text, and labels.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Object that the gauge describes.
    pub(super) of: Of,
    /// Labels after those of the object.
    pub(super) labels: &'static [&'static str],
}

/// Object that a gauge describes.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// A `SurgeRun`.
    Run,
    /// A `SurgeCalendar`.
    Calendar,
}

impl Of {
    /// Returns the labels that name the object.
    pub(super) fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Run => &["namespace", "surge", "run"],
            Self::Calendar => &["namespace", "calendar"],
        }
    }
}

/// All gauges of runs and calendars.
pub(super) const FAMILIES: [Family; 22] = [
    Family {
        name: "primetime_run_ready_by_timestamp_seconds",
        help: "T0: when everything must be ready.",
        of: Of::Run,
        labels: &[],
    },
    Family {
        name: "primetime_run_start_timestamp_seconds",
        help: "When the event starts.",
        of: Of::Run,
        labels: &[],
    },
    Family {
        name: "primetime_run_end_timestamp_seconds",
        help: "When the event ends at the earliest, overrides included.",
        of: Of::Run,
        labels: &[],
    },
    Family {
        name: "primetime_run_stage",
        help: "1 for the stage a run is in.",
        of: Of::Run,
        labels: &["stage"],
    },
    Family {
        name: "primetime_run_verdict",
        help: "1 for the verdict on a run.",
        of: Of::Run,
        labels: &["verdict"],
    },
    Family {
        name: "primetime_target_floor_replicas",
        help: "The floor under a target, over all runs.",
        of: Of::Run,
        labels: &["target"],
    },
    Family {
        name: "primetime_target_wanted_replicas",
        help: "Pods that must be ready, on the way down those that are asked for; absent while unknown.",
        of: Of::Run,
        labels: &["target"],
    },
    Family {
        name: "primetime_target_ready_replicas",
        help: "Pods that are ready.",
        of: Of::Run,
        labels: &["target"],
    },
    Family {
        name: "primetime_target_contested",
        help: "1 while another writer keeps lowering a target.",
        of: Of::Run,
        labels: &["target"],
    },
    Family {
        name: "primetime_machines_wanted",
        help: "Machines wanted.",
        of: Of::Run,
        labels: &["group"],
    },
    Family {
        name: "primetime_machines_launched",
        help: "Instances started and not yet terminated.",
        of: Of::Run,
        labels: &["group"],
    },
    Family {
        name: "primetime_machines_joined",
        help: "Machines that are Ready nodes.",
        of: Of::Run,
        labels: &["group"],
    },
    Family {
        name: "primetime_machines_not_given_back",
        help: "Machines of the run that should be gone: not empty in time, not terminated in time, or out of sight.",
        of: Of::Run,
        labels: &[],
    },
    Family {
        name: "primetime_signal_load",
        help: "Live load, in the on-call's unit; absent while unknown.",
        of: Of::Run,
        labels: &["signal"],
    },
    Family {
        name: "primetime_signal_required_replicas",
        help: "Replicas that the live load needs; absent while unknown.",
        of: Of::Run,
        labels: &["signal"],
    },
    Family {
        name: "primetime_signal_unknown",
        help: "1 while a signal is unknown and nothing is lowered because of it.",
        of: Of::Run,
        labels: &["signal"],
    },
    Family {
        name: "primetime_degrade_step_engaged",
        help: "1 while a step of the ladder of degradation is on.",
        of: Of::Run,
        labels: &["step"],
    },
    Family {
        name: "primetime_degrade_ladder_ready",
        help: "0 while a step of the ladder of degradation could not do what it is for.",
        of: Of::Run,
        labels: &[],
    },
    Family {
        name: "primetime_overrides_in_force",
        help: "Overrides in force on a run.",
        of: Of::Run,
        labels: &["action"],
    },
    Family {
        name: "primetime_override_expiry_timestamp_seconds",
        help: "When the last override of this action that is in force on a run expires.",
        of: Of::Run,
        labels: &["action"],
    },
    Family {
        name: "primetime_jobs_failed",
        help: "Jobs of a run that have failed.",
        of: Of::Run,
        labels: &[],
    },
    Family {
        name: "primetime_calendar_ready",
        help: "0 while the feed of a calendar cannot be used and the last copy counts.",
        of: Of::Calendar,
        labels: &[],
    },
];
