/**
 * The event log, read in order by many at once. The newest part is in memory: one query a turn of control reads what is
 * new, however many follow. What is older comes from the store, in the same order.
 *
 * Nothing is lost and nothing is doubled because ids follow the order of commits (migration 0018): what a snapshot shows
 * is the log up to some id, and nothing below that id comes later. And nothing is shown before the world has it: who may
 * read an event is asked of the world, so an event is given out only when every turn has ended that was under way when it
 * was read.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Log } from '@subcloud/kit/log';
import type { PrincipalId } from '@subcloud/policy/principal';
import { sql } from 'kysely';
import type { Database } from '../store/database.ts';

export interface StoredEvent {
  readonly id: number;
  readonly atMs: number;
  readonly kind: string;
  /** What the store says of it, also after it was removed. */
  readonly node: { readonly id: string; readonly operator: PrincipalId } | null;
  readonly subcloud: { readonly id: string; readonly name: string; readonly owner: PrincipalId | null } | null;
  readonly principal: PrincipalId | null;
  readonly actor: string;
  readonly reason: string;
  readonly detail: object;
}

export interface EventBatch {
  readonly events: readonly StoredEvent[];
  /** The place up to which these events are all there are. */
  readonly upTo: number;
  /** Whether there is more at once. */
  readonly more: boolean;
}

export interface EventLog {
  /** The place after which a new reader begins, and from now on the log is read for it. */
  follow(onNews: () => void): Promise<{ readonly head: number; readonly stop: () => void }>;
  /** What comes after a place. Throws client.events_gone where some of it is no longer kept. */
  after(place: number, limit: number): Promise<EventBatch>;
  /** Something may have happened: to the log, or to what readers may see. */
  poke(): void;
  /** Resolves when what is committed now has been given to readers. */
  caughtUp(): Promise<void>;
}

const MAX_IN_MEMORY = 2_000;
const READ_BATCH = 1_000;

interface Row {
  dropped_to: number;
  id: number | null;
  at: number;
  kind: string;
  node_id: string | null;
  operator: string | null;
  subcloud_id: string | null;
  name: string | null;
  owner: string | null;
  principal: string | null;
  actor: string;
  reason: string;
  detail: object;
}

/** `settled` resolves when every change of the world that is under way has ended, and rejects where that is not known. */
export function createEventLog(options: {
  readonly db: Database;
  readonly settled: () => Promise<void>;
  readonly log: Log;
}): EventLog {
  const { db, settled, log } = options;
  const listeners = new Set<() => void>();
  /** The log after `from` and up to `head`. */
  let recent: StoredEvent[] = [];
  let from = 0;
  let head = 0;
  let reading: Promise<void> | undefined;
  let isDue = false;

  const advance = async (): Promise<void> => {
    for (;;) {
      const { events } = await eventsAfter(db, head, READ_BATCH);
      const last = events.at(-1);
      if (last === undefined) return;
      await settled();
      recent.push(...events);
      head = last.id;
      if (recent.length > MAX_IN_MEMORY) {
        const dropped = recent.splice(0, recent.length - MAX_IN_MEMORY);
        from = dropped.at(-1)?.id ?? from;
      }
      for (const listener of listeners) listener();
    }
  };
  const poke = (): void => {
    if (listeners.size === 0) return;
    // Rights may have changed without an event.
    for (const listener of listeners) listener();
    void read();
  };
  const read = (): Promise<void> => {
    isDue = true;
    reading ??= (async () => {
      try {
        while (isDue) {
          isDue = false;
          await advance();
        }
      } catch (error) {
        // Readers wait: the next turn, or their next heartbeat, has it read again.
        log.warn({ err: error }, 'reading the event log failed; it is tried again');
      } finally {
        reading = undefined;
      }
    })();
    return reading;
  };

  return {
    async follow(onNews) {
      // Nobody followed: what has happened meanwhile is the store's to tell.
      if (listeners.size === 0) {
        const { rows } = await sql<{
          newest: number;
        }>`select greatest(dropped_to, (select max(id) from events)) as newest from event_log`.execute(db);
        await settled();
        if (listeners.size === 0) {
          recent = [];
          head = Math.max(head, rows[0]?.newest ?? 0);
          from = head;
        }
      }
      listeners.add(onNews);
      void read();
      return { head, stop: () => listeners.delete(onNews) };
    },
    async after(place, limit) {
      if (place >= from) {
        const start = firstAfter(recent, place);
        const events = recent.slice(start, start + limit);
        const more = start + limit < recent.length;
        return { events, upTo: more ? (events.at(-1)?.id ?? head) : Math.max(head, place), more };
      }
      const upTo = head;
      const { events, droppedTo } = await eventsAfter(db, place, limit, upTo);
      if (place < droppedTo) throw new AppError('client.events_gone');
      const more = events.length === limit;
      return { events, upTo: more ? (events.at(-1)?.id ?? upTo) : upTo, more };
    },
    poke,
    caughtUp: () => read(),
  };
}

