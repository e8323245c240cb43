/**
 * `npm run bench:schedule`: what a pick costs, and what it is worth, the latter by simulation with fixed seeds: the
 * scheduler is the gateway's own, nodes and time are not. Last line: one JSON object.
 */
import { cpus } from 'node:os';
import { type PickCost, pickCost } from './pick-cost.ts';
import { prefixCaches } from './prefix.ts';
import { slowBackend } from './slow-backend.ts';

const SIZES = [10, 100, 1_000, 10_000, 100_000];

const say = (text: string): void => void process.stderr.write(`${text}\n`);
say(`${cpus()[0]?.model ?? ''}, Node ${process.version}`);
const pick: PickCost[] = [];
for (const size of SIZES) {
  const cost = pickCost(size);
  say(`a pick among ${size}: ${cost.ns} ns, ${cost.bytes} bytes`);
  pick.push(cost);
}
const backends = {
  roundRobin: slowBackend('roundRobin'),
  leastLoaded: slowBackend('leastLoaded'),
  ours: slowBackend('ours'),
};
say(`one slow of eleven, answered within a second: ${JSON.stringify(backends)}`);
const prefix = (['roundRobin', 'leastLoaded', 'affinity', 'ours'] as const).map((policy) => {
  const result = prefixCaches(policy);
  say(JSON.stringify(result));
  return result;
});
process.stdout.write(`${JSON.stringify({ pick, slowBackend: backends, prefix })}\n`);
