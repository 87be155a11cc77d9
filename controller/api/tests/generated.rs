//! Test that the committed CRDs equal the generated CRDs.

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

/// `kubectl` reads YAML 1.1, in which the tested words are booleans. The API server would not
/// recognise a field with such a name.
#[test]
fn no_field_is_a_word_for_yes_or_no() {
    for crd in primetime_api::crds() {
        let yaml = primetime_api::crd_yaml(&crd).unwrap();
        for word in ["on", "off", "yes", "no", "y", "n"] {
            let field = format!("{word}:");
            let line = yaml.lines().find(|line| line.trim_start().to_lowercase() == field);
            assert!(line.is_none(), "{}: {field}", crd.name_any());
        }
    }
}

/// `ScheduledSurge` and `SurgeRun` share the fields of an event. A CEL rule over several fields
/// must stand on both kinds, because the schema of a kind loses the rules of a flattened struct.
#[test]
fn a_run_has_the_rules_of_its_surge() {
    let rules = |kind: &str| -> Vec<String> {
        let crds = primetime_api::crds();
        let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        let schema = crd.spec.versions[0].schema.as_ref().unwrap();
        let root = schema.open_api_v3_schema.as_ref().unwrap();
        let spec = &root.properties.as_ref().unwrap()["spec"];
        spec.x_kubernetes_validations.iter().flatten().map(|rule| rule.rule.clone()).collect()
    };
    let (surge, run) = (rules("ScheduledSurge"), rules("SurgeRun"));
    assert!(surge.len() >= 6, "{surge:?}");
    for rule in surge {
        assert!(run.contains(&rule), "SurgeRun lacks {rule}");
    }
}
