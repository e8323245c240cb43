import { expect, test } from 'vitest';
import { killRounds } from './kill-rounds.ts';

/** Promise 6 with real processes. More rounds: `npm run crash -- --rounds 10`. */
test('kill -9 of each part under load loses nothing that was acknowledged and counts each answer once', async () => {
  const [round] = await killRounds(1);
  expect(round?.kills.map(({ victims }) => victims.length)).toEqual([1, 1, 1, 1, 4]);
  expect(round).toMatchObject({ notCountedOnce: [], lost: [], servedAfterRevocation: [] });
}, 400_000);
