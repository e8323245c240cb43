import { testDatabase } from '@subcloud/testkit/test-database';
import { expect, test } from 'vitest';
import { runStorm } from './storm.ts';

const AGENTS = 270;

test('control and the gateway start again with a fleet linked: nothing drains, all are back, and the store is left in peace', async () => {
  await using database = await testDatabase();
  const storm = await runStorm({
    databaseUrl: database.connectionString,
    agents: AGENTS,
    say: () => undefined,
    limitMs: 400_000,
  });
  expect(storm.membershipEvents).toEqual([]);
  expect(storm.changedMemberships).toBe(0);
  expect(storm.requests).toEqual({ sent: 60, failed: 0 });
  // What control knows is not written again.
  expect(storm.control.rowsWritten).toBeLessThanOrEqual(20);
  // Each agent declares itself anew over its new link: the node, and how long its two declared claims hold. No document is
  // issued again: the gateway is named in it as before.
  expect(storm.gateway.rowsWritten).toBeLessThanOrEqual(3 * AGENTS + 20);
}, 1_200_000);
