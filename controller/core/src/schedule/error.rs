//! Errors of a schedule that yields no instant.

/// Error of a schedule that yields no instant.
///
/// Each message states the problem and a correct notation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// The text is neither a local time nor an RFC 3339 instant.
    #[error(
        "startTime: \"{0}\" is neither a wall clock such as 2014-01-12T21:00:00 nor an instant such as 2014-01-12T21:00:00+01:00"
    )]
    Malformed(String),
    /// The date or the time of day does not exist, such as 31 April or 25:00.
    #[error("startTime: \"{text}\" is not a date and time that exists: {why}")]
    NoSuchDate {
        /// Text of the user.
        text: String,
        /// Reason given by the date parser.
        why: String,
    },
    /// The text is a local time, and the zone is missing.
    #[error(
        "timeZone: required, because startTime \"{0}\" is a wall clock without an offset; write the zone of the event, such as Europe/Paris"
    )]
    ZoneMissing(String),
    /// The time zone data in use does not contain the zone.
    #[error(
        "timeZone: \"{name}\" is not an IANA time zone in tzdb {version}; write a name such as Europe/Paris or UTC"
    )]
    UnknownZone {
        /// Zone name of the user.
        name: String,
        /// Version of the time zone data.
        version: String,
    },
    /// The local time is skipped when clocks go forward.
    #[error(
        "startTime: {text} does not exist in {zone}: clocks go forward then; write {before} or {after} (both are real instants)"
    )]
    Gap {
        /// Text of the user.
        text: String,
        /// Name of the zone.
        zone: String,
        /// Candidate before the gap: the text read with the offset after the gap.
        before: String,
        /// Candidate after the gap: the text read with the offset before the gap.
        after: String,
    },
    /// The local time occurs twice when clocks go back.
    #[error(
        "startTime: {text} happens twice in {zone}: clocks go back then; write {first} for the first or {second} for the second"
    )]
    Fold {
        /// Text of the user.
        text: String,
        /// Name of the zone.
        zone: String,
        /// First instant with the local time.
        first: String,
        /// Second instant with the local time.
        second: String,
    },
    /// The offset in the text contradicts the zone.
    #[error("startTime: the offset of {text} does not match {zone}, which is at {expected} then")]
    OffsetMismatch {
        /// Text of the user.
        text: String,
        /// Name of the zone.
        zone: String,
        /// Offset of the zone at the instant.
        expected: String,
    },
    /// The cron expression is invalid.
    #[error("cron: {0}")]
    Cron(String),
}

/// Returns the text of the user for an error message: at most `most` characters.
///
/// The function removes control characters, which a terminal would obey.
pub(super) fn shown(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
