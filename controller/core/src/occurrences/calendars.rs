//! Pass 1: the status of each `SurgeCalendar` after a read of the feed.

use crate::Instant;
use crate::calendar;
use crate::output::{Draft, Record};
use crate::state::calendar::CalendarRecord;
use crate::state::world::World;

pub(crate) fn plan(calendar: &CalendarRecord, world: &World, now: Instant, draft: &mut Draft) {
    let in_doubt = !world.trusts_its_clock(now);
    let reading = world.readings.get(&calendar.name).map(AsRef::as_ref);
    let status = calendar::read(calendar, reading, in_doubt, now);
    if status != calendar.status {
        let calendar = calendar.name.clone();
        draft.record(Record::CalendarStatus { calendar, status: Box::new(status) });
    }
}
