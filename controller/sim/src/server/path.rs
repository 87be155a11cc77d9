//! What a request's path and query name.

use crate::server::kinds::{ALL, Kind};

/// An object or a collection, and a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for all of them and for kinds that live in none.
    pub namespace: String,
    /// The object, where one is named.
    pub name: Option<String>,
    /// `status`, `scale`, `eviction`.
    pub part: Option<String>,
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Objects.
    Objects(Place),
    /// The discovery of a group and version.
    Discovery(String, String),
    /// The versions of the core.
    Core,
    /// All other groups.
    Groups,
    /// Which Kubernetes this is.
    Version,
    /// Nothing that the model serves.
    Nowhere,
}

/// Reads a path.
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
    // A namespace is itself an object.
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

/// The value of a query parameter, percent-decoded as far as the client encodes.
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
