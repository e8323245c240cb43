/**
 * Any server that speaks the OpenAI API: vLLM, SGLang, Ollama, llama.cpp, TGI, LM Studio. It is known by what
 * `GET /v1/models` answers and by nothing else.
 *
 * When it is away: one refused connection, or two looks in a row without a usable answer (one alone may be a long
 * prompt that holds it up). It is back with the first usable answer.
 */
import { modelId } from '@subcloud/contract/vocabulary';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { Pool } from 'undici';
import type { EngineSpec } from '../agent-file.ts';
import { type Engine, isRefusedConnection } from './engine.ts';
import { requestJson } from './http-json.ts';

const LOOK_MS = 10_000;
const LOOK_TIMEOUT_MS = 5_000;
/** A named engine that is away is looked for more often, so that its restart costs little. */
const LOOK_AWAY_MS = 2_000;
const FAILED_LOOKS = 2;
const MAX_LIST_BYTES = 1_048_576;
const MAX_MODELS = 1024;
const MAX_CONNECTIONS = 1024;
const CONNECT_TIMEOUT_MS = 5_000;

export interface OpenAiCompatibleOptions {
  readonly spec: EngineSpec;
  /** A usual port that is only tried: being away is no news. */
  readonly guessed: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

export function openAiCompatible(options: OpenAiCompatibleOptions): Engine {
  const { spec, guessed, clock, onChange } = options;
  const { origin, basePath } = splitUrl(spec.url);
  const log = options.log.child({ engine: origin });
  const authorization: Record<string, string> =
    spec.apiKey === undefined ? {} : { authorization: `Bearer ${spec.apiKey}` };
  // Time limits are the caller's, by the agent's clock; undici's own would be second ones that no test can own.
  const pool = new Pool(origin, {
    connections: MAX_CONNECTIONS,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    allowH2: false,
  });
  let models: ReadonlyMap<string, string> = new Map();
  let lookedMs = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;
  let failedLooks = 0;
  let saidAway = guessed;

  const take = (next: ReadonlyMap<string, string>): void => {
    const changed = next.size !== models.size || [...next].some(([id, name]) => models.get(id) !== name);
    models = next;
    if (changed) onChange();
  };
  const away = (why: string): void => {
    if (!saidAway || models.size > 0) log.warn({ why }, 'the engine is away');
    saidAway = true;
    take(new Map());
  };
  const lookNow = async (): Promise<void> => {
    lookedMs = clock.monotonicMs();
    try {
      const { status, body } = await requestJson(pool, {
        method: 'GET',
        path: `${basePath}/v1/models`,
        headers: authorization,
        maxBytes: MAX_LIST_BYTES,
        timeoutMs: LOOK_TIMEOUT_MS,
        clock,
      });
      const names = status === 200 ? listedNames(body) : undefined;
      if (names === undefined) throw new Error(`its list of models cannot be used (status ${status})`);
      failedLooks = 0;
      const next = byNetworkId(names, spec.models);
      if (saidAway && next.size > 0) {
        log.info({ models: [...next.keys()] }, 'the engine is there');
        saidAway = false;
      }
      take(next);
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
    get models() {
      return models;
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
    },
    async close() {
      await pool.destroy().catch(() => {});
    },
  };
}

/** Both `http://host:8000` and `http://host:8000/v1` are what people write. */
function splitUrl(text: string): { readonly origin: string; readonly basePath: string } {
  const { origin, pathname } = new URL(text);
  return { origin, basePath: pathname.replace(/\/+$/, '').replace(/\/v1$/, '') };
}

/** Undefined where the answer is no list of models. */
function listedNames(body: unknown): readonly string[] | undefined {
  if (typeof body !== 'object' || body === null || !('data' in body) || !Array.isArray(body.data)) return undefined;
  return (body.data as readonly unknown[]).flatMap((entry) =>
    typeof entry === 'object' && entry !== null && 'id' in entry && typeof entry.id === 'string' ? [entry.id] : [],
  );
}

/** Ids travel in a header, so only printable ASCII can be served; the first of two names for one id is taken. */
function byNetworkId(names: readonly string[], map: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const name of names) {
    const id = Object.hasOwn(map, name) ? map[name] : name;
    if (id === undefined || found.has(id) || found.size >= MAX_MODELS) continue;
    if (modelId.safeParse(id).success && /^[\x21-\x7e]+$/.test(id)) found.set(id, name);
  }
  return found;
}
