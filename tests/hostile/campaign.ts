/**
 * Attacks by a seed, several at once, until the time is up: step N of a seed is the same attack each time. Between them an
 * honest caller must go on being served by an honest node, and at the end nothing may have grown.
 */
import { request } from 'node:http';
import { importSigningKey } from '@subcloud/kit/signing';
import { type LinkTarget, agentAttacks } from './agent-attacks.ts';
import { type Arena, type ArenaReady, type Measured, startArena } from './arena.ts';
import { type Attack, callerAttacks } from './caller-attacks.ts';
import { Chance } from './chance.ts';
import { gatewayAttacks, soundRequest } from './gateway-attacks.ts';
import type { HostileNode } from './hostile-agent.ts';
import { startHostileGateway } from './hostile-gateway.ts';

export interface CampaignOptions {
  readonly seed: number;
  readonly durationMs: number;
  /** Only this step, again and again. */
  readonly onlyStep?: number | undefined;
  readonly tell?: (line: string) => void;
}

export interface Campaign {
  readonly steps: number;
  readonly honest: number;
  readonly before: Measured;
  readonly after: Measured;
  readonly byAttack: ReadonlyMap<string, number>;
}

export const GATEWAY_ATTACKS: readonly Attack<LinkTarget>[] = [...callerAttacks, ...agentAttacks];

const AT_ONCE = 6;
/** Before the first measure: caches fill, code is compiled. */
const WARM_UP_STEPS = 250;
const HONEST_EVERY = 20;
const HONEST_LIMIT_MS = 30_000;
const SETTLE_MS = 60_000;
const STEP_LIMIT_MS = 60_000;

export const MAX_GROWTH = {
  heapBytes: 12 * 1_048_576,
  arrayBuffersBytes: 4 * 1_048_576,
  openFiles: 0,
  sockets: 0,
} as const;

/** Callers and machines against a gateway. Throws with seed, steps and what it said, where it died or stopped serving. */
export async function runCampaign(options: CampaignOptions): Promise<Campaign> {
  await using arena = await startArena<ArenaReady>('./gateway-arena.ts');
  const target = targetOf(arena.ready);
  const side = { arena, attacks: GATEWAY_ATTACKS, target, atOnce: AT_ONCE, warmUpSteps: WARM_UP_STEPS };
  return await attack(options, { ...side, honest: () => honestCall(target) });
}

/** A gateway against an agent. Throws as the other. */
export async function runAgentCampaign(options: CampaignOptions): Promise<Campaign> {
  await using target = await startHostileGateway();
  await using arena = await startArena<{ nodeId: string }>('./agent-arena.ts', [target.url, target.joinToken]);
  // An agent dials one link at a time.
  const side = { arena, attacks: gatewayAttacks, target, atOnce: 1, warmUpSteps: WARM_UP_STEPS / 2 };
  return await attack(options, { ...side, honest: () => soundRequest(target, HONEST_LIMIT_MS) });
}

interface Side<Target> {
  readonly arena: Pick<Arena<unknown>, 'measure' | 'death' | 'residentBytes'>;
  readonly attacks: readonly Attack<Target>[];
  readonly target: Target;
  readonly atOnce: number;
  readonly warmUpSteps: number;
  /** Resolves when whoever is sound was served. */
  readonly honest: () => Promise<void>;
}

