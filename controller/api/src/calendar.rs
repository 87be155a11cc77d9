//! `SurgeCalendar`: an event feed that surges follow.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_calendar::{Format, Horizon, Select, entries};
use primetime_core::Instant;
use primetime_core::calendar::{LOOKED_AHEAD, LOOKED_BACK};
use primetime_core::reference;
use primetime_core::schedule::Zone;
use primetime_core::state::calendar::{CalendarRecord, CalendarSpec, CalendarStatus, Feed};

/// Address, format and selection of an event feed.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "primetime.dev",
    version = "v1alpha1",
    kind = "SurgeCalendar",
    namespaced,
    status = "CalendarStatus",
    shortname = "scal",
    shortname = "surgecal",
    category = "primetime",
    derive = "PartialEq",
    doc = "A feed that surges follow, iCalendar or XMLTV: events that move, stretch or are called off there move, stretch or cancel their runs. A feed that breaks, empties or suddenly shrinks cancels nothing.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.entries[0].startTime"),
    printcolumn(name = "Title", type_ = "string", json_path = ".status.entries[0].title"),
    printcolumn(
        name = "Read",
        type_ = "date",
        json_path = ".status.lastReadTime",
        description = "How long ago the feed was last read and believed"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.configMapKeyRef)")
        .message("spec: exactly one of url and configMapKeyRef"),
    validation = Rule::new("!has(self.match) || !has(self.match.channel) || self.format == 'XMLTV'")
        .message("spec.match.channel: programme guides (XMLTV) only have channels")
)]
pub struct SurgeCalendarSpec {
    /// Format of the feed: `iCalendar` or `XMLTV`.
    pub format: CalendarFormat,
    /// URL of the feed. The platform team must have allowed the URL (`--calendar-url`). The
    /// operator follows no redirects. Exactly one of `url` and `configMapKeyRef` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')")
            .message("spec.url: must begin with https:// or http://"),
        validation = Rule::new("!self.contains('@') && !self.contains('#')")
            .message("spec.url: must not carry credentials or a fragment")
    )]
    pub url: Option<String>,
    /// Key of a ConfigMap with the feed, in the namespace of the calendar. Exactly one of `url` and
    /// `configMapKeyRef` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// IANA time zone of all-day events and of times without a zone, such as Europe/Paris. Defaults
    /// to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Criteria for the events that surges follow. Defaults to all events of the feed.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Match>,
    /// Time in seconds between two reads of the feed. Defaults to 60. Range 10 to 86400.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = 10, max = 86_400))]
    pub interval_seconds: u32,
    /// Digest of a shrunken feed that you have checked and accept, copied from
    /// `status.pendingDigest`. Exactly 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 16, max = 16), regex(pattern = r"^[0-9a-f]{16}$"))]
    pub accept_digest: Option<String>,
}

/// Returns the default of `spec.intervalSeconds`. An event that begins at once tolerates a delay of
/// two minutes, and a cache serves most guides.
fn default_interval_seconds() -> u32 {
    60
}

/// Format of a feed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarFormat {
    /// iCalendar (RFC 5545), as published by Google Calendar and Outlook.
    #[serde(rename = "iCalendar")]
    ICalendar,
    /// XMLTV programme guide.
    #[serde(rename = "XMLTV")]
    Xmltv,
}

/// Reference to a key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// Key in the ConfigMap, such as guide.xml.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::KEY))]
    pub key: String,
}

/// Criteria for events. An event must meet all criteria that are set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Id of a channel in a programme guide, such as m6.fr. Allowed with format `XMLTV` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub channel: Option<String>,
    /// Title of the event, ignoring case. The character * stands for any text, as in "Capital*".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// Category of the event, ignoring case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub category: Option<String>,
}

/// Place of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A key of a `ConfigMap`.
    ConfigMap(ConfigMapKeyRef),
    /// An HTTP or HTTPS URL.
    Url(String),
}

