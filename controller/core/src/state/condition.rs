//! Condition types, condition reasons and Event reasons of all Primetime objects. The file
//! `docs/conditions.md` lists all of the words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Instant;

/// Declares an enum of stable `CamelCase` words, each with a meaning. Status fields store the words
/// and programs match the words, so a word never changes.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($word:ident = $meaning:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(
                #[doc = concat!("> ", $meaning)]
                $word,
            )+
        }

        impl $name {
            /// All variants of the enum.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// Returns the word as stored in status fields.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }

            /// Returns the meaning of the word, as listed in the documentation.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$word => $meaning,)+
                }
            }
        }
    };
}

words! {
    /// The type of a status condition.
    ConditionType {
        Accepted = "ScheduledSurge, SurgeRun: the spec is valid, and an occurrence is planned.",
        Ready = "SurgeRun: everything is ready. SurgeCalendar: the feed was read.",
        SignalsKnown = "SurgeRun: every signal has a value.",
        Clipped = "SurgeRun: a target needs more replicas than maxReplicas allows.",
        JobsFailed = "SurgeRun: a Job has failed.",
        Degraded = "SurgeRun: a degradation step is active.",
        LadderReady = "SurgeRun: every degradation step can be carried out.",
        PreflightPassed = "SurgeRun: no preflight rule has a finding.",
    }
}

words! {
    /// The reason of a status condition.
    ConditionReason {
        Scheduled = "Accepted: an occurrence has its run, or will have it.",
        Invalid = "Accepted, Ready: the spec is invalid; the message names the fields.",
        Suspended = "Accepted: spec.suspend is true.",
        Cancelled = "Accepted: the run of the occurrence was deleted.",
        Missed = "Accepted: the occurrence could not be planned in time.",
        NothingToCome = "Accepted: the schedule has no occurrence left.",
        CalendarUnknown = "Accepted: the SurgeCalendar is absent, or was not read yet.",
        BudgetExceeded = "Accepted: a SurgeBudget allows no further surge, or no further run.",
        OnTrack = "Ready: not ready yet, and in time.",
        AtRisk = "Ready: not ready, or not in time; the message has the missing number.",
        Ready = "Ready: everything was counted.",
        Read = "Ready (SurgeCalendar): the feed was read.",
        Unreadable = "Ready (SurgeCalendar): the feed could not be read; the last copy counts.",
        Shrunk = "Ready (SurgeCalendar): the feed lost most of its events; the last copy counts.",
        Known = "SignalsKnown: every signal has a value.",
        NotAskedYet = "SignalsKnown: a signal was not asked for yet.",
        NoSuchSource = "SignalsKnown: the MetricsSource does not exist.",
        NotSent = "SignalsKnown: the query has a comment or a control character and is not sent.",
        NoAnswer = "SignalsKnown: no connection, a timeout, or an HTTP error.",
        Malformed = "SignalsKnown: the answer is not what the API of Prometheus promises.",
        Partial = "SignalsKnown: the source warns that its answer lacks something.",
        Empty = "SignalsKnown: the query selects nothing.",
        NotANumber = "SignalsKnown: the value is NaN or infinite.",
        ManySeries = "SignalsKnown: the query yields more than one series.",
        Old = "SignalsKnown: the newest sample is older than the MetricsSource allows.",
        PodsUnknown = "SignalsKnown: a threshold needs the number of ready pods, which is unknown.",
        AtMaxReplicas = "Clipped: the message has the replicas that are needed and allowed.",
        WithinLimits = "Clipped: no target needs more than maxReplicas.",
        Failed = "JobsFailed: the message has the Jobs and why.",
        NoneFailed = "JobsFailed: no Job has failed.",
        StepsOn = "Degraded: the message has the steps and why.",
        NoStepOn = "Degraded: no step is active.",
        Possible = "LadderReady: every step can be carried out.",
        Impossible = "LadderReady: the message has the steps and what is in the way.",
        NothingFound = "PreflightPassed: every rule passes.",
        RiskFound = "PreflightPassed: a target will not be ready; the message says why.",
        WarningFound = "PreflightPassed: something after or beside the event will surprise.",
    }
}

