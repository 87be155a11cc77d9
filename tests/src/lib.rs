//! Real parts for the tests and the demo: a control plane, an EC2 API, a Prometheus, a shop, the
//! operator.
//!
//! | module | content |
//! |---|---|
//! | [`tools`] | paths of programs, found or built once per machine |
//! | [`process`] | child processes with logs under `target/`, killed when the parent ends |
//! | [`wait`] | waits with a timeout and an error that names the awaited state |
//! | [`plane`] | etcd, kube-apiserver and controllers, or an existing cluster; KWOK |
//! | [`ec2`] | moto, and a proxy in front of moto that adds behaviour of EC2 |
//! | [`site`] | a shop under load: metrics for Prometheus, and the metrics API for the real HPA |
//! | [`keda`] | operator and metrics API of KEDA |
//! | [`front`] | a proxy in front of Prometheus that can fail or hang |
//! | [`prometheus`] | a Prometheus that scrapes the shop and the operator |
//! | [`kubelet`] | a node that really runs the pods of Jobs |
//! | [`operator`] | the operator, with the service account and rights of the Helm chart |
//! | [`capital`] | the evening of the example, with scaled durations |
//! | [`dashboard`] | the queries of the dashboards in the chart |
//! | [`evening`] | all parts together |
//! | [`workload`] | small workloads for the namespace of the shop, with HPAs and surges |
//! | [`recorder`] | requested replicas and bounds of all workloads, in order |
//! | [`smoke`] | a short evening: install, raise, override, release |

pub mod capital;
pub mod dashboard;
pub mod ec2;
pub mod evening;
pub mod front;
pub mod keda;
pub mod kubelet;
pub mod operator;
pub mod plane;
pub mod process;
pub mod prometheus;
pub mod recorder;
mod rights;
pub mod site;
pub mod smoke;
pub mod tls;
pub mod tools;
pub mod wait;
pub mod workload;
