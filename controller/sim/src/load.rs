//! The visitors, and the Prometheus that counts them.

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::port::{Answer, Metrics, Source};
use primetime_core::state::sample::{Sample, Why};

use crate::script::{Part, Script};

/// How many visitors there are at an instant.
pub type Curve = Arc<dyn Fn(Instant) -> f64 + Send + Sync>;

/// A metric that has a value within a window, and is 0 outside: what KEDA's cron scaler tells its HPA.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// The metric's name.
    pub metric: String,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// The value.
    pub value: f64,
}

/// A Prometheus that knows one number, and nothing bad of anything else.
#[derive(Clone)]
pub struct Load {
    /// The truth.
    pub curve: Curve,
    /// Metrics that the clock alone decides.
    pub crons: Vec<Cron>,
    /// Queries that ask for something else than the visitors: the answer is 0.
    pub others: Vec<String>,
    /// It does not answer, or lies, when the script says so.
    pub script: Arc<Script>,
}

impl Load {
    /// A Prometheus that counts these visitors and never fails.
    #[must_use]
    pub fn of(curve: impl Fn(Instant) -> f64 + Send + Sync + 'static) -> Self {
        Self {
            curve: Arc::new(curve),
            crons: Vec::new(),
            others: Vec::new(),
            script: Arc::default(),
        }
    }

    /// The visitors at an instant, whether it is measured or not.
    #[must_use]
    pub fn at(&self, now: Instant) -> f64 {
        (self.curve)(now)
    }

    /// What autoscalers read; nothing if it cannot be read.
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
