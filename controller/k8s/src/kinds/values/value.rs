//! Position of a value within an object, for reads and for merge patches.

use kube::api::DynamicObject;
use primetime_core::state::ladder::{Place, Trouble};
use serde_json::{Value, json};

/// Returns the value at a place of an object. Returns `None` if the key or the weight is not set.
pub(super) fn of(place: &Place, object: &DynamicObject) -> Result<Option<String>, Trouble> {
    match place {
        Place::ConfigMap { key, .. } => {
            let value = object.data.get("data").and_then(|data| data.get(key));
            Ok(value.and_then(Value::as_str).map(str::to_owned))
        }
        Place::HttpRoute { rule, backend, .. } => {
            let mut rules = rules(object);
            let it = backend_of(&mut rules, rule.as_deref(), backend, place)?;
            Ok(it.get("weight").filter(|weight| !weight.is_null()).map(Value::to_string))
        }
    }
}

/// Builds the merge patch that sets or removes a value. The patch carries
/// `metadata.resourceVersion`, so a concurrent write anywhere in the object causes a conflict.
pub(super) fn patch(place: &Place, object: &DynamicObject, to: Option<&String>) -> Value {
    let metadata = json!({"resourceVersion": object.metadata.resource_version});
    match place {
        Place::ConfigMap { key, .. } => json!({"metadata": metadata, "data": {key: to}}),
        Place::HttpRoute { rule, backend, .. } => {
            // A merge patch replaces a list as a whole, so the patch contains all rules of the
            // route.
            let mut rules = rules(object);
            let it = backend_of(&mut rules, rule.as_deref(), backend, place);
            if let Some(it) = it.ok().and_then(Value::as_object_mut) {
                match to.and_then(|weight| weight.parse::<u32>().ok()) {
                    Some(weight) => drop(it.insert("weight".to_owned(), weight.into())),
                    None => drop(it.remove("weight")),
                }
            }
            json!({"metadata": metadata, "spec": {"rules": rules}})
        }
    }
}

fn rules(object: &DynamicObject) -> Vec<Value> {
    let rules = object.data.pointer("/spec/rules").and_then(Value::as_array);
    rules.cloned().unwrap_or_default()
}

fn is_called(object: &Value, name: &str) -> bool {
    object.get("name").and_then(Value::as_str) == Some(name)
}

fn refers_to(rule: &Value, backend: &str) -> bool {
    let backends = rule.get("backendRefs").and_then(Value::as_array);
    backends.is_some_and(|all| all.iter().any(|b| is_called(b, backend)))
}

/// Returns the entry of a backend in `backendRefs`, in the named rule or in all rules. Fails if the
/// number of entries is not exactly 1.
fn backend_of<'a>(
    rules: &'a mut [Value],
    rule: Option<&str>,
    backend: &str,
    place: &Place,
) -> Result<&'a mut Value, Trouble> {
    // A person has renamed the rule if another rule refers to the backend. The route then still
    // contains the weight that the run wrote, so the function does not return `Trouble::Gone`.
    let renamed = rule.is_some_and(|name| !rules.iter().any(|r| is_called(r, name)));
    if renamed && rules.iter().any(|r| refers_to(r, backend)) {
        return Err(Trouble::Failed("there is no rule of this name any more".to_owned()));
    }
    let rules = rules.iter_mut().filter(|r| rule.is_none_or(|name| is_called(r, name)));
    let backends = rules.filter_map(|r| r.get_mut("backendRefs").and_then(Value::as_array_mut));
    let mut entries: Vec<_> = backends.flatten().filter(|b| is_called(b, backend)).collect();
    match (entries.pop(), entries.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Trouble::Gone(format!("there is no {place}"))),
        (Some(_), more) => {
            let n = more + 1;
            Err(Trouble::Failed(format!("it stands there {n} times; name one rule of them")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "shop", "resourceVersion": "7"},
            "spec": {"hostnames": ["shop.example"], "rules": [
                {"name": "pages", "matches": [{"path": {"value": "/"}}], "backendRefs": [
                    {"name": "web", "port": 80, "weight": 1},
                    {"name": "plain", "port": 80, "weight": 0},
                ]},
                {"name": "orders", "backendRefs": [{"name": "web", "port": 80}]},
                {"name": "gone", "filters": []},
            ]},
        }))
        .unwrap()
    }

    fn weight(rule: Option<&str>, backend: &str) -> Place {
        let (name, rule) = ("shop".to_owned(), rule.map(str::to_owned));
        Place::HttpRoute { name, rule, backend: backend.to_owned() }
    }

    #[test]
    fn a_weight_is_that_of_one_backend_of_one_rule() {
        let is = |place: &Place| of(place, &route());
        assert_eq!(is(&weight(None, "plain")), Ok(Some("0".into())));
        assert_eq!(is(&weight(Some("pages"), "web")), Ok(Some("1".into())));
        assert_eq!(is(&weight(Some("orders"), "web")), Ok(None), "it is not said");
        let twice = "it stands there 2 times; name one rule of them";
        assert_eq!(is(&weight(None, "web")), Err(Trouble::Failed(twice.into())));
        for (rule, backend, what) in [
            (None, "cdn", "weight of cdn in HTTPRoute shop"),
            (Some("gone"), "web", "weight of web in rule gone of HTTPRoute shop"),
        ] {
            let nothing = Trouble::Gone(format!("there is no {what}"));
            assert_eq!(is(&weight(rule, backend)), Err(nothing));
        }
        let renamed = Trouble::Failed("there is no rule of this name any more".into());
        assert_eq!(is(&weight(Some("once"), "plain")), Err(renamed));
    }

    #[test]
    fn a_weight_is_set_and_taken_away_and_nothing_else_of_the_route_changes() {
        let (place, before) = (weight(None, "plain"), route());
        let mut rules = rules(&before);
        rules[0]["backendRefs"][1]["weight"] = 100.into();
        let set = patch(&place, &before, Some(&"100".to_owned()));
        let at = json!({"resourceVersion": "7"});
        assert_eq!(set, json!({"metadata": at, "spec": {"rules": rules}}));
        rules[0]["backendRefs"][1] = json!({"name": "plain", "port": 80});
        assert_eq!(patch(&place, &before, None), json!({"metadata": at, "spec": {"rules": rules}}));
    }

    #[test]
    fn a_key_is_set_and_taken_away() {
        let place = Place::ConfigMap { name: "flags".into(), key: "page".into() };
        let map = json!({"metadata": {"name": "flags", "resourceVersion": "7"}, "data": {"page": "plain"}});
        let map = serde_json::from_value(map).unwrap();
        assert_eq!(of(&place, &map), Ok(Some("plain".into())));
        let taken = json!({"metadata": {"resourceVersion": "7"}, "data": {"page": null}});
        assert_eq!(patch(&place, &map, None), taken);
    }
}
