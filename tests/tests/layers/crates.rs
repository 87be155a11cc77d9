//! Test of the dependencies between crates.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crates of the workspace: name, allowed direct dependencies within the workspace, and forbidden
/// dependencies.
///
/// A crate must not reach a forbidden dependency, either directly or through other crates.
const LAYERS: [(&str, &[&str], &[&str]); 10] = [
    ("primetime-core", &[], &["tokio", "kube", "k8s-openapi", "aws-sdk-ec2", "hyper", "http"]),
    ("primetime-calendar", &["primetime-core"], &["tokio", "kube", "k8s-openapi", "hyper", "http"]),
    (
        "primetime-api",
        &["primetime-core", "primetime-calendar"],
        &["kube-client", "hyper", "aws-sdk-ec2"],
    ),
    ("primetime-k8s", &["primetime-core", "primetime-api"], &["aws-sdk-ec2"]),
    ("primetime-ec2", &["primetime-core"], &["kube-client"]),
    ("primetime-prom", &["primetime-core"], &["kube-client", "aws-sdk-ec2"]),
    (
        "primetime-sim",
        &["primetime-core", "primetime-api", "primetime-k8s", "primetime-prom"],
        &["aws-sdk-ec2"],
    ),
    (
        "kubectl-surge",
        &["primetime-core", "primetime-api", "primetime-k8s", "primetime-sim"],
        &["aws-sdk-ec2"],
    ),
    (
        "primetime",
        &[
            "primetime-core",
            "primetime-api",
            "primetime-calendar",
            "primetime-k8s",
            "primetime-ec2",
            "primetime-prom",
        ],
        &[],
    ),
    (
        "primetime-tests",
        &["primetime-core", "primetime-api", "primetime-calendar"],
        &["aws-sdk-ec2"],
    ),
];

#[test]
fn dependencies_point_one_way() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        // Cargo needs the crates of all platforms if no platform is given. A build downloads only
        // the crates of the host.
        .other_options(["--locked", "--offline", "--filter-platform", &host()].map(str::to_owned))
        .exec()
        .expect("cargo metadata");
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in &metadata.resolve.as_ref().expect("resolved").nodes {
        let normal = node
            .deps
            .iter()
            .filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal))
            .map(|d| names[&d.pkg].clone());
        direct.entry(names[&node.id].clone()).or_default().extend(normal);
    }
    let ours: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let listed: BTreeSet<_> = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(ours, listed, "every crate has its place in this table");
    for (name, may, never) in LAYERS {
        for dependency in direct[name].iter().filter(|d| ours.contains(*d)) {
            assert!(may.contains(&dependency.as_str()), "{name} must not name {dependency}");
        }
        let reached = pulled_in(name);
        for forbidden in never {
            assert!(!reached.contains(*forbidden), "{name} pulls in {forbidden}");
        }
    }
    assert!(
        !direct.contains_key("aws-lc-sys") && !direct.contains_key("openssl-sys"),
        "one TLS provider: ring"
    );
}

/// Returns the platform of the host, as Cargo names the platform.
fn host() -> String {
    let version = cargo(&["--version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("Cargo names its host").to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Returns the crate itself and all direct and indirect dependencies, as `cargo tree` lists the
/// crates.
fn pulled_in(name: &str) -> BTreeSet<String> {
    let text = cargo(&[
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        name,
    ]);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