/** Index of the first event after the place, in events in order. */
function firstAfter(events: readonly StoredEvent[], place: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.id ?? 0) <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One snapshot: what stands after the place, and up to where nothing stands any more. */
async function eventsAfter(
  db: Database,
  place: number,
  limit: number,
  upTo = Number.MAX_SAFE_INTEGER,
): Promise<{ readonly events: readonly StoredEvent[]; readonly droppedTo: number }> {
  const { rows } = await sql<Row>`
    select log.dropped_to, found.* from event_log log left join lateral (
      select e.id, e.at, e.kind, e.node_id, n.operator, e.subcloud_id, s.name, s.owner, e.principal, e.actor, e.reason, e.detail
      from events e left join nodes n on n.id = e.node_id left join subclouds s on s.id = e.subcloud_id
      where e.id > ${place} and e.id <= ${upTo} order by e.id limit ${limit}
    ) found on true order by found.id`.execute(db);
  return { events: rows.flatMap(storedEvent), droppedTo: rows[0]?.dropped_to ?? 0 };
}

export interface EventFilter {
  readonly node?: string | undefined;
  /** The Subcloud's id. */
  readonly subcloud?: string | undefined;
  /** Kinds, or their nouns. */
  readonly kinds?: readonly string[] | undefined;
}

export function matches({ node, subcloud, kinds }: EventFilter, event: StoredEvent): boolean {
  return (
    (node === undefined || event.node?.id === node) &&
    (subcloud === undefined || event.subcloud?.id === subcloud) &&
    (kinds === undefined || kinds.some((kind) => event.kind === kind || event.kind.startsWith(`${kind}.`)))
  );
}

/** What stands before a place, newest first; by node and Subcloud through their indexes. */
export async function eventsBefore(
  db: Pick<Database, 'selectFrom'>,
  place: number | undefined,
  filter: EventFilter,
  limit: number,
): Promise<readonly StoredEvent[]> {
  let select = db
    .selectFrom('events as e')
    .leftJoin('nodes as n', 'n.id', 'e.node_id')
    .leftJoin('subclouds as s', 's.id', 'e.subcloud_id')
    .select(['e.id', 'e.at', 'e.kind', 'e.node_id', 'n.operator', 'e.subcloud_id', 's.name', 's.owner'])
    .select(['e.principal', 'e.actor', 'e.reason', 'e.detail'])
    .orderBy('e.id', 'desc')
    .limit(limit);
  if (place !== undefined) select = select.where('e.id', '<', place);
  if (filter.node !== undefined) select = select.where('e.node_id', '=', filter.node);
  if (filter.subcloud !== undefined) select = select.where('e.subcloud_id', '=', filter.subcloud);
  return (await select.execute()).flatMap(storedEvent);
}

function storedEvent(row: Omit<Row, 'dropped_to'>): StoredEvent[] {
  const { id, node_id, operator, subcloud_id, name, owner, principal } = row;
  if (id === null) return [];
  return [
    {
      id,
      atMs: row.at,
      kind: row.kind,
      node: node_id === null || operator === null ? null : { id: node_id, operator: operator as PrincipalId },
      subcloud:
        subcloud_id === null || name === null ? null : { id: subcloud_id, name, owner: owner as PrincipalId | null },
      principal: principal as PrincipalId | null,
      actor: row.actor,
      reason: row.reason,
      detail: row.detail,
    },
  ];
}
