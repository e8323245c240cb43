/** Two replicas on one real database: one leads, nothing of an old term reaches the store, and what it has begun is waited for. */
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { silentLog } from '@subcloud/kit/log';
import { systemClock } from '@subcloud/kit/clock';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { testDatabase } from '@subcloud/testkit/test-database';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { openDatabase } from '../store/database.ts';
import { LEADER_TERM_MS, type Leadership, lead } from './leadership.ts';

async function replica(databaseUrl: string, onStandby: () => void = () => undefined): Promise<Leadership> {
  return lead({
    databaseUrl,
    clock: systemClock,
    log: silentLog,
    signal: new AbortController().signal,
    onStandby: () => Promise.resolve(onStandby()),
  });
}

const principal = (id: string) => ({ id, created_at: 1 });
/** What a leader that stopped renewing looks like to others, without the waiting. */
const expire = (databaseUrl: string): Promise<unknown> =>
  withClient(databaseUrl, (client) =>
    client.query('update leader set renewed_at = renewed_at - $1, holder = $2', [LEADER_TERM_MS, 'elsewhere x/1']),
  );

test('one leads, another stands by and takes over at once when the lead is given up', async () => {
  const { connectionString } = await testDatabase();
  const first = await replica(connectionString);
  expect(first.held()).toBe(true);
  let stoodBy = false;
  const second = replica(connectionString, () => {
    stoodBy = true;
  });
  await expect.poll(() => stoodBy).toBe(true);
  await first.release();
  expect(first.held()).toBe(false);
  const leads = await second;
  expect(leads.fence).toBe(first.fence + 1);
  expect(leads.held()).toBe(true);
  await leads.release();
});

test('nothing of an old term is written: no transaction, no single statement, and it hears that it is over', async () => {
  const { connectionString } = await testDatabase();
  const first = await replica(connectionString);
  const old = openDatabase(connectionString, silentLog, { number: first.fence, onRefused: first.revoke });
  await old.insertInto('principals').values(principal('user:before')).execute();
  await expire(connectionString);
  const second = await replica(connectionString);
  const refused = { code: 'platform.standby' };
  const writes: readonly (() => Promise<unknown>)[] = [
    () => old.insertInto('principals').values(principal('user:single')).execute(),
    () => old.updateTable('network').set({ epoch: 99 }).execute(),
    () => old.deleteFrom('principals').execute(),
    () => sql`update leader set fence = 77`.execute(old),
    () => sql`with gone as (delete from principals returning id) select id from gone`.execute(old),
    () => old.transaction().execute((tx) => tx.insertInto('principals').values(principal('user:tx')).execute()),
  ];
  for (const write of writes) await expect(write()).rejects.toMatchObject(refused);
  await first.lost;
  expect(first.held()).toBe(false);
  // To read is no harm.
  expect(await old.selectFrom('principals').select('id').execute()).toEqual([{ id: 'user:before' }]);
  const current = openDatabase(connectionString, silentLog, { number: second.fence, onRefused: second.revoke });
  await current.insertInto('principals').values(principal('user:after')).execute();
  expect(second.held()).toBe(true);
  await old.destroy();
  await current.destroy();
  await second.release();
});

test('a transaction that the old leader has under way ends before the new one begins, and its commit counts', async () => {
  const { connectionString } = await testDatabase();
  const first = await replica(connectionString);
  const old = openDatabase(connectionString, silentLog, { number: first.fence, onRefused: first.revoke });
  let commit: () => void = () => undefined;
  const mayCommit = new Promise<void>((resolve) => {
    commit = resolve;
  });
  let begun: () => void = () => undefined;
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const change = old.transaction().execute(async (tx) => {
    await tx.insertInto('principals').values(principal('user:late')).execute();
    begun();
    await mayCommit;
  });
  await hasBegun;
  await expire(connectionString);
  const order: string[] = [];
  const second = replica(connectionString).then((leads) => {
    order.push('leads');
    return leads;
  });
  await expect
    .poll(() =>
      withClient(connectionString, async (client) => {
        const { rows } = await client.query<{ waiting: string }>(
          "select count(*) as waiting from pg_locks where locktype = 'advisory' and not granted",
        );
        return Number(rows[0]?.waiting);
      }),
    )
    .toBe(1);
  order.push('commits');
  commit();
  await change;
  const leads = await second;
  expect(order).toEqual(['commits', 'leads']);
  await leads.release();
  await old.destroy();
});

test('a leader that cannot renew stops by its own clock before anybody may take over', async () => {
  const { connectionString } = await testDatabase();
  const clock = virtualClock();
  const alone = await lead({
    databaseUrl: connectionString,
    clock: { ...clock, every: (periodMs) => clock.after(periodMs * 1_000_000, () => undefined) },
    log: silentLog,
    signal: new AbortController().signal,
    onStandby: () => Promise.resolve(),
  });
  clock.advance(LEADER_TERM_MS - 1_001);
  expect(alone.held()).toBe(true);
  clock.advance(1);
  expect(alone.held()).toBe(false);
});
