//! Whether this machine's clock and the API server's show the same time.
//!
//! Every HTTP answer says when it was made (`Date`, RFC 9110 section 6.6.1), in whole seconds. A clock that somebody has
//! set wrong is found by it, also by a process that begins with it and cannot see it jump.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use chrono::{DateTime, TimeDelta};
use futures::future::BoxFuture;
use http::header::DATE;
use http::{Request, Response};
use primetime_core::Instant;
use primetime_core::port::Clock;
use tower::{Layer, Service};
use tracing::{info, warn};

/// Two clocks that are kept in time differ by less: NTP keeps to milliseconds, and `Date` leaves out up to a second.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// What the API server's answers say of this machine's clock. Clones share it.
#[derive(Clone)]
pub struct ServerTime {
    clock: Arc<dyn Clock>,
    error: Arc<Mutex<Option<TimeDelta>>>,
}

impl ServerTime {
    /// Nothing is known yet.
    #[must_use]
    pub fn of(clock: Arc<dyn Clock>) -> Self {
        Self { clock, error: Arc::default() }
    }

    /// By how much this machine's clock is ahead of the API server's, or behind it where negative; nothing while they agree.
    #[must_use]
    pub fn error(&self) -> Option<TimeDelta> {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer was made at `date`, between two instants of our own clock.
    fn note(&self, date: Instant, sent: Instant, received: Instant) {
        let ahead = sent - (date + TimeDelta::seconds(1));
        let behind = date - received;
        let error = if ahead > TOLERANCE {
            Some(ahead)
        } else if behind > TOLERANCE {
            Some(-behind)
        } else {
            None
        };
        let mut known = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (*known, error) {
            // How long answers take is no news.
            (Some(known), Some(error)) => (known - error).abs() <= TOLERANCE * 5,
            (known, error) => known == error,
        };
        if same {
            return;
        }
        *known = error;
        if let Some(by) = error {
            let seconds = by.num_seconds();
            warn!(seconds, "this machine's clock is not the API server's: nothing is lowered");
        } else {
            info!("this machine's clock and the API server's agree again");
        }
    }
}

impl<S> Layer<S> for ServerTime {
    type Service = Listening<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Listening { inner, server_time: self.clone() }
    }
}

/// A client's service of which every answer's `Date` is read.
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

    #[test]
    fn a_clock_that_is_not_the_servers_is_found_and_one_that_is_slow_to_hear_of_it_is_not() {
        let server_time = ServerTime::of(Arc::new(Wrong));
        let at = |second| Instant::UNIX_EPOCH + TimeDelta::seconds(second);
        let note = |date, sent, received| {
            server_time.note(at(date), at(sent), at(received));
            server_time.error().map(|error| error.num_seconds())
        };
        assert_eq!(note(100, 100, 100), None);
        assert_eq!(note(100, 103, 103), None, "a second is left out, two are tolerated");
        assert_eq!(note(100, 80, 140), None, "it may have been made at any time in between");
        assert_eq!(note(100, 1741, 1742), Some(1640), "ahead");
        assert_eq!(note(100, 1745, 1750), Some(1640), "no news");
        assert_eq!(note(4000, 396, 400), Some(-3600), "behind");
        assert_eq!(note(400, 400, 400), None, "it was set right");
    }
}
