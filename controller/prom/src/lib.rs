//! Client for instant queries to Prometheus: the result is a finite number, or the reason for an
//! unknown value.
//!
//! The client sends `lookback_delta`, so that Prometheus omits a series whose newest sample is too
//! old. The timestamp in the answer is the evaluation time, not the time of the sample.

mod access;
mod answer;
mod group;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use primetime_core::Instant;
use primetime_core::port::{Answer, Metrics, Secrets, Source};
use primetime_core::reference;
use primetime_core::state::sample::{Sample, Why};
use tokio::sync::Semaphore;

use crate::access::{Clients, NoSecrets, Opened};
pub use answer::read;

/// Size limit of an answer in bytes. An answer with a hundred numbers is far smaller.
const BODY_LIMIT: usize = 1 << 20;

/// Limit of series in an answer. Each query should return a single series, and Prometheus adds a
/// warning if the limit cuts the answer.
const SERIES_LIMIT: &str = "1000";

/// Most simultaneous requests to a source.
const AT_ONCE: usize = 8;

/// Most simultaneous requests of a namespace to a source, so that slow queries of a namespace leave
/// places for others.
const OF_A_NAMESPACE: usize = 2;

/// Prometheus client. The client ignores redirects and proxy settings, because the platform team
/// decides the address in the `MetricsSource`.
#[derive(Clone)]
pub struct Prometheus {
    clients: Arc<Clients>,
    secrets: Arc<dyn Secrets>,
    sizes: Arc<group::Sizes>,
    busy: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Default for Prometheus {
    /// Returns a client for sources that need no Secret.
    fn default() -> Self {
        Self::new(Arc::new(NoSecrets))
    }
}

fn encode(pairs: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (key, value) in pairs {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(key);
        body.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    body.push(char::from(byte));
                }
                _ => {
                    let _ = write!(body, "%{byte:02X}");
                }
            }
        }
    }
    body
}

/// Cause of a failed request.
enum Trouble {
    /// Prometheus refuses the query (HTTP 400 or 422), or the answer is partial.
    Refused(Why),
    /// Prometheus does not answer within the timeout, or answers 503 or 504.
    Slow(Why),
    /// Another failure, for example a refused connection or another HTTP status.
    Failed(Why),
}

impl Trouble {
    fn why(self) -> Why {
        match self {
            Self::Refused(why) | Self::Slow(why) | Self::Failed(why) => why,
        }
    }
}

fn no_answer(why: impl std::fmt::Display) -> Why {
    Why::NoAnswer(answer::short(&why.to_string()))
}

