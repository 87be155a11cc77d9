//! Acceptance rules for the feed of a calendar that surges follow.
//!
//! A third party writes the feed. The planner applies each move and each cancellation in the feed
//! to `status.entries`. A feed that is broken, empty or much smaller is more likely faulty than
//! correct. The planner then keeps the last accepted copy until a person sets `spec.acceptDigest`.

use std::hash::Hasher;

use chrono::TimeDelta;
use siphasher::sip::SipHasher13;

use crate::Instant;
use crate::schedule::{Rule, Schedule, When};
use crate::state::calendar::{CalendarRecord, CalendarStatus, Entry, Feed, Reading};
use crate::state::condition::{ConditionReason, ConditionType, condition, set_condition};

/// Largest number of events in `status.entries`: the earliest 64. The CRD schema has the same
/// limit.
pub const KEPT: usize = 64;

/// Minimum interval between two updates of `status.lastReadTime` while the feed does not change.
pub const SAID_AGAIN: TimeDelta = TimeDelta::minutes(5);

/// Span before `now` from which the feed reader keeps events, and the largest age of a usable read.
///
/// A clock that is less than 8 days fast therefore misses no event. The planner ignores a read
/// whose time differs from `now` by 8 days or more, because a wrong clock wrote the time.
pub const LOOKED_BACK: TimeDelta = TimeDelta::days(8);

/// Span after `now` from which the feed reader keeps events. The 400 days include the next
/// occurrence of a yearly event.
pub const LOOKED_AHEAD: TimeDelta = TimeDelta::days(400);

/// Longest duration of an event. The planner cuts a longer event from a feed to 7 days.
pub const LONGEST: TimeDelta = TimeDelta::days(7);

impl Feed {
    /// Returns the digest of the feed: a `SipHash` of the total and of each event's id, start and
    /// end. A person copies the digest to `spec.acceptDigest` to accept a feed that the planner
    /// rejects.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = SipHasher13::new();
        hasher.write_u64(self.total);
        for entry in &self.entries {
            hasher.write(entry.id.as_bytes());
            hasher.write_i64(entry.start_time.timestamp());
            hasher.write_i64(entry.end_time.map_or(-1, |end| end.timestamp()));
        }
        format!("{:016x}", hasher.finish())
    }
}

impl CalendarStatus {
    /// True if the operator has read and accepted the feed at least once.
    #[must_use]
    pub fn was_read(&self) -> bool {
        self.last_read_time.is_some()
    }

    /// Returns the message of the `Ready` condition if that condition is not `True`, or if the
    /// reader left out an event.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        let lost = self.left_out.is_some();
        let ready = condition(&self.conditions, ConditionType::Ready);
        ready.filter(|ready| lost || !ready.holds()).map(|ready| ready.message.as_str())
    }

    /// Returns the events of the calendar as a schedule with a one-off rule for each event.
    ///
    /// An event without an end lasts `unless_said`. The schedule takes the time zone and the
    /// excluded days from `like`.
    #[must_use]
    pub fn schedule(&self, like: &Schedule, unless_said: TimeDelta) -> Schedule {
        let rule = |entry: &Entry| {
            let says = entry.end_time.map(|end| end - entry.start_time);
            let without = says
                .is_none()
                .then(|| format!("the calendar says no end: {} s", unless_said.num_seconds()));
            let cut = says
                .filter(|says| *says > LONGEST)
                .map(|says| format!("the calendar says {} days: 7 are the most", says.num_days()));
            let notes = entry.note.clone().into_iter().chain(without).chain(cut);
            let notes: Vec<String> = notes.collect();
            Rule {
                name: None,
                when: When::Once(entry.start_time),
                duration: says.unwrap_or(unless_said).min(LONGEST),
                event: Some(entry.id.clone()),
                note: (!notes.is_empty()).then(|| notes.join("; ")),
            }
        };
        Schedule { rules: self.entries.iter().map(rule).collect(), ..like.clone() }
    }
}

