/** `GET /v1/models`: what the caller may name in this pool, in OpenAI's shape. Answered from the table alone. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isApiId } from '@subcloud/policy/internal-api';
import { AppError } from '@subcloud/contract/errors';
import { SANDBOX_HEADERS } from '@subcloud/contract/inference';
import { mayUseModel } from '../access/narrowed.ts';
import { admit } from './admit.ts';
import { identityHeaders, poolHeaders } from './answer-headers.ts';
import { credentialHash } from './authenticate.ts';
import { clientAddress } from '../front/client-address.ts';
import { identify } from './identify.ts';
import type { RequestDeps } from './request-deps.ts';
import { resolvePool } from './resolve-pool.ts';
import { sendError } from './send-error.ts';

export function listModels(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
  poolName: string | undefined,
): void {
  const headers = identityHeaders(identify(request, deps.clock));
  try {
    if (deps.draining()) throw new AppError('platform.starting', { retryAfterS: 1 });
    const choice = resolvePool(request, poolName, deps.domain);
    const caller = {
      hash: credentialHash(request.headers),
      choice,
      address: clientAddress(request),
      path: '/v1/models',
    };
    const { table, pool, credential } = admit(deps.present, caller);
    deps.used(credential.id, deps.clock.nowMs());
    const served = table.poolIndexes.get(pool.name)?.byModel;
    const aliases = Object.entries(pool.aliases ?? {}).filter(([, id]) => served?.has(id) === true);
    const named = new Map<string, readonly string[]>(
      [...(served?.keys() ?? [])].filter((id) => !isApiId(id)).map((id) => [id, [id]]),
    );
    for (const [alias, id] of aliases) named.set(alias, [alias, id]);
    const usable = [...named].filter(([, names]) => mayUseModel(credential, names));
    const ids = usable.map(([name]) => name).sort();
    const data = ids.map((id) => ({ id, object: 'model', created: 0, owned_by: pool.name }));
    const body = JSON.stringify({ object: 'list', data });
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
