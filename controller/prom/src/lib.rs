//! Instant queries to a Prometheus: one number, or the reason why there is none.
//!
//! The client asks with `lookback_delta`, so a series whose newest sample is older than allowed is not there at all:
//! the answer's own timestamp is the evaluation's, not the sample's.

mod answer;

use std::fmt::Write;
use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use primetime_core::Instant;
use primetime_core::port::{Answer, Metrics, Question};
use primetime_core::signal::{Sample, Why};

pub use answer::read;

/// No answer is read beyond this: one number fits into far less.
const BODY_LIMIT: usize = 1 << 20;

/// A Prometheus client. It follows no redirects and heeds no proxy settings: the address is the platform team's word.
#[derive(Clone, Debug)]
pub struct Prometheus {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Default for Prometheus {
    fn default() -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
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

impl Prometheus {
    async fn ask(&self, question: &Question) -> Result<Bytes, Why> {
        let no_answer =
            |e: &dyn std::fmt::Display| Why::NoAnswer(e.to_string().chars().take(200).collect());
        let seconds = |n: u32| format!("{n}s");
        let form = encode(&[
            ("query", &question.query),
            ("timeout", &seconds(question.timeout_seconds)),
            ("lookback_delta", &seconds(question.max_age_seconds)),
        ]);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/api/v1/query", question.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .map_err(|e| no_answer(&e))?;
        let response = self.client.request(request).await.map_err(|e| {
            let cause =
                std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            no_answer(&cause)
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await
            .map_err(|e| no_answer(&e))?;
        // Prometheus explains a bad query in the body of a 400 or 422.
        if status.is_success() || status.is_client_error() {
            return Ok(body.to_bytes());
        }
        Err(Why::NoAnswer(format!("HTTP {}", status.as_u16())))
    }
}

impl Metrics for Prometheus {
    fn sample<'a>(&'a self, question: &'a Question, now: Instant) -> Answer<'a, Sample> {
        Box::pin(async move {
            let limit = Duration::from_secs(u64::from(question.timeout_seconds));
            match tokio::time::timeout(limit, self.ask(question)).await {
                Ok(Ok(body)) => answer::read(&body, now),
                Ok(Err(why)) => Sample::Unknown(why),
                Err(_) => {
                    Sample::Unknown(Why::NoAnswer(format!("none within {} s", limit.as_secs())))
                }
            }
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