/// Returns the status of a calendar after a read of the feed.
///
/// An untrusted clock may make events seem to be over or far in the future. While `in_doubt` is
/// true, the function therefore moves and adds events but removes none.
///
/// The function is long because each outcome of the read writes the same fields of the status.
#[must_use]
pub fn read(
    calendar: &CalendarRecord,
    reading: Option<&Reading>,
    in_doubt: bool,
    now: Instant,
) -> CalendarStatus {
    let mut status = CalendarStatus {
        observed_generation: Some(calendar.generation),
        ..calendar.status.clone()
    };
    let spec = match &calendar.spec {
        Ok(spec) => spec,
        Err(reasons) => {
            status.say(false, ConditionReason::Invalid, reasons.join("; "), now);
            return status;
        }
    };
    let of_today = |reading: &&Reading| (now - reading.at).abs() < LOOKED_BACK;
    let Some(reading) = reading.filter(|r| r.what == spec.what).filter(of_today) else {
        return calendar.status.clone();
    };
    let feed = match &reading.found {
        Ok(feed) => feed,
        Err(why) => {
            let kept = status.last_read_time.map_or_else(
                || "nothing was read yet".to_owned(),
                |at| format!("the copy of {} counts", at.format("%Y-%m-%dT%H:%M:%SZ")),
            );
            status.say(false, ConditionReason::Unreadable, format!("{why}; {kept}"), now);
            return status;
        }
    };
    let digest = feed.digest();
    let accepted = spec.accept_digest.as_ref() == Some(&digest);
    let is_another = status.following.as_ref() != Some(&spec.what);
    if let Some(why) = shrunk(&status, feed, now).filter(|_| !accepted && !is_another) {
        let how = format!("{why}; nothing is called off until spec.acceptDigest is \"{digest}\"");
        status.pending_digest = Some(digest);
        status.say(false, ConditionReason::Shrunk, how, now);
        return status;
    }
    let goes_on = |e: &&Entry| e.end_time.unwrap_or(e.start_time + TimeDelta::days(1)) > now;
    let kept: Vec<Entry> = if in_doubt && !is_another {
        with_all(&status.entries, &feed.entries)
    } else {
        feed.entries.iter().filter(goes_on).take(KEPT).cloned().collect()
    };
    let news = is_another || status.entries != kept || status.total != Some(feed.total);
    let said = status.last_read_time;
    if news || said.is_none_or(|said| reading.at - said >= SAID_AGAIN) {
        status.last_read_time = Some(reading.at);
    }
    status.following = Some(spec.what.clone());
    (status.entries, status.total, status.pending_digest) = (kept, Some(feed.total), None);
    status.left_out = (feed.unreadable > 0).then_some(feed.unreadable);
    let coming = match status.entries.len() {
        1 => "1 event to come".to_owned(),
        n => format!("{n} events to come"),
    };
    let problems = feed.problems.first().map(|first| match feed.unreadable {
        0 | 1 => format!("; left out: {first}"),
        n => format!("; left out: {first}, and {} more", n - 1),
    });
    status.say(
        true,
        ConditionReason::Read,
        format!("{coming}{}", problems.unwrap_or_default()),
        now,
    );
    status
}

impl CalendarStatus {
    fn say(&mut self, ready: bool, reason: ConditionReason, message: String, now: Instant) {
        set_condition(&mut self.conditions, ConditionType::Ready, ready, reason, message, now);
    }
}

/// Returns the known events with the times that the feed has now, then new events of the feed, at
/// most [`KEPT`] events in total.
fn with_all(known: &[Entry], feed: &[Entry]) -> Vec<Entry> {
    let now_at = |old: &Entry| feed.iter().find(|e| e.id == old.id).unwrap_or(old).clone();
    let is_new = |e: &&Entry| known.iter().all(|old| old.id != e.id);
    let new = feed.iter().filter(is_new).cloned();
    let mut all: Vec<Entry> = known.iter().map(now_at).chain(new).take(KEPT).collect();
    all.sort();
    all
}

