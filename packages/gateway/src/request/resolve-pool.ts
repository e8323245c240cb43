import type { IncomingMessage } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { POOL_HEADER } from '@subcloud/contract/inference';
import { subcloudName } from '@subcloud/contract/vocabulary';

export interface PoolChoice {
  /** Undefined where the request names none: the credential's own pool, else the global one. */
  readonly name: string | undefined;
  readonly by: 'path' | 'header' | undefined;
}

const UNNAMED: PoolChoice = { name: undefined, by: undefined };

/**
 * Which pool the request names, before anything is looked up: names that differ, or a header that stands twice, are 400
 * whether or not any of them exists. A name that cannot exist is passed on: it ends as one that does not.
 */
export function resolvePool(request: IncomingMessage, pathName: string | undefined): PoolChoice {
  const header = request.headers[POOL_HEADER];
  if (header === undefined) return pathName === undefined ? UNNAMED : { name: pathName, by: 'path' };
  if ((request.headersDistinct[POOL_HEADER]?.length ?? 0) > 1) {
    throw new AppError('client.conflicting_pools', { message: `The ${POOL_HEADER} header stands more than once.` });
  }
  if (typeof header !== 'string' || !subcloudName.safeParse(header).success) {
    throw new AppError('client.invalid_request', { message: `The ${POOL_HEADER} header is no Subcloud's name.` });
  }
  if (pathName !== undefined && pathName !== header) throw new AppError('client.conflicting_pools');
  return { name: header, by: pathName === undefined ? 'header' : 'path' };
}
