/**
 * Rights in random order through the real network: control on PostgreSQL, a gateway, an agent, and callers that call all
 * the while. Every answer must be one that the naive model gives by the rights of some moment between the call and its
 * answer: what a change took away is gone when the change was answered, what it gave is there once gateways have it.
 * `SUBCLOUD_ACCESS_SEED=N` starts elsewhere, `SUBCLOUD_ACCESS_CHANGES=N` makes it longer.
 */
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { expect, test } from 'vitest';
import { Chance } from '../hostile/chance.ts';
import { type AccessWorld, FEW, NAMES, POOLS, type Wish, answersOf, movedCalls, wishOf } from './access-world.ts';
import { type Rights, startRights } from './random-rights.ts';

const CHANGES = Number(process.env['SUBCLOUD_ACCESS_CHANGES'] ?? 30);
const SEED = Number(process.env['SUBCLOUD_ACCESS_SEED'] ?? 1);
const CALLERS = 3;
/** Long enough that a change which waits for nobody is seen not to. */
const WATCH_DELAY_MS = 25;
/** Calls after each change, with nothing under way: what they come to depends on the seed alone. */
const CALLS_BETWEEN = 10;
/** Of them those that the change made end otherwise. */
const MOST_MOVED = 8;

const REFUSALS = ['client.not_found', 'client.unauthenticated', 'policy.access_denied', 'policy.bound_elsewhere'];
const ANSWERS = [...POOLS, 'global', ...REFUSALS];

interface Call {
  readonly what: string;
  readonly answer: string;
  readonly allowed: readonly string[];
  /** A change was under way meanwhile. */
  readonly overlapped: boolean;
}

test(`nothing is served that a naive model refuses, and nothing refused that it serves, while rights change (seed ${SEED})`, async () => {
  await using network = await startTestNetwork({ watchDelayMs: WATCH_DELAY_MS });
  const node = await network.node({ name: 'one', consent: { autoJoin: 'all' } });
  const rights = await startRights(network, node, new Chance(SEED));
  const before = node.served.filter(({ accepted }) => accepted).length;
  const calls: Call[] = [];
  let running = true;
  const callers = Array.from({ length: CALLERS }, async (_, at) => {
    const chance = new Chance(SEED, at + 1);
    while (running) calls.push(await callAs(network, rights, drawn(rights.now(), chance)));
  });
  const seen = new Map<string, number>();
  // Rights that never came to one of these have shown nothing about it.
  const missing = (): readonly string[] => ANSWERS.filter((answer) => !seen.has(answer));
  const chance = new Chance(SEED, 0);
  try {
    for (
      let change = 0;
      (change < CHANGES || missing().length > 0) && change < 4 * CHANGES && calls.every(isRight);
      change += 1
    ) {
      const old = rights.now();
      await rights.change();
      const moved = movedCalls(old, rights.now());
      while (moved.length > MOST_MOVED) moved.splice(chance.below(moved.length), 1);
      for (let turn = 0; turn < CALLS_BETWEEN; turn += 1) {
        const call = await callAs(network, rights, moved[turn] ?? rarest(rights.now(), seen, chance));
        calls.push(call);
        seen.set(call.answer, (seen.get(call.answer) ?? 0) + 1);
      }
    }
  } finally {
    running = false;
    await Promise.all(callers);
  }
  const wrong = calls.filter((call) => !isRight(call));
  expect(wrong.slice(0, 3), rights.told().slice(-8).join('\n')).toEqual([]);
  // What the node was given is what callers were answered, but for answers that a change has cut.
  const given = node.served.filter(({ accepted }) => accepted).length - before;
  const answered = calls.filter(({ answer }) => !answer.includes('.')).length;
  expect(given).toBeGreaterThanOrEqual(answered);
  expect(given).toBeLessThanOrEqual(
    answered + calls.filter((call) => call.overlapped && call.answer.includes('.')).length,
  );
  for (const { fromMs, toMs = performance.now(), pool, served } of rights.limited())
    expect(Math.max(0, ...served.values()), `${FEW} a minute in ${pool}`).toBeLessThanOrEqual(
      FEW * (1 + (toMs - fromMs) / 60_000),
    );
  expect(missing()).toEqual([]);
}, 600_000);

const isRight = ({ answer, allowed }: Call): boolean => allowed.includes(answer);

function drawn({ credentials }: AccessWorld, chance: Chance): Wish {
  return wishOf(chance.below(credentials.length), chance.of(NAMES));
}

/** Of some that are drawn, the one whose answer has been seen least: each of the model's answers comes up early. */
function rarest(world: AccessWorld, seen: ReadonlyMap<string, number>, chance: Chance): Wish {
  const times = ({ at, name }: Wish): number => seen.get(answersOf(world, at, name)[0] ?? '') ?? 0;
  return Array.from({ length: 40 }, () => drawn(world, chance)).reduce((a, b) => (times(b) < times(a) ? b : a));
}

async function callAs({ url }: TestNetwork, rights: Rights, { at, name }: Wish): Promise<Call> {
  const worlds = rights.begun();
  const credential = rights.now().credentials[at];
  const sentMs = performance.now();
  const response = await fetch(`${url}${name === undefined ? '' : `/s/${name}`}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential?.secret ?? ''}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [] }),
  });
  const body = (await response.json()) as { error?: { code: string } };
  const answer = body.error?.code ?? response.headers.get('x-subcloud') ?? '';
  if (body.error === undefined) rights.served(answer, credential?.principal ?? '', sentMs);
  const meanwhile = worlds();
  const allowed = new Set(meanwhile.flatMap((world) => answersOf(world, at, name)));
  const overlapped = meanwhile.length > 1;
  // Bans cut what is under way, and whoever is cut was being served: it may hear why.
  if (overlapped && meanwhile.some(({ empty }) => empty.size > 0))
    for (const code of ['upstream.withdrawn', 'upstream.failed']) allowed.add(code);
  if (overlapped && meanwhile.some(({ pools }) => [...pools.values()].some(({ banned }) => banned.length > 0)))
    allowed.add('policy.access_denied');
  const what = `${credential?.id} of ${credential?.principal} at ${name}`;
  return { what, answer, allowed: [...allowed], overlapped };
}
