import { expect, test } from 'vitest';
import { unseen, untilSeen } from './until-seen.ts';

test('what is rare is seen in a later round, and nothing runs after that', async () => {
  const seen = new Set<string>();
  let rounds = 0;
  const missing = await untilSeen(
    () => {
      rounds += 1;
      seen.add('often');
      if (rounds === 3) seen.add('rare');
    },
    () => unseen(['often', 'rare'], seen),
  );
  expect({ missing, rounds }).toEqual({ missing: [], rounds: 3 });
});

test('what is out of reach is named in the end', async () => {
  const seen = new Set(['often']);
  expect(
    await untilSeen(
      () => undefined,
      () => unseen(['often', 'never'], seen),
    ),
  ).toEqual(['never']);
});