impl Prometheus {
    /// Returns a client that reads the credentials of the sources from `secrets`.
    #[must_use]
    pub fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self { clients: Arc::default(), secrets, sizes: Arc::default(), busy: Arc::default() }
    }

    /// Returns the semaphore that limits the simultaneous requests to a source.
    fn places(&self, url: &str) -> Arc<Semaphore> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // If no request holds or awaits the semaphore of a source, all permits are free, and the
        // client drops the semaphore.
        busy.retain(|at, places| at == url || Arc::strong_count(places) > 1);
        busy.entry(url.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }

    async fn ask(&self, source: &Source, namespace: &str, query: &str) -> Result<Bytes, Trouble> {
        let places = self.places(&source.url);
        let _place = places.acquire().await.map_err(|why| Trouble::Failed(no_answer(why)))?;
        let limit = Duration::from_secs(u64::from(source.timeout_seconds));
        match tokio::time::timeout(limit, self.request(source, namespace, query)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Trouble::Slow(Why::NoAnswer(format!("none within {} s", limit.as_secs()))))
            }
        }
    }

    async fn request(
        &self,
        source: &Source,
        namespace: &str,
        query: &str,
    ) -> Result<Bytes, Trouble> {
        let failed = |why: &dyn std::fmt::Display| Trouble::Failed(no_answer(why));
        let opened = access::opened(&self.clients, &*self.secrets, &source.access, namespace);
        let Opened { client, headers, field } = opened.await.map_err(|why| failed(&why))?;
        let timeout = format!("{}s", source.timeout_seconds);
        let lookback = format!("{}s", source.max_age_seconds);
        let mut pairs = vec![
            ("query", query),
            ("timeout", timeout.as_str()),
            ("lookback_delta", lookback.as_str()),
            ("limit", SERIES_LIMIT),
        ];
        pairs.extend(field.as_ref().map(|(name, value)| (name.as_str(), value.as_str())));
        let form = encode(&pairs);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/api/v1/query", source.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .map_err(|e| failed(&e))?;
        request.headers_mut().extend(headers);
        let response = client.request(request).await.map_err(|e| {
            let cause =
                std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            failed(&cause)
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await
            .map_err(|e| failed(&e))?
            .to_bytes();
        match status {
            _ if status.is_success() => Ok(body),
            // Prometheus explains a refused query in the body.
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Trouble::Refused(answer::refusal(&body)))
            }
            // Prometheus aborts a slow query with 503, and a proxy with 504.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(Trouble::Slow(no_answer(format!("HTTP {}", status.as_u16()))))
            }
            _ => Err(Trouble::Failed(no_answer(format!("HTTP {}", status.as_u16())))),
        }
    }

    /// Sends a single query. If Prometheus refuses the query or returns no vector, the client
    /// records that the query cannot be part of a group.
    async fn one(&self, source: &Source, namespace: &str, query: &str, now: Instant) -> Asked {
        let answered = self.ask(source, namespace, query).await;
        let odd = match &answered {
            Ok(body) => !answer::is_vector(body),
            Err(trouble) => matches!(trouble, Trouble::Refused(_)),
        };
        if odd {
            self.sizes.alone((&source.url, namespace), query);
        }
        let sample = match answered {
            Ok(body) => answer::read(&body, now),
            Err(trouble) => Sample::Unknown(trouble.why()),
        };
        Asked { samples: vec![sample], odd }
    }

    /// Sends several queries as a group. If Prometheus refuses the group, the client sends the two
    /// halves to find the query at fault.
    fn group<'a>(
        &'a self,
        source: &'a Source,
        namespace: &'a str,
        queries: &'a [String],
        now: Instant,
    ) -> Answer<'a, Asked> {
        Box::pin(async move {
            if let [one] = queries {
                return self.one(source, namespace, one, now).await;
            }
            let trouble = match self.ask(source, namespace, &group::joined(queries)).await {
                Ok(body) => match answer::lacks(&body) {
                    None => {
                        let samples = answer::read_marked(&body, queries.len(), now);
                        return Asked { samples, odd: false };
                    }
                    // The client sends the two halves to find the query with the partial answer.
                    Some(why) => Trouble::Refused(why),
                },
                Err(trouble) => trouble,
            };
            if let Trouble::Refused(_) = trouble {
                let (left, right) = queries.split_at(queries.len() / 2);
                let mut all = self.group(source, namespace, left, now).await;
                let right = self.group(source, namespace, right, now).await;
                all.samples.extend(right.samples);
                all.odd |= right.odd;
                if !all.odd {
                    // Each query is valid, so the group as a whole is too large.
                    self.sizes.too_much((&source.url, namespace), queries);
                }
                return all;
            }
            if matches!(trouble, Trouble::Slow(_)) {
                self.sizes.too_much((&source.url, namespace), queries);
            }
            Asked { samples: vec![Sample::Unknown(trouble.why()); queries.len()], odd: false }
        })
    }
}

/// Answers, in the order of the queries.
struct Asked {
    samples: Vec<Sample>,
    /// True if a query cannot be part of a group.
    odd: bool,
}

impl Metrics for Prometheus {
    fn samples<'a>(
        &'a self,
        source: &'a Source,
        namespace: &'a str,
        queries: &'a [String],
        now: Instant,
    ) -> Answer<'a, Vec<Sample>> {
        Box::pin(async move {
            let (sent, refused): (Vec<String>, Vec<String>) =
                queries.iter().cloned().partition(|query| reference::query(query).is_ok());
            let groups = self.sizes.groups((&source.url, namespace), &sent);
            let asked = futures::stream::iter(groups).map(|group| async move {
                let asked = self.group(source, namespace, &group, now).await;
                group.into_iter().zip(asked.samples).collect::<Vec<_>>()
            });
            let mut answers: BTreeMap<_, _> = asked
                .buffer_unordered(OF_A_NAMESPACE)
                .collect::<Vec<_>>()
                .await
                .concat()
                .into_iter()
                .collect();
            for query in refused {
                let why = reference::query(&query).err().unwrap_or_default();
                answers.insert(query, Sample::Unknown(Why::NotSent(why)));
            }
            let sample = |query| answers.get(query).cloned();
            let nothing = || Sample::Unknown(Why::NotAskedYet);
            queries.iter().map(|query| sample(query).unwrap_or_else(nothing)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_sent_as_it_was_written() {
        assert_eq!(
            encode(&[("query", "sum(x{a=\"b\"}) + 1"), ("t", "5s")]),
            "query=sum%28x%7Ba%3D%22b%22%7D%29%20%2B%201&t=5s"
        );
    }
}
