/**
 * Mixed load through real sockets on a real network, a tenth of the callers leaving before their answer's end, while members,
 * tokens, policies and a whole node come and go. Again and again all comes to rest, and each process says what it has in use:
 * what is left then, and grows from rest to rest, is a leak. A process that leaks on purpose stands beside the others: a run
 * that does not find it has shown nothing.
 */
import { eventually } from '@subcloud/testkit/eventually';
import pg from 'pg';
import { activities } from './background.ts';
import { type Caller, createCaller } from './caller.ts';
import { type Load, startLoad } from './load.ts';
import { PLANTED, type SoakNetwork, startSoakNetwork } from './network.ts';
import { type Line, type Sample, judge } from './verdict.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Requests. */
  readonly perSecond: number;
  readonly sampleEveryMs: number;
  /** See startSoakNetwork. */
  readonly plant?: string;
  /** Ends it early; what was sampled by then is judged. */
  readonly signal?: AbortSignal;
  readonly tell?: (sample: Sample, load: Load) => void;
}

export interface Soaked {
  readonly requests: number;
  readonly abandoned: number;
  readonly backgroundRounds: number;
  readonly answersCounted: number;
  readonly byKind: ReadonlyMap<string, number>;
  readonly samples: readonly Sample[];
  readonly lines: readonly Line[];
  /** Answers and rounds that were not as they must be, and usage that is not that of the answers. */
  readonly faults: readonly string[];
  /** What leaks, those that do so on purpose apart. */
  readonly leaks: readonly Line[];
  /** Where noise could hide a leak. */
  readonly unsure: readonly Line[];
  /** What was planted and not found: must be empty. */
  readonly missed: readonly string[];
}

/** On a machine that is busy a minute may bring few: then it takes longer. */
const MIN_SAMPLES = 16;
const LEAST_SHARE = 0.6;
const CLOSING_MS = 500;
const QUIET_LIMIT_MS = 60_000;
/** What the planted leak shows in (see PLANT in network.ts). */
const SHOWS = ['heapBytes', 'timers', 'sockets'] as const;

/** Throws where the network does not come to rest, or where a part of it ends. */
export async function soak(options: SoakOptions): Promise<Soaked> {
  const { minutes, seed, perSecond, sampleEveryMs, plant = '', signal, tell } = options;
  await using network = await startSoakNetwork(plant);
  using caller = createCaller(network.up.ready.url);
  const load = startLoad({ seed, perSecond, caller, credentials: network.credentials });
  // Of an internal API there is no receipt.
  const signed = () => [...load.counted].findLast(([, { kind }], at) => at % 3 === 0 && !kind.startsWith('internal'));
  load.background(activities(network, caller, signed));
  const samples: Sample[] = [];
  const endMs = performance.now() + minutes * 60_000;
  try {
    const leastRequests = minutes * 60 * perSecond * LEAST_SHARE;
    const more = (): boolean =>
      performance.now() < endMs || samples.length < MIN_SAMPLES || load.requests < leastRequests;
    while (more() && signal?.aborted !== true) {
      await sleep(sampleEveryMs);
      await load.rest();
      await quiet(network, caller);
      const sample = { requests: load.requests, inUse: await network.sample() };
      samples.push(sample);
      tell?.(sample, load);
      load.goOn();
    }
  } finally {
    await load.stop();
  }
  const usageFaults = await compareUsage(network, load);
  const lines = judge(samples);
  return {
    requests: load.requests,
    abandoned: load.abandoned,
    backgroundRounds: load.rounds,
    answersCounted: load.counted.size,
    byKind: load.byKind,
    samples,
    lines,
    faults: [...load.faults, ...usageFaults],
    leaks: lines.filter(({ part, verdict }) => part !== PLANTED && verdict === 'leaks'),
    unsure: lines.filter(({ part, verdict }) => part !== PLANTED && verdict === 'unsure'),
    missed: SHOWS.filter(
      (shows) =>
        !lines.some(({ part, measure, verdict }) => part === PLANTED && measure === shows && verdict === 'leaks'),
    ),
  };
}

/** Nothing under way anywhere, nothing held, and all usage where it belongs. */
async function quiet({ engines }: SoakNetwork, caller: Caller): Promise<void> {
  const metric = (page: string, name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1]);
  await eventually(
    'nothing is under way',
    async () => {
      const { text } = await caller.call({ method: 'GET', path: '/metrics' });
      const left = ['subcloud_active_requests', 'subcloud_buffered_bytes', 'subcloud_usage_pending']
        .map((name) => [name, metric(text, name)] as const)
        .filter(([, value]) => value !== 0);
      if (left.length > 0 || text.includes('subcloud_queue_requests{'))
        throw new Error(`still there: ${JSON.stringify(left)}`);
      return true;
    },
    QUIET_LIMIT_MS,
  );
  await eventually(
    'no engine answers any more',
    () => engines.every(({ requests }) => requests.every(({ outcome }) => outcome !== 'answering')),
    QUIET_LIMIT_MS,
  );
  // What the test remembers is not the network's.
  for (const { requests, questions } of engines)
    for (const list of [requests, questions]) (list as unknown[]).length = 0;
  caller.rest();
  // Nor are connections that are only kept in case more is asked: how many there are is chance.
  for (const engine of engines) engine.closeIdle();
  await sleep(CLOSING_MS);
}

/** Each whole answer once, with its own numbers of tokens, and no request twice. */
async function compareUsage({ up }: SoakNetwork, { counted }: Load): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: up.databaseUrl() });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string; count: number; prompt: number; completion: number }>(
      `select request_id as id, count(*)::int as count, sum(prompt_tokens)::int as prompt, sum(completion_tokens)::int as completion
       from usage group by request_id`,
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    const twice = rows.filter(({ count }) => count !== 1).map(({ id, count }) => `${id} is counted ${count} times`);
    const wrong = [...counted].flatMap(([id, { prompt, completion }]) => {
      const row = byId.get(id);
      if (row === undefined) return [`${id} is not counted`];
      return row.prompt === prompt && row.completion === completion
        ? []
        : [`${id} is counted with ${row.prompt} + ${row.completion} tokens instead of ${prompt} + ${completion}`];
    });
    return [...twice, ...wrong];
  } finally {
    await client.end();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
