//! Readers for fields of JSON objects, addressed by path.

use serde_json::Value;

/// Returns the value at `path`, like [`Value::pointer`] for paths without a `~`.
///
/// [`Value::pointer`] copies each name to replace `~`. An evening reads fields a hundred thousand
/// times.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(object, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => value.get(name),
    })
}

pub(crate) fn number(object: &Value, path: &str) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

pub(crate) fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    at(object, path).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_finds_what_a_pointer_finds() {
        let object = json!({"spec": {"targets": [{"name": "web"}, {"name": "search"}], "n": 3}});
        for path in ["", "/spec", "/spec/targets/1/name", "/spec/targets/2", "/spec/n/x", "/none"] {
            assert_eq!(at(&object, path), object.pointer(path), "{path}");
        }
        assert_eq!((number(&object, "/spec/n"), text(&object, "/spec/n")), (Some(3), None));
    }
}
