/** Quotas on a real database: however many ask at once, in separate transactions, nobody comes to have more than the limit. */
import { silentLog } from '@subcloud/kit/log';
import { testDatabase } from '@subcloud/testkit/test-database';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Actor } from '../access/actor.ts';
import { openDatabase } from '../store/database.ts';
import { nobody } from '../world/people.ts';
import type { World } from '../world/world.ts';
import { requireRoom, usedBy } from './quotas.ts';

const world = { people: nobody() } as unknown as World;
const actor: Actor = { kind: 'admin', action: 'subcloud.apply' };
const OWNERS = ['org:acme', 'team:acme/ml', 'team:acme/web', 'team:acmeother/x', 'user:solo'] as const;

test('many that add at once, for an organisation and its teams, come to the limit exactly and never past it', async () => {
  const { connectionString } = await testDatabase();
  const db = openDatabase(connectionString, silentLog);
  let run = 0;
  await db
    .insertInto('principals')
    .values(OWNERS.map((id) => ({ id, created_at: 1 })))
    .execute();
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 6 }),
        fc.array(fc.constantFrom(...OWNERS), { minLength: 1, maxLength: 14 }),
        async (limit, owners) => {
          run += 1;
          await db.deleteFrom('subclouds').execute();
          const limits = JSON.stringify({ subclouds: limit });
          await db
            .insertInto('quotas')
            .values({ holder: '', limits })
            .onConflict((conflict) => conflict.column('holder').doUpdateSet({ limits }))
            .execute();
          const outcomes = await Promise.all(
            owners.map(async (owner, index) => {
              try {
                await db.transaction().execute(async (tx) => {
                  await requireRoom(tx, { world, actor, owner, adds: { subclouds: 1 }, nowMs: 1 });
                  const id = `sub_${run}_${index}`;
                  const times = { created_at: 1, updated_at: 1, deleted_at: null };
                  await tx
                    .insertInto('subclouds')
                    .values({ id, name: id, owner, revision: 1, ...times })
                    .execute();
                });
                return 'done';
              } catch (error) {
                expect(error).toMatchObject({ code: 'policy.quota_exceeded' });
                return 'refused';
              }
            }),
          );
          for (const holder of ['org:acme', 'org:acmeother', 'user:solo'] as const) {
            const asked = owners.map((owner, index) => [holderOf(owner), outcomes[index]]);
            const done = asked.filter(([who, outcome]) => who === holder && outcome === 'done').length;
            const wanted = asked.filter(([who]) => who === holder).length;
            expect([holder, done]).toEqual([holder, Math.min(wanted, limit)]);
            expect((await usedBy(db, holder, 1)).subclouds).toBe(done);
          }
        },
      ),
      { numRuns: 40 },
    );
  } finally {
    await db.destroy();
  }
}, 60_000);

function holderOf(owner: (typeof OWNERS)[number]): string {
  return owner.startsWith('team:') ? `org:${owner.slice(5).split('/')[0] ?? ''}` : owner;
}
