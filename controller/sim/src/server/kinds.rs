//! Kinds that the model serves.

use serde_json::{Value, json};

/// A kind, with its group, version and path.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// API group. The core group is empty.
    pub group: &'static str,
    /// API version, for example `v1alpha1`.
    pub version: &'static str,
    /// Plural name in paths, for example `deployments`.
    pub plural: &'static str,
    /// Name in the field `kind` of objects.
    pub kind: &'static str,
    /// True if objects of the kind belong to a namespace.
    pub namespaced: bool,
    /// True if the kind has the subresource `status`.
    pub status: bool,
    /// True if the kind has the subresource `scale`.
    pub scale: bool,
    /// Index in [`ALL`]. Comparisons use the index, because every access to the store compares
    /// kinds.
    rank: usize,
}

const fn namespaced(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
) -> Kind {
    Kind { group, version, plural, kind, namespaced: true, status: true, scale: false, rank: 0 }
}

/// Builds a namespaced kind without the subresource `status`, which the model does not need.
const fn plain(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
) -> Kind {
    Kind { status: false, ..namespaced(group, version, plural, kind) }
}

const fn cluster(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
) -> Kind {
    Kind { namespaced: false, ..plain(group, version, plural, kind) }
}

/// All kinds that the model serves.
pub const ALL: [Kind; 35] = ranked([
    namespaced("primetime.dev", "v1alpha1", "scheduledsurges", "ScheduledSurge"),
    namespaced("primetime.dev", "v1alpha1", "surgeruns", "SurgeRun"),
    namespaced("primetime.dev", "v1alpha1", "surgecalendars", "SurgeCalendar"),
    Kind { status: false, ..namespaced("primetime.dev", "v1alpha1", "surgeholds", "SurgeHold") },
    Kind {
        status: false,
        ..namespaced("primetime.dev", "v1alpha1", "surgeoverrides", "SurgeOverride")
    },
    Kind {
        namespaced: false,
        ..namespaced("primetime.dev", "v1alpha1", "instanceclasses", "InstanceClass")
    },
    Kind {
        namespaced: false,
        status: false,
        ..namespaced("primetime.dev", "v1alpha1", "surgebudgets", "SurgeBudget")
    },
    Kind {
        namespaced: false,
        status: false,
        ..namespaced("primetime.dev", "v1alpha1", "metricssources", "MetricsSource")
    },
    Kind { scale: true, ..namespaced("apps", "v1", "deployments", "Deployment") },
    namespaced("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    namespaced(KEDA, "v1alpha1", "scaledobjects", "ScaledObject"),
    namespaced(GATEWAY, "v1", "httproutes", "HTTPRoute"),
    namespaced("batch", "v1", "jobs", "Job"),
    namespaced("batch", "v1", "cronjobs", "CronJob"),
    namespaced("", "v1", "pods", "Pod"),
    namespaced("", "v1", "resourcequotas", "ResourceQuota"),
    plain("", "v1", "limitranges", "LimitRange"),
    Kind { namespaced: false, ..namespaced("", "v1", "nodes", "Node") },
    Kind { status: false, ..namespaced("coordination.k8s.io", "v1", "leases", "Lease") },
    Kind { status: false, ..namespaced("events.k8s.io", "v1", "events", "Event") },
    // Kinds that a Helm chart installs.
    cluster("", "v1", "namespaces", "Namespace"),
    plain("", "v1", "configmaps", "ConfigMap"),
    plain("", "v1", "secrets", "Secret"),
    plain("", "v1", "services", "Service"),
    plain("", "v1", "serviceaccounts", "ServiceAccount"),
    plain("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    plain(RBAC, "v1", "roles", "Role"),
    plain(RBAC, "v1", "rolebindings", "RoleBinding"),
    cluster(RBAC, "v1", "clusterroles", "ClusterRole"),
    cluster(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding"),
    cluster("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass"),
    cluster(ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    cluster(ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    cluster(
        ADMISSION,
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    ),
    cluster("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"),
]);

const KEDA: &str = "keda.sh";

const GATEWAY: &str = "gateway.networking.k8s.io";

const RBAC: &str = "rbac.authorization.k8s.io";

const ADMISSION: &str = "admissionregistration.k8s.io";

const fn ranked<const N: usize>(mut kinds: [Kind; N]) -> [Kind; N] {
    let mut n = 0;
    while n < N {
        kinds[n].rank = n;
        n += 1;
    }
    kinds
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Kind {}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Kind {
    /// Returns `apiVersion`: `apps/v1`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// True if the server counts changes of `spec` in `metadata.generation` for the kind.
    #[must_use]
    pub fn counts_generations(&self) -> bool {
        matches!(self.group, "primetime.dev" | "apps" | KEDA | GATEWAY)
    }

    /// True if the kind comes from a `CustomResourceDefinition`.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        matches!(self.group, "primetime.dev" | KEDA | GATEWAY)
    }

    /// Returns an object as an item of a list. Items of built-in kinds have neither `apiVersion`
    /// nor `kind`.
    #[must_use]
    pub fn listed(&self, mut object: Value) -> Value {
        if let Some(fields) = object.as_object_mut().filter(|_| !self.is_custom()) {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        object
    }

    /// Returns the kind for an `apiVersion` and a `kind`. Returns `None` if the model does not
    /// serve the kind.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let named = |k: &Self| k.kind == kind && k.group == group && k.version == version;
        ALL.iter().find(|k| named(k)).copied()
    }

    /// Returns the index of the kind in [`ALL`].
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }
}

/// Builds the `APIGroupList` that answers the discovery of all groups.
#[must_use]
pub fn groups(keda: bool) -> Value {
    let mut seen: Vec<&str> = Vec::new();
    let mut groups = Vec::new();
    for k in ALL.iter().filter(|k| !k.group.is_empty() && (keda || k.group != KEDA)) {
        if !seen.contains(&k.group) {
            seen.push(k.group);
            let version = json!({"groupVersion": k.api_version(), "version": k.version});
            groups.push(json!({
                "name": k.group, "versions": [version], "preferredVersion": version,
            }));
        }
    }
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// Builds the `APIResourceList` of a group and version. Returns `None` if the model does not serve
/// the group and version.
#[must_use]
pub fn discovery(group: &str, version: &str) -> Option<Value> {
    let verbs = json!(["create", "delete", "get", "list", "patch", "update", "watch"]);
    let mut resources = Vec::new();
    for k in ALL.iter().filter(|k| k.group == group && k.version == version) {
        let mut resource = |name: String, kind: &str| {
            resources.push(json!({
                "name": name, "singularName": "", "namespaced": k.namespaced, "kind": kind, "verbs": verbs,
            }));
        };
        resource(k.plural.to_owned(), k.kind);
        if k.status {
            resource(format!("{}/status", k.plural), k.kind);
        }
        if k.scale {
            resource(format!("{}/scale", k.plural), "Scale");
        }
    }
    let group_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!resources.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
            "resources": resources,
        })
    })
}
