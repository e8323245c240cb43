/** `npm run fuzz -- --minutes 60 --seed N [--step N]`: the campaign of the suite, for as long as wanted. */
import { parseArgs } from 'node:util';
import { growthOf, runCampaign } from './campaign.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' }, step: { type: 'string' } },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const say = (line: string): void => void process.stderr.write(`${line}\n`);
say(`seed ${seed}`);
try {
  const campaign = await runCampaign({
    seed,
    durationMs: Number(values.minutes) * 60_000,
    onlyStep: values.step === undefined ? undefined : Number(values.step),
    tell: say,
  });
  const { before, after, steps, honest } = campaign;
  const grown = growthOf(campaign);
  for (const [name, count] of [...campaign.byAttack].toSorted(([a], [b]) => a.localeCompare(b)))
    say(`${String(count).padStart(8)} ${name}`);
  process.stdout.write(`${JSON.stringify({ seed, steps, honest, grown, before, after })}\n`);
  if (grown.length > 0) process.exitCode = 1;
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
