/**
 * An engine of any make behind the OpenAI API. `GET /v1/models` says whether it is there and what it has; what its
 * make says of these models comes from tell-apart.ts.
 *
 * When it is away: one refused connection, or two looks in a row without a usable answer (one alone may be a long
 * prompt that holds it up). It is back with the first usable answer.
 */
import { isApiId } from '@subcloud/policy/internal-api';
import { modelId } from '@subcloud/contract/vocabulary';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { EngineSpec } from '../agent-file.ts';
import { type Engine, isDeadConnection, isRefusedConnection } from './engine.ts';
import { type ListedModel, type ModelTraits, UNKNOWN_TRAITS, isRecord } from './engine-make.ts';
import { createLoadReader } from './engine-load.ts';
import { type JsonAnswer, requestJson } from './http-json.ts';
import { createEngineReader } from './tell-apart.ts';
import { Pool } from './undici-pool.ts';

const LOOK_MS = 10_000;
const LOOK_TIMEOUT_MS = 5_000;
/** A named engine that is away is looked for more often, so that its restart costs little. */
const LOOK_AWAY_MS = 2_000;
const FAILED_LOOKS = 2;
const MAX_LIST_BYTES = 1_048_576;
const QUESTION_TIMEOUT_MS = 2_000;
/** SGLang's `/server_info` holds its whole configuration, once a worker; a chat template may be long too. */
const MAX_ANSWER_BYTES = 4_194_304;
const MAX_MODELS = 1024;
const MAX_CONNECTIONS = 1024;
const MAX_DEAD_CONNECTIONS = 2;
const CONNECT_TIMEOUT_MS = 5_000;

