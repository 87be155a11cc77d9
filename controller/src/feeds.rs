//! HTTP client for calendar feeds. The client fetches only URLs that the platform team has allowed
//! (`--calendar-url`), and follows no redirects.

use std::str::FromStr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, ETAG, IF_NONE_MATCH, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use primetime_calendar::limits;
use primetime_core::port::{Answer, Feeds, Fetched};

/// Timeout for the complete fetch of a feed: 30 s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// URL prefix of allowed feeds (`--calendar-url`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below {
    scheme: String,
    authority: String,
    path: String,
}

impl FromStr for Below {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let below = parts(text)?;
        if below.path.contains('?') {
            return Err("write an address without a query".to_owned());
        }
        Ok(below)
    }
}

/// Splits a URL into scheme, host with port, and path with query.
///
/// The function refuses a URL with credentials, and a path with dots or escapes that could leave an
/// allowed prefix.
fn parts(text: &str) -> Result<Below, String> {
    let uri: Uri = text.parse().map_err(|why| format!("\"{text}\" is no address: {why}"))?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "https" | "http"));
    let (Some(scheme), Some(authority)) = (scheme, uri.authority()) else {
        return Err(format!("\"{text}\" is no address such as https://guide.example.com/epg/"));
    };
    if authority.as_str().contains('@') {
        return Err("the address must not carry credentials".to_owned());
    }
    // Refuse escapes and separators that a server may resolve to a different path.
    let path = uri.path().to_ascii_lowercase();
    let tricks = ["%2e", "%2f", "%5c", "%25", ";", "\\"].iter().any(|trick| path.contains(trick));
    if tricks || path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(format!("the path of \"{text}\" must be written without dots and escapes"));
    }
    Ok(Below {
        scheme: scheme.to_owned(),
        authority: authority.as_str().to_ascii_lowercase(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    })
}

impl Below {
    fn allows(&self, address: &Self) -> bool {
        let rest = address.path.strip_prefix(&self.path);
        let whole_words = |rest: &str| {
            self.path.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?'])
        };
        self.scheme == address.scheme
            && self.authority == address.authority
            && rest.is_some_and(whole_words)
    }
}

/// HTTP client for feeds. The client follows no redirects and ignores proxy settings.
#[derive(Clone, Debug)]
pub struct HttpFeeds {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    allowed: Vec<Below>,
}

impl HttpFeeds {
    /// Creates a client that fetches URLs below the given prefixes only.
    pub fn new(allowed: Vec<Below>) -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector), allowed }
    }

    async fn get(&self, url: &str, tag: Option<&str>) -> Result<Fetched, String> {
        let address = parts(url)?;
        if !self.allowed.iter().any(|below| below.allows(&address)) {
            return Err(format!(
                "{url} is not allowed; ask the platform team for it (--calendar-url)"
            ));
        }
        let mut request = Request::get(url)
            .header(ACCEPT_ENCODING, "identity")
            .header(USER_AGENT, concat!("primetime/", env!("CARGO_PKG_VERSION")));
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Empty::new()).map_err(|why| why.to_string())?;
        let answer = self.client.request(request).await.map_err(|why| {
            let cause = std::error::Error::source(&why).map(ToString::to_string);
            format!("{url}: {}", cause.unwrap_or_else(|| why.to_string()))
        })?;
        let status = answer.status();
        if status == StatusCode::NOT_MODIFIED && tag.is_some() {
            return Ok(Fetched::Unchanged);
        }
        if status.is_redirection() {
            return Err(format!(
                "{url} answers {status}; redirects are not followed: write the address it points to"
            ));
        }
        if status != StatusCode::OK {
            return Err(format!("{url} answers {status}"));
        }
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), limits::BYTES).collect().await;
        let body = body.map_err(|why| {
            format!("{url}: {why} (at most {} MiB are read)", limits::BYTES >> 20)
        })?;
        Ok(Fetched::Text { bytes: body.to_bytes().into(), tag })
    }
}

impl Feeds for HttpFeeds {
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        tag: Option<&'a str>,
    ) -> Answer<'a, Result<Fetched, String>> {
        Box::pin(async move {
            let late = |_| format!("{url} has not answered within {} s", TIMEOUT.as_secs());
            tokio::time::timeout(TIMEOUT, self.get(url, tag)).await.map_err(late)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_an_allowed_address_is_fetched() {
        let below: Below = "https://guide.example.com/epg".parse().unwrap();
        for (url, allowed) in [
            ("https://guide.example.com/epg", true),
            ("https://GUIDE.example.com/epg/m6.xml", true),
            ("https://guide.example.com/epg?channel=m6", true),
            ("https://guide.example.com/epg2/m6.xml", false),
            ("https://guide.example.com/", false),
            ("http://guide.example.com/epg/m6.xml", false),
            ("https://guide.example.com:8443/epg/m6.xml", false),
            ("https://guide.example.com.evil.example/epg/", false),
        ] {
            assert_eq!(below.allows(&parts(url).unwrap()), allowed, "{url}");
        }
        for trick in [
            "https://guide.example.com/epg/../secret",
            "https://guide.example.com/epg/%2e%2e/secret",
            "https://guide.example.com/epg/..;/secret",
            "https://guide.example.com/epg/%252e%252e/secret",
            "https://guide.example.com@evil.example/epg/",
            "file:///etc/passwd",
            "guide.example.com/epg",
        ] {
            assert!(parts(trick).is_err(), "{trick}");
        }
    }
}
