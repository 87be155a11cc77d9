//! Decoder of the Kubernetes protobuf envelope, limited to Secrets: Helm sends releases as Secrets
//! in the protobuf encoding.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#kubernetes-protobuf-encoding>

use base64::Engine as _;
use std::collections::BTreeMap;

use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};

/// Prefix of every message in the Kubernetes protobuf encoding.
const MAGIC: &[u8] = b"k8s\0";

#[derive(Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, optional, tag = "6")]
    resource_version: Option<String>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
}

#[derive(Message)]
struct Secret {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    data: BTreeMap<String, Vec<u8>>,
    #[prost(string, tag = "3")]
    type_: String,
}

/// Returns a `Secret` as JSON. Returns `None` if the bytes contain anything but a `Secret`.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let unknown = Unknown::decode(bytes.strip_prefix(MAGIC)?).ok()?;
    let type_meta = unknown.type_meta.filter(|t| t.kind == "Secret")?;
    let secret = Secret::decode(unknown.raw.as_slice()).ok()?;
    let meta = secret.metadata?;
    let data: BTreeMap<String, String> =
        secret.data.into_iter().map(|(name, value)| (name, STANDARD.encode(value))).collect();
    let mut object = json!({
        "apiVersion": type_meta.api_version, "kind": type_meta.kind, "type": secret.type_,
        "metadata": {
            "name": meta.name, "namespace": meta.namespace, "labels": meta.labels,
            "annotations": meta.annotations,
        },
        "data": data,
    });
    if let Some(version) = meta.resource_version.filter(|v| !v.is_empty()) {
        object["metadata"]["resourceVersion"] = version.into();
    }
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_nothing_else() {
        let meta = ObjectMeta {
            name: "sh.helm.release.v1.primetime.v1".to_owned(),
            labels: BTreeMap::from([("owner".to_owned(), "helm".to_owned())]),
            ..ObjectMeta::default()
        };
        let secret = Secret {
            metadata: Some(meta),
            data: BTreeMap::from([("release".to_owned(), b"H4sI".to_vec())]),
            type_: "helm.sh/release.v1".to_owned(),
        };
        let envelope = |kind: &str| {
            let type_meta = TypeMeta { api_version: "v1".to_owned(), kind: kind.to_owned() };
            let unknown = Unknown { type_meta: Some(type_meta), raw: secret.encode_to_vec() };
            [MAGIC, &unknown.encode_to_vec()].concat()
        };
        let object = read(&envelope("Secret")).unwrap();
        assert_eq!(object["data"]["release"], "SDRzSQ==");
        assert_eq!(object["metadata"]["labels"]["owner"], "helm");
        assert_eq!(read(&envelope("Pod")), None);
        assert_eq!(read(b"{}"), None);
    }
}
