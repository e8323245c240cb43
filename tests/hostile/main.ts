/**
 * `npm run fuzz -- --minutes 60 --seed N [--step N] [--against gateway|agent]`: the campaigns of the suite, for as long as
 * wanted; against both, half of the time each, unless told otherwise. One JSON line a campaign.
 */
import { parseArgs } from 'node:util';
import { growthOf, runAgentCampaign, runCampaign } from './campaign.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    step: { type: 'string' },
    against: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const sides = { gateway: runCampaign, agent: runAgentCampaign };
if (values.help) say('npm run fuzz -- [--minutes 60] [--seed N] [--step N] [--against gateway|agent]');
const chosen = Object.entries(sides).filter(
  ([name]) => !values.help && (values.against === undefined || values.against === name),
);
if (chosen.length === 0 && !values.help) throw new Error('--against gateway or --against agent');
for (const [against, run] of chosen) {
  say(`against the ${against}, seed ${seed}`);
  try {
    const campaign = await run({
      seed,
      durationMs: (Number(values.minutes) * 60_000) / chosen.length,
      onlyStep: values.step === undefined ? undefined : Number(values.step),
      tell: say,
    });
    const { before, after, steps, honest } = campaign;
    const grown = growthOf(campaign);
    for (const [name, count] of [...campaign.byAttack].toSorted(([a], [b]) => a.localeCompare(b)))
      say(`${String(count).padStart(8)} ${name}`);
    process.stdout.write(`${JSON.stringify({ against, seed, steps, honest, grown, before, after })}\n`);
    if (grown.length > 0) process.exitCode = 1;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