async function attack<Target>(options: CampaignOptions, side: Side<Target>): Promise<Campaign> {
  const { arena, target } = side;
  const byAttack = new Map<string, number>();
  let step = 0;
  let honest = 0;
  const recent: string[] = [];
  const one = async (): Promise<void> => {
    const number = options.onlyStep ?? step;
    step++;
    const chance = new Chance(options.seed, number);
    const chosen = chance.of(side.attacks);
    recent.push(`${number} ${chosen.name}`);
    if (recent.length > 20) recent.shift();
    byAttack.set(chosen.name, (byAttack.get(chosen.name) ?? 0) + 1);
    await within(STEP_LIMIT_MS, `step ${number} (${chosen.name})`, chosen.run(chance, target).catch(ignoreClosed));
    if (number % HONEST_EVERY !== 0) return;
    await within(HONEST_LIMIT_MS, `a sound request after step ${number}`, side.honest());
    honest++;
  };
  const until = async (more: () => boolean): Promise<void> => {
    const worker = async (): Promise<void> => {
      while (more()) await one();
    };
    await Promise.all(Array.from({ length: side.atOnce }, worker));
  };
  try {
    await until(() => step < side.warmUpSteps);
    const before = await settled(arena, undefined);
    const startedMs = performance.now();
    let toldMs = startedMs;
    await until(() => {
      const nowMs = performance.now();
      if (nowMs - toldMs > 10_000) {
        toldMs = nowMs;
        const resident = Math.round((arena.residentBytes() ?? 0) / 1_048_576);
        options.tell?.(
          `${Math.round((nowMs - startedMs) / 1_000)} s, ${step} attacks, ${honest} sound requests, ${resident} MiB resident`,
        );
      }
      return nowMs - startedMs < options.durationMs;
    });
    const after = await settled(arena, before);
    return { steps: step, honest, before, after, byAttack };
  } catch (error) {
    const why = arena.death ?? (error instanceof Error ? error.message : String(error));
    throw new Error(`seed ${options.seed}, among these steps: ${recent.join('; ')}: ${why}`, { cause: error });
  }
}

/** What grew beyond MAX_GROWTH, in words. */
export function growthOf({ before, after }: Pick<Campaign, 'before' | 'after'>): readonly string[] {
  const grown = (name: string, from: number, to: number, most: number): string[] =>
    to - from > most ? [`${name} from ${from} to ${to}`] : [];
  return [
    ...grown('heap', before.heapUsedBytes, after.heapUsedBytes, MAX_GROWTH.heapBytes),
    ...grown('array buffers', before.arrayBuffersBytes, after.arrayBuffersBytes, MAX_GROWTH.arrayBuffersBytes),
    ...grown('open files', before.openFiles, after.openFiles, MAX_GROWTH.openFiles),
    ...grown('sockets', before.sockets, after.sockets, MAX_GROWTH.sockets),
  ];
}

/** Measures when what the attackers left has been given up: with the sockets of `baseline`, or at a standstill. */
async function settled(arena: Pick<Arena<unknown>, 'measure'>, baseline: Measured | undefined): Promise<Measured> {
  const endMs = performance.now() + SETTLE_MS;
  let last = await arena.measure();
  for (let same = 0; performance.now() < endMs && same < 3; ) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const next = await arena.measure();
    if (baseline !== undefined && growthOf({ before: baseline, after: next }).length === 0) return next;
    same = baseline === undefined && next.openFiles === last.openFiles ? same + 1 : 0;
    last = next;
  }
  return last;
}

function targetOf({ port, apiKey, nodes }: ArenaReady): LinkTarget {
  const free: HostileNode[] = nodes.map(({ id, model, pem }) => ({ id, model, key: importSigningKey(pem) }));
  const waiting: ((node: HostileNode) => void)[] = [];
  return {
    port,
    apiKey,
    model: 'test-model',
    async withNode(act) {
      const node = free.pop() ?? (await new Promise<HostileNode>((resolve) => waiting.push(resolve)));
      try {
        return await act(node);
      } finally {
        const next = waiting.shift();
        if (next === undefined) free.unshift(node);
        else next(node);
      }
    },
  };
}

/** Rejects unless the honest node's answer comes whole. */
export function honestCall({ port, apiKey, model }: Pick<LinkTarget, 'port' | 'apiKey' | 'model'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const asking = request(
      {
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: '/v1/chat/completions',
        agent: false,
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (piece: string) => (text += piece));
        answer.on('error', reject);
        answer.on('end', () => {
          if (answer.statusCode === 200 && text.endsWith('data: [DONE]\n\n')) resolve();
          else reject(new Error(`an honest call got ${answer.statusCode}: ${text.slice(0, 200)}`));
        });
      },
    );
    asking.on('error', reject);
    asking.end(JSON.stringify({ model, stream: true, messages: [] }));
  });
}

async function within<Value>(limitMs: number, what: string, promise: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** A gateway that closes on its attacker is right to. */
function ignoreClosed(error: unknown): void {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (['ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'].includes(code))
    return;
  throw error;
}
