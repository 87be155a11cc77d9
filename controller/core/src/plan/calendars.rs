//! Each calendar says what was read of its feed and what of that counts.

use super::{Draft, Record};
use crate::Instant;
use crate::calendar::{self, CalendarRecord};
use crate::world::World;

pub(super) fn plan(calendar: &CalendarRecord, world: &World, now: Instant, draft: &mut Draft) {
    // By a wrong clock everything may be over, or far away.
    if world.clock_error.is_some() && calendar.status.was_read() {
        return;
    }
    let status = calendar::read(calendar, world.readings.get(&calendar.name), now);
    if status != calendar.status {
        let calendar = calendar.name.clone();
        draft.record(Record::CalendarStatus { calendar, status: Box::new(status) });
    }
}
