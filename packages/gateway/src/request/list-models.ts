/**
 * `GET /v1/models` and `GET /v1/models/ID`: what the caller may name in this pool, in OpenAI's shape. Answered from the
 * table alone. A model that the caller may not use is none: the answer to its name is that of a name nobody knows.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isApiId } from '@subcloud/policy/internal-api';
import { AppError } from '@subcloud/contract/errors';
import { MODELS_PATH, SANDBOX_HEADERS } from '@subcloud/contract/inference';
import { mayUseModel } from '../access/narrowed.ts';
import { type Admission, admit } from './admit.ts';
import { identityHeaders, poolHeaders } from './answer-headers.ts';
import { credentialHash } from './authenticate.ts';
import { clientAddress } from '../front/client-address.ts';
import { identify } from './identify.ts';
import type { RequestDeps } from './request-deps.ts';
import { resolvePool } from './resolve-pool.ts';
import { sendError } from './send-error.ts';

export interface ModelsRoute {
  readonly poolName: string | undefined;
  /** As it stands in the path, encoded or not; undefined: all of them. */
  readonly encodedId: string | undefined;
}

export function listModels(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
  { poolName, encodedId }: ModelsRoute,
): void {
  const headers = identityHeaders(identify(request, deps.clock));
  try {
    if (deps.draining()) throw new AppError('platform.starting', { retryAfterS: 1 });
    const choice = resolvePool(request, poolName, deps.domain);
    const hash = credentialHash(request);
    const admission = admit(deps.present, { hash, choice, address: clientAddress(request), path: MODELS_PATH });
    const { pool, credential } = admission;
    deps.used(credential.id, deps.clock.nowMs());
    const data = namesOf(admission).map((id) => ({ id, object: 'model', created: 0, owned_by: pool.name }));
    const body = JSON.stringify(encodedId === undefined ? { object: 'list', data } : one(data, encodedId));
    response.writeHead(200, {
      ...headers,
      ...poolHeaders(pool),
      ...SANDBOX_HEADERS,
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  } catch (error) {
    const appError = AppError.from(error);
    if (appError.code === 'platform.internal') deps.log.error({ err: error }, 'models could not be listed');
    sendError(response, appError, headers);
  }
}

/** Network ids and aliases, sorted. */
function namesOf({ table, pool, credential }: Admission): readonly string[] {
  const served = table.poolIndexes.get(pool.name)?.byModel;
  const aliases = Object.entries(pool.aliases ?? {}).filter(([, id]) => served?.has(id) === true);
  const named = new Map<string, readonly string[]>(
    [...(served?.keys() ?? [])].filter((id) => !isApiId(id)).map((id) => [id, [id]]),
  );
  for (const [alias, id] of aliases) named.set(alias, [alias, id]);
  return [...named]
    .filter(([, names]) => mayUseModel(credential, names))
    .map(([name]) => name)
    .sort();
}

/** Names have slashes, which clients encode or not. */
function one<Model extends { readonly id: string }>(models: readonly Model[], encodedId: string): Model {
  const found = models.find(({ id }) => id === encodedId || id === decoded(encodedId));
  if (found === undefined) throw new AppError('routing.unknown_model', { param: 'model' });
  return found;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
