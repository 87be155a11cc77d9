//! Real parts for the tests and the demo: a control plane, an EC2 API, a Prometheus, a site under load, the operator.
//!
//! | room | part |
//! |---|---|
//! | [`tools`] | programs: found, or built once per machine |
//! | [`process`] | started, logged under `target/`, stopped with whoever started them |
//! | [`wait`] | every wait has an upper bound and says what it waited for |
//! | [`plane`] | etcd, kube-apiserver, controller manager, scheduler, or a cluster that is already there; KWOK |
//! | [`ec2`] | moto, and a proxy in front of it that behaves like EC2 where moto does not |
//! | [`site`] | a shop under load: its metrics, and the metrics API that the real HPA asks |
//! | [`keda`] | KEDA's operator and its metrics API |
//! | [`front`] | a front before Prometheus that can be told to be ill |
//! | [`prometheus`] | a Prometheus that scrapes site and operator |
//! | [`operator`] | Helm installs the chart; the operator runs with the account and rights it creates |
//! | [`capital`] | the evening of the example, with its clock scaled by one factor |
//! | [`dashboard`] | the queries of the dashboards that the chart ships |
//! | [`evening`] | all of it together |
//! | [`workload`] | small workloads beside the shop's, and surges of them |
//! | [`recorder`] | everything that was asked of workloads, in order |
//! | [`smoke`] | a short evening: install, raise, overrule, release |

pub mod capital;
pub mod dashboard;
pub mod ec2;
pub mod evening;
pub mod front;
pub mod keda;
pub mod operator;
pub mod plane;
pub mod process;
pub mod prometheus;
pub mod recorder;
pub mod site;
pub mod smoke;
pub mod tls;
pub mod tools;
pub mod wait;
pub mod workload;
