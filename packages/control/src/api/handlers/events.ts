import { eventReader } from '../../events/audience.ts';
import { type StoredEvent, eventsBefore, matches } from '../../events/event-log.ts';
import { eventFilter, eventView, placeOf } from '../../events/event-view.ts';
import type { Handlers } from '../context.ts';

/** Rows that one page looks through at most: a reader of little gets short pages, not a long wait. */
const MAX_LOOKED_THROUGH = 5_000;
const BATCH = 1_000;

export const eventHandlers: Pick<Handlers, 'listEvents'> = {
  async listEvents({ db, loop, events: { cursors } }, { query }, actor) {
    const { world } = loop;
    let before = query.cursor === undefined ? undefined : placeOf(cursors, query.cursor, 'cursor');
    const filter = eventFilter(world, actor, query);
    const found: StoredEvent[] = [];
    let isEnd = false;
    for (let seen = 0; seen < MAX_LOOKED_THROUGH && found.length < query.limit && !isEnd; seen += BATCH) {
      const rows = await eventsBefore(db, before, filter, BATCH);
      isEnd = rows.length < BATCH;
      const reader = eventReader(world, actor);
      for (const event of rows) {
        if (found.length === query.limit) {
          isEnd = false;
          break;
        }
        before = event.id;
        if (matches(filter, event) && reader.mayRead(event)) found.push(event);
      }
    }
    const reader = eventReader(world, actor);
    return {
      items: found.filter(reader.mayRead).map((event) => eventView({ world, cursors, reader }, event)),
      next: isEnd || before === undefined ? null : cursors.placeOf(before),
    };
  },
};
