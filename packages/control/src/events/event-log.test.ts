/** The event log on a real database: whoever follows it sees each event once and in order, whatever order writers commit in. */
import { silentLog } from '@subcloud/kit/log';
import { eventually } from '@subcloud/testkit/eventually';
import { testDatabase } from '@subcloud/testkit/test-database';
import fc from 'fast-check';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { type Database, openDatabase } from '../store/database.ts';
import { dropEvents, insertEvents } from '../store/events.ts';
import { type EventLog, createEventLog } from './event-log.ts';

const event = (name: string) =>
  ({ kind: 'principal.created', node: null, subcloud: null, actor: 'admin', reason: name, detail: {} }) as const;
const settled = (): Promise<void> => Promise.resolve();
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

async function open(): Promise<Database & AsyncDisposable> {
  const { connectionString } = await testDatabase();
  const db = openDatabase(connectionString, silentLog);
  return Object.assign(db, { [Symbol.asyncDispose]: () => db.destroy() });
}

/** Reads until it has seen `last`, from `place` on, in batches of any size. */
async function readTo(log: EventLog, last: string, place: number, limit: number, seen: string[]): Promise<number> {
  let at = place;
  for (;;) {
    const { events, upTo } = await log.after(at, limit);
    seen.push(...events.map(({ reason }) => reason));
    at = upTo;
    if (seen.includes(last)) return at;
    await log.caughtUp();
    await turns(1);
  }
}

test('a writer waits for one that wrote before it, so that no later id is seen while an earlier one may still come', async () => {
  await using db = await open();
  const log = createEventLog({ db, settled, log: silentLog });
  const { head } = await log.follow(() => undefined);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let hasWritten = false;
  const slow = db.transaction().execute(async (tx) => {
    await insertEvents(tx, [event('slow')], 1);
    hasWritten = true;
    await held;
  });
  await eventually('the first has written', () => hasWritten);
  const fast = db.transaction().execute((tx) => insertEvents(tx, [event('fast')], 2));
  await eventually('the second waits for the lock', async () => {
    const { rows } = await sql`select pid from pg_locks where locktype = 'advisory' and not granted`.execute(db);
    return rows.length > 0;
  });
  await log.caughtUp();
  expect((await log.after(head, 10)).events).toEqual([]);
  release();
  await Promise.all([slow, fast]);
  await log.caughtUp();
  expect((await log.after(head, 10)).events.map(({ reason }) => reason)).toEqual(['slow', 'fast']);
});

test('many writers at once, some that give up, and readers that leave and come back: nothing lost, nothing doubled, one order', async () => {
  await using db = await open();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          events: fc.integer({ min: 1, max: 5 }),
          open: fc.integer({ min: 0, max: 40 }),
          fails: fc.boolean(),
        }),
        { minLength: 4, maxLength: 14 },
      ),
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
      async (writers, limits) => {
        run += 1;
        const log = createEventLog({ db, settled, log: silentLog });
        const first = await log.follow(() => undefined);
        const done: string[] = [];
        const writing = Promise.all(
          writers.map(async ({ events, open: openFor, fails }, writer) => {
            const names = Array.from({ length: events }, (_, index) => `${run}.${writer}.${index}`);
            await turns(openFor % 7);
            await db
              .transaction()
              .execute(async (tx) => {
                await insertEvents(tx, names.map(event), run);
                await turns(openFor);
                if (fails) throw new Error('given up');
              })
              .then(() => done.push(...names))
              .catch((error: unknown) => expect(String(error)).toContain('given up'));
          }),
        ).then(() => db.transaction().execute((tx) => insertEvents(tx, [event(`${run}.last`)], run)));
        const readers = limits.map(async (limit) => {
          const seen: string[] = [];
          let at = first.head;
          // A reader that goes and comes back has its place and nothing else; every other one gets a log of its own.
          for (let visit = 0; !seen.includes(`${run}.last`); visit += 1) {
            const mine = visit % 2 === 0 ? log : createEventLog({ db, settled, log: silentLog });
            const { stop } = visit % 2 === 0 ? first : await mine.follow(() => undefined);
            const { events, upTo } = await mine.after(at, limit);
            seen.push(...events.map(({ reason }) => reason));
            at = upTo;
            if (visit % 2 === 1) stop();
            else await mine.caughtUp();
            await turns(1);
          }
          return seen;
        });
        const all = await Promise.all(readers);
        await writing;
        const stored = await db.selectFrom('events').select('reason').where('at', '=', run).orderBy('id').execute();
        const order = stored.map(({ reason }) => reason);
        expect([...order].sort()).toEqual([...done, `${run}.last`].sort());
        for (const seen of all) expect(seen).toEqual(order);
        first.stop();
      },
    ),
    { numRuns: 25 },
  );
}, 60_000);

test('an event is given out only when the world has it, and a world that is not known holds it back', async () => {
  await using db = await open();
  let settle: 'ends' | 'fails' = 'fails';
  const log = createEventLog({
    db,
    settled: () => (settle === 'ends' ? Promise.resolve() : Promise.reject(new Error('not known'))),
    log: silentLog,
  });
  settle = 'ends';
  const { head } = await log.follow(() => undefined);
  settle = 'fails';
  await db.transaction().execute((tx) => insertEvents(tx, [event('one')], 1));
  await log.caughtUp();
  expect((await log.after(head, 10)).events).toEqual([]);
  settle = 'ends';
  await log.caughtUp();
  expect((await log.after(head, 10)).events.map(({ reason }) => reason)).toEqual(['one']);
});

test('whoever comes back to a place of which something has been dropped is told so, whoever missed nothing goes on', async () => {
  await using db = await open();
  for (const [index, name] of ['a', 'b', 'c', 'd'].entries())
    await db.transaction().execute((tx) => insertEvents(tx, [event(name)], 1_000 + index));
  const ids = (await db.selectFrom('events').select('id').orderBy('id').execute()).map(({ id }) => id);
  await dropEvents(db, 1_002);
  const log = createEventLog({ db, settled, log: silentLog });
  await log.follow(() => undefined);
  const [a = 0, b = 0] = ids;
  await expect(log.after(a, 10)).rejects.toMatchObject({ code: 'client.events_gone' });
  expect((await log.after(b, 10)).events.map(({ reason }) => reason)).toEqual(['c', 'd']);
  // Also where nothing is left to read, after a restart.
  await dropEvents(db, 9_000);
  const later = createEventLog({ db, settled, log: silentLog });
  const { head } = await later.follow(() => undefined);
  await expect(later.after(b, 10)).rejects.toMatchObject({ code: 'client.events_gone' });
  expect((await later.after(head, 10)).events).toEqual([]);
});

test('a log that is longer than what is in memory is read from the store without a seam', async () => {
  await using db = await open();
  const log = createEventLog({ db, settled, log: silentLog });
  const { head } = await log.follow(() => undefined);
  const names = Array.from({ length: 4_500 }, (_, index) => `n${index}`);
  await db.transaction().execute((tx) => insertEvents(tx, names.map(event), 1));
  await log.caughtUp();
  const seen: string[] = [];
  await readTo(log, 'n4499', head, 700, seen);
  expect(seen).toEqual(names);
});
