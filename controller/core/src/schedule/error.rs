//! Why a schedule gives no instant.

/// Why a schedule gives no instant. Each message says what is wrong and what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// Neither a wall clock nor an RFC 3339 instant.
    #[error(
        "startTime: \"{0}\" is neither a wall clock such as 2014-01-12T21:00:00 nor an instant such as 2014-01-12T21:00:00+01:00"
    )]
    Malformed(String),
    /// 31 April, 25 o'clock.
    #[error("startTime: \"{text}\" is not a date and time that exists: {why}")]
    NoSuchDate {
        /// What was written.
        text: String,
        /// What the calendar says.
        why: String,
    },
    /// A wall clock needs a zone.
    #[error(
        "timeZone: required, because startTime \"{0}\" is a wall clock without an offset; write the zone of the event, such as Europe/Paris"
    )]
    ZoneMissing(String),
    /// Not in the data that counts.
    #[error(
        "timeZone: \"{name}\" is not an IANA time zone in tzdb {version}; write a name such as Europe/Paris or UTC"
    )]
    UnknownZone {
        /// What was written.
        name: String,
        /// The version of the data.
        version: String,
    },
    /// Skipped when clocks go forward.
    #[error(
        "startTime: {text} does not exist in {zone}: clocks go forward then; write {before} or {after} (both are real instants)"
    )]
    Gap {
        /// What was written.
        text: String,
        /// The zone.
        zone: String,
        /// Read with the offset in force before the gap.
        before: String,
        /// Read with the offset in force after it.
        after: String,
    },
    /// Happens twice when clocks go back.
    #[error(
        "startTime: {text} happens twice in {zone}: clocks go back then; write {first} for the first or {second} for the second"
    )]
    Fold {
        /// What was written.
        text: String,
        /// The zone.
        zone: String,
        /// The first of the two.
        first: String,
        /// The second of the two.
        second: String,
    },
    /// The offset contradicts the zone.
    #[error("startTime: the offset of {text} does not match {zone}, which is at {expected} then")]
    OffsetMismatch {
        /// What was written.
        text: String,
        /// The zone.
        zone: String,
        /// The offset of the zone at that instant.
        expected: String,
    },
    /// Five fields that are none.
    #[error("cron: {0}")]
    Cron(String),
}

/// What a user wrote, as an error repeats it: so much of it, and nothing that a terminal would obey.
pub(super) fn shown(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
