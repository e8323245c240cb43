import { expect, test } from 'vitest';
import { GATEWAY_ATTACKS, growthOf, runCampaign } from './campaign.ts';

/** The hour is `npm run fuzz -- --minutes 60 --seed N`; a failing seed and step are in the message. */
const DURATION_MS = 15_000;

test('attacks from callers and machines abort nothing, leave nothing behind, and honest callers are served on', async () => {
  const campaign = await runCampaign({ seed: 20_261_125, durationMs: DURATION_MS });
  expect(growthOf(campaign)).toEqual([]);
  expect(campaign.honest).toBeGreaterThan(10);
  expect(campaign.byAttack.size).toBeGreaterThan(GATEWAY_ATTACKS.length / 2);
}, 240_000);
