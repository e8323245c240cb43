import type { IncomingMessage } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { POOL_HEADER } from '@subcloud/contract/inference';
import { subcloudName } from '@subcloud/contract/vocabulary';

export interface PoolChoice {
  /** Undefined where the request names none: the caller's binding, else the credential's own pool, else the global one. */
  readonly name: string | undefined;
  /** The first of those that name it. */
  readonly by: 'path' | 'host' | 'header' | undefined;
}

const UNNAMED: PoolChoice = { name: undefined, by: undefined };

/**
 * Which pool the request names, before anything is looked up: names that differ, or a header that stands twice, are 400
 * whether or not any of them exists. A path that cannot exist is passed on: it ends as one that does not. `domain`: the
 * one below which each pool has a host of its name; undefined: hosts name nothing.
 */
export function resolvePool(
  request: IncomingMessage,
  pathName: string | undefined,
  domain: string | undefined,
): PoolChoice {
  const byHost = hostName(request.headers.host, domain);
  const byHeader = headerName(request);
  const name = pathName ?? byHost ?? byHeader;
  if (name === undefined) return UNNAMED;
  if ((byHost ?? name) !== name || (byHeader ?? name) !== name) throw new AppError('client.conflicting_pools');
  return { name, by: pathName !== undefined ? 'path' : byHost !== undefined ? 'host' : 'header' };
}

function headerName(request: IncomingMessage): string | undefined {
  const header = request.headers[POOL_HEADER];
  if (header === undefined) return undefined;
  if ((request.headersDistinct[POOL_HEADER]?.length ?? 0) > 1) {
    throw new AppError('client.conflicting_pools', { message: `The ${POOL_HEADER} header stands more than once.` });
  }
  if (typeof header !== 'string' || !subcloudName.safeParse(header).success) {
    throw new AppError('client.invalid_request', { message: `The ${POOL_HEADER} header is no Subcloud's name.` });
  }
  return header;
}

/** `NAME` of `NAME.DOMAIN`; undefined for the domain itself and for every other host. Hosts have no case. */
function hostName(host: string | undefined, domain: string | undefined): string | undefined {
  if (host === undefined || domain === undefined) return undefined;
  const bare = host.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
  if (!bare.endsWith(`.${domain}`)) return undefined;
  const name = bare.slice(0, -domain.length - 1);
  if (!subcloudName.safeParse(name).success) {
    throw new AppError('client.invalid_request', { message: `The host names no Subcloud of ${domain}.` });
  }
  return name;
}
