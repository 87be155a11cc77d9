//! Parser of the path and the query of a request.

use crate::server::kinds::{ALL, Kind};

/// An object or a collection, with an optional subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Kind of the objects.
    pub kind: Kind,
    /// Namespace. The value is empty for all namespaces and for cluster-scoped kinds.
    pub namespace: String,
    /// Name of the object. The value is `None` for a collection.
    pub name: Option<String>,
    /// Subresource: `status`, `scale` or `eviction`.
    pub part: Option<String>,
}

/// Meaning of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// An object or a collection of objects.
    Objects(Place),
    /// The discovery of a group and version.
    Discovery(String, String),
    /// The discovery of the core versions (`/api`).
    Core,
    /// The discovery of all other groups (`/apis`).
    Groups,
    /// The Kubernetes version (`/version`).
    Version,
    /// A path that the model does not serve.
    Nowhere,
}

/// Parses the path of a request.
#[must_use]
pub fn read(path: &str) -> Path {
    let mut parts = path.split('/').filter(|p| !p.is_empty());
    let (group, version) = match (parts.next(), parts.next()) {
        (Some("api"), Some(version)) => ("", version),
        (Some("apis"), Some(group)) => match parts.next() {
            Some(version) => (group, version),
            None => return Path::Nowhere,
        },
        (Some("api"), None) => return Path::Core,
        (Some("apis"), None) => return Path::Groups,
        (Some("version"), None) => return Path::Version,
        _ => return Path::Nowhere,
    };
    let mut rest: Vec<&str> = parts.collect();
    if rest.is_empty() {
        return Path::Discovery(group.to_owned(), version.to_owned());
    }
    let mut namespace = String::new();
    // The path `namespaces/NAME` alone names the `Namespace` object. A longer path names objects in
    // the namespace.
    if let ["namespaces", name, _, ..] = rest.as_slice() {
        (*name).clone_into(&mut namespace);
        rest.drain(..2);
    }
    let [plural, object @ ..] = rest.as_slice() else {
        return Path::Nowhere;
    };
    let served = |k: &&Kind| k.group == group && k.version == version && k.plural == *plural;
    let Some(kind) = ALL.iter().find(served) else {
        return Path::Nowhere;
    };
    let (name, part) = match object {
        [] => (None, None),
        [name] => (Some((*name).to_owned()), None),
        [name, part] => (Some((*name).to_owned()), Some((*part).to_owned())),
        _ => return Path::Nowhere,
    };
    Path::Objects(Place { kind: *kind, namespace, name, part })
}

/// Returns the decoded value of a query parameter. The parser decodes `%XX` sequences and `+`.
#[must_use]
pub fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8(hex).ok()?;
                bytes.push(u8::from_str_radix(&digits, 16).ok()?);
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Option<(String, String, Option<String>, Option<String>)> {
        match read(path) {
            Path::Objects(p) => Some((p.kind.kind.to_owned(), p.namespace, p.name, p.part)),
            _ => None,
        }
    }

    #[test]
    fn paths_of_the_core_and_of_groups() {
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(
            place("/apis/apps/v1/namespaces/shop/deployments/web/scale"),
            Some(("Deployment".into(), "shop".into(), some("web"), some("scale")))
        );
        assert_eq!(place("/api/v1/nodes"), Some(("Node".into(), String::new(), None, None)));
        assert_eq!(
            place("/apis/primetime.dev/v1alpha1/surgeruns"),
            Some(("SurgeRun".into(), String::new(), None, None))
        );
        assert_eq!(
            read("/apis/keda.sh/v1alpha1"),
            Path::Discovery("keda.sh".into(), "v1alpha1".into())
        );
        assert_eq!(read("/apis/apps/v1/statefulsets"), Path::Nowhere);
    }

    #[test]
    fn parameters_are_decoded() {
        let query = "&fieldSelector=spec.nodeName%3Dburst-1&watch=true";
        assert_eq!(parameter(query, "fieldSelector").as_deref(), Some("spec.nodeName=burst-1"));
        assert_eq!(parameter(query, "limit"), None);
    }
}
