/**
 * Internal HTTP APIs that member nodes host besides models, `/s/SUBCLOUD/apis/NAME/…`. A node declares one that it hosts
 * as a model of the reserved id `api:NAME`, so that facts, consent, documents, table and the node's own lock treat it as
 * they treat a model; it is none for requests, listings and clauses about models.
 */
import * as z from 'zod';

const PREFIX = 'api:';

export const apiName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be 1 to 63 of a-z, 0-9 and - (not first or last)');

export function apiId(name: string): string {
  return `${PREFIX}${name}`;
}

export function isApiId(id: string): boolean {
  return id.startsWith(PREFIX);
}

export const API_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type ApiMethod = (typeof API_METHODS)[number];

const SEGMENT = String.raw`(?:\*|[A-Za-z0-9._~-]+)`;
const pathPattern = z
  .string()
  .max(256)
  .regex(
    new RegExp(String.raw`^(?:/${SEGMENT})*(?:/\*\*|/)?$`),
    'must be a path of A-Z a-z 0-9 . _ ~ -; * is one segment, ** at the end all that follow',
  )
  .refine(
    (path) => path.startsWith('/') && !path.split('/').some((part) => part === '.' || part === '..'),
    'must begin with / and have no . or ..',
  );

export const apisClause = z
  .array(
    z.strictObject({
      name: apiName,
      methods: z.array(z.enum(API_METHODS)).min(1).max(API_METHODS.length),
      paths: z.array(pathPattern).min(1).max(64),
    }),
  )
  .max(32)
  .refine((apis) => new Set(apis.map(({ name }) => name)).size === apis.length, 'two APIs have one name');
export type DeclaredApi = z.infer<typeof apisClause>[number];

const MAX_TARGET_CHARS = 4_096;
const TARGET_CHARS = /^\/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*$/;
const QUERY_CHARS = /^[A-Za-z0-9._~!$&'()*+,;=:@/?%[\]|-]*$/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/** Of `.`, `/`, `\`, `%` and control characters: what could become another path in somebody's second reading. */
const HOSTILE_ESCAPE = /%(?:2[eEfF5]|5[cC]|[01][0-9A-Fa-f]|7[fF])/;

/**
 * Path and query below `/apis/NAME`, as they were sent: undefined where any reader could take them for another path.
 * Nothing is decoded or normalised, so what is compared is what the API gets.
 */
export function cleanTarget(target: string): { readonly path: string; readonly query: string } | undefined {
  if (target.length > MAX_TARGET_CHARS) return undefined;
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? '' : target.slice(mark + 1);
  if (!TARGET_CHARS.test(path) || BAD_ESCAPE.test(path) || HOSTILE_ESCAPE.test(path)) return undefined;
  if (!QUERY_CHARS.test(query) || BAD_ESCAPE.test(query)) return undefined;
  const segments = path.split('/').slice(1);
  const isBad = (segment: string, at: number): boolean =>
    segment === '.' || segment === '..' || (segment === '' && at < segments.length - 1);
  return segments.some(isBad) ? undefined : { path, query };
}

/** Whether the API declares this method and path. `path` is clean. */
export function declares({ methods, paths }: DeclaredApi, method: string, path: string): boolean {
  return (methods as readonly string[]).includes(method) && paths.some((pattern) => matches(pattern, path));
}

function matches(pattern: string, path: string): boolean {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  const takesRest = wanted.at(-1) === '**';
  if (takesRest) wanted.pop();
  if (takesRest ? given.length <= wanted.length : given.length !== wanted.length) return false;
  return wanted.every((part, at) => (part === '*' ? given[at] !== '' : part === given[at]));
}