/// Returns the reason to reject a feed, or `None` if the feed is credible.
///
/// The function rejects a feed whose total is less than half of `status.total`. An event to come is
/// missing if the feed has no event with the same id or the same start time. An event that the feed
/// itself cancels is not missing. The function rejects a feed with missing events in four cases:
///
/// - More than half of at least three events to come are missing.
/// - All events to come are missing.
/// - The previous feed was rejected (`status.pendingDigest` is set).
/// - The feed has more unreadable events than `status.leftOut`.
fn shrunk(before: &CalendarStatus, feed: &Feed, now: Instant) -> Option<String> {
    let total = before.total.unwrap_or_default();
    if feed.total * 2 < total {
        return Some(format!("the feed has {} of {total} events", feed.total));
    }
    let to_come: Vec<&Entry> = before.entries.iter().filter(|e| e.start_time > now).collect();
    let is_there = |entry: &Entry| {
        feed.cancelled.contains(&entry.id)
            || feed.entries.iter().any(|e| e.id == entry.id || e.start_time == entry.start_time)
    };
    let gone = to_come.iter().filter(|entry| !is_there(entry)).count();
    let most = to_come.len() >= 3 && gone * 2 > to_come.len();
    let garbled = feed.unreadable > before.left_out.unwrap_or_default();
    let doubtful = most || gone == to_come.len() || before.pending_digest.is_some() || garbled;
    (gone > 0 && doubtful)
        .then(|| format!("{gone} of {} events to come are gone from the feed", to_come.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::calendar::CalendarSpec;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn now() -> Instant {
        at("2026-11-22T00:00:00Z")
    }

    fn entry(id: &str, start: &str) -> Entry {
        let start_time = at(start);
        let end_time = Some(start_time + TimeDelta::hours(2));
        Entry { start_time, id: id.into(), title: "Capital".into(), end_time, note: None }
    }

    fn sundays(count: i64) -> Vec<Entry> {
        let start = |n: i64| (at("2026-11-22T19:50:00Z") + TimeDelta::weeks(n)).to_rfc3339();
        (0..count).map(|n| entry(&format!("show/{n}"), &start(n))).collect()
    }

    fn feed(entries: Vec<Entry>) -> Feed {
        Feed { total: entries.len() as u64, entries, ..Feed::default() }
    }

    fn calendar() -> CalendarRecord {
        CalendarRecord {
            name: "m6".into(),
            generation: 1,
            spec: Ok(CalendarSpec { what: "guide".into(), accept_digest: None }),
            status: CalendarStatus::default(),
        }
    }

    fn look(calendar: &mut CalendarRecord, found: Result<Feed, String>) -> (String, String) {
        let reading = Reading { what: "guide".into(), at: now(), found };
        calendar.status = read(calendar, Some(&reading), false, now());
        let ready = calendar.status.conditions.first().unwrap();
        (ready.reason.clone(), ready.message.clone())
    }

    #[test]
    fn what_a_feed_moves_is_moved_and_what_it_calls_off_is_called_off() {
        let mut m6 = calendar();
        assert_eq!(look(&mut m6, Ok(feed(sundays(4)))).1, "4 events to come");
        let mut later = feed(sundays(3));
        later.entries[0] = entry("show/0", "2026-11-22T20:02:00Z");
        assert_eq!(look(&mut m6, Ok(later.clone())).0, "Read");
        assert_eq!(m6.status.entries, later.entries);
        let cancelled = Feed {
            cancelled: ["show/0", "show/1", "show/2"].map(Into::into).into(),
            total: 3,
            ..Feed::default()
        };
        assert_eq!(look(&mut m6, Ok(cancelled)).1, "0 events to come");
    }

    #[test]
    fn a_feed_that_breaks_or_shrinks_calls_nothing_off_by_itself() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        let good = m6.status.entries.clone();
        let (reason, said) = look(&mut m6, Err("HTTP 500".into()));
        assert_eq!(
            (reason.as_str(), said.as_str()),
            ("Unreadable", "HTTP 500; the copy of 2026-11-22T00:00:00Z counts")
        );
        assert_eq!(look(&mut m6, Ok(feed(vec![]))).0, "Shrunk");
        assert_eq!(look(&mut m6, Ok(feed(sundays(1)))).0, "Shrunk");
        // The feed has as many events as before, but all are different: the publisher renamed a
        // channel.
        let others = Feed { total: 4, ..feed(vec![entry("other", "2026-12-01T00:00:00Z")]) };
        assert_eq!(
            look(&mut m6, Ok(others)).1.split(';').next(),
            Some("4 of 4 events to come are gone from the feed")
        );
        assert_eq!(m6.status.entries, good);
        assert_eq!(m6.status.trouble().map(str::is_empty), Some(false));
    }

    #[test]
    fn doubt_does_not_pass_with_time_and_the_only_event_is_not_lost() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(3))));
        let renamed = Feed { total: 3, ..Feed::default() };
        look(&mut m6, Ok(renamed.clone()));
        let later = now() + TimeDelta::days(10);
        let reading = Reading { what: "guide".into(), at: later, found: Ok(renamed) };
        assert_eq!(read(&m6, Some(&reading), false, later).entries.len(), 3, "one to come is left");
        let mut m6 = calendar();
        look(&mut m6, Ok(Feed { total: 50, ..feed(sundays(1)) }));
        assert_eq!(look(&mut m6, Ok(Feed { total: 49, ..Feed::default() })).0, "Shrunk");
        // The planner accepts a feed that loses one of two events: the publisher cancelled that
        // event. The planner rejects the same loss if an event of the feed has become unreadable.
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(2))));
        let garbled = Feed { total: 2, unreadable: 1, ..feed(sundays(1)) };
        assert_eq!(look(&mut m6, Ok(garbled)).0, "Shrunk");
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(2))));
        assert_eq!(look(&mut m6, Ok(feed(sundays(1)))).1, "1 event to come");
    }

    #[test]
    fn a_person_can_say_that_so_little_is_right() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        look(&mut m6, Ok(feed(vec![])));
        m6.spec = Ok(CalendarSpec {
            what: "guide".into(),
            accept_digest: m6.status.pending_digest.clone(),
        });
        assert_eq!(look(&mut m6, Ok(feed(vec![]))).0, "Read");
        assert_eq!((m6.status.entries.len(), m6.status.pending_digest.clone()), (0, None));
    }

    #[test]
    fn ids_that_are_new_at_each_look_are_the_same_events() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        let mut renamed = sundays(4);
        for entry in &mut renamed {
            entry.id.push_str("-b");
        }
        assert_eq!(look(&mut m6, Ok(feed(renamed))).0, "Read");
    }

    #[test]
    fn another_feed_is_not_compared_and_an_older_look_says_nothing() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        m6.spec = Ok(CalendarSpec { what: "another".into(), accept_digest: None });
        let before = m6.status.clone();
        look(&mut m6, Ok(feed(vec![])));
        assert_eq!(m6.status, before, "that look was at the guide");
        let reading = Reading { what: "another".into(), at: now(), found: Ok(feed(sundays(1))) };
        assert_eq!(read(&m6, Some(&reading), false, now()).entries.len(), 1);
    }

    #[test]
    fn by_a_wrong_clock_events_move_and_come_and_none_goes() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        let later = now() + TimeDelta::days(60);
        let by_it = |found: Feed| {
            let reading = Reading { what: "guide".into(), at: later, found: Ok(found) };
            read(&m6, Some(&reading), true, later).entries
        };
        assert_eq!(by_it(feed(sundays(3))), m6.status.entries);
        let mut moved = sundays(4);
        moved[0] = entry("show/0", "2026-11-22T20:02:00Z");
        assert_eq!(by_it(feed(moved.clone())), moved);
        assert_eq!(by_it(feed(sundays(5))), sundays(5));
        let crowd = (0..100).map(|n| entry(&format!("n/{n}"), "2026-11-15T00:00:00Z"));
        let crowded = by_it(feed(crowd.chain(sundays(4)).collect()));
        assert!(sundays(4).iter().all(|e| crowded.contains(e)) && crowded.len() == KEPT);
    }

    #[test]
    fn a_look_by_a_wrong_clock_is_forgotten() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        for wrong in [now() - TimeDelta::days(700), now() + TimeDelta::days(700)] {
            let reading = Reading {
                what: "guide".into(),
                at: wrong,
                found: Ok(feed(sundays(4).split_off(3))),
            };
            assert_eq!(read(&m6, Some(&reading), false, now()), m6.status);
        }
    }

    #[test]
    fn that_it_was_read_again_is_said_now_and_then() {
        let mut m6 = calendar();
        look(&mut m6, Ok(feed(sundays(4))));
        let again = |seconds: i64| {
            let at = now() + TimeDelta::seconds(seconds);
            let reading = Reading { what: "guide".into(), at, found: Ok(feed(sundays(4))) };
            read(&m6, Some(&reading), false, at).last_read_time.unwrap()
        };
        assert_eq!(again(60), now());
        assert_eq!(again(300), now() + TimeDelta::minutes(5));
    }
}
