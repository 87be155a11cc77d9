//! The visitors, and the Prometheus that counts them.

use std::sync::Arc;

use primetime_core::Instant;
use primetime_core::port::{Answer, Metrics, Question};
use primetime_core::signal::{Sample, Why};

/// How many visitors there are at an instant.
pub type Curve = Arc<dyn Fn(Instant) -> f64 + Send + Sync>;

/// A Prometheus that knows one number.
#[derive(Clone)]
pub struct Load {
    /// The truth.
    pub curve: Curve,
    /// It does not answer from the first instant to before the second.
    pub silent: Option<(Instant, Instant)>,
}

impl Load {
    /// The visitors at an instant, whoever may know of it.
    #[must_use]
    pub fn at(&self, now: Instant) -> f64 {
        (self.curve)(now)
    }
}

impl Metrics for Load {
    fn sample<'a>(&'a self, _question: &'a Question, now: Instant) -> Answer<'a, Sample> {
        Box::pin(async move {
            match self.silent {
                Some((from, to)) if now >= from && now < to => {
                    Sample::Unknown(Why::NoAnswer("connection refused".to_owned()))
                }
                _ => Sample::Known { value: self.at(now), at: now },
            }
        })
    }
}
