/**
 * `npm run bench:admission`: what one noisy Subcloud does to another on the node that they share, and one noisy caller to
 * another of its Subcloud. A real gateway and a node of 8 places whose answers take 200 ms; the noisy one keeps 64 requests in
 * the air, the quiet one sends one after the other. `--seconds N`: for each case (default 10). Last line: one JSON object.
 */
import { parseArgs } from 'node:util';
import { newSecret } from '@subcloud/kit/secrets';
import { rowKey } from '@subcloud/contract/table';
import {
  COMPLETION,
  type TestGateway,
  credentialRow,
  memberRow,
  poolRow,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';

const PLACES = 8;
const ANSWER_MS = 200;
const NOISY = 64;
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' } } });
const forMs = Number(values.seconds) * 1_000;

type Queue = { readonly max: number; readonly timeoutMs: number };
const QUEUE: Queue = { max: 256, timeoutMs: 20_000 };
interface Setting {
  readonly name: string;
  readonly queue?: Queue;
  /** Of the quiet pool. */
  readonly reserve?: number;
  /** Of the noisy pool. */
  readonly share?: number;
  /** The noisy one is a caller of the quiet one's pool. */
  readonly samePool?: true;
}
const SETTINGS: readonly Setting[] = [
  { name: 'nothing' },
  { name: 'queues', queue: QUEUE },
  { name: 'share of the noisy: 75 %', share: 0.75 },
  { name: 'reserve of the quiet: 2', reserve: 2 },
  { name: 'two callers of one pool, nothing', samePool: true },
  { name: 'two callers of one pool, a queue', samePool: true, queue: QUEUE },
];

interface Side {
  readonly latenciesMs: number[];
  shed: number;
  /** Of what was shed: how long it was told to wait. */
  readonly retryAfterS: number[];
}

async function ask(t: TestGateway, pool: string, key: string, side: Side): Promise<void> {
  const startedMs = performance.now();
  const reply = await t.call({ path: `/s/${pool}/v1/chat/completions`, key });
  if (reply.status === 200) return void side.latenciesMs.push(performance.now() - startedMs);
  side.shed += 1;
  side.retryAfterS.push(Number(reply.headers['retry-after']));
  // Sooner than it was told to: that is what makes it noisy.
  await new Promise((resolve) => setTimeout(resolve, 50));
}

async function measure({ name, queue, reserve, share, samePool }: Setting) {
  await using t = await startTestGateway();
  const quietKey = newSecret('account');
  const routing = queue === undefined ? {} : { routing: { queue } };
  await t.publish([
    poolRow('noisy', routing),
    poolRow('quiet', { ...routing, ...(reserve === undefined ? {} : { reserve }) }),
    credentialRow(quietKey, { principal: 'user:quiet' }),
  ]);
  const node = await t.node({
    concurrency: PLACES,
    pools: ['noisy', 'quiet'],
    handler: (stream) => void setTimeout(() => sendJson(stream, 200, COMPLETION), ANSWER_MS),
  });
  if (share !== undefined)
    await t.publish([[rowKey.member('noisy', node.id), { ...memberRow('noisy', node.id)[1], share }]]);
  const quiet: Side = { latenciesMs: [], shed: 0, retryAfterS: [] };
  const noisy: Side = { latenciesMs: [], shed: 0, retryAfterS: [] };
  const endMs = performance.now() + forMs;
  const loop = async (pool: string, key: string, side: Side): Promise<void> => {
    while (performance.now() < endMs) await ask(t, pool, key, side);
  };
  const noisyPool = samePool === true ? 'quiet' : 'noisy';
  await Promise.all([
    loop('quiet', quietKey, quiet),
    ...Array.from({ length: NOISY }, () => loop(noisyPool, t.key, noisy)),
  ]);
  return { name, quiet: told(quiet), noisy: told(noisy) };
}

function told({ latenciesMs, shed }: Side) {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.floor(sorted.length * share)] ?? 0);
  const answered = sorted.length;
  return { answered, shedShare: round(shed / Math.max(1, shed + answered)), p50Ms: at(0.5), p95Ms: at(0.95) };
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

const results = [];
for (const setting of SETTINGS) {
  const result = await measure(setting);
  process.stderr.write(`${JSON.stringify(result)}\n`);
  results.push(result);
}
process.stdout.write(`${JSON.stringify({ places: PLACES, answerMs: ANSWER_MS, noisyInTheAir: NOISY, results })}\n`);
