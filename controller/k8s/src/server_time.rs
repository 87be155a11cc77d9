//! Comparison of the local clock with the clock of the API server.
//!
//! Every HTTP response carries the server's time in the header `Date` (RFC 9110 section 6.6.1), in
//! whole seconds. The comparison also detects a clock that was wrong before the process started,
//! which the detector of clock jumps cannot see.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use futures::future::BoxFuture;
use http::header::DATE;
use http::{Request, Response};
use primetime_core::Instant;
use primetime_core::port::Clock;
use tower::{Layer, Service};
use tracing::warn;

/// Tolerated difference between the two clocks. NTP keeps clocks within milliseconds, and `Date`
/// omits up to a second. Changes that the clock starts, such as a warm-up, take minutes.
const TOLERANCE: TimeDelta = TimeDelta::seconds(15);

/// Time without disagreement after which the local clock counts as correct. An agreeing response
/// alone is not enough, because a single one of several API servers may have a wrong clock.
const AGREES_FOR: Duration = Duration::from_mins(2);

/// Result of the comparison of the local clock with the API server's responses. All clones share
/// the result.
#[derive(Clone)]
pub struct ServerTime {
    clock: Arc<dyn Clock>,
    contradicted: Arc<Mutex<Option<Contradiction>>>,
}

/// Disagreement between the local clock and the `Date` of a response.
#[derive(Clone, Copy, Debug)]
struct Contradiction {
    by: TimeDelta,
    /// Monotonic time of the last response that disagreed.
    last: tokio::time::Instant,
    /// True until a later response agrees with the local clock.
    stands: bool,
}

impl ServerTime {
    /// Creates a comparison that has seen no response yet.
    #[must_use]
    pub fn of(clock: Arc<dyn Clock>) -> Self {
        Self { clock, contradicted: Arc::default() }
    }

    /// Returns the difference between the local clock and the API server's clock, positive if the
    /// local clock is ahead. Returns `None` if no response has disagreed. Returns `None` again
    /// after a response has agreed and the last disagreement is 2 minutes old.
    #[must_use]
    pub fn error(&self) -> Option<TimeDelta> {
        let known = *self.contradicted.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|c| c.stands || c.last.elapsed() < AGREES_FOR).map(|c| c.by)
    }

    /// Compares the `Date` of a response with the local times of the request and of the response.
    fn note(&self, date: Instant, sent: Instant, received: Instant) {
        let ahead = sent - (date + TimeDelta::seconds(1));
        let behind = date - received;
        let by = if ahead > TOLERANCE {
            ahead
        } else if behind > TOLERANCE {
            -behind
        } else {
            let mut known = self.contradicted.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter_mut().for_each(|c| c.stands = false);
            return;
        };
        let before = self.error();
        // A difference within the tolerance of the known error may come from a slow response, so
        // the known error stays.
        let known = before.filter(|known| (*known - by).abs() <= TOLERANCE);
        if known.is_none() {
            let seconds = by.num_seconds();
            warn!(seconds, "this machine's clock is not the API server's: nothing is lowered");
        }
        let last = tokio::time::Instant::now();
        let now = Contradiction { by: known.unwrap_or(by), last, stands: true };
        *self.contradicted.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

impl<S> Layer<S> for ServerTime {
    type Service = Listening<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Listening { inner, server_time: self.clone() }
    }
}

/// HTTP service that reads the header `Date` of every response.
#[derive(Clone)]
pub struct Listening<S> {
    inner: S,
    server_time: ServerTime,
}

impl<S, A, B> Service<Request<A>> for Listening<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let server_time = self.server_time.clone();
        let sent = server_time.clock.now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
            if let Some(Ok(date)) = date.map(DateTime::parse_from_rfc2822) {
                server_time.note(date.to_utc(), sent, server_time.clock.now());
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wrong;

    impl Clock for Wrong {
        fn now(&self) -> Instant {
            Instant::UNIX_EPOCH
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_not_the_servers_is_found_and_believed_again_in_time() {
        let server_time = ServerTime::of(Arc::new(Wrong));
        let at = |second| Instant::UNIX_EPOCH + TimeDelta::seconds(second);
        let error = || server_time.error().map(|error| error.num_seconds());
        let note = |date, sent, received| {
            server_time.note(at(date), at(sent), at(received));
            error()
        };
        assert_eq!(note(100, 100, 100), None);
        assert_eq!(note(100, 116, 116), None, "a second is left out, 15 are tolerated");
        assert_eq!(note(100, 80, 140), None, "it may have been made at any time in between");
        assert_eq!(note(100, 1741, 1742), Some(1640), "ahead");
        assert_eq!(note(100, 1750, 1760), Some(1640), "no news");
        assert_eq!(note(4000, 396, 400), Some(-3600), "behind");
        assert_eq!(note(400, 400, 400), Some(-3600), "one of several agrees");
        tokio::time::sleep(AGREES_FOR).await;
        assert_eq!(error(), None, "it was set right, and no answer contradicts");
        assert_eq!(note(4000, 396, 400), Some(-3600));
        tokio::time::sleep(AGREES_FOR).await;
        assert_eq!(error(), Some(-3600), "no answer has contradicted it");
    }
}
