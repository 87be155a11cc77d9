//! Each calendar says what was read of its feed and what of that counts.

use super::{Draft, Record};
use crate::Instant;
use crate::calendar::{self, CalendarRecord};
use crate::world::World;

pub(super) fn plan(calendar: &CalendarRecord, world: &World, now: Instant, draft: &mut Draft) {
    let in_doubt = !world.trusts_its_clock(now);
    let reading = world.readings.get(&calendar.name).map(AsRef::as_ref);
    let status = calendar::read(calendar, reading, in_doubt, now);
    if status != calendar.status {
        let calendar = calendar.name.clone();
        draft.record(Record::CalendarStatus { calendar, status: Box::new(status) });
    }
}
