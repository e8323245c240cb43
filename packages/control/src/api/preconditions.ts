/**
 * ETag and If-Match: what is read by `GET path` has a revision, and a write to the same path that names another one than
 * is there changes nothing (412). The revision is read again inside the change's own turn, so nothing comes in between.
 */
import { createHash } from 'node:crypto';
import { AppError } from '@subcloud/contract/errors';
import { type ControlRouteName, controlRoutes } from '@subcloud/contract/routes/control';
import type { RouteSpec } from '@subcloud/contract/routes/route';
import { canonicalJson } from '@subcloud/policy/canonical-json';

/** What of an answer is its revision, where the rest changes by itself (counts, times). Default: all of it. */
const REVISION_OF: Readonly<Partial<Record<ControlRouteName, (answer: never) => unknown>>> = {
  getSubcloud: ({ id, revision }: { id: string; revision: number }) => [id, revision],
  getDomain: ({ id, version }: { id: string; version: string }) => [id, version],
  getDraft: ({ draft }: { draft: { contentHash: string } }) => draft.contentHash,
  getNode: ({ id, name, operator }: { id: string; name: string; operator: string }) => [id, name, operator],
};

/** The route that reads what a write to the path changes; undefined: there is none. */
export function readerOf({ path }: Pick<RouteSpec, 'path'>): ControlRouteName | undefined {
  return READERS.get(path);
}

const WRITTEN = new Set<string>(
  Object.values(controlRoutes as Readonly<Record<string, RouteSpec>>).flatMap(({ method, path }) =>
    method === 'put' || method === 'delete' ? [path] : [],
  ),
);
const READERS: ReadonlyMap<string, ControlRouteName> = new Map(
  (Object.entries(controlRoutes) as [ControlRouteName, RouteSpec][]).flatMap(([name, { method, path }]) =>
    method === 'get' && WRITTEN.has(path) ? [[path, name] as const] : [],
  ),
);

/** A strong entity tag. */
export function etagOf(reader: ControlRouteName, answer: unknown): string {
  const revision = REVISION_OF[reader]?.(answer as never) ?? answer;
  const hash = createHash('sha256').update(canonicalJson(revision)).digest('base64url').slice(0, 22);
  return `"${hash}"`;
}

export interface Preconditions {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/** Throws client.invalid_request where the route has no revision, so that nobody believes in a check that is none. */
export function requireCheckable(spec: RouteSpec, { ifMatch, ifNoneMatch }: Preconditions): void {
  const given = ifMatch !== undefined ? 'if-match' : ifNoneMatch !== undefined ? 'if-none-match' : undefined;
  if (given === undefined || (spec.method !== 'post' && readerOf(spec) !== undefined)) return;
  throw new AppError('client.invalid_request', {
    message: `${given}: there is no revision to compare at ${spec.path}.`,
    param: given,
  });
}

/** `current`: the tag of what is there; undefined: there is nothing. Throws client.revision_conflict. */
export function requireMatch({ ifMatch, ifNoneMatch }: Preconditions, current: string | undefined): void {
  if (ifMatch !== undefined && !matches(ifMatch, current))
    throw new AppError('client.revision_conflict', {
      message: current === undefined ? 'There is nothing there.' : `It is at ${current}, not ${ifMatch}.`,
    });
  if (ifNoneMatch !== undefined && matches(ifNoneMatch, current))
    throw new AppError('client.revision_conflict', { message: `It is there already, at ${current ?? ''}.` });
}

function matches(header: string, current: string | undefined): boolean {
  if (current === undefined) return false;
  return header.trim() === '*' || header.split(',').some((tag) => tag.trim() === current);
}
