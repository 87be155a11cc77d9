//! The committed definitions are the generated ones.

use std::path::Path;

use kube::ResourceExt;

#[test]
fn crds_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut expected = Vec::new();
    for crd in primetime_api::crds() {
        let name = format!("{}.yaml", crd.name_any());
        let yaml = primetime_api::crd_yaml(&crd).unwrap();
        for folder in ["crds", "charts/primetime/crds"] {
            let file = root.join(folder).join(&name);
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(committed == yaml, "{} is stale: run `make generate`", file.display());
        }
        expected.push(name);
    }
    expected.sort();
    let mut found: Vec<_> = std::fs::read_dir(root.join("crds"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn no_schema_has_a_format_that_kubernetes_does_not_know() {
    for crd in primetime_api::crds() {
        let yaml = primetime_api::crd_yaml(&crd).unwrap();
        assert!(!yaml.contains("format: uint"), "{}", crd.name_any());
    }
}
