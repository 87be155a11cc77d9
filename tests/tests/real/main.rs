//! Tests of the operator with real parts: kube-apiserver, etcd, Prometheus, an EC2 API server,
//! Helm, kubectl.
//!
//! All tests share a single binary, because an evening mostly waits. Four parallel evenings need at
//! most two processors (`RUST_TEST_THREADS` in `.cargo/config.toml`).

mod autoscaler;
mod calendars;
mod capital;
mod certificates;
mod chart;
mod contract;
mod credentials;
mod degrade;
mod existing;
mod jobs;
mod leader;
mod machines;
mod minors;
mod model;
mod outage;
mod overlap;
mod overrule;
mod pushback;
mod refusals;
mod replaced;
mod reroute;
mod rights;
mod rules;
mod schedules;
mod shape;
mod signals;
mod truth;
mod uninstall;