words! {
    /// A preflight rule: `primetime_core::preflight`.
    Rule {
        TargetAbsent = "Risk: the workload does not exist.",
        TargetUnknown = "Risk: the state of the workload is unknown; the finding has the cause.",
        NothingMultiplied = "Risk: a multiplier is applied to 0 replicas.",
        PlanTooLarge = "Risk: the plan is above the limit of 10,000 replicas for a target, and is clipped.",
        OneByOne = "Risk: the pods of a StatefulSet start one after another, and the lead is short.",
        QuotaTooSmall = "Risk: a ResourceQuota refuses pods of the plan.",
        NothingStated = "Risk: a ResourceQuota refuses pods with a container that states no request or limit.",
        LimitTooLow = "Risk: a LimitRange refuses every new pod.",
        BudgetExceeded = "Risk: the run exceeds the replicas of a SurgeBudget, and does not begin.",
        PlanBelowUsual = "Warning: the plan is below the usual replicas and changes nothing.",
        NeverScalesDown = "Warning: the autoscaler never removes pods by itself.",
        OtherWriter = "Warning: a GitOps controller owns a field that a run writes.",
        BoundsUnknown = "Warning: ResourceQuotas or LimitRanges cannot be read.",
    }
}

words! {
    /// The reason of a decision log entry. The Kubernetes Event for the entry has the same reason.
    EventReason {
        Planned = "The run was created.",
        WarmingUp = "Targets and machines are being raised.",
        Ready = "Everything that serves users is there.",
        Live = "The event has begun.",
        Holding = "The end has passed; the load has not gone yet.",
        Releasing = "The release has begun.",
        Done = "Everything was given back.",
        Cancelled = "The run was called off, and everything was given back.",
        AtRisk = "Something is not ready, or not in time.",
        FloorRaised = "The floor of a target was raised.",
        FloorLowered = "The floor of a target was lowered by one step.",
        FloorDropped = "The run asks for nothing more of a target.",
        Repaired = "Another writer lowered a target; it is raised again.",
        Contested = "Another writer keeps lowering a target; it is not repaired any more.",
        ContestOver = "The other writer does not lower the target any more.",
        RolloutSeen = "A rollout of a target is going on.",
        RolloutOver = "The rollout is over.",
        MachinesLaunched = "Machines were launched.",
        MachinesReturned = "Machines were terminated.",
        MachinesJoined = "All machines of a group have joined.",
        MachinesShort = "The cloud gave fewer machines than were requested.",
        JobStarted = "A Job was created.",
        JobSucceeded = "A Job has succeeded.",
        JobFailed = "A Job has failed.",
        SignalUnknown = "A signal is unknown.",
        SignalKnown = "A signal is known again.",
        DegradeOn = "A degradation step is active.",
        DegradeOff = "A degradation step is inactive again.",
        DegradeInPlace = "A degraded value was written.",
        DegradeReturned = "The original value was restored.",
        LadderTrouble = "A degradation step cannot be carried out.",
        OverrideInForce = "An override is in force.",
        OverrideOver = "An override is over.",
        RunDeleted = "The run was deleted; the message says when the release begins.",
        SurgeDeleted = "The surge was deleted; the message says when the release begins.",
        SurgeBack = "The surge is there again: the event goes on.",
        Unplanned = "A run was withdrawn before it had begun.",
        Stretched = "The event of a run was moved or made longer.",
    }
}

impl EventReason {
    /// True if the Kubernetes Event for the reason has type `Warning`, because a person should
    /// react.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::AtRisk
                | Self::DegradeOn
                | Self::JobFailed
                | Self::LadderTrouble
                | Self::MachinesShort
                | Self::SignalUnknown
        )
    }

    /// Returns the reason for a stored word. Returns `None` if the word is unknown, for example
    /// because another version of the operator wrote the word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }
}

/// A status condition in the form of the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition, such as `Accepted`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Status of the condition: `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason of the condition: one `CamelCase` word.
    pub reason: String,
    /// Explanation for people, with numbers.
    pub message: String,
    /// Time of the last change of `status`.
    pub last_transition_time: Instant,
}

impl Condition {
    /// True if `status` is `True`.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.status == "True"
    }
}

/// Returns the condition of a type, or `None` if the list has no such condition.
#[must_use]
pub fn condition(list: &[Condition], type_: ConditionType) -> Option<&Condition> {
    list.iter().find(|c| c.type_ == type_.as_str())
}

/// Sets a condition in a list. The function updates `lastTransitionTime` only if `status` changes.
pub fn set_condition(
    list: &mut Vec<Condition>,
    type_: ConditionType,
    holds: bool,
    reason: ConditionReason,
    message: String,
    now: Instant,
) {
    let (type_, reason) = (type_.as_str(), reason.as_str());
    let status = if holds { "True" } else { "False" };
    if let Some(old) = list.iter_mut().find(|c| c.type_ == type_) {
        if old.status != status {
            old.last_transition_time = now;
        }
        status.clone_into(&mut old.status);
        reason.clone_into(&mut old.reason);
        old.message = message;
        return;
    }
    list.push(Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: now,
    });
}