export interface HttpEngineOptions {
  readonly spec: EngineSpec;
  /** A usual port that is only tried: being away is no news. */
  readonly guessed: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

export function createHttpEngine(options: HttpEngineOptions): Engine {
  const { spec, guessed, clock, onChange } = options;
  const { origin, basePath } = splitUrl(spec.url);
  const log = options.log.child({ engine: origin });
  const authorization: Record<string, string> =
    spec.apiKey === undefined ? {} : { authorization: `Bearer ${spec.apiKey}` };
  const pool = createPool(origin);
  const reader = createEngineReader({
    clock,
    async ask(path, question) {
      const { status, body } = await requestJson(pool, {
        method: question.body === undefined ? 'GET' : 'POST',
        path: `${basePath}${path}`,
        headers: authorization,
        maxBytes: MAX_ANSWER_BYTES,
        timeoutMs: QUESTION_TIMEOUT_MS,
        clock,
        ...question,
      });
      return status === 200 ? body : undefined;
    },
  });
  const loads = createLoadReader({ dispatcher: pool, path: `${basePath}/metrics`, headers: authorization, clock });
  let models: ReadonlyMap<string, string> = new Map();
  let traits: ReadonlyMap<string, ModelTraits> = new Map();
  /** Names that were reported as not to be offered: once is enough. */
  const reported = new Set<string>();
  let lookedMs = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;
  let failedLooks = 0;
  let saidAway = guessed;
  let saidMake = '';

  const take = (next: ReadonlyMap<string, string>, said: ReadonlyMap<string, ModelTraits>): void => {
    const nextTraits = new Map([...next].map(([id, name]) => [id, traitsOf(name, said.get(name), spec)]));
    const changed = JSON.stringify([[...next], [...nextTraits]]) !== JSON.stringify([[...models], [...traits]]);
    models = next;
    traits = nextTraits;
    if (changed) onChange();
  };
  const report = (left: readonly string[], why: string): void => {
    const news = left.filter((name) => !reported.has(name));
    if (news.length === 0 || reported.size > MAX_MODELS) return;
    for (const name of news) reported.add(name);
    log.warn({ models: news }, why);
  };
  const away = (why: string): void => {
    if (!saidAway || models.size > 0) log.warn({ why }, 'the engine is away');
    saidAway = true;
    take(new Map(), new Map());
  };
  const lookNow = async (): Promise<void> => {
    lookedMs = clock.monotonicMs();
    try {
      const { status, body } = await askForList(pool, { path: `${basePath}/v1/models`, headers: authorization, clock });
      const listed = status === 200 ? listedModels(body) : undefined;
      if (listed === undefined) throw new Error(`its list of models cannot be used (status ${status})`);
      failedLooks = 0;
      const reading = await reader.read(listed);
      const here = listed.map(({ id }) => id).filter((name) => reading.elsewhere?.has(name) !== true);
      report([...(reading.elsewhere ?? [])], 'models that the engine passes on to another machine are not offered');
      const { next, unusable } = byNetworkId(here, spec.models);
      report(
        unusable,
        'models whose names are not printable ASCII, or too long, are not offered; map them in agent.yaml',
      );
      if ((saidAway || reader.make !== saidMake) && next.size > 0) {
        saidMake = reader.make;
        log.info({ make: reader.make, models: [...next.keys()] }, 'the engine is there');
        saidAway = false;
      }
      take(next, reading.traits);
    } catch (error) {
      failedLooks++;
      if (isRefusedConnection(error) || failedLooks >= FAILED_LOOKS || models.size === 0) {
        away(error instanceof Error ? error.message : 'unknown');
      }
    }
  };

  return {
    url: origin + basePath,
    inFlight: 0,
    get load() {
      return loads.load;
    },
    get continues() {
      return spec.continues ?? reader.continues;
    },
    get models() {
      return models;
    },
    get traits() {
      return traits;
    },
    dispatch({ path, headers, body }, handler) {
      pool.dispatch(
        { method: 'POST', path: `${basePath}${path}`, headers: { ...headers, ...authorization }, body },
        handler,
      );
    },
    unreachable() {
      away('it refuses connections');
      lookedMs = Number.NEGATIVE_INFINITY;
    },
    async look() {
      const everyMs = models.size === 0 && !guessed ? LOOK_AWAY_MS : LOOK_MS;
      if (looking === undefined && clock.monotonicMs() - lookedMs >= everyMs) {
        looking = lookNow().finally(() => {
          looking = undefined;
        });
      }
      await looking;
      if (models.size > 0) void loads.look();
    },
    async close() {
      await pool.destroy().catch(() => {});
    },
  };
}

/** What the operator says of a model stands before what its engine says. */
function traitsOf(name: string, said: ModelTraits = UNKNOWN_TRAITS, { modalities }: EngineSpec): ModelTraits {
  const named = modalities !== undefined && Object.hasOwn(modalities, name) ? modalities[name] : undefined;
  return named === undefined ? said : { ...said, modalities: named };
}

function createPool(origin: string): InstanceType<typeof Pool> {
  // Time limits are the caller's, by the agent's clock; undici's own would be second ones that no test can own.
  return new Pool(origin, {
    connections: MAX_CONNECTIONS,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    allowH2: false,
  });
}

/** A kept connection that its engine took along when it ended says nothing yet of whether it is back: asked anew. */
async function askForList(
  pool: InstanceType<typeof Pool>,
  question: Pick<Parameters<typeof requestJson>[1], 'path' | 'headers' | 'clock'>,
): Promise<JsonAnswer> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await requestJson(pool, {
        ...question,
        method: 'GET',
        maxBytes: MAX_LIST_BYTES,
        timeoutMs: LOOK_TIMEOUT_MS,
      });
    } catch (error) {
      if (attempt >= MAX_DEAD_CONNECTIONS || !isDeadConnection(error)) throw error;
    }
  }
}

/** Both `http://host:8000` and `http://host:8000/v1` are what people write. */
function splitUrl(text: string): { readonly origin: string; readonly basePath: string } {
  const { origin, pathname } = new URL(text);
  return { origin, basePath: pathname.replace(/\/+$/, '').replace(/\/v1$/, '') };
}

/** Undefined where the answer is no list of models. */
function listedModels(body: unknown): readonly ListedModel[] | undefined {
  if (!isRecord(body) || !Array.isArray(body['data'])) return undefined;
  return (body['data'] as readonly unknown[]).flatMap((entry) =>
    isRecord(entry) && typeof entry['id'] === 'string' ? [{ id: entry['id'], entry }] : [],
  );
}

/** Ids travel in a header, so only printable ASCII can be served; the first of two names for one id is taken. */
function byNetworkId(
  names: readonly string[],
  map: Readonly<Record<string, string>>,
): { readonly next: ReadonlyMap<string, string>; readonly unusable: readonly string[] } {
  const next = new Map<string, string>();
  const unusable: string[] = [];
  for (const name of names) {
    const id = Object.hasOwn(map, name) ? map[name] : name;
    if (id === undefined || next.has(id) || next.size >= MAX_MODELS) continue;
    if (modelId.safeParse(id).success && !isApiId(id) && /^[\x21-\x7e]+$/.test(id)) next.set(id, name);
    else unusable.push(id.slice(0, 256));
  }
  return { next, unusable };
}