/// Validated settings for reading a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HowToRead {
    /// Place of the feed.
    pub place: Place,
    /// Format of the feed.
    pub format: Format,
    /// Zone of times without a zone.
    pub zone: Zone,
    /// True if `spec.timeZone` is set. Otherwise `X-WR-TIMEZONE` of the feed counts.
    pub zone_is_stated: bool,
    /// Criteria for the events that surges follow.
    pub select: Select,
    /// Time in seconds between two reads of the feed.
    pub interval_seconds: u32,
}

/// Validates the spec of a calendar.
///
/// # Errors
///
/// Returns every reason for refusing the spec, each with the path of the field and a sentence.
pub fn how_to_read(spec: &SurgeCalendarSpec) -> Result<HowToRead, Vec<String>> {
    let mut errors = Vec::new();
    let place = match (&spec.url, &spec.config_map_key_ref) {
        (Some(url), None) => Some(Place::Url(url.clone())),
        (None, Some(at)) => {
            let checks = [("name", reference::name(&at.name)), ("key", reference::key(&at.key))];
            for (field, checked) in checks {
                errors.extend(checked.err().map(|e| format!("spec.configMapKeyRef.{field}: {e}")));
            }
            Some(Place::ConfigMap(at.clone()))
        }
        _ => {
            errors.push("spec: exactly one of url and configMapKeyRef".to_owned());
            None
        }
    };
    let zone = spec.time_zone.as_deref().map_or(Ok(Zone::utc()), Zone::named);
    let zone = zone.map_err(|why| errors.push(format!("spec.{why}"))).ok();
    let Match { channel, title, category } = spec.matches.clone().unwrap_or_default();
    if channel.is_some() && spec.format != CalendarFormat::Xmltv {
        errors.push("spec.match.channel: programme guides (XMLTV) only have channels".to_owned());
    }
    let (Some(place), Some(zone), true) = (place, zone, errors.is_empty()) else {
        return Err(errors);
    };
    Ok(HowToRead {
        place,
        format: match spec.format {
            CalendarFormat::ICalendar => Format::ICalendar,
            CalendarFormat::Xmltv => Format::Xmltv,
        },
        zone,
        zone_is_stated: spec.time_zone.is_some(),
        select: Select { channel, title, category },
        interval_seconds: spec.interval_seconds.max(10),
    })
}

impl HowToRead {
    /// Parses a feed and returns the events that match the criteria, from 8 days before `now` to
    /// 400 days after `now`.
    ///
    /// # Errors
    ///
    /// Returns a sentence with the reason why the parser rejects the feed.
    pub fn read(&self, bytes: &[u8], now: Instant) -> Result<Feed, String> {
        let (from, until) = (now - LOOKED_BACK, now + LOOKED_AHEAD);
        let horizon =
            Horizon { from, until, zone: &self.zone, zone_is_stated: self.zone_is_stated };
        let feed = primetime_calendar::read(bytes, self.format, horizon);
        feed.map(|feed| entries(feed, &self.select, now)).map_err(|why| why.to_string())
    }

    /// Returns place, zone and criteria as text. If the text differs from `status.following`, the
    /// planner treats the feed as a different feed.
    #[must_use]
    pub fn words(&self) -> String {
        let place = match &self.place {
            Place::Url(url) => url.clone(),
            Place::ConfigMap(at) => format!("ConfigMap {} {}", at.name, at.key),
        };
        let Select { channel, title, category } = &self.select;
        let parts = [("channel", channel), ("title", title), ("category", category)];
        let parts = parts
            .into_iter()
            .filter_map(|(what, word)| word.as_ref().map(|word| format!(", {what} \"{word}\"")));
        format!("{place} in {}{}", self.zone.name(), parts.collect::<String>())
    }
}

/// Converts a `SurgeCalendar` into the record for the planner.
#[must_use]
pub fn calendar_record(object: &SurgeCalendar) -> CalendarRecord {
    let spec = how_to_read(&object.spec).map(|how| CalendarSpec {
        what: how.words(),
        accept_digest: object.spec.accept_digest.clone(),
    });
    CalendarRecord {
        name: object.metadata.name.clone().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        spec,
        status: object.status.clone().unwrap_or_default(),
    }
}
