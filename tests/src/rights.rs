//! `docs/rights.md`, generated from the table in the chart from which Helm makes the rights and the
//! fences.

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::Value;

    use crate::tools::root;

    fn text<'a>(row: &'a Value, field: &str) -> &'a str {
        row[field].as_str().unwrap_or_default()
    }

    fn list(value: &Value) -> String {
        let all = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        all.map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
    }

    /// Returns the page. A row without `changes` only reads.
    fn page() -> String {
        let table = std::fs::read_to_string(root().join("charts/primetime/rights.yaml")).unwrap();
        let rows: Vec<Value> = serde_yaml::from_str(&table).unwrap();
        let mut page = "# The operator's rights\n\nGenerated from `charts/primetime/rights.yaml`; a test compares. Helm makes the \
             ClusterRole and the fences of the same table. A fence is a ValidatingAdmissionPolicy that keeps all other fields of \
             the object from the operator's account, its labels, annotations, finalizers and owners included.\n\n\
             Beside the table: `list`, `watch` on each kind of `scalableKinds` and `get`, `patch` on its `scale`; the Lease \
             `primetime`; the Secrets of `metrics.secrets` and of the webhook, by name.\n\n\
             | feature | group | resources | verbs | changes | fence | for |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
        for row in &rows {
            let changes = row["changes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let group =
                Some(text(row, "group")).filter(|group| !group.is_empty()).unwrap_or("core");
            let verbs = row["verbs"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let _ = writeln!(
                page,
                "| {} | {group} | {} | {} | {} | {} | {} |",
                text(row, "feature"),
                list(&row["resources"]),
                verbs.collect::<Vec<_>>().join(", "),
                changes.collect::<Vec<_>>().join(", "),
                if row["fence"].is_object() { "yes" } else { "" },
                text(row, "why"),
            );
        }
        page
    }

    #[test]
    fn the_published_rights_are_those_of_the_chart() {
        let file = root().join("docs/rights.md");
        let page = page();
        if std::env::var_os("PRIMETIME_GENERATE").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let published = std::fs::read_to_string(file).unwrap_or_default();
        assert!(page == published, "docs/rights.md is old; run `make generate`");
    }

    /// Each right to change an object of others is fenced. The operator's own kinds, evictions and
    /// Events have no field to keep.
    #[test]
    fn each_write_to_an_object_of_others_has_a_fence() {
        let table = std::fs::read_to_string(root().join("charts/primetime/rights.yaml")).unwrap();
        let rows: Vec<Value> = serde_yaml::from_str(&table).unwrap();
        let free = ["primetime.dev", "events.k8s.io"];
        let writes = |row: &&Value| {
            let verbs = row["verbs"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut verbs = verbs.filter(|verb| !["get", "list", "watch"].contains(verb));
            verbs.next().is_some()
                && !free.contains(&text(row, "group"))
                && row["resources"][0] != "pods/eviction"
        };
        let unfenced: Vec<_> =
            rows.iter().filter(writes).filter(|row| !row["fence"].is_object()).collect();
        assert!(unfenced.is_empty(), "{unfenced:?}");
    }
}
