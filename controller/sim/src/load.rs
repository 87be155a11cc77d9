//! Model of the visitors, and of the Prometheus that counts the visitors.

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::port::{Answer, Metrics, Source};
use primetime_core::state::sample::{Sample, Why};

use crate::script::{Part, Script};

/// Number of visitors as a function of time.
pub type Curve = Arc<dyn Fn(Instant) -> f64 + Send + Sync>;

/// Metric with a value within a time window and 0 outside the window, as KEDA's cron scaler reports
/// to the HPA.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// Name of the metric.
    pub metric: String,
    /// Beginning of the window.
    pub from: Instant,
    /// End of the window.
    pub until: Instant,
    /// Value within the window.
    pub value: f64,
}

/// Prometheus that answers every query with the number of visitors, except the queries in `others`.
#[derive(Clone)]
pub struct Load {
    /// True number of visitors.
    pub curve: Curve,
    /// Metrics that depend on the time only.
    pub crons: Vec<Cron>,
    /// Queries for other series than the visitors. The model answers each such query with 0.
    pub others: Vec<String>,
    /// Script with the outages of Prometheus: no answer, gaps, stale values, lies.
    pub script: Arc<Script>,
}

impl Load {
    /// Returns a Prometheus that counts the visitors of `curve` and never fails.
    #[must_use]
    pub fn of(curve: impl Fn(Instant) -> f64 + Send + Sync + 'static) -> Self {
        Self {
            curve: Arc::new(curve),
            crons: Vec::new(),
            others: Vec::new(),
            script: Arc::default(),
        }
    }

    /// Returns the true number of visitors at `now`, independent of outages.
    #[must_use]
    pub fn at(&self, now: Instant) -> f64 {
        (self.curve)(now)
    }

    /// Returns the value that an autoscaler reads for a metric, or `None` if Prometheus has no
    /// value.
    #[must_use]
    pub fn metric(&self, name: &str, now: Instant) -> Option<f64> {
        if let Some(cron) = self.crons.iter().find(|c| c.metric == name) {
            return Some(if now >= cron.from && now < cron.until { cron.value } else { 0.0 });
        }
        match self.sample_at(now) {
            Sample::Known { value, .. } => Some(value),
            Sample::Unknown(_) => None,
        }
    }

    fn sample_at(&self, now: Instant) -> Sample {
        if self.script.is_out(Part::Prometheus, now) {
            return Sample::Unknown(Why::NoAnswer("connection refused".to_owned()));
        }
        if self.script.is_out(Part::MetricsGaps, now) && now.timestamp() % 2 == 0 {
            return Sample::Unknown(Why::Empty);
        }
        let at = self.script.out_since(Part::MetricsStale, now).unwrap_or(now);
        let value = if self.script.is_out(Part::Lies, now) { 0.0 } else { self.at(at) };
        Sample::Known { value, at }
    }
}

impl Metrics for Load {
    fn samples<'a>(
        &'a self,
        _source: &'a Source,
        _namespace: &'a str,
        queries: &'a [String],
        now: Instant,
    ) -> Answer<'a, Vec<Sample>> {
        let answer = move |query: &String| match self.sample_at(now) {
            Sample::Known { at, .. } if self.others.contains(query) => {
                Sample::Known { value: 0.0, at }
            }
            sample => sample,
        };
        Box::pin(async move { queries.iter().map(answer).collect() })
    }
}
