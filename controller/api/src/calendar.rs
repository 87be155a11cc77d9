//! `SurgeCalendar`: a feed that surges follow.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use primetime_calendar::{Format, Horizon, Select, entries};
use primetime_core::Instant;
use primetime_core::calendar::{LOOKED_AHEAD, LOOKED_BACK};
use primetime_core::reference;
use primetime_core::schedule::Zone;
use primetime_core::state::calendar::{CalendarRecord, CalendarSpec, CalendarStatus, Feed};

/// A feed, and which of its events matter.
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
    /// How the feed is written.
    pub format: CalendarFormat,
    /// An address that the platform team has allowed (`--calendar-url`). No redirects are followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')")
            .message("spec.url: must begin with https:// or http://"),
        validation = Rule::new("!self.contains('@') && !self.contains('#')")
            .message("spec.url: must not carry credentials or a fragment")
    )]
    pub url: Option<String>,
    /// Or a key of a ConfigMap in the namespace of the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// Whose clock all-day events and times without a zone mean: an IANA name; UTC where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Which events of the feed matter; all of them where absent.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Match>,
    /// Seconds between two looks at the feed.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = 10, max = 86_400))]
    pub interval_seconds: u32,
    /// A person has looked at a feed of which most is gone (`status.pendingDigest`), and it is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 16, max = 16), regex(pattern = r"^[0-9a-f]{16}$"))]
    pub accept_digest: Option<String>,
}

/// Two minutes late is what an event that begins at once can bear; a guide is served from a cache.
fn default_interval_seconds() -> u32 {
    60
}

/// How a feed is written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarFormat {
    /// RFC 5545, such as Google Calendar and Outlook publish.
    #[serde(rename = "iCalendar")]
    ICalendar,
    /// A programme guide.
    #[serde(rename = "XMLTV")]
    Xmltv,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::NAME))]
    pub name: String,
    /// The key, such as guide.xml.
    #[schemars(length(min = 1, max = 253), regex(pattern = reference::KEY))]
    pub key: String,
}

/// What an event has to be like.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The id of a channel in a programme guide, such as m6.fr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub channel: Option<String>,
    /// The title, whatever the case of its letters; * stands for anything, as in "Capital*".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// One of its categories, whatever the case of its letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub category: Option<String>,
}

/// Where a feed is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A key of a `ConfigMap`.
    ConfigMap(ConfigMapKeyRef),
    /// An HTTP or HTTPS URL.
    Url(String),
}

/// How a feed is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HowToRead {
    /// Where it is.
    pub place: Place,
    /// How it is written.
    pub format: Format,
    /// The zone of instants that name none.
    pub zone: Zone,
    /// Which of its events matter.
    pub select: Select,
    /// Seconds between two reads of the feed.
    pub interval_seconds: u32,
}

/// How the feed of a calendar is read.
///
/// # Errors
///
/// Every reason why that cannot be understood: a field path and a sentence each.
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
        select: Select { channel, title, category },
        interval_seconds: spec.interval_seconds.max(10),
    })
}

impl HowToRead {
    /// What a calendar looks at of a feed at an instant.
    ///
    /// # Errors
    ///
    /// Why the feed cannot be read, in a sentence.
    pub fn read(&self, bytes: &[u8], now: Instant) -> Result<Feed, String> {
        let (from, until) = (now - LOOKED_BACK, now + LOOKED_AHEAD);
        let horizon = Horizon { from, until, zone: &self.zone };
        let feed = primetime_calendar::read(bytes, self.format, horizon);
        feed.map(|feed| entries(feed, &self.select, now)).map_err(|why| why.to_string())
    }

    /// The same in words: who changes them follows something else.
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

/// The calendar as the planner sees it.
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
