import { expect, test } from 'vitest';
import { GATEWAY_ATTACKS, growthOf, runAgentCampaign, runCampaign } from './campaign.ts';

/** The hour is `npm run fuzz -- --minutes 60 --seed N`; a failing seed and step are in the message. */
const DURATION_MS = 8_000;
const SEED = 20_261_125;

test('attacks from callers and machines abort nothing, leave nothing behind, and honest callers are served on', async () => {
  const campaign = await runCampaign({ seed: SEED, durationMs: DURATION_MS });
  expect(growthOf(campaign)).toEqual([]);
  expect(campaign.honest).toBeGreaterThan(5);
  expect(campaign.byAttack.size).toBeGreaterThan(GATEWAY_ATTACKS.length / 2);
}, 240_000);

test('attacks of a gateway abort no agent, leave nothing behind, and a sound gateway is served on', async () => {
  const campaign = await runAgentCampaign({ seed: SEED, durationMs: DURATION_MS });
  expect(growthOf(campaign)).toEqual([]);
  expect(campaign.honest).toBeGreaterThan(1);
}, 240_000);
